package planet

import "math"

// ask invites a vehicle; it starts when it is online next.
func (w *world) ask(t tick, v int, round int32) {
	i := w.newJob(v, round)
	j := &w.jobs[i]
	j.invited = t
	w.hourly(t, w.fleet.region[v]).Invited++
	w.out.PerCell[w.fleet.cell[v]].Invited++
	from, _ := w.fleet.online(v, t, w.profiles[w.fleet.profile[v]].Parked)
	limit := t + w.s.Schedule.deadline()
	if round >= 0 {
		limit = w.rounds[round].deadline
	}
	w.first.invited(w, t, v, round, limit, from < limit)
	if from >= limit {
		w.push(limit, starts, i, j.gen) // found offline then, and free again
		return
	}
	w.push(from, starts, i, j.gen)
}

// start downloads the model and trains. Nobody else is concerned, so both are walked through at once.
func (w *world) start(t tick, i int32) {
	j := &w.jobs[i]
	v := int(j.vehicle)
	p := w.profiles[w.fleet.profile[v]]
	r := &w.fleet.random[v]
	if j.round >= 0 && t >= w.rounds[j.round].deadline || j.round < 0 && t >= j.invited+w.s.Schedule.deadline() {
		w.conclude(t, i, Offline)
		return
	}
	if j.round >= 0 && !w.rounds[j.round].open || j.round < 0 && t >= w.end {
		w.conclude(t, i, Missed)
		return
	}
	tally := &w.out.Profiles[w.fleet.profile[v]]
	tally.Started++
	tally.BytesDown += float64(w.s.Report.ModelBytes)
	w.hourly(t, w.fleet.region[v]).Started++
	if j.round >= 0 {
		w.rounds[j.round].Started++
	}
	j.started, j.model = t, int32(w.offered(j))
	j.rate = bytesPerTick(p.Mbps.draw(r))
	lost := r.unit() < p.LostAfterDownload
	down := float64(w.s.Report.ModelBytes)/(j.rate*p.DownOverUp) + 2*p.RoundTripMs*1000
	train := float64(seconds(w.s.Report.TrainSeconds)) * math.Exp(w.s.Report.TrainSpread*r.normal())
	at, busy := w.transfer(v, t, down, p)
	j.link += busy
	at = w.train(v, at, train, p)
	j.train += train
	if lost {
		w.push(at, loses, i, j.gen)
		return
	}
	w.push(at, seals, i, j.gen)
}

// offered is the model that a vehicle downloads: the one that a round's descriptor names, which is that of its opening.
func (w *world) offered(j *job) int {
	i := j.round
	if i < 0 {
		i = w.current[w.laneOf(int(j.vehicle), 0)]
	}
	return w.rounds[i].Model
}

// giveUp bounds a walk through nights and drives: no round is open for so long.
func (w *world) giveUp(t tick) tick {
	return t + w.s.Schedule.deadline() + 24*hour
}

// transfer walks through what the link allows until need ticks of it are over, and tells the time under way.
func (w *world) transfer(v int, t tick, need float64, p *Profile) (at tick, busy float64) {
	r, stop := &w.fleet.random[v], w.giveUp(t)
	for t < stop {
		from, until := w.fleet.online(v, t, p.Parked)
		up, rest := p.meet(r)
		for t = from; t < until; {
			spell := min(rest, until-t)
			if up && need <= float64(spell) {
				return t + tick(need) + 1, busy + need
			}
			if up {
				need -= float64(spell)
			}
			busy += float64(spell)
			t += spell
			up = !up
			rest = p.spell(up, r)
		}
	}
	return t, busy
}

// train walks through the time that the vehicle has power.
func (w *world) train(v int, t tick, need float64, p *Profile) tick {
	stop := w.giveUp(t)
	for t < stop {
		from, until := w.fleet.online(v, t, p.Parked)
		if need <= float64(until-from) {
			return from + tick(need)
		}
		need -= float64(until - from)
		t = until
	}
	return t
}

// meet draws the state in which somebody finds the link.
func (p *Profile) meet(r *stream) (up bool, rest tick) {
	if p.Down == (Spell{}) {
		return true, never
	}
	if r.unit()*(p.Up.mean()+p.Down.mean()) < p.Up.mean() {
		return true, max(1, p.Up.rest(r))
	}
	return false, max(1, p.Down.rest(r))
}

