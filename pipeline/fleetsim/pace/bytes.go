package pace

import (
	"slices"
	"time"

	"github.com/veilsum/veilsum/pipeline/fleetsim/planet"
	"github.com/veilsum/veilsum/schema/delta"
)

// account spreads the bytes of all attempts over the curve's points.
func (t *training) account() {
	type spent struct {
		at              time.Duration
		up, down, whole float64
		arrived         bool
	}
	var all []spent
	has := make([]int, t.fleet.Vehicles()) // the version that a vehicle downloaded last; 0, the first, comes with the program
	byStart := slices.Clone(t.attempts)
	slices.SortStableFunc(byStart, func(a, b planet.Attempt) int { return int(a.Started - b.Started) })
	size := t.sizes()
	for _, a := range byStart {
		if a.Model < 0 { // it never started
			continue
		}
		s := spent{at: a.Started}
		if a.Model != has[a.Vehicle] && a.Model < len(t.versions) {
			s.whole, s.down = float64(t.curve.ModelBytes), size(has[a.Vehicle], a.Model)
			has[a.Vehicle] = a.Model
		}
		all = append(all, s)
		end := max(a.Started, a.Sealed, a.Arrived)
		all = append(all, spent{at: end, up: float64(a.Sent), arrived: a.Arrived >= 0})
	}
	slices.SortStableFunc(all, func(a, b spent) int { return int(a.at - b.at) })
	i, up, down, whole := 0, 0.0, 0.0, 0.0
	for k := range t.curve.Points {
		p := &t.curve.Points[k]
		for ; i < len(all) && all[i].at <= p.At; i++ {
			up, down, whole = up+all[i].up, down+all[i].down, whole+all[i].whole
			if all[i].arrived {
				t.curve.Uploaded++
			}
		}
		p.Up, p.Down, p.Whole = up, down, whole
	}
	if n := len(t.versions) - 1; n > 0 {
		for v := range n {
			t.curve.DeltaBytes += size(v, v+1) / float64(n)
		}
	}
}

// sizes returns what a vehicle with one version reads to get another.
func (t *training) sizes() func(from, to int) float64 {
	known := map[[2]int]float64{}
	return func(from, to int) float64 {
		whole := float64(t.curve.ModelBytes)
		if t.settings.Bits == 0 || to <= from || to-from > t.settings.Bases {
			return whole
		}
		if n, ok := known[[2]int{from, to}]; ok {
			return n
		}
		n := whole
		if d, err := delta.Encode(t.versions[from].bytes, t.versions[to].bytes, t.versions[to].grid); err == nil {
			n = min(n, float64(len(d)))
		}
		known[[2]int{from, to}] = n
		return n
	}
}
