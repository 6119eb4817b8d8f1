package main

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/fleetsim"
	"github.com/veilsum/veilsum/pipeline/wholeround"
	"github.com/veilsum/veilsum/privacy/privacybench"
	"github.com/veilsum/veilsum/privacy/statistics"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/schema/arrowipc"
	"github.com/veilsum/veilsum/storage/mem"
)

const benchStatsHelp = `Measures how far the answers about 10,000 simulated vehicles are from the exact ones, over what
the noise alone should do. The vehicles' values are real: each is one window of wrist movements of
inertial.arrow, drawn with replacement (4,677 windows, a fixed seed). One task asks a
histogram, 19 quantiles and the first round of a search for frequent texts by prefixes;
a second task asks the second round, a third searches by sketches.

20 runs encode every vehicle anew and draw the summed noise of all vehicles at once, with the
encoder and the sampler of sealing, without lattice and committee. One more run of the first task goes through
all roles: seals, committee, ledger, receipt, aggregate; its errors and its charge are shown beside.

An error is the root mean square, over cells and runs, of an answer's error over the standard error that is
stated for it: 1 is what the noise alone gives. Quantiles are judged by rank: the share of vehicles below
the answer against the share asked for. Of frequent texts the ten most frequent are judged; one that was not
found counts as found with 0. Sketches also bear collisions, which their stated error includes.
With 20 runs chance alone moves the figure of the histogram by 3 % and that of the quantiles, which depend on each other,
by some 8 %: the target of 1.2 is missed by chance in about 1 of 100 runs of this benchmark.

A missed target is printed as such and changes the exit status only with --check.`

func (a *app) benchStatsCommand() *cobra.Command {
	f := &benchFlags{stats: true}
	c := verb("stats", "Measure the errors of fleet statistics against theory", benchStatsHelp,
		"  veilsum bench stats --check", cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return a.bench(ctx, f, fullBench) })
	c.Flags().StringSliceVar(&f.only, "only", nil, "figures to show, by name (default all)")
	c.Flags().BoolVar(&f.check, "check", false, "exit with status 1 if a target is missed")
	return c
}

func statsGroups() []benchGroup {
	return []benchGroup{
		{"statistics", []benchFigure{
			{"stats_histogram_error_over_theory", "ratio", "<=", 1.2},
			{"stats_quantile_rank_error_over_theory", "ratio", "<=", 1.2},
			{"stats_prefixes_error_over_theory", "ratio", "<=", 1.2},
			{"stats_sketch_error_over_theory", "ratio", "<=", 1.2},
			{"stats_prefixes_top10_found", "share", ">=", 0.9},
			{"stats_sketch_top10_found", "share", ">=", 0.9},
			{"stats_histogram_standard_error", "vehicles", "", 0},
			{"stats_median_rank_standard_error", "share", "", 0},
		}, (*bench).measureStats},
		{"statistics through all roles", []benchFigure{
			{"stats_roles_histogram_error_over_theory", "ratio", "<=", 1.8},
			{"stats_roles_quantile_rank_error_over_theory", "ratio", "<=", 1.8},
			{"stats_roles_epochs_charged", "epochs", ">=", 1},
			{"stats_roles_epsilon_charged", "epsilon", "", 0},
			{"stats_report_bytes", "bytes", "", 0},
		}, (*bench).measureStatsRoles},
	}
}

// statsNoise is the noise multiplier of the three tasks: epsilon 1.1 each at delta 1e-5.
const statsNoise = 4

// statsFleet is the real values of the vehicles, with the exact answers.
type statsFleet struct {
	records [][]statistics.Record
	peaks   []float64 // sorted
	turns   []float64
	motions map[string]int
	top     []string // the ten most frequent motions
}

// motionSymbols are eight steps of a feature.
const motionSymbols = "abcdefgh"

