package planet

import "sort"

// fleet is the state of all vehicles, one slice for each kind of value. A vehicle's place on the
// road is computed only when somebody asks: it depends on nobody else.
type fleet struct {
	clock   clock
	night   [24]bool
	region  []uint8
	profile []uint8
	zone    []int8
	driving []bool
	beam    []int32 // -1: none
	job     []int32 // -1: none
	epoch   []int32 // in which it took part last
	random  []stream
	from    []tick // the present state
	until   []tick

	beams []beam
	cells []Cell
	cell  []uint16
	drove [][]float64 // ticks on the road by region and hour since the start
}

func newFleet(s *Scenario) *fleet {
	n := s.Vehicles
	f := &fleet{
		clock: newClock(s.Habits), region: make([]uint8, n), profile: make([]uint8, n), zone: make([]int8, n), driving: make([]bool, n),
		beam: make([]int32, n), job: make([]int32, n), epoch: make([]int32, n), random: make([]stream, n), from: make([]tick, n), until: make([]tick, n),
		cells: Cells(), cell: make([]uint16, n),
	}
	for h := s.Habits.NightFrom; h != s.Habits.NightTo; h = (h + 1) % 24 {
		f.night[h] = true
	}
	f.drove = make([][]float64, len(RegionNames))
	cells, profiles := s.cellLaw(f.cells), s.profileLaw()
	for v := range n {
		r := streamOf(s.Seed, uint64(v))
		c := pick(cells, r.unit())
		f.cell[v], f.region[v], f.zone[v] = uint16(c), uint8(f.cells[c].Region), int8(f.cells[c].Zone())
		f.profile[v] = uint8(pick(profiles, r.unit()))
		f.driving[v] = r.unit() < f.clock.drives(0, f.zone[v])
		if f.driving[v] {
			f.until[v] = tick(r.exponential(f.clock.trip)) + 1
		} else {
			f.until[v] = f.clock.departure(&r, 0, f.zone[v])
		}
		f.random[v], f.job[v], f.epoch[v] = r, -1, -1<<30
	}
	f.shareBeams(s)
	return f
}

// cellLaw is the law of the cell of a vehicle, summed up.
func (s *Scenario) cellLaw(cells []Cell) []float64 {
	weights := make([]float64, len(RegionNames))
	for _, c := range cells {
		weights[c.Region] += c.weight()
	}
	law, sum := make([]float64, len(cells)), 0.0
	for i, c := range cells {
		sum += s.Regions[RegionNames[c.Region]] * c.weight() / weights[c.Region]
		law[i] = sum
	}
	return law
}

func (s *Scenario) profileLaw() []float64 {
	var law []float64
	sum := 0.0
	for _, p := range s.Profiles.list() {
		sum += p.Share
		law = append(law, sum)
	}
	return law
}

// pick returns the first index whose sum exceeds u of the total, so never one of no weight.
func pick(law []float64, u float64) int {
	x := u * law[len(law)-1]
	return min(sort.Search(len(law), func(i int) bool { return law[i] > x }), len(law)-1)
}

// shareBeams gives the vehicles of one profile in one cell as many beams as they need.
func (f *fleet) shareBeams(s *Scenario) {
	profiles := s.Profiles.list()
	count := make([]int, len(profiles)*len(f.cells))
	place := func(v int) int { return int(f.profile[v])*len(f.cells) + int(f.cell[v]) }
	for v := range f.beam {
		count[place(v)]++
	}
	first := make([]int, len(count))
	for i, n := range count {
		p := profiles[i/len(f.cells)]
		if n == 0 || p.BeamMbps == 0 {
			continue
		}
		first[i] = len(f.beams)
		count[i] = (n + p.BeamVehicles - 1) / p.BeamVehicles // beams from now on
		for range count[i] {
			f.beams = append(f.beams, beam{capacity: bytesPerTick(p.BeamMbps)})
		}
	}
	for v := range f.beam {
		f.beam[v] = -1
		if i := place(v); profiles[f.profile[v]].BeamMbps > 0 {
			f.beam[v] = int32(first[i] + int(mix(uint64(v))%uint64(count[i])))
		}
	}
}

// advance brings a vehicle to the state that it has at t, or leaves it in a later one.
func (f *fleet) advance(v int, t tick) {
	for f.until[v] <= t {
		f.turn(v)
	}
}

// turn is the next departure or arrival.
func (f *fleet) turn(v int) {
	if f.driving[v] {
		f.tally(v)
	}
	at, r := f.until[v], &f.random[v]
	f.from[v], f.driving[v] = at, !f.driving[v]
	if f.driving[v] {
		f.until[v] = at + tick(r.exponential(f.clock.trip)) + 1
	} else {
		f.until[v] = f.clock.departure(r, at, f.zone[v])
	}
}

// tally counts a trip that is over in the hours that it took.
func (f *fleet) tally(v int) {
	row := &f.drove[f.region[v]]
	for t := f.from[v]; t < f.until[v]; {
		h := int(t / hour)
		for h >= len(*row) {
			*row = append(*row, 0)
		}
		end := min(f.until[v], tick(h+1)*hour)
		(*row)[h] += float64(end - t)
		t = end
	}
}

// online returns the first time at or after t at which the vehicle can be online, and how
// long it then stays. Questions about one vehicle come in rising order.
func (f *fleet) online(v int, t tick, parked bool) (from, until tick) {
	for {
		f.advance(v, t)
		switch {
		case !parked && f.driving[v]:
			return max(t, f.from[v]), f.until[v]
		case !parked:
			f.turn(v)
		case f.driving[v]:
			t = f.until[v]
		default:
			start := max(t, f.from[v])
			if from, until = f.nightOf(start, f.zone[v]); from < f.until[v] {
				return from, min(until, f.until[v])
			}
			t = f.until[v]
		}
	}
}

// nightOf returns the part of a night that is at or after t.
func (f *fleet) nightOf(t tick, zone int8) (from, until tick) {
	h, left := localHour(t, zone)
	for !f.night[h] {
		t += left
		h, left = (h+1)%24, hour
	}
	from, until = t, t
	for f.night[h] {
		until += left
		h, left = (h+1)%24, hour
	}
	return from, until
}
