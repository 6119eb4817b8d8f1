package planet_test

import (
	"errors"
	"math"
	"os"
	"reflect"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/veilsum/veilsum/pipeline/fleetsim/planet"
)

// small is a scenario of a tenth of a second.
func small(seed uint64) planet.Scenario {
	s := planet.Defaults()
	s.Vehicles, s.Seed = 12_000, seed
	s.Schedule.Reports, s.Schedule.MinBatch = 60, 30
	return s
}

func run(t interface{ Fatal(...any) }, s planet.Scenario, o planet.Options) *planet.Result {
	r, err := planet.Run(s, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// |z| below 5 fails by chance with probability 6e-7 each; all checks of all seeds together below 6e-5.
func TestClosedForms(t *testing.T) {
	seeds, vehicles := uint64(3), 60_000
	if testing.Short() {
		seeds, vehicles = 1, 12_000
	}
	for seed := range seeds {
		s := small(seed)
		s.Vehicles = vehicles
		checks, err := planet.Sanity(s, run(t, s, planet.Options{}))
		if err != nil {
			t.Fatal(err)
		}
		if len(checks) < 15 {
			t.Errorf("only %d checks", len(checks))
		}
		for _, c := range checks {
			if z := c.Z(); !(math.Abs(z) < 5) {
				t.Errorf("seed %d: %s: expected %g, simulated %g, z = %g (%s)", seed, c.Name, c.Expected, c.Simulated, z, c.Law)
			}
		}
	}
}

// The checks see something: a law that were a fifth higher would be refuted by every experiment.
func TestChecksBite(t *testing.T) {
	if testing.Short() {
		t.Skip("experiments of full size take seconds")
	}
	s := small(1)
	s.Vehicles = 200_000
	checks, err := planet.Sanity(s, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range checks {
		c.Expected *= 1.2
		if !(math.Abs(c.Z()) > 5) {
			t.Errorf("%s: a fifth more is only z = %g", c.Name, c.Z())
		}
	}
}

// The same seed gives the same result to the last bit, another seed another.
func TestReproducible(t *testing.T) {
	for _, buffered := range []bool{false, true} {
		s := small(7)
		s.Schedule.Buffered, s.Watched = buffered, 2000
		var attempts [3][]planet.Attempt
		var results [3]*planet.Result
		for i := range results {
			if i == 2 {
				s.Seed++
			}
			results[i] = run(t, s, planet.Options{Observe: func(a planet.Attempt) { attempts[i] = append(attempts[i], a) }})
		}
		if !reflect.DeepEqual(results[0], results[1]) || !reflect.DeepEqual(attempts[0], attempts[1]) {
			t.Errorf("buffered %v: one seed gave two results", buffered)
		}
		if reflect.DeepEqual(results[0].Rounds, results[2].Rounds) {
			t.Errorf("buffered %v: two seeds gave one result", buffered)
		}
		if len(attempts[0]) == 0 {
			t.Errorf("buffered %v: nobody was watched", buffered)
		}
	}
}

// Whatever the scenario, every invitation has one outcome and every sum is that of its parts.
func TestAccounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := small(rapid.Uint64().Draw(t, "seed"))
		s.Vehicles = rapid.IntRange(200, 5000).Draw(t, "vehicles")
		s.Watched = s.Vehicles
		c := &s.Schedule
		c.Buffered = rapid.Bool().Draw(t, "buffered")
		c.Lanes, c.Reports = rapid.IntRange(1, 3).Draw(t, "lanes"), rapid.IntRange(5, 100).Draw(t, "reports")
		c.MinBatch = rapid.IntRange(1, c.Reports).Draw(t, "least")
		c.OverSelection = rapid.Float64Range(0.5, 8).Draw(t, "over")
		c.PeriodMinutes, c.DeadlineMinutes = rapid.Float64Range(20, 200).Draw(t, "period"), rapid.Float64Range(15, 600).Draw(t, "deadline")
		c.MaxStaleness = rapid.IntRange(0, 5).Draw(t, "staleness")
		c.MinSeparation = rapid.IntRange(1, 6).Draw(t, "separation")
		s.Report.Bytes = rapid.IntRange(9000, 5_000_000).Draw(t, "bytes")
		s.Profiles.A.BeamMbps, s.Profiles.A.BeamVehicles = rapid.SampledFrom([]float64{0, 1, 100}).Draw(t, "beam"), rapid.IntRange(1, 500).Draw(t, "sharers")
		var attempts []planet.Attempt
		r := run(t, s, planet.Options{Observe: func(a planet.Attempt) { attempts = append(attempts, a) }})
		checkAccounts(t, s, r, attempts)
	})
}