// spell draws how long the link is up, or down, from its begin: never no time at all, so that a walk ends.
func (p *Profile) spell(up bool, r *stream) tick {
	if up {
		return max(1, p.Up.length(r))
	}
	return max(1, p.Down.length(r))
}

// seal makes the report: for the round of the invitation, or while buffered for the one that is open.
func (w *world) seal(t tick, i int32) {
	j := &w.jobs[i]
	v := int(j.vehicle)
	if w.s.Schedule.Buffered {
		j.round = w.current[w.laneOf(v, 0)]
		if j.round < 0 { // the days are over
			w.conclude(t, i, Missed)
			return
		}
		if w.rounds[j.round].Model-int(j.model) > w.s.Schedule.MaxStaleness {
			j.round = -1
			w.conclude(t, i, Stale)
			return
		}
	} else if !w.rounds[j.round].open {
		w.conclude(t, i, Cut)
		return
	}
	j.sealed = t
	w.fleet.epoch[v] = int32(w.rounds[j.round].Epoch)
	w.out.Profiles[w.fleet.profile[v]].Sealed++
	w.hourly(t, w.fleet.region[v]).Sealed++
	j.left = float64(w.s.Report.Bytes)
	j.rate = w.s.Report.pace(j.rate, w.profiles[w.fleet.profile[v]].RoundTripMs)
	w.connect(j)
	w.upload(t, i)
}

// pace is the rate that is left of an undisturbed one, in bytes a tick, when each piece is waited for
// and no more than the window is on the way.
func (r *Report) pace(rate, roundTripMs float64) float64 {
	trip := roundTripMs * 1000
	if r.WindowBytes > 0 && trip > 0 {
		rate = min(rate, float64(r.WindowBytes)/trip)
	}
	pieces := math.Ceil(float64(r.Bytes-r.HeaderBytes) / float64(r.PieceBytes))
	return float64(r.Bytes) / (float64(r.Bytes)/rate + pieces*r.PieceTrips*trip)
}

// connect is the price of a new connection.
func (w *world) connect(j *job) {
	p := w.profiles[w.fleet.profile[j.vehicle]]
	j.setup = w.s.Report.ConnectTrips*p.RoundTripMs*1000 + float64(w.s.Report.ConnectBytes)/j.rate
	j.sent += float64(w.s.Report.ConnectBytes)
}

// upload goes on as soon as the vehicle is online and its link is up.
func (w *world) upload(t tick, i int32) {
	j := &w.jobs[i]
	v := int(j.vehicle)
	p, r := w.profiles[w.fleet.profile[v]], &w.fleet.random[v]
	if j.fresh {
		j.fresh = false
		w.send(t, i, p.spell(true, r))
		return
	}
	from, until := w.fleet.online(v, t, p.Parked)
	if from > t {
		w.push(from, resumes, i, j.gen)
		return
	}
	j.awake = until
	if up, rest := p.meet(r); up {
		w.send(t, i, rest)
	} else {
		w.wait(t, i, t+rest)
	}
}

// wait has the upload go on at the time that the link is back, or later if the vehicle is offline then.
func (w *world) wait(t tick, i int32, back tick) {
	j := &w.jobs[i]
	back = min(back, j.awake)
	j.fresh = back < j.awake
	j.link += float64(back - t)
	w.push(back, resumes, i, j.gen)
}

// send puts the upload on the link, which is up for so long.
func (w *world) send(t tick, i int32, up tick) {
	j := &w.jobs[i]
	v := int(j.vehicle)
	work := j.setup + j.left/j.rate
	j.joined = t
	end := j.awake
	j.cutBy = byPower
	if up < j.awake-t {
		end, j.cutBy = t+up, byOutage
	}
	b := w.fleet.beam[v]
	if b < 0 {
		j.finish = float64(t) + work
		if done := tick(j.finish) + 1; done <= end {
			w.push(done, sent, i, j.gen)
		} else {
			w.push(end, breaks, i, j.gen)
		}
		return
	}
	j.finish = w.fleet.beams[b].join(t, i, j.gen, j.rate, work)
	w.push(end, breaks, i, j.gen)
	w.schedule(t, b)
}

