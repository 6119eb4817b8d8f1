package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/veilsum/veilsum/cmd/internal/ui"
)

// benchFlags are the flags of "veilsum bench".
type benchFlags struct {
	only     []string
	baseline string
	check    bool
	privacy  bool   // the figures of "bench privacy"
	python   string // for them: a Python with the other accountants
	stats    bool   // the figures of "bench stats"
}

const benchHelp = `Measures on this machine what the README claims: bytes of real sealed reports, and
the processor time of each role as a ratio to something everybody knows, taken
in the same run. It takes under 3 minutes on one quiet core and needs no network
and no files but a temporary folder.

Times are processor time of this process at GOMAXPROCS=1, medians of interleaved
runs. A ratio is the median of the ratios of neighboring runs. float32_add is a
plain Go loop; of three places in memory for it the fastest counts.
intt is lattigo's inverse transform over as many coefficients as a report has.
aggregator_full reads, verifies and adds reports from a store in memory, of which
sha256 is what hashing the pieces costs alone; *_uncached compares it with adding
float32 updates that are not in the cache either. Memory is the live heap beyond
the store, found by collections forced on the way.

--baseline bgv adds the same sum by plain lattigo BGV multiparty encryption:
ring degree 4096, 84 bits of modulus, 128 bits of security, room for the noise
that hides a decryption share. bgv_*_ratio says how many times more it costs:
bytes on the wire, encrypting and writing against sealing, adding against adding.

A missed target is printed as such and changes the exit status only with --check.`

func (a *app) benchCommand() *cobra.Command {
	f := &benchFlags{}
	c := verb("bench", "Measure bytes, time, memory and accuracy against their targets", benchHelp,
		"  veilsum bench\n  veilsum bench --only client_seal_over_intt,client_state_bytes --json\n  veilsum bench --baseline bgv --check", cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return a.bench(ctx, f, fullBench) })
	c.Flags().StringSliceVar(&f.only, "only", nil, "figures to show, by name (default all)")
	c.Flags().StringVar(&f.baseline, "baseline", "", `"bgv" adds the comparison with lattigo's BGV`)
	c.Flags().BoolVar(&f.check, "check", false, "exit with status 1 if a target is missed")
	c.AddCommand(a.benchGatewayCommand(), a.benchBareCommand(), a.benchPrivacyCommand(), a.benchRobustCommand(), a.benchStatsCommand(), a.benchCompressionCommand())
	c.AddCommand(a.benchBatchCommand(), a.benchHashCommand(), a.benchReplayCommand())
	return c
}

// benchSizes are the sizes of everything that is measured; tests take tiny ones.
type benchSizes struct {
	values    int // d of the speed figures
	small     int // d of the small update
	batch     int // n, smallest and largest batch of the tasks
	many, few int // reports of the memory figures
	stored    int // reports that are really sealed; more are signed anew over the same pieces
	replayed  int // reports of one run of the whole path
	simulated int // d of the accuracy figure
	reps      int // interleaved runs
	entries   int // of the ledger
	draws     int // of the sampler in a run
	// The statistics: vehicles and runs in the clear, and vehicles through all roles.
	fleet, runs, fleetRoles int
}

var fullBench = benchSizes{
	values: 1_000_000, small: 10_000, batch: 10_000, many: 10_000, few: 100,
	stored: 20, replayed: 60, simulated: 100_000, reps: 15, entries: 1_000_000, draws: 2_000_000,
	fleet: 10_000, runs: 20, fleetRoles: 10_000,
}

// benchFigure is one row: what it is and what it should be.
type benchFigure struct {
	name, unit string
	limit      string // "<=", ">=" or "" without a target
	target     float64
}

func (f benchFigure) met(v float64) bool {
	switch f.limit {
	case "<=":
		return v <= f.target
	case ">=":
		return v >= f.target
	}
	return true
}

// benchGroup is measured together.
type benchGroup struct {
	what    string // for the status line
	figures []benchFigure
	measure func(*bench, context.Context) error
}

// bench is one run.
type bench struct {
	app     *app
	sizes   benchSizes
	dir     string // temporary
	figures map[string]benchFigure
	wanted  func(name string) bool
	shown   int
	missed  []string
	large   *benchWorld // kept: several groups use it
	python  string
}

// newBench is a run that shows all of its figures; most is the size of its largest batch.
func (a *app) newBench(dir string, most int, figures []benchFigure) *bench {
	b := &bench{app: a, sizes: benchSizes{batch: most}, dir: dir, figures: map[string]benchFigure{}, wanted: func(string) bool { return true }}
	for _, x := range figures {
		b.figures[x.name] = x
	}
	return b
}