func checkAccounts(t *rapid.T, s planet.Scenario, r *planet.Result, attempts []planet.Attempt) {
	all := r.All()
	byOutcome, counted := [planet.Outcomes]int{}, make([]int, len(r.Rounds))
	up, epochs := 0.0, map[int]int{}
	for _, a := range attempts {
		if a.Sealed >= 0 && !s.Schedule.Buffered { // told as their rounds end, not in order
			if last, there := epochs[a.Vehicle]; there && max(last, r.Rounds[a.Round].Epoch)-min(last, r.Rounds[a.Round].Epoch) < s.Schedule.MinSeparation {
				t.Fatalf("vehicle %d took part in epochs %d and %d", a.Vehicle, last, r.Rounds[a.Round].Epoch)
			}
			epochs[a.Vehicle] = r.Rounds[a.Round].Epoch
		}
		byOutcome[a.Outcome]++
		up += float64(a.Sent)
		checkAttempt(t, s, r, a)
		if a.Outcome == planet.Counted {
			counted[a.Round]++
		}
	}
	if byOutcome != all.Outcomes {
		t.Fatalf("outcomes %v, told %v", all.Outcomes, byOutcome)
	}
	if math.Abs(up-all.BytesUp) > float64(len(attempts)) { // whole bytes are told
		t.Fatalf("%g bytes, told %g", all.BytesUp, up)
	}
	for i, x := range r.Rounds {
		if x.Counted != counted[i] || x.Counted > s.Schedule.Reports || x.Void != (x.Counted < s.Schedule.MinBatch) || x.Full != (x.Counted == s.Schedule.Reports) && x.Full {
			t.Fatalf("round %d: %+v, told %d", i, x, counted[i])
		}
		if limit := time.Duration(s.Schedule.DeadlineMinutes * float64(time.Minute)); x.Closed <= x.Opened-1 || x.Closed > x.Opened+limit {
			t.Fatalf("round %d was open from %v to %v", i, x.Opened, x.Closed)
		}
	}
	var hours planet.Hour
	for _, h := range r.Hours {
		hours.Invited, hours.Counted, hours.Sealed, hours.Started = hours.Invited+h.Invited, hours.Counted+h.Counted, hours.Sealed+h.Sealed, hours.Started+h.Started
	}
	if hours.Invited != len(attempts) || hours.Counted != all.Outcomes[planet.Counted] || hours.Sealed != all.Sealed || hours.Started != all.Started {
		t.Fatalf("hours %+v, all %+v", hours, all)
	}
}

func checkAttempt(t *rapid.T, s planet.Scenario, r *planet.Result, a planet.Attempt) {
	ordered := a.Invited >= 0 && (a.Started < 0 || a.Started >= a.Invited) && (a.Sealed < 0 || a.Sealed > a.Started) && (a.Arrived < 0 || a.Arrived > a.Sealed)
	if !ordered || (a.Started >= 0) != (a.Model >= 0) {
		t.Fatalf("%+v", a)
	}
	if a.Arrived >= 0 && a.Sent-a.Again < int64(s.Report.Bytes) {
		t.Fatalf("arrived with too few bytes: %+v", a)
	}
	if a.Outcome != planet.Counted {
		return
	}
	x := r.Rounds[a.Round]
	if behind := x.Model - a.Model; behind < 0 || behind > s.Schedule.MaxStaleness || !s.Schedule.Buffered && behind != 0 {
		t.Fatalf("%+v counts in a round of model %d", a, x.Model)
	}
	if a.Arrived < x.Opened || a.Arrived > x.Closed || a.Staleness < 0 {
		t.Fatalf("%+v counts in %+v", a, x)
	}
}

