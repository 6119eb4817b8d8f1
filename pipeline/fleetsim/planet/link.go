package planet

import "time"

// Vehicle returns what the scenario makes of vehicle v: its profile and its place.
func (s Scenario) Vehicle(v int) (profile int, place Cell) {
	cells := Cells()
	r := streamOf(s.Seed, uint64(v))
	place = cells[pick(s.cellLaw(cells), r.unit())]
	return pick(s.profileLaw(), r.unit()), place
}

// Link is one vehicle's link for trying other code on it, in simulated time. Its draws follow the same
// laws as those of [Run], and are not the same draws. It is not safe for concurrent use.
type Link struct {
	Rate      float64       // bytes a second
	RoundTrip time.Duration // of one question and its answer
	Patience  time.Duration // outages up to it only stall

	profile *Profile
	random  stream
	up      bool
	rest    tick
}

// NewLink returns the link of vehicle v. The error wraps [ErrScenario].
func NewLink(s Scenario, v int) (*Link, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	i, _ := s.Vehicle(v)
	p := *s.Profiles.list()[i]
	l := &Link{RoundTrip: time.Duration(p.RoundTripMs * float64(time.Millisecond)), Patience: time.Duration(p.PatienceSecs * float64(time.Second)), profile: &p}
	l.random = streamOf(s.Seed^golden, uint64(v))
	l.Rate = p.Mbps.draw(&l.random) * 1e6 / 8
	l.up, l.rest = p.meet(&l.random)
	return l, nil
}

// Pass lets work that takes so long on an undisturbed link go on until it is done or the next outage
// begins. It returns how much of it was done, and how long the outage then lasts, 0 if none came.
func (l *Link) Pass(work time.Duration) (done, outage time.Duration) {
	if !l.up {
		outage = l.rest.duration()
		l.up, l.rest = true, l.profile.spell(true, &l.random)
		return 0, outage
	}
	need := tick(work / time.Microsecond)
	if need < l.rest {
		if l.rest < never {
			l.rest -= need
		}
		return work, 0
	}
	done = l.rest.duration()
	outage = l.profile.spell(false, &l.random).duration()
	l.rest = l.profile.spell(true, &l.random)
	return done, outage
}