// schedule sets the time of the beam's next finish.
func (w *world) schedule(t tick, b int32) {
	x := &w.fleet.beams[b]
	x.gen++
	if f, ok := x.first(w.alive); ok {
		w.push(x.due(t, f.finish), beamSends, b, x.gen)
	}
}

func (w *world) alive(f flow) bool { return w.jobs[f.job].gen == f.gen }

// beamSends ends the first upload of a beam.
func (w *world) beamSends(t tick, b int32, gen uint32) {
	x := &w.fleet.beams[b]
	if x.gen != gen {
		return
	}
	x.read(t)
	f, ok := x.first(w.alive)
	if ok && f.finish <= x.clock+1e-3 { // a thousandth of a tick: rounding of the clock
		x.drop()
		x.leave(t, w.jobs[f.job].rate)
		w.finish(t, f.job)
	}
	w.schedule(t, b)
}

// finish is the last byte of a report.
func (w *world) finish(t tick, i int32) {
	j := &w.jobs[i]
	v := int(j.vehicle)
	p := w.profiles[w.fleet.profile[v]]
	j.gen++ // no break any more
	j.sent += j.left
	j.link += float64(t - j.joined)
	j.left = 0
	if p.ForwardMinutes > 0 {
		w.push(t+tick(w.fleet.random[v].unit()*p.ForwardMinutes*float64(minute)), arrives, i, j.gen)
		return
	}
	w.arrive(t, i)
}

// breakOff ends a spell of the link in mid-upload.
func (w *world) breakOff(t tick, i int32) {
	j := &w.jobs[i]
	v := int(j.vehicle)
	p := w.profiles[w.fleet.profile[v]]
	j.gen++
	j.link += float64(t - j.joined)
	rest := j.finish - float64(t)
	if b := w.fleet.beam[v]; b >= 0 {
		x := &w.fleet.beams[b]
		rest = j.finish - x.read(t)
		x.leave(t, j.rate)
		defer w.schedule(t, b)
	}
	w.sentSoFar(j, max(0, rest))
	back := j.awake
	if j.cutBy == byOutage {
		back = t + p.spell(false, &w.fleet.random[v])
	}
	if j.cutBy == byPower || back-t > seconds(p.PatienceSecs) || back >= j.awake {
		w.losePiece(j)
		j.breaks++
		w.connect(j)
	}
	w.wait(t, i, back)
}

// sentSoFar takes what got through from what is left; rest is the work that is left.
func (w *world) sentSoFar(j *job, rest float64) {
	left := min(j.left, rest*j.rate)
	j.setup = max(0, rest-j.left/j.rate)
	j.sent += j.left - left
	j.left = left
}

// losePiece sends the object under way again from its begin.
func (w *world) losePiece(j *job) {
	r := &w.s.Report
	done, pieces := float64(r.Bytes)-j.left, float64(r.Bytes-r.HeaderBytes)
	lost := done - pieces // of the header, which comes last
	if done < pieces {
		lost = math.Mod(done, float64(r.PieceBytes))
	}
	j.left += lost
	j.again += lost
}

// resume goes on, or finds that it is too late.
func (w *world) resume(t tick, i int32) {
	if !w.rounds[w.jobs[i].round].open {
		w.conclude(t, i, Cut)
		return
	}
	w.upload(t, i)
}

// arrive is where a report counts, if the list is open.
func (w *world) arrive(t tick, i int32) {
	j := &w.jobs[i]
	v, round := int(j.vehicle), j.round
	j.arrived = t
	took := (t - j.sealed).seconds()
	tally, h := &w.out.Profiles[w.fleet.profile[v]], w.hourly(t, w.fleet.region[v])
	tally.Uploads++
	tally.UploadSeconds[binOf(took)]++
	h.UploadSeconds, h.uploads = h.UploadSeconds+took, h.uploads+1
	if r := &w.rounds[round]; !r.open {
		r.Late++
		w.conclude(t, i, Late)
		return
	}
	w.count(t, round, j)
	w.conclude(t, i, Counted)
	if w.rounds[round].Counted >= w.s.Schedule.Reports {
		w.close(t, round, true)
	}
}
