package planet_test

import (
	"runtime"
	"testing"

	"github.com/veilsum/veilsum/pipeline/fleetsim/planet"
)

// TestHostileScenarios: a scenario within the stated ranges, however odd, ends, and takes no memory that its fleet and its days do not ask for.
func TestHostileScenarios(t *testing.T) {
	for name, change := range map[string]func(*planet.Scenario){
		"a beam that is nearly none":      func(s *planet.Scenario) { s.Profiles.A.BeamMbps = 1e-9 },
		"a report of a terabyte":          func(s *planet.Scenario) { s.Report.Bytes = 1 << 40 },
		"a report of a gigabyte":          func(s *planet.Scenario) { s.Report.Bytes = 1 << 30 },
		"pieces of one byte":              func(s *planet.Scenario) { s.Report.PieceBytes, s.Report.Bytes = 1, 1<<40 },
		"the slowest link":                func(s *planet.Scenario) { s.Profiles.B.Mbps = planet.Points{Low: 1e-5, Median: 1e-5, High: 1e-5} },
		"a link of any rate":              func(s *planet.Scenario) { s.Profiles.B.Mbps = planet.Points{Low: 1e-5, Median: 1, High: 1e5} },
		"the slowest training":            func(s *planet.Scenario) { s.Report.TrainSeconds, s.Report.TrainSpread = 1e6, 3 },
		"outages of a year":               func(s *planet.Scenario) { s.Profiles.B.Down = planet.Spell{Min: 3.2e7, Max: 3.2e7} },
		"hardly any driving":              func(s *planet.Scenario) { s.Habits.DrivingHours, s.Habits.TripMinutes = 0.03, 25 },
		"a satellite that keeps it":       func(s *planet.Scenario) { s.Profiles.C.ForwardMinutes = 1e5 },
		"the least days":                  func(s *planet.Scenario) { s.Days = 1e-300 },
		"a round trip of a thousand secs": func(s *planet.Scenario) { s.Profiles.A.RoundTripMs = 1e6 },
		"one report a round":              func(s *planet.Scenario) { s.Schedule.Reports, s.Schedule.MinBatch, s.Schedule.Buffered = 1, 1, true },
	} {
		t.Run(name, func(t *testing.T) {
			s := small(1)
			s.Vehicles, s.Days = 2000, 0.25
			change(&s)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			r, err := planet.Run(s, planet.Options{})
			runtime.ReadMemStats(&after)
			if err != nil {
				t.Fatal(err)
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > 2<<30 {
				t.Errorf("%d MiB were allocated for %v and %d events", used>>20, r.Span, r.Events)
			}
		})
	}
}
