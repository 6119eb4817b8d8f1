package planet

import "slices"

// openEpoch opens a round for each lane and invites for all of them.
func (w *world) openEpoch(t tick, epoch int) {
	c := &w.s.Schedule
	first := int32(len(w.rounds))
	for lane := range c.Lanes {
		w.open(t, lane, epoch)
	}
	w.invite(t, epoch, first, int(c.OverSelection*float64(c.Reports)*float64(c.Lanes)+0.5))
	if next := tick(float64(epoch+1) * c.PeriodMinutes * float64(minute)); next < w.end {
		w.push(next, roundOpens, int32(epoch+1), 0)
	}
}

func (w *world) open(t tick, lane, epoch int) int32 {
	for len(w.epochs) <= epoch {
		w.epochs = append(w.epochs, epochState{lanes: w.s.Schedule.Lanes})
	}
	i := int32(len(w.rounds))
	deadline := t + w.s.Schedule.deadline()
	w.rounds = append(w.rounds, Round{Epoch: epoch, Lane: lane, Model: w.version, Opened: t.duration(), open: true, deadline: deadline})
	w.push(deadline, roundEnds, i, 0)
	return i
}

// laneOf is the lane of a vehicle in an epoch; while buffered it keeps its lane.
func (w *world) laneOf(v, epoch int) int {
	if w.s.Schedule.Buffered {
		epoch = 0
	}
	return int(mix(w.s.Seed^mix(uint64(v)<<20^uint64(epoch))) % uint64(w.s.Schedule.Lanes))
}

// invite asks n vehicles, taking turns through the fleet: whoever is still busy with an earlier
// invitation, or took part too recently, is passed over. Vehicles are alike by law, so turns are as good
// as a draw.
func (w *world) invite(t tick, epoch int, first int32, n int) {
	c := &w.s.Schedule
	spread := c.SpreadMinutes * float64(minute)
	for range w.s.Vehicles {
		if n == 0 {
			return
		}
		v := w.scan
		w.scan = (w.scan + 1) % w.s.Vehicles
		if w.fleet.job[v] >= 0 || epoch-int(w.fleet.epoch[v]) < c.MinSeparation {
			continue
		}
		n--
		round := int32(-1)
		if !c.Buffered {
			round = first + int32(w.laneOf(v, epoch))
			w.rounds[round].Invited++
		}
		w.ask(t+tick(w.fleet.random[v].unit()*spread), v, round)
	}
}

// inviteSteadily asks a minute's share of the vehicles, while buffered.
func (w *world) inviteSteadily(t tick) {
	c := &w.s.Schedule
	perMinute := c.OverSelection * float64(c.Reports) * float64(c.Lanes) / c.PeriodMinutes
	n := int(perMinute*float64(t/minute+1)) - int(perMinute*float64(t/minute))
	epoch := 0
	for _, r := range w.current {
		if r >= 0 {
			epoch = max(epoch, w.rounds[r].Epoch)
		}
	}
	w.invite(t, epoch, -1, n)
	if t+minute < w.end {
		w.push(t+minute, inviting, 0, 0)
	}
}

// close ends a round, by its K-th report or at its deadline.
func (w *world) close(t tick, i int32, full bool) {
	r := &w.rounds[i]
	if !r.open {
		return
	}
	r.open, r.Full, r.Closed = false, full, t.duration()
	r.Void = r.Counted < w.s.Schedule.MinBatch
	sum := 0
	for _, x := range r.stale {
		sum += x.count * (w.version - x.version)
		r.MaxStaleness = max(r.MaxStaleness, w.version-x.version)
	}
	if r.Counted > 0 {
		r.Staleness = float64(sum) / float64(r.Counted)
	}
	for _, a := range r.contributions {
		a.Staleness = w.version - a.Model
		w.o.Observe(a)
	}
	r.contributions = nil
	w.publish(t, r)
	if w.s.Schedule.Buffered {
		w.current[r.Lane] = -1
		if t < w.end {
			w.current[r.Lane] = w.open(t, r.Lane, r.Epoch+1)
		}
	}
}

// publish has the model come out: while buffered after each round that is opened, else after the last lane of an epoch.
func (w *world) publish(t tick, r *Round) {
	e := &w.epochs[r.Epoch]
	e.lanes--
	e.committed = e.committed || !r.Void
	if w.s.Schedule.Buffered && !r.Void || !w.s.Schedule.Buffered && e.lanes == 0 && e.committed {
		w.push(t+seconds(w.s.Schedule.PublishSeconds), modelIsOut, 0, 0)
	}
}

// count takes a report into a round's list.
func (w *world) count(t tick, i int32, j *job) {
	r := &w.rounds[i]
	r.Counted++
	k := slices.IndexFunc(r.stale, func(x versionCount) bool { return x.version == int(j.model) })
	if k < 0 {
		k = len(r.stale)
		r.stale = append(r.stale, versionCount{version: int(j.model)})
	}
	r.stale[k].count++
}