// newStatsFleet draws n vehicles from the wrist windows. A motion is a text of four symbols: the mean acceleration
// along three axes and its deviation along the first, each in eight steps.
func newStatsFleet(n int) (*statsFleet, error) {
	t, err := arrowipc.ReadTable(inertialFile)
	if err != nil {
		return nil, err
	}
	c := columns{table: t}
	features := c.floats("features")
	if c.err != nil {
		return nil, c.err
	}
	const width = 30
	f := &statsFleet{motions: map[string]int{}}
	for _, row := range fleetsim.Resample(1, n, t.Rows) {
		x := features[row*width : (row+1)*width]
		var motion strings.Builder
		for _, v := range []float64{x[0] / 0.5, x[1] / 0.25, x[2] / 0.25, x[6]/0.25 - 4} {
			motion.WriteByte(motionSymbols[int(min(max(math.Floor(v)+4, 0), 7))])
		}
		f.records = append(f.records, []statistics.Record{{"peak": x[18], "turn": x[10], "motion": motion.String()}})
		f.peaks, f.turns = append(f.peaks, x[18]), append(f.turns, x[10])
		f.motions[motion.String()]++
	}
	slices.Sort(f.peaks)
	for m := range f.motions {
		f.top = append(f.top, m)
	}
	slices.SortFunc(f.top, func(a, b string) int {
		if d := f.motions[b] - f.motions[a]; d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	f.top = f.top[:min(len(f.top), 10)]
	return f, nil
}

// statsQueries are the queries of the first task, and the search by sketches.
func statsQueries() (first []statistics.Query, sketch statistics.Query, err error) {
	var ranks []float64
	for i := 1; i < 20; i++ {
		ranks = append(ranks, float64(i)/20)
	}
	var edges []float64
	for i := range 25 {
		edges = append(edges, float64(i)/4)
	}
	base := statistics.Query{Weight: 1, Records: statistics.First}
	histogram, quantiles, prefixes := base, base, base
	histogram.Name, histogram.Kind, histogram.Axes = "turn", statistics.Histogram, []statistics.Axis{{Field: "turn", Edges: edges}}
	quantiles.Name, quantiles.Kind, quantiles.Field, quantiles.Low, quantiles.High = "peak", statistics.Quantiles, "peak", -2, 4
	quantiles.Branching, quantiles.Levels, quantiles.Ranks = 4, 5, ranks
	prefixes.Name, prefixes.Kind, prefixes.Field, prefixes.Alphabet = "motion", statistics.Prefixes, "motion", motionSymbols
	prefixes.Symbols, prefixes.Prefixes = 2, []string{""}
	sketch = base
	sketch.Name, sketch.Field = "motion", "motion"
	sketch, err = statistics.Hitters{Alphabet: motionSymbols, Length: 4}.Sketch(sketch)
	return []statistics.Query{histogram, quantiles, prefixes}, sketch, err
}

// statsTask is the task of the queries, without keys.
func statsTask(n int, queries []statistics.Query) schema.Task {
	t := schema.Task{
		Name:          "bench stats",
		Scope:         schema.Scope{Name: "bench", Population: "simulated vehicles of a benchmark", Epsilon: 10, Delta: 1e-5, Unit: "vehicle", Relation: "zero_out"},
		Privacy:       schema.Privacy{TrustModel: "distributed", Mechanism: "discrete_gaussian", NoiseMultiplier: statsNoise},
		Batch:         schema.Batch{Min: n, Max: n, Lanes: 1},
		Participation: schema.Participation{MinSeparation: 1}, Suite: 1, Statistics: &schema.Statistics{},
	}
	for _, q := range queries {
		t.Statistics.Queries = append(t.Statistics.Queries, pipeline.FromQuery(q))
	}
	return t
}

// statsErrors sums squares of errors over their stated standard errors.
type statsErrors struct {
	sum float64
	n   int
}

func (e *statsErrors) add(err, stdErr float64) { e.sum, e.n = e.sum+err*err/(stdErr*stdErr), e.n+1 }

func (e *statsErrors) rms() float64 { return math.Sqrt(e.sum / float64(e.n)) }

// statsRun is the errors of all runs.
type statsRun struct {
	*statsFleet
	histogram, quantiles, prefixes, sketch statsErrors
	foundPrefixes, foundSketch, runs       int
	cellErr, rankErr                       float64
}

func (b *bench) measureStats(ctx context.Context) error {
	fleet, err := newStatsFleet(b.sizes.fleet)
	if err != nil {
		return err
	}
	r := &statsRun{statsFleet: fleet}
	for i := range b.sizes.runs {
		b.app.out.Progress("run", int64(i), int64(b.sizes.runs))
		if err := r.once(ctx); err != nil {
			return err
		}
	}
	possible := float64(r.runs * len(r.top))
	b.put("stats_histogram_error_over_theory", r.histogram.rms())
	b.put("stats_quantile_rank_error_over_theory", r.quantiles.rms())
	b.put("stats_prefixes_error_over_theory", r.prefixes.rms())
	b.put("stats_sketch_error_over_theory", r.sketch.rms())
	b.put("stats_prefixes_top10_found", float64(r.foundPrefixes)/possible)
	b.put("stats_sketch_top10_found", float64(r.foundSketch)/possible)
	b.put("stats_histogram_standard_error", r.cellErr)
	b.put("stats_median_rank_standard_error", r.rankErr)
	return nil
}

// once plays the three tasks in the clear.
func (r *statsRun) once(ctx context.Context) error {
	first, sketch, err := statsQueries()
	if err != nil {
		return err
	}
	r.runs++
	set, release, err := r.clear(ctx, first)
	if err != nil {
		return err
	}
	if err := r.judgeFirst(set, release); err != nil {
		return err
	}
	second, ok, err := set.Next(2, release, 0, 16)
	if err != nil || !ok {
		return fmt.Errorf("no prefix goes on: %w", err)
	}
	if set, release, err = r.clear(ctx, []statistics.Query{second}); err != nil {
		return err
	}
	if err := r.judgeTexts(set, release, &r.prefixes, &r.foundPrefixes); err != nil {
		return err
	}
	if set, release, err = r.clear(ctx, []statistics.Query{sketch}); err != nil {
		return err
	}
	return r.judgeTexts(set, release, &r.sketch, &r.foundSketch)
}

// clear plays one round of the fleet's answers.
func (f *statsFleet) clear(ctx context.Context, queries []statistics.Query) (*statistics.Set, statistics.Release, error) {
	return clearRelease(ctx, f.records, queries, statsNoise)
}

// clearRelease plays one round of queries in the clear, with the encoder and the noise of sealing.
func clearRelease(ctx context.Context, records [][]statistics.Record, queries []statistics.Query, noise float64) (*statistics.Set, statistics.Release, error) {
	n := len(records)
	set, err := statistics.New(queries)
	if err != nil {
		return nil, statistics.Release{}, err
	}
	task := statsTask(n, queries)
	task.Privacy.NoiseMultiplier = schema.Real(noise)
	p, err := pipeline.AskParams(task)
	if err != nil {
		return nil, statistics.Release{}, err
	}
	mean, err := privacybench.ClearRound{Params: p, Clients: n, SummedNoise: true, Update: func(i int, x []float32) error {
		v, err := set.Encode(records[i])
		copy(x, v)
		return err
	}}.Mean(ctx)
	return set, statistics.Release{Mean: mean, Reports: n, Noise: p.NoiseStdDev(n)}, err
}

// judgeFirst compares histogram and quantiles with the exact answers.
func (r *statsRun) judgeFirst(set *statistics.Set, release statistics.Release) error {
	all, err := set.Decode(release)
	if err != nil {
		return err
	}
	for _, e := range all {
		switch e.Query {
		case "turn":
			exact := 0.0
			for _, v := range r.turns {
				if v >= e.Cells[0].Lower && v < e.Cells[0].Upper {
					exact++
				}
			}
			r.histogram.add(e.Value-exact, e.StdErr)
			r.cellErr = e.StdErr
		case "peak":
			var rank float64
			if _, err := fmt.Sscan(e.Cells[0].Key, &rank); err != nil {
				return err
			}
			stdErr := set.RankStdErr(1, rank, release)
			r.quantiles.add(r.below(e.Value)-rank, stdErr)
			if rank == 0.5 {
				r.rankErr = stdErr
			}
		}
	}
	return nil
}

// below is the share of vehicles whose peak is below x.
func (r *statsRun) below(x float64) float64 {
	i, _ := slices.BinarySearch(r.peaks, x)
	return float64(i) / float64(len(r.peaks))
}

// judgeTexts compares the counts of the ten most frequent texts.
func (r *statsRun) judgeTexts(set *statistics.Set, release statistics.Release, errs *statsErrors, found *int) error {
	searched, err := set.Decode(release)
	if err != nil {
		return err
	}
	release.Candidates = r.top
	all, err := set.Decode(release)
	if err != nil {
		return err
	}
	at := func(list []statistics.Estimate, text string) int {
		return slices.IndexFunc(list, func(e statistics.Estimate) bool { return strings.TrimSuffix(e.Cells[0].Key, "*") == text })
	}
	for _, text := range r.top {
		if at(searched, text) >= 0 {
			*found++
		}
		e := statistics.Estimate{StdErr: all[0].StdErr}
		if i := at(all, text); i >= 0 {
			e = all[i]
		}
		errs.add(e.Value-float64(r.motions[text]), e.StdErr)
	}
	return nil
}

// measureStatsRoles plays the first task through all roles.
func (b *bench) measureStatsRoles(ctx context.Context) error {
	fleet, err := newStatsFleet(b.sizes.fleetRoles)
	if err != nil {
		return err
	}
	first, _, err := statsQueries()
	if err != nil {
		return err
	}
	n := len(fleet.records)
	task, err := pipeline.AskWithoutKeys(statsTask(n, first))
	if err != nil {
		return err
	}
	set, err := pipeline.StatisticsSet(task)
	if err != nil {
		return err
	}
	store := mem.New()
	played, err := wholeround.Round{
		Task: task, Vehicles: n, Update: func(i int) ([]float32, error) { return set.Encode(fleet.records[i]) },
		Progress: func(what string, done, total int) { b.app.out.Progress(what, int64(done), int64(total)) },
	}.Play(ctx, store, filepath.Join(b.dir, "roles"))
	if err != nil {
		return err
	}
	rel, err := b.app.released(ctx, &opened{store: store, plan: played.Plan, id: played.Name.Task, owner: played.Owner}, played.Name.Epoch)
	if err != nil {
		return err
	}
	r := &statsRun{statsFleet: fleet}
	if err := r.judgeFirst(rel.Set, rel.Release); err != nil {
		return err
	}
	charges, err := pipeline.LoadCharges(ctx, store, played.Plan.Task.Scope, played.Owner)
	if err != nil {
		return err
	}
	spent, err := charges.Guarantee()
	if err != nil {
		return err
	}
	b.put("stats_roles_histogram_error_over_theory", r.histogram.rms())
	b.put("stats_roles_quantile_rank_error_over_theory", r.quantiles.rms())
	b.put("stats_roles_epochs_charged", float64(charges.Epochs()))
	b.put("stats_roles_epsilon_charged", spent.Epsilon)
	b.put("stats_report_bytes", float64(played.Plan.Secagg.ReportBytes()))
	return nil
}
