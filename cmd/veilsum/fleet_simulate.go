package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/fleetsim/planet"
	"github.com/veilsum/veilsum/pipeline/fleetsim/realshare"
	"github.com/veilsum/veilsum/schema"
)

const simulateHelp = `Simulates vehicles all over the world for days of rounds: who drives at which hour,
links with outages and passes, ignition off in mid-upload, uploads that resume by pieces,
satellite beams that many share, rounds with lanes that close at their K-th report or at a
deadline. A sample of the vehicles (--real) runs the real client, gateway over TLS, committee and
collector in this run, in simulated time; the others are modeled with what these measured.

Four kinds of links: A broadband satellite terminal, B the same moving between obstacles, C narrow
band with passes, D parked on wireless or cellular network. Every figure of links, habits,
schedule and report is a field of the scenario file (-f); --example prints one with all defaults
and their units in the names, and --set PATH=VALUE replaces one, as in
--set profiles.A.mbps.median=20. Where the defaults come from is in pipeline/fleetsim/FLEETSIM.md.

--out holds rounds.arrow, regions_hours.arrow and vehicles.arrow (every attempt of the first
--watched vehicles), which depend on scenario and seed only; summary.json (the
scenario, all figures, what the real roles measured, this run's processor time and memory);
and report.html (one page with a map, no network).

Bytes of a report, its pieces and its header are those that a task of these values and batches
gets; connect_bytes (in whole KiB) and connect_trips are measured by the real roles. With
--real 0 defaults are used for them. The real roles need some gigabytes in TMPDIR for large models. Epsilon is what the accountant of the roles counts for the
epochs that were opened. A check against a closed form that is off by more than 6 standard
errors ends with status 5.`

// simulation is a scenario file: that of the fleet and what the task needs beside it.
type simulation struct {
	planet.Scenario `yaml:",inline"`
	Privacy         simPrivacy `yaml:"privacy" json:"privacy"`
	Compare         simCompare `yaml:"compare" json:"compare"`
}

// simPrivacy is what epsilon and the size of a report follow from.
type simPrivacy struct {
	NoiseMultiplier float64 `yaml:"noise_multiplier" json:"noise_multiplier"`
	ClippingNorm    float64 `yaml:"clipping_norm" json:"clipping_norm"`
	MaxDishonest    int     `yaml:"max_dishonest" json:"max_dishonest"`
	Delta           float64 `yaml:"delta" json:"delta"`
	Suite           int     `yaml:"suite" json:"suite"`
}

// simCompare are the parameters of the formulas for other systems' messages.
type simCompare struct {
	MaskedBits     int     `yaml:"masked_bits" json:"masked_bits"`           // of a value of a masked vector
	Neighbors      int     `yaml:"neighbors" json:"neighbors"`               // that a vehicle shares secrets with
	SealedShare    int     `yaml:"sealed_share" json:"sealed_share"`         // bytes, of two secrets for one neighbor
	RevealedShare  int     `yaml:"revealed_share" json:"revealed_share"`     // bytes, for one neighbor
	CKKSSlots      int     `yaml:"ckks_slots" json:"ckks_slots"`             // values of one ciphertext, which is never smaller
	CKKSBytesValue float64 `yaml:"ckks_bytes_value" json:"ckks_bytes_value"` // of a full one; measured elsewhere: TenSEAL 0.3.15 as NVFlare 2.9 sets it
}

type simulateFlags struct {
	file, out, mix string
	set            []string
	example, force bool
	real           int
	realShare      float64
	sim            simulation // of the flags; only those given count
}

