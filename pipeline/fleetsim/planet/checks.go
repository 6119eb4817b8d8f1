package planet

import "math"

// Check is one figure that has a closed form.
type Check struct {
	Name      string  `json:"name"`
	Law       string  `json:"law"` // the closed form in words
	Expected  float64 `json:"expected"`
	Simulated float64 `json:"simulated"`
	StdErr    float64 `json:"std_err"` // of Simulated, if the law is right
}

// Z is the distance in standard errors; under the law it is standard normal, so |z| exceeds 5 once in 1.7 million.
func (c Check) Z() float64 { return (c.Simulated - c.Expected) / c.StdErr }

// firstEpoch compares the invitations of the first epoch, before history matters, with their law.
type firstEpoch struct {
	n                  int
	started            int
	expected, variance float64
	regions            [16]int
}

// invited is told whether a vehicle will be online before the limit.
func (f *firstEpoch) invited(w *world, t tick, v int, round int32, limit tick, starts bool) {
	if round < 0 || w.rounds[round].Epoch != 0 {
		return
	}
	f.n++
	f.regions[w.fleet.region[v]]++
	if w.profiles[w.fleet.profile[v]].Parked {
		return
	}
	zone := w.fleet.zone[v]
	drives := w.fleet.clock.drives(t, zone)
	p := drives + (1-drives)*w.fleet.clock.departs(t, zone, limit-t)
	if starts {
		f.started++
	}
	f.expected += p
	f.variance += p * (1 - p)
}

// checks are those of the run itself.
func (w *world) checks() (all []Check) {
	if f := &w.first; f.variance > 0 {
		all = append(all, Check{
			"vehicles online before the first deadline", "sum over the invited of p + (1-p)(1 - exp(-departures)), on-off process of departures by local hour",
			f.expected, float64(f.started), math.Sqrt(f.variance),
		})
		sum := 0.0
		for _, name := range RegionNames {
			sum += w.s.Regions[name]
		}
		for i, name := range RegionNames {
			share := w.s.Regions[name] / sum
			if n := float64(f.n); n*share*(1-share) > 100 {
				all = append(all, Check{"first invitations, " + name, "binomial with the region's share", n * share, float64(f.regions[i]), math.Sqrt(n * share * (1 - share))})
			}
		}
	}
	for i := range w.out.Profiles {
		t, p := &w.out.Profiles[i], w.profiles[i].LostAfterDownload
		if n := float64(t.Started); n*p*(1-p) > 100 {
			all = append(all, Check{"lost after download, profile " + t.Name, "binomial with lost_after_download", n * p, float64(t.Outcomes[Lost]), math.Sqrt(n * p * (1 - p))})
		}
	}
	return all
}
