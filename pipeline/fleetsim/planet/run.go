package planet

import (
	"context"
	"time"
)

// Options are what a run needs beside its scenario.
type Options struct {
	// Observe, if not nil, is told of every attempt of a watched vehicle once its outcome is
	// final, those of a round when it closes.
	Observe func(Attempt)
	// Progress, if not nil, hears how far the simulation got.
	Progress func(done, total time.Duration)
	// Context, if not nil, ends the run early with its error.
	Context context.Context
}

// Run simulates the scenario until the last of the rounds that opened in its days is closed. The
// error wraps [ErrScenario] or is that of the context.
func Run(s Scenario, o Options) (*Result, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	if o.Context == nil {
		o.Context = context.Background()
	}
	w := newWorld(s, o)
	if err := w.run(); err != nil {
		return nil, err
	}
	return w.result(), nil
}

// world is a simulation under way.
type world struct {
	s        Scenario
	o        Options
	profiles []*Profile
	end      tick // no round opens from here on
	horizon  tick // every round is long closed: nothing that is later matters
	fleet    *fleet
	queue    queue
	jobs     []job
	free     []int32
	rounds   []Round
	current  []int32 // the open round of each lane, while buffered; -1: none
	epochs   []epochState
	version  int
	out      Result
	events   uint64
	draw     stream // of the rounds: whom they invite
	scan     int    // where the next invitations go on
	first    firstEpoch
}

// epochState counts the lanes of an epoch that are not closed, and whether one was opened.
type epochState struct {
	lanes     int
	committed bool
}

func newWorld(s Scenario, o Options) *world {
	w := &world{
		s: s, o: o, profiles: s.Profiles.list(), end: tick(s.Days * 24 * float64(hour)), fleet: newFleet(&s),
		draw: streamOf(s.Seed, 1<<63), current: make([]int32, s.Schedule.Lanes),
	}
	w.horizon = w.end + s.Schedule.deadline() + 30*24*hour
	w.out.PerCell = make([]CellTally, len(w.fleet.cells))
	w.out.Regions = make([]int, len(RegionNames))
	w.out.Profiles = make([]Tally, len(w.profiles))
	for v := range s.Vehicles {
		w.out.PerCell[w.fleet.cell[v]].Vehicles++
		w.out.Regions[w.fleet.region[v]]++
		w.out.Profiles[w.fleet.profile[v]].Vehicles++
	}
	w.scan = w.draw.below(s.Vehicles)
	if s.Schedule.Buffered {
		for lane := range w.current {
			w.current[lane] = w.open(0, lane, 0)
		}
		w.push(0, inviting, 0, 0)
	} else {
		w.push(0, roundOpens, 0, 0)
	}
	return w
}

// push sets an event. A link that comes back, or a vehicle that drives, in years is found at the horizon to be too late, and
// what a beam would send by then has been broken off before: without this the calendar would grow a bag for each second of those years.
func (w *world) push(at tick, k kind, who int32, gen uint32) {
	switch {
	case at > w.horizon && k == beamSends:
		return
	case at > w.horizon && k == resumes:
		at = w.horizon
	}
	w.queue.push(event{at: at, kind: k, who: who, gen: gen})
}

func (w *world) run() error {
	next := tick(0)
	for {
		e, ok := w.queue.pop()
		if !ok {
			break
		}
		if e.at >= next { // once a simulated minute
			if err := w.o.Context.Err(); err != nil {
				return err
			}
			if w.o.Progress != nil {
				w.o.Progress(min(e.at, w.end).duration(), w.end.duration())
			}
			next = e.at + minute
		}
		w.events++
		w.out.Span = e.at.duration()
		w.handle(e)
	}
	return nil
}

func (w *world) handle(e event) {
	switch e.kind {
	case roundOpens:
		w.openEpoch(e.at, int(e.who))
	case roundEnds:
		w.close(e.at, e.who, false)
	case modelIsOut:
		w.version++
	case inviting:
		w.inviteSteadily(e.at)
	case beamSends:
		w.beamSends(e.at, e.who, e.gen)
	default:
		j := &w.jobs[e.who]
		if j.gen != e.gen {
			return
		}
		switch e.kind {
		case starts:
			w.start(e.at, e.who)
		case seals:
			w.seal(e.at, e.who)
		case loses:
			w.conclude(e.at, e.who, Lost)
		case breaks:
			w.breakOff(e.at, e.who)
		case resumes:
			w.resume(e.at, e.who)
		case sent:
			w.finish(e.at, e.who)
		case arrives:
			w.arrive(e.at, e.who)
		}
	}
}

// result hands over what was counted.
func (w *world) result() *Result {
	r := &w.out
	r.Scenario, r.Cells, r.Rounds, r.Versions, r.Events = w.s, w.fleet.cells, w.rounds, w.version, w.events
	for i := range w.fleet.beams {
		b := &w.fleet.beams[i]
		r.Beams.Most = max(r.Beams.Most, b.most)
		r.Beams.Busy += b.busy.seconds() / 3600
		r.Beams.Saturated += b.saturated.seconds() / 3600
	}
	r.Beams.Count = len(w.fleet.beams)
	for i := range r.Profiles {
		r.Profiles[i].Name = ProfileNames[i]
	}
	for _, e := range w.epochs {
		if e.committed {
			r.Committed++
		}
	}
	w.drove()
	w.means()
	r.Checks = w.checks()
	return r
}

// drove brings all vehicles to the end of the days and tells how many drove in each hour.
func (w *world) drove() {
	f := w.fleet
	for v := range w.s.Vehicles {
		f.advance(v, w.end)
	}
	for v := range w.s.Vehicles { // trips that go on
		if f.driving[v] && f.from[v] < w.end {
			f.tally(v)
		}
	}
	for i := range w.out.Hours {
		h := &w.out.Hours[i]
		if row := f.drove[h.Region]; h.Hour < len(row) && tick(h.Hour+1)*hour <= w.end && w.out.Regions[h.Region] > 0 {
			h.DrivingShare = row[h.Hour] / float64(hour) / float64(w.out.Regions[h.Region])
		}
	}
}

func (w *world) means() {
	for i := range w.out.Hours {
		if h := &w.out.Hours[i]; h.uploads > 0 {
			h.UploadSeconds /= h.uploads
		}
	}
}

// hourly is the tally of a region at a time.
func (w *world) hourly(t tick, region uint8) *Hour {
	regions := len(RegionNames)
	for h := len(w.out.Hours) / regions; h <= int(t/hour); h++ {
		for r := range regions {
			w.out.Hours = append(w.out.Hours, Hour{Region: r, Hour: h})
		}
	}
	return &w.out.Hours[int(t/hour)*regions+int(region)]
}