func (a *app) fleetSimulateCommand() *cobra.Command {
	f := &simulateFlags{}
	c := verb("simulate", "Simulate a fleet on its links, and draw what becomes of its rounds", simulateHelp,
		`  veilsum fleet simulate --out simulated
  veilsum fleet simulate --vehicles 50000 --days 2 --buffered --profile-mix A=.4,B=.3,C=.1,D=.2 --out two-days
  veilsum fleet simulate --example > fleet.yaml
  veilsum fleet simulate -f fleet.yaml --set profiles.B.down.max_seconds=600 --real 0 --out tunnels --json`, cobra.NoArgs, nil)
	c.RunE = func(c *cobra.Command, _ []string) error { return a.fleetSimulate(c.Context(), c, f) }
	flags, d := c.Flags(), simDefaults()
	flags.StringVarP(&f.file, "file", "f", "", "scenario file in YAML, - for standard input")
	flags.BoolVar(&f.example, "example", false, "print a scenario file with all defaults")
	flags.StringArrayVar(&f.set, "set", nil, "replace one field of the scenario, PATH=VALUE; may be repeated")
	flags.StringVar(&f.out, "out", "", "folder for tables, summary and page")
	flags.BoolVar(&f.force, "force", false, "overwrite them")
	flags.IntVar(&f.real, "real", 20, "vehicles that run the real roles, 8 to 10000, 0 for none")
	flags.Float64Var(&f.realShare, "real-share", 0, "the same as a share of the vehicles, at least 8")
	flags.StringVar(&f.mix, "profile-mix", "", "shares of the links, as in A=.5,B=.25,C=.05,D=.2 (the default)")
	flags.IntVar(&f.sim.Vehicles, "vehicles", d.Vehicles, "vehicles, 1 to 20 million")
	flags.Float64Var(&f.sim.Days, "days", d.Days, "days in which rounds open")
	flags.Uint64Var(&f.sim.Seed, "seed", d.Seed, "same seed, same result")
	flags.IntVar(&f.sim.Watched, "watched", d.Watched, "first vehicles, whose attempts are listed")
	flags.IntVar(&f.sim.Report.Values, "values", d.Report.Values, "values of the model")
	flags.BoolVar(&f.sim.Schedule.Buffered, "buffered", false, "always one open round a lane, and vehicles invited steadily")
	flags.IntVar(&f.sim.Schedule.Lanes, "lanes", d.Schedule.Lanes, "lists of an epoch")
	flags.Float64Var(&f.sim.Schedule.PeriodMinutes, "period", d.Schedule.PeriodMinutes, "minutes from epoch to epoch")
	flags.Float64Var(&f.sim.Schedule.DeadlineMinutes, "deadline", d.Schedule.DeadlineMinutes, "minutes that a round is open at most")
	flags.IntVar(&f.sim.Schedule.Reports, "reports", 0, "K, reports at which a round closes (default a 200th of the vehicles)")
	flags.IntVar(&f.sim.Schedule.MinBatch, "min-batch-size", 0, "fewest reports that are opened (default half of --reports)")
	flags.Float64Var(&f.sim.Schedule.OverSelection, "over-selection", d.Schedule.OverSelection, "vehicles invited for each of K reports")
	flags.Float64Var(&f.sim.Privacy.NoiseMultiplier, "noise-multiplier", d.Privacy.NoiseMultiplier, "z of each round")
	flags.Float64Var(&f.sim.Privacy.Delta, "delta", d.Privacy.Delta, "at which epsilon is told")
	return c
}

// simDefaults leaves zero what follows from the rest or is measured.
func simDefaults() simulation {
	s := simulation{
		Scenario: planet.Defaults(),
		Privacy:  simPrivacy{NoiseMultiplier: 5, ClippingNorm: 1, Delta: 1e-9, Suite: 1},
		Compare:  simCompare{MaskedBits: 32, Neighbors: 100, SealedShare: 128, RevealedShare: 32, CKKSSlots: 4096, CKKSBytesValue: 58.8},
	}
	s.Watched = 1000
	s.Schedule.Reports, s.Schedule.MinBatch = 0, 0
	r := &s.Report
	r.Bytes, r.HeaderBytes, r.PieceBytes, r.ModelBytes, r.ConnectBytes, r.ConnectTrips = 0, 0, 0, 0, 0, 0
	return s
}