// verdict is the error of a run that is to be checked and missed a target.
func (b *bench) verdict(check bool, hint string) error {
	if !check || len(b.missed) == 0 {
		return nil
	}
	return withHint(fmt.Errorf("bench: missed targets: %s", strings.Join(b.missed, ", ")), "%s", hint)
}

// bench measures everything that was asked for.
func (a *app) bench(ctx context.Context, f *benchFlags, sizes benchSizes) error {
	groups, err := f.groups()
	if err != nil {
		return err
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	dir, err := os.MkdirTemp("", "veilsum-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	a.out.Info("%s %s/%s, GOMAXPROCS 1, processor time, medians of %d interleaved runs", runtime.Version(), runtime.GOOS, runtime.GOARCH, sizes.reps)
	b := &bench{app: a, sizes: sizes, dir: dir, python: f.python, figures: map[string]benchFigure{}}
	b.wanted = func(name string) bool { return len(f.only) == 0 || slices.Contains(f.only, name) }
	for i, g := range groups {
		for _, x := range g.figures {
			b.figures[x.name] = x
		}
		a.out.Progress("measuring "+g.what, int64(i), int64(len(groups)))
		if err := g.measure(b, ctx); err != nil {
			return fmt.Errorf("bench: %s: %w", g.what, err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	a.out.Done()
	return b.verdict(f.check, "times are only comparable on a quiet machine; run it again alone")
}

// groups returns what the flags ask for.
func (f *benchFlags) groups() ([]benchGroup, error) {
	all := benchGroups()
	if f.privacy {
		all = privacyGroups(f.python != "")
	}
	if f.stats {
		all = statsGroups()
	}
	switch f.baseline {
	case "":
	case "bgv":
		all = append(all, baselineGroup())
	default:
		return nil, usage("--baseline %q: only bgv is known", f.baseline)
	}
	if len(f.only) == 0 {
		return all, nil
	}
	var chosen []benchGroup
	var known []string
	for _, g := range all {
		use := false
		for _, x := range g.figures {
			known = append(known, x.name)
			use = use || slices.Contains(f.only, x.name)
		}
		if use {
			chosen = append(chosen, g)
		}
	}
	for _, name := range f.only {
		if !slices.Contains(known, name) {
			return nil, &usageError{Err: fmt.Errorf("--only %q: no such figure", name), Hint: "known: " + strings.Join(known, ", ") + "; those of bgv need --baseline bgv, those of other accountants --python"}
		}
	}
	return chosen, nil
}

// put shows one figure, if it was asked for.
func (b *bench) put(name string, value float64) {
	f, ok := b.figures[name]
	if !ok || !b.wanted(name) {
		return
	}
	if math.IsNaN(value) { // JSON has no such number
		b.app.out.Warn("%s: the processor clock of this machine is too coarse", name)
		b.missed = append(b.missed, name)
		return
	}
	if !f.met(value) {
		b.missed = append(b.missed, name)
	}
	b.app.out.Result(newRow(f, value, b.shown == 0))
	b.shown++
}

// benchRow is one figure as it is printed.
type benchRow struct {
	Name    string   `json:"name"`
	Value   float64  `json:"value"`
	Unit    string   `json:"unit"`
	AtMost  *float64 `json:"at_most,omitempty"` // the target, one of the two or none
	AtLeast *float64 `json:"at_least,omitempty"`
	Met     *bool    `json:"met,omitempty"` // there if a target is
	target  string
	first   bool
}

var _ ui.Result = benchRow{}

func newRow(f benchFigure, value float64, first bool) benchRow {
	r, met := benchRow{Name: f.name, Value: value, Unit: f.unit, first: first}, f.met(value)
	switch f.limit {
	case "<=":
		r.AtMost, r.Met = &f.target, &met
	case ">=":
		r.AtLeast, r.Met = &f.target, &met
	default:
		return r
	}
	r.target = f.limit + " " + benchNumber(f.target)
	return r
}

// Text implements ui.Result.
func (r benchRow) Text() string {
	const format = "%-42s %10s  %-9s %-12s %s\n"
	met, head := "", ""
	if r.Met != nil {
		met = map[bool]string{true: "met", false: "MISSED"}[*r.Met]
	}
	if r.first {
		head = strings.TrimRight(fmt.Sprintf(format, "figure", "value", "unit", "target", ""), " \n") + "\n"
	}
	line := fmt.Sprintf(format, r.Name, benchNumber(r.Value), r.Unit, r.target, met)
	return head + strings.TrimRight(line, " \n") + "\n"
}

// benchNumber prints large numbers whole and others with four digits.
func benchNumber(v float64) string {
	if v >= 1000 || v <= -1000 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}