// While buffered some vehicles are too stale to seal, and what counts is as stale as its round says.
func TestStaleness(t *testing.T) {
	s := small(3)
	s.Schedule.Buffered, s.Schedule.MaxStaleness, s.Schedule.Lanes, s.Schedule.PublishSeconds = true, 2, 1, 0
	s.Report.TrainSeconds, s.Watched = 2000, s.Vehicles
	stale, most := 0, 0
	r := run(t, s, planet.Options{Observe: func(a planet.Attempt) {
		if a.Outcome == planet.Stale {
			stale++
		}
		most = max(most, a.Staleness)
	}})
	if stale == 0 || r.Versions < 10 {
		t.Errorf("%d stale attempts, %d versions", stale, r.Versions)
	}
	for _, x := range r.Rounds {
		if x.Staleness > float64(x.MaxStaleness) {
			t.Errorf("%+v", x)
		}
	}
	if most == 0 {
		t.Error("no report is stale")
	}
}

// A worse world gives fewer reports: longer outages, smaller beams, more losses, less driving.
func TestDirections(t *testing.T) {
	base := small(5)
	base.Schedule.Reports, base.Schedule.MinBatch = 100_000, 1 // no round fills
	base.Schedule.OverSelection = 0.02
	base.Report.Bytes = 3_000_000
	count := func(change func(*planet.Scenario)) int {
		s := base
		change(&s)
		return run(t, s, planet.Options{}).All().Outcomes[planet.Counted]
	}
	before := count(func(*planet.Scenario) {})
	for name, change := range map[string]func(*planet.Scenario){
		"outages":  func(s *planet.Scenario) { s.Profiles.B.Down = planet.Spell{Min: 3000, Max: 9000} },
		"beams":    func(s *planet.Scenario) { s.Profiles.A.BeamMbps, s.Profiles.A.BeamVehicles = 0.02, 1000 },
		"losses":   func(s *planet.Scenario) { s.Profiles.A.LostAfterDownload = 0.9 },
		"driving":  func(s *planet.Scenario) { s.Habits.DrivingHours = 0.3 },
		"deadline": func(s *planet.Scenario) { s.Schedule.DeadlineMinutes = 30 },
	} {
		if after := count(change); float64(after) > 0.95*float64(before) {
			t.Errorf("%s: %d reports, %d before", name, after, before)
		}
	}
}