// merge lets the flags that were given replace what the file says.
func (f *simulateFlags) merge(s *simulation, given func(string) bool) error {
	x := f.sim
	for name, take := range map[string]func(){
		"vehicles":         func() { s.Vehicles = x.Vehicles },
		"days":             func() { s.Days = x.Days },
		"seed":             func() { s.Seed = x.Seed },
		"watched":          func() { s.Watched = x.Watched },
		"values":           func() { s.Report.Values = x.Report.Values },
		"buffered":         func() { s.Schedule.Buffered = x.Schedule.Buffered },
		"lanes":            func() { s.Schedule.Lanes = x.Schedule.Lanes },
		"period":           func() { s.Schedule.PeriodMinutes = x.Schedule.PeriodMinutes },
		"deadline":         func() { s.Schedule.DeadlineMinutes = x.Schedule.DeadlineMinutes },
		"reports":          func() { s.Schedule.Reports = x.Schedule.Reports },
		"min-batch-size":   func() { s.Schedule.MinBatch = x.Schedule.MinBatch },
		"over-selection":   func() { s.Schedule.OverSelection = x.Schedule.OverSelection },
		"noise-multiplier": func() { s.Privacy.NoiseMultiplier = x.Privacy.NoiseMultiplier },
		"delta":            func() { s.Privacy.Delta = x.Privacy.Delta },
	} {
		if given(name) {
			take()
		}
	}
	if f.mix != "" {
		if err := s.mix(f.mix); err != nil {
			return err
		}
	}
	for _, field := range f.set {
		path, value, ok := strings.Cut(field, "=")
		if !ok {
			return usage("--set %q: want PATH=VALUE", field)
		}
		parts := strings.Split(path, ".")
		text := strings.Join(parts, ": {") + ": " + value + strings.Repeat("}", len(parts)-1)
		if err := s.read([]byte(text), "--set "+path); err != nil {
			return err
		}
	}
	return nil
}

// mix reads A=.5,B=.5; a profile that is not named has no vehicles.
func (s *simulation) mix(text string) error {
	p := &s.Profiles
	shares := map[string]*float64{"A": &p.A.Share, "B": &p.B.Share, "C": &p.C.Share, "D": &p.D.Share}
	for _, share := range shares {
		*share = 0
	}
	for _, part := range strings.Split(text, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		share := shares[name]
		if share == nil {
			return usage("--profile-mix: %q: want A=.5,B=.25 and so on", part)
		}
		if err := yaml.Unmarshal([]byte(value), share); err != nil || !(*share >= 0) {
			return usage("--profile-mix: %q: want a share of 0 or more", part)
		}
	}
	return nil
}

