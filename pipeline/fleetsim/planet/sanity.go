package planet

import (
	"fmt"
	"math"
	"slices"
)

// Sanity runs small experiments on the same habits, links, beams and queue as [Run], each of
// which has a closed form, and puts those of r, if it is not nil, before them. They are as large as a
// fifth of the fleet, within bounds, and take seconds at most.
func Sanity(s Scenario, r *Result) ([]Check, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	var all []Check
	if r != nil {
		all = append(all, r.Checks...)
	}
	n := min(40_000, max(2000, s.Vehicles/5))
	all = append(all, checkRoad(s, 5*n))
	for i, p := range s.Profiles.list() {
		all = append(all, checkRates(s.Seed, ProfileNames[i], p, 5*n))
		if p.Down != (Spell{}) {
			all = append(all, checkDuty(s.Seed, ProfileNames[i], p, n))
		}
	}
	more, err := checkStalls(s.Seed, n)
	if err != nil {
		return nil, err
	}
	all = append(all, more...)
	for _, f := range []func(uint64, int) (Check, error){checkPieces, checkSharing} {
		c, err := f(s.Seed, n)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

// checkRoad counts who drives at noon UTC of the second day.
func checkRoad(s Scenario, n int) Check {
	s.Vehicles = n
	f := newFleet(&s)
	const noon = 36 * hour
	c := Check{Name: "vehicles on the road at noon UTC, second day", Law: "p' = departures (1-p) - p/trip, by local hour"}
	variance := 0.0
	for v := range s.Vehicles {
		f.advance(v, noon)
		if f.driving[v] {
			c.Simulated++
		}
		p := f.clock.drives(noon, f.zone[v])
		c.Expected += p
		variance += p * (1 - p)
	}
	c.StdErr = math.Sqrt(variance)
	return c
}

// phi is the standard normal distribution function.
func phi(x float64) float64 { return math.Erfc(-x/math.Sqrt2) / 2 }

// inverse is E[1/X^k] of the law of Points, in closed form.
func (p Points) inverse(k float64) float64 {
	below, above := p.spreads()
	below, above = below*k, above*k
	return math.Pow(p.Median, -k) * (math.Exp(below*below/2)*phi(below) + math.Exp(above*above/2)*phi(-above))
}

// SecondsAlone is the mean time that n bytes take on an undisturbed link.
func (p Points) SecondsAlone(n float64) float64 { return n * 8 / 1e6 * p.inverse(1) }

// checkRates compares the mean time of a megabyte.
func checkRates(seed uint64, name string, p *Profile, n int) Check {
	r, sum := streamOf(seed, 1<<62), 0.0
	for range n {
		sum += 8 / p.Mbps.draw(&r)
	}
	mean := p.Mbps.SecondsAlone(1e6)
	variance := 64*p.Mbps.inverse(2) - mean*mean
	return Check{
		"seconds for a megabyte alone, profile " + name, "E[bits/rate], lognormal on either side of the median",
		mean, sum / float64(n), max(math.Sqrt(max(0, variance)/float64(n)), 1e-9*mean), // a fixed rate: rounding only
	}
}

// checkDuty looks at links an hour and a half after they were met.
func checkDuty(seed uint64, name string, p *Profile, n int) Check {
	const after = 90 * minute
	r, ups := streamOf(seed, 1<<62+1), 0.0
	for range n {
		up, rest := p.meet(&r)
		for t := rest; t < after; t += rest {
			up = !up
			rest = p.spell(up, &r)
		}
		if up {
			ups++
		}
	}
	share := p.Up.mean() / (p.Up.mean() + p.Down.mean())
	return Check{"links up, profile " + name, "up/(up+down), alternating renewal process", share, ups / float64(n), math.Sqrt(share * (1 - share) / float64(n))}
}

// lab is a fleet that never turns its ignition off and a round that never ends.
type lab struct {
	world    *world
	attempts []Attempt
}

// newLab gives all n vehicles the profile; they are in one beam if it has one.
func newLab(seed uint64, n int, p Profile, r Report) *lab {
	l := &lab{}
	s := Defaults()
	s.Seed, s.Vehicles, s.Watched, s.Report = seed, n, n, r
	s.Schedule.Lanes, s.Schedule.Reports, s.Schedule.OverSelection, s.Schedule.DeadlineMinutes = 1, 1<<24, 0.01, 1e5
	p.Share, p.BeamVehicles = 1, n
	s.Profiles = Profiles{A: p}
	s.Regions = map[string]float64{"Europe": 1}
	l.world = newWorld(s, Options{Observe: func(a Attempt) { l.attempts = append(l.attempts, a) }, Context: nil})
	w := l.world
	w.open(0, 0, 0)
	w.queue = queue{} // without its end, and without invitations
	for v := range n {
		w.fleet.driving[v], w.fleet.from[v], w.fleet.until[v] = true, 0, never
		w.fleet.beam[v] = min(w.fleet.beam[v], 0)
	}
	return l
}

// upload has vehicle v send its report at rate bytes a second from t on.
func (l *lab) upload(t tick, v int, rate float64) {
	w := l.world
	i := w.newJob(v, 0)
	j := &w.jobs[i]
	j.model, j.sealed, j.rate, j.left = 0, t, rate/float64(second), float64(w.s.Report.Bytes)
	w.connect(j)
	w.push(t, resumes, i, j.gen)
}

// run returns one figure of each upload.
func (l *lab) run(figure func(Attempt) float64) ([]float64, error) {
	for {
		e, ok := l.world.queue.pop()
		if !ok {
			break
		}
		l.world.handle(e)
	}
	l.world.close(l.world.rounds[0].deadline, 0, false)                                  // tells of them
	slices.SortFunc(l.attempts, func(a, b Attempt) int { return a.Vehicle - b.Vehicle }) // independent ones side by side
	var all []float64
	for _, a := range l.attempts {
		if a.Outcome != Counted {
			return nil, fmt.Errorf("planet: an upload of an experiment was %s", a.Outcome)
		}
		all = append(all, figure(a))
	}
	return all, nil
}

func took(a Attempt) float64 { return (a.Arrived - a.Sealed).Seconds() }

// meanOf returns the mean and its standard error from means of batches, which bear dependence.
func meanOf(x []float64, batches int) (mean, stdErr float64) {
	size := len(x) / batches
	var means []float64
	for b := range batches {
		sum := 0.0
		for _, v := range x[b*size : (b+1)*size] {
			sum += v
		}
		means = append(means, sum/float64(size))
		mean += sum / float64(size) / float64(batches)
	}
	square := 0.0
	for _, m := range means {
		square += (m - mean) * (m - mean)
	}
	return mean, math.Sqrt(square / float64(batches-1) / float64(batches))
}

// checkStalls uploads 150 s of work over a link with outages shorter than the patience.
func checkStalls(seed uint64, n int) ([]Check, error) {
	const work, on, off, deadline = 150.0, 100.0, 20.0, 190.0
	p := Profile{
		Mbps: Points{1, 1, 1}, DownOverUp: 1, Up: Spell{0, 2 * on, true}, Down: Spell{0, 2 * off, true}, PatienceSecs: 1e7,
	}
	l := newLab(seed, n, p, Report{Values: 1, Bytes: 150_000, PieceBytes: 10_000})
	for v := range n {
		l.upload(tick(v)*second/100, v, 1000)
	}
	times, err := l.run(took)
	if err != nil {
		return nil, err
	}
	mean, stdErr := meanOf(times, 100)
	down := off / (on + off)
	by := 0.0
	for _, t := range times {
		if t <= deadline {
			by++
		}
	}
	share := (1-down)*finishedBy(work, on, off, deadline, 0) + down*finishedBy(work, on, off, deadline, 1)
	return []Check{
		{"seconds of an upload with short outages", "work (1 + off/on) + P(down) off", work*(1+off/on) + down*off, mean, stdErr},
		{"share of uploads done by a deadline", "Poisson number of outages, Erlang sum of them", share, by / float64(n), math.Sqrt(share * (1 - share) / float64(n))},
	}, nil
}

// finishedBy is the chance that work and its outages, and first more, are over by the deadline.
func finishedBy(work, on, off, deadline float64, first int) float64 {
	if deadline < work {
		return 0
	}
	chance, total := math.Exp(-work/on), 0.0
	for n := range 200 {
		total += chance * erlang(n+first, (deadline-work)/off)
		chance *= work / on / float64(n+1)
	}
	return total
}

// erlang is the chance that n exponential times of mean 1 are over by x.
func erlang(n int, x float64) float64 {
	term, below := math.Exp(-x), 0.0
	for k := range n {
		below += term
		term *= x / float64(k+1)
	}
	return 1 - below
}

// checkPieces uploads four pieces of 50 s each over a link whose every outage costs the piece under way.
func checkPieces(seed uint64, n int) (Check, error) {
	const pieces, piece, on = 4, 50.0, 100.0
	p := Profile{Mbps: Points{1, 1, 1}, DownOverUp: 1, Up: Spell{0, 2 * on, true}, Down: Spell{Min: 20, Max: 20}}
	l := newLab(seed+1, n, p, Report{Values: 1, Bytes: pieces * piece * 1000, PieceBytes: piece * 1000})
	for v := range n {
		l.upload(tick(v)*second/100, v, 1000)
	}
	again, err := l.run(func(a Attempt) float64 { return float64(a.Again) })
	if err != nil {
		return Check{}, err
	}
	mean, stdErr := meanOf(again, 100)
	expected := pieces * (on*math.Expm1(piece/on) - piece) * 1000
	return Check{"bytes sent again by pieces", "pieces ((e^(t/on) - 1) on - t) rate, t seconds a piece", expected, mean, stdErr}, nil
}

// checkSharing sends uploads as fast as their beam at random times, so that they share the processor.
func checkSharing(seed uint64, n int) (Check, error) {
	const alone, load, batches = 2.0, 0.7, 40
	p := Profile{Mbps: Points{1, 1, 1}, DownOverUp: 1, BeamMbps: 0.008}
	l := newLab(seed+2, n, p, Report{Values: 1, Bytes: alone * 1000, PieceBytes: 1000})
	r, t := streamOf(seed, 1<<62+2), tick(0)
	for v := range n {
		t += seconds(r.exponential(alone / load))
		l.upload(t, v, 1000)
	}
	times, err := l.run(took)
	if err != nil {
		return Check{}, err
	}
	mean, stdErr := meanOf(times[n/batches:], batches) // without the first, which found the beam empty
	return Check{"seconds of an upload in a shared beam at load 0.7", "M/G/1 processor sharing: alone/(1 - load)", alone / (1 - load), mean, stdErr}, nil
}