func TestRefused(t *testing.T) {
	for name, change := range map[string]func(*planet.Scenario){
		"vehicles":  func(s *planet.Scenario) { s.Vehicles = 0 },
		"region":    func(s *planet.Scenario) { s.Regions = map[string]float64{"Atlantis": 1} },
		"no region": func(s *planet.Scenario) { s.Regions = nil },
		"batch":     func(s *planet.Scenario) { s.Schedule.MinBatch = s.Schedule.Reports + 1 },
		"rate":      func(s *planet.Scenario) { s.Profiles.B.Mbps.Low = s.Profiles.B.Mbps.High + 1 },
		"nan":       func(s *planet.Scenario) { s.Days = math.NaN() },
		"nan rate":  func(s *planet.Scenario) { s.Profiles.A.Mbps.Median = math.NaN() },
		"spell":     func(s *planet.Scenario) { s.Profiles.C.Down.Min = -1 },
		"too many":  func(s *planet.Scenario) { s.Days, s.Schedule.PeriodMinutes, s.Schedule.Lanes = 366, 1, 256 },
		"too many buffered": func(s *planet.Scenario) {
			s.Schedule.Buffered, s.Days, s.Schedule.DeadlineMinutes, s.Schedule.SpreadMinutes, s.Schedule.Lanes = true, 366, 1, 1, 256
		},
		"a trip in years": func(s *planet.Scenario) { s.Habits.DrivingHours = 1e-6 },
		"flicker":         func(s *planet.Scenario) { s.Profiles.B.Up = planet.Spell{Max: 0.5} },
		"night":           func(s *planet.Scenario) { s.Habits.NightTo = s.Habits.NightFrom },
		"shares": func(s *planet.Scenario) {
			s.Profiles.A.Share, s.Profiles.B.Share, s.Profiles.C.Share, s.Profiles.D.Share = 0, 0, 0, 0
		},
	} {
		s := small(1)
		change(&s)
		if _, err := planet.Run(s, planet.Options{}); !errors.Is(err, planet.ErrScenario) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The map: land is land, every region has some, and the far north is nearly empty.
func TestCells(t *testing.T) {
	regions := map[int]int{}
	for _, c := range planet.Cells() {
		regions[c.Region]++
		if c.Zone() < -12 || c.Zone() > 12 {
			t.Errorf("%+v has zone %d", c, c.Zone())
		}
	}
	if len(regions) != len(planet.RegionNames) {
		t.Errorf("%d regions have land", len(regions))
	}
	r := run(t, small(1), planet.Options{})
	north := 0
	for i, c := range r.Cells {
		if c.Latitude > 60 {
			north += r.PerCell[i].Vehicles
		}
	}
	if north*20 > r.Scenario.Vehicles {
		t.Errorf("%d of %d vehicles are north of 60 degrees", north, r.Scenario.Vehicles)
	}
}

// A link in simulated time passes what the duty cycle of its profile leaves, to within 5 standard errors of the mean.
func TestLink(t *testing.T) {
	s := small(1)
	s.Profiles.A.Share, s.Profiles.C.Share, s.Profiles.D.Share = 0, 0, 0 // B alone
	p := s.Profiles.B
	const n, work = 4000, 2 * time.Hour
	sum, square := 0.0, 0.0
	for v := range n {
		l, err := planet.NewLink(s, v)
		if err != nil {
			t.Fatal(err)
		}
		if l.Rate <= 0 || l.RoundTrip != 60*time.Millisecond {
			t.Fatalf("%+v", l)
		}
		elapsed := time.Duration(0)
		for left := time.Duration(work); left > 0; {
			done, outage := l.Pass(left)
			left, elapsed = left-done, elapsed+done+outage
		}
		ratio := elapsed.Hours() / work.Hours()
		sum, square = sum+ratio, square+ratio*ratio
	}
	mean := sum / n
	up, down := (p.Up.Min+p.Up.Max)/2, (p.Down.Min+p.Down.Max)/2
	stdErr := math.Sqrt((square/n - mean*mean) / n)
	if z := (mean - (1 + down/up)) / stdErr; math.Abs(z) > 6 { // the end within a spell shifts it by less than a standard error
		t.Errorf("two hours of work took %g times as long, want %g: z = %g", mean, 1+down/up, z)
	}
}

// A million vehicles for a day: well below five minutes of two cores and 4 GiB, and the same twice.
func TestMillion(t *testing.T) {
	if os.Getenv("VEILSUM_SLOW") == "" {
		t.Skip("a million vehicles take some ten seconds of processor time: set VEILSUM_SLOW=1")
	}
	s := planet.Defaults()
	var before, after syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &before); err != nil {
		t.Fatal(err)
	}
	first := run(t, s, planet.Options{})
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &after); err != nil {
		t.Fatal(err)
	}
	used := time.Duration(after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano())
	if used > 5*time.Minute || after.Maxrss > 4<<20 { // kibibytes
		t.Errorf("%v of processor time, %d KiB", used, after.Maxrss)
	}
	if !reflect.DeepEqual(first, run(t, s, planet.Options{})) {
		t.Error("one seed gave two results")
	}
	t.Logf("%d events, %v of processor time, %d MiB", first.Events, used, after.Maxrss>>10)
}