// read takes YAML over what is there, and refuses unknown fields. Nothing at all changes nothing.
func (s *simulation) read(raw []byte, name string) error {
	err := readYAML(raw, s, name, `"veilsum fleet simulate --example" shows every field`)
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// complete fills in what follows from the numbers that were given.
func (s *simulation) complete() (*pipeline.Plan, error) {
	c, r := &s.Schedule, &s.Report
	if x := s.Compare; x.MaskedBits < 1 || x.Neighbors < 0 || x.SealedShare < 0 || x.RevealedShare < 0 || x.CKKSSlots < 1 || !(x.CKKSBytesValue > 0) {
		return nil, fmt.Errorf("%w: compare: a number is out of range", planet.ErrScenario)
	}
	if c.Reports == 0 {
		c.Reports = max(10, s.Vehicles/200)
	}
	if c.MinBatch == 0 {
		c.MinBatch = max(1, c.Reports/2)
	}
	t := s.task()
	sketchKeys(&t)
	plan, err := completePlan(t)
	if err != nil {
		return nil, err
	}
	for _, size := range []int{r.Bytes, r.HeaderBytes, r.PieceBytes, r.ModelBytes} {
		if size < 0 {
			return nil, fmt.Errorf("%w: report: a size is negative", planet.ErrScenario)
		}
	}
	setDefault(&r.Bytes, int(plan.Secagg.ReportBytes()))
	setDefault(&r.HeaderBytes, plan.Secagg.HeaderObjectBytes())
	setDefault(&r.PieceBytes, plan.Header().PieceBytes(0))
	setDefault(&r.ModelBytes, 4*r.Values)
	return plan, nil
}

func setDefault(field *int, value int) {
	if *field == 0 {
		*field = value
	}
}

func (s *simulation) task() schema.Task {
	t := realshare.Task(s.Scenario, schema.Privacy{})
	t.Privacy.NoiseMultiplier, t.Privacy.ClippingNorm = schema.Real(s.Privacy.NoiseMultiplier), schema.Real(s.Privacy.ClippingNorm)
	t.Batch.MaxDishonest, t.Suite = s.Privacy.MaxDishonest, s.Privacy.Suite
	t.Scope.Delta = schema.Real(s.Privacy.Delta)
	return t
}

func (a *app) fleetSimulate(ctx context.Context, c *cobra.Command, f *simulateFlags) error {
	s := simDefaults()
	if f.file != "" {
		raw, err := a.readInput(f.file, maxYAML)
		if err != nil {
			return err
		}
		if err := s.read(raw, "scenario file"); err != nil {
			return err
		}
	}
	if err := f.merge(&s, changed(c.Flags())); err != nil {
		return err
	}
	if f.example {
		out, err := yaml.Marshal(s)
		if err != nil {
			return err
		}
		_, err = a.stdout.Write(append([]byte(simExampleHead), out...))
		return err
	}
	if f.out == "" {
		return usage("--out is required")
	}
	x := &simRun{app: a, flags: f, sim: s, started: time.Now()}
	defer a.watchStatus()()
	return x.run(ctx)
}

const simExampleHead = `# A scenario of "veilsum fleet simulate". Zero in schedule.reports, schedule.min_batch and the sizes of
# report: as follows from the rest, or as the real roles measure it.
`

// simRun is one run of the command.
type simRun struct {
	app     *app
	flags   *simulateFlags
	sim     simulation
	started time.Time
	plan    *pipeline.Plan
	real    *realshare.Calibration
	result  *planet.Result
	checks  []planet.Check
	watched []planet.Attempt
	summary simSummary
}

// simOutputs are the files below --out.
var simOutputs = []string{"rounds.arrow", "regions_hours.arrow", "vehicles.arrow", "summary.json", "report.html"}

func (x *simRun) run(ctx context.Context) error {
	var err error
	if x.plan, err = x.sim.complete(); err != nil {
		return err
	}
	if err := x.checkOut(); err != nil {
		return err
	}
	if err := x.calibrate(ctx); err != nil {
		return err
	}
	x.result, err = planet.Run(x.sim.Scenario, planet.Options{
		Context: ctx, Observe: func(a planet.Attempt) { x.watched = append(x.watched, a) },
		Progress: func(done, total time.Duration) {
			x.app.out.Progress("simulated minutes", int64(done/time.Minute), int64(total/time.Minute))
		},
	})
	if err != nil {
		return err
	}
	if x.checks, err = planet.Sanity(x.sim.Scenario, x.result); err != nil {
		return err
	}
	if err := x.summarize(); err != nil {
		return err
	}
	if err := x.write(); err != nil {
		return err
	}
	x.app.out.Result(&x.summary)
	x.judge()
	return nil
}

// judge gives a run whose figures contradict their laws its exit status.
func (x *simRun) judge() {
	for _, c := range x.checks {
		if !(math.Abs(c.Z()) <= simMostZ) {
			x.app.code = exitVerify
			x.app.out.Warn("%s: expected %g, simulated %g, z = %.2g: the simulation contradicts its own law", c.Name, c.Expected, c.Simulated, c.Z())
		}
	}
}

// simMostZ: a run of thirty checks exceeds it by chance once in 17 million.
const simMostZ = 6

func (x *simRun) checkOut() error {
	if err := os.MkdirAll(x.flags.out, 0o755); err != nil {
		return err
	}
	for _, name := range simOutputs {
		path := filepath.Join(x.flags.out, name)
		if _, err := os.Lstat(path); err == nil && !x.flags.force {
			return withHint(fmt.Errorf("%s exists", path), "choose another --out, or --force to overwrite it")
		}
	}
	return nil
}
