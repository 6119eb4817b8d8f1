package planet

// job is a vehicle with an invitation. Jobs are used again under a new generation.
type job struct {
	vehicle int32
	round   int32
	gen     uint32
	model   int32
	cutBy   cause

	rate  float64 // bytes a tick, of this upload
	left  float64 // bytes of the report that are to be sent
	setup float64 // ticks of the handshake that are left

	finish float64 // of the beam's clock, or the time where there is no beam
	fresh  bool    // an outage ends now, so the link is up for a whole spell
	awake  tick    // until when the vehicle is online
	joined tick

	invited, started, sealed, arrived tick
	sent, again                       float64
	breaks                            int32
	link, train                       float64 // ticks under way, for energy
}

// cause is why an upload stops.
type cause uint8

const (
	byPower cause = iota
	byOutage
)

func (w *world) newJob(v int, round int32) int32 {
	var i int32
	if n := len(w.free); n > 0 {
		i = w.free[n-1]
		w.free = w.free[:n-1]
	} else {
		i = int32(len(w.jobs))
		w.jobs = append(w.jobs, job{})
	}
	w.jobs[i] = job{vehicle: int32(v), round: round, gen: w.jobs[i].gen + 1, model: -1, invited: -1, started: -1, sealed: -1, arrived: -1}
	w.fleet.job[v] = i
	return i
}

// conclude counts the outcome and forgets the job.
func (w *world) conclude(t tick, i int32, o Outcome) {
	j := &w.jobs[i]
	v := int(j.vehicle)
	region, profile := w.fleet.region[v], w.fleet.profile[v]
	p, tally, h := w.profiles[profile], &w.out.Profiles[profile], w.hourly(t, region)
	link := j.link/float64(second)*p.LinkWatts + j.sent*p.MillijoulesByte/1000
	train := j.train / float64(second) * p.TrainWatts
	tally.Outcomes[o]++
	tally.BytesUp, tally.BytesAgain = tally.BytesUp+j.sent, tally.BytesAgain+j.again
	tally.Breaks += int(j.breaks)
	tally.LinkJoules, tally.TrainJoules = tally.LinkJoules+link, tally.TrainJoules+train
	h.BytesUp, h.BytesAgain, h.Joules, h.Breaks = h.BytesUp+j.sent, h.BytesAgain+j.again, h.Joules+link+train, h.Breaks+int(j.breaks)
	switch o {
	case Counted:
		h.Counted++
		w.out.PerCell[w.fleet.cell[v]].Counted++
	case Late:
		h.Late++
	case Cut:
		h.Cut++
	case Lost:
		h.Lost++
	}
	if v < w.s.Watched && w.o.Observe != nil {
		w.tell(j, o, link+train)
	}
	j.gen++
	w.fleet.job[v] = -1
	w.free = append(w.free, i)
}

// tell hands an attempt to the observer; one that counts waits for the close of its round.
func (w *world) tell(j *job, o Outcome, joules float64) {
	v := int(j.vehicle)
	a := Attempt{
		Vehicle: v, Region: int(w.fleet.region[v]), Profile: int(w.fleet.profile[v]), Round: int(j.round),
		Invited: j.invited.duration(), Started: j.started.duration(), Sealed: j.sealed.duration(), Arrived: j.arrived.duration(),
		Model: int(j.model), Outcome: o, Sent: int64(j.sent), Again: int64(j.again), Breaks: int(j.breaks), Joules: joules,
	}
	if o == Counted {
		r := &w.rounds[j.round]
		r.contributions = append(r.contributions, a)
		return
	}
	w.o.Observe(a)
}
