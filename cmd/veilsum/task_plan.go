package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/spf13/cobra"

	"github.com/veilsum/veilsum/cmd/internal/ui"
	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/privacy/compress"
	"github.com/veilsum/veilsum/schema"
)

// taskPlanFlags are the flags of "veilsum task plan".
type taskPlanFlags struct {
	planFlags
	vehicles  int
	meanNorm  float64
	tolerance float64
}

const taskPlanHelp = `Says before a task is signed what its reports weigh, and what compression would save and cost: for each
kind of map and number of values sent the bytes of a report, and the error of the mean that is
predicted. Nothing of it changes the guarantee: noise, bound and charge are those of what is sent.

The numbers come from a task file (--task-file, keys may still be zero), from a stored
task (--store, --task, --owner), or from --values, --vehicles and --noise-multiplier. With
a task each of these replaces the task's number; --vehicles makes every list as long.

ERROR  Root mean square of one value of the mean of min_batch_size reports, in the update's units. noise is the same
with and without compression: fewer numbers carry less of it, and expanding them scales it up again. map is
what the map adds, sqrt(v/d) times the norm of the mean, with v = d/k - 1 and the like (privacy/GUARANTEE.md section
10). growth is both over the noise alone. The norm of the mean is not known beforehand: --mean-norm
says which share of the clipping norm to plan with (default: the task's kappa, its declared bound, 1 if none is).
Vehicles with unlike data give 0.05 to 0.3; "veilsum bench compression" prints that of real digits.

RECOMMENDED  The fewest numbers at which the error grows by at most --tolerance, filled up to whole blocks, which cost
nothing more: k = d/(1 + ((1+tolerance)^2 - 1) d noise^2/mean^2), about (n*mean/z)^2/(2*tolerance) for large models (Chen,
Choquette-Choo, Kairouz and Suresh 2022). Training survives more than that: an error that is new in every
round averages out. The kind is srht, whose error does not depend on what the update looks like.

MODULUS  kappa and max_batch_size also decide the bits of a number: the second table has the bytes for smaller
declared bounds on the mean, if it is sure that the mean keeps them.`

func (a *app) taskPlanCommand() *cobra.Command {
	f := &taskPlanFlags{}
	c := f.register(verb("plan", "Say what reports weigh, and what compression saves and costs", taskPlanHelp,
		`  veilsum task plan --task-file task.yaml
  veilsum task plan --values 101770 --vehicles 2000 --noise-multiplier 3 --mean-norm 0.2
  veilsum task plan -f task.yaml --vehicles 10000 --mean-norm 0.1 --tolerance 0.25 --json`, cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return a.taskPlan(ctx, f) }))
	flags, n := c.Flags(), &f.number
	flags.StringVarP(&f.file, "task-file", "f", "", "task file in YAML, - for standard input")
	flags.IntVar(&n.values, "values", 0, "d, values in one update")
	flags.IntVar(&f.vehicles, "vehicles", 0, "n, reports in every list")
	flags.Float64Var(&n.noise, "noise-multiplier", 0, "z, standard deviation of the summed honest noise over the sensitivity")
	flags.Float64Var(&n.clip, "clipping-norm", 1, "C, L2 bound of one update in its own units")
	flags.Float64Var(&f.meanNorm, "mean-norm", 0, "norm of the mean update over the clipping norm, to plan with (default the task's kappa)")
	flags.Float64Var(&f.tolerance, "tolerance", 0.1, "most growth of the error by compression, as a share of the noise")
	f.given = changed(flags)
	return c
}

// taskPlanResult is the answer.
type taskPlanResult struct {
	Task       string  `json:"task"`
	Values     int     `json:"values"`
	MinBatch   int     `json:"min_batch_size"`
	MaxBatch   int     `json:"max_batch_size"`
	Multiplier float64 `json:"noise_multiplier"`
	MeanNorm   float64 `json:"mean_norm"` // planned with, over the clipping norm
	Tolerance  float64 `json:"tolerance"`
	// Candidates are in order: nothing, the task's own compression if it has one, then by kind and number.
	Candidates []taskCandidate `json:"candidates"`
	Moduli     []taskModulus   `json:"moduli"` // of the recommended one
	Warnings   []string        `json:"warnings"`
}

var _ ui.Result = (*taskPlanResult)(nil)

// taskCandidate is what vehicles may send.
type taskCandidate struct {
	Kind        string  `json:"kind"` // "none" or that of a map
	Sent        int     `json:"numbers_sent"`
	Rank        int     `json:"rank,omitempty"`
	Bits        int     `json:"bits_per_number"`
	ReportBytes int64   `json:"bytes_per_report"`
	Fewer       float64 `json:"times_fewer_bytes"` // than without compression
	Noise       float64 `json:"noise_rmse"`
	Map         float64 `json:"compression_rmse"`
	Growth      float64 `json:"growth"` // of the error over the noise alone
	Own         bool    `json:"own,omitempty"`
	Recommended bool    `json:"recommended,omitempty"`
}

// taskModulus is what a smaller declared bound on the mean gives.
type taskModulus struct {
	Kappa       float64 `json:"kappa"`
	Bits        int     `json:"bits_per_number"`
	ReportBytes int64   `json:"bytes_per_report"`
}

func (a *app) taskPlan(ctx context.Context, f *taskPlanFlags) error {
	t, err := a.taskToPlan(ctx, f)
	if err != nil {
		return err
	}
	r, err := newTaskPlan(t, f.meanNorm, f.tolerance)
	if err != nil {
		return planHint(err)
	}
	a.out.Result(r)
	return nil
}

// taskToPlan is the task of a file or store, or a sketch, with the numbers of the flags.
func (a *app) taskToPlan(ctx context.Context, f *taskPlanFlags) (schema.Task, error) {
	n := &f.number
	switch {
	case f.meanNorm < 0 || f.meanNorm > 1 || f.meanNorm != f.meanNorm:
		return schema.Task{}, usage("--mean-norm %g: want above 0, at most 1", f.meanNorm)
	case !(f.tolerance > 0 && f.tolerance <= 100):
		return schema.Task{}, usage("--tolerance %g: want above 0, at most 100", f.tolerance)
	case f.given("vehicles") && (f.vehicles < 2 || f.vehicles > schema.MaxReports):
		return schema.Task{}, usage("--vehicles %d: want 2 to %d", f.vehicles, schema.MaxReports)
	}
	if f.file == "" && !f.given("store") && !f.given("task") && (f.given("values") || f.task == "") {
		if !f.given("values") || !f.given("vehicles") || !f.given("noise-multiplier") {
			return schema.Task{}, &usageError{Err: errors.New("without a task --values, --vehicles and --noise-multiplier must be given"), Hint: "or pass --task-file, or --store with --task and --owner"}
		}
		n.epsilon, n.delta, n.relation, n.trust = 1, 1e-6, "zero_out", "distributed" // nothing printed depends on them
		n.min = f.vehicles
		t := sketchTask(&f.planFlags)
		t.Privacy.NoiseMultiplier, t.Scope.Epsilon, t.Scope.Delta = schema.Real(n.noise), 1, 1e-6
		return t, nil
	}
	t, _, err := a.plannedTask(ctx, &f.planFlags)
	if err != nil {
		return t, err
	}
	if f.given("values") {
		t.Compression = nil // it was for other tensors
	}
	if f.given("vehicles") {
		t.Batch.Min, t.Batch.Max, t.Batch.MaxDishonest = f.vehicles, f.vehicles, min(t.Batch.MaxDishonest, f.vehicles-2)
	}
	return t, f.override(&t)
}

// taskRatios are shown for every kind.
var taskRatios = []float64{2, 4, 8, 16, 32}

func newTaskPlan(t schema.Task, meanNorm, tolerance float64) (*taskPlanResult, error) {
	own := t.Compression
	t.Compression, t.PieceBlocks = nil, 0
	plain, err := completePlan(t)
	if err != nil {
		return nil, err
	}
	if meanNorm == 0 {
		meanNorm = float64(plain.Task.Privacy.Kappa)
	}
	r := &taskPlanResult{
		Task: t.Name, Values: plain.Privacy.Values(), MinBatch: t.Batch.Min, MaxBatch: t.Batch.Max,
		Multiplier: float64(t.Privacy.NoiseMultiplier), MeanNorm: meanNorm, Tolerance: tolerance, Warnings: []string{},
	}
	none := r.candidate(plain, plain)
	r.Candidates = append(r.Candidates, none)
	add := func(c *schema.Compression, more func(*taskCandidate)) error {
		x := t
		x.Compression = c
		p, err := completePlan(x)
		if err != nil {
			return err
		}
		got := r.candidate(p, plain)
		more(&got)
		r.Candidates = append(r.Candidates, got)
		return nil
	}
	if own != nil {
		if err := add(own, func(c *taskCandidate) { c.Own = true }); err != nil {
			return nil, err
		}
	}
	best := r.recommend(plain)
	if best.Sent() >= r.Values {
		r.Candidates[0].Recommended = true
	} else if err := add(&schema.Compression{Kind: string(best.Kind), Keep: best.Keep}, func(c *taskCandidate) { c.Recommended = true }); err != nil {
		return nil, err
	}
	for _, kind := range compress.Kinds() {
		for _, ratio := range taskRatios {
			if err := add(&schema.Compression{Kind: string(kind), Ratio: schema.Real(ratio)}, func(*taskCandidate) {}); err != nil {
				break // too few values, or no matrix of that rank
			}
		}
	}
	return r, r.finish(t, best)
}

// candidate describes a plan beside the one without compression.
func (r *taskPlanResult) candidate(p, plain *pipeline.Plan) taskCandidate {
	c := taskCandidate{
		Kind: "none", Sent: p.Privacy.Sent(), Bits: p.Secagg.Bits(), ReportBytes: p.Secagg.ReportBytes(), Fewer: float64(plain.Secagg.ReportBytes()) / float64(p.Secagg.ReportBytes()),
		Noise: p.Privacy.NoiseStdDev(r.MinBatch), Map: p.Privacy.CompressionRMSE(r.MeanNorm * p.Privacy.ClippingNorm()),
	}
	if s := p.Privacy.Compression(); s != nil {
		c.Kind, c.Rank = string(s.Kind), s.Rank
	}
	c.Growth = math.Hypot(1, c.Map/c.Noise)
	return c
}

// recommend is the SRHT of the least k, filled up to the last block.
func (r *taskPlanResult) recommend(plain *pipeline.Plan) compress.Spec {
	s, p := plain.Secagg, plain.Privacy
	k := compress.KeepFor(r.Values, p.NoiseStdDev(r.MinBatch), r.MeanNorm*p.ClippingNorm(), r.Tolerance)
	witnesses, indicator := 256, p.EncodedValues()-p.Sent() // PROTOCOL.md: B = ceil((d + 256)/N)
	blocks := (k + indicator + witnesses + s.N() - 1) / s.N()
	return compress.Spec{Kind: compress.SRHT, Values: r.Values, Keep: min(r.Values, blocks*s.N()-witnesses-indicator)}
}

// finish adds what smaller bounds on the mean give, and the warnings.
func (r *taskPlanResult) finish(t schema.Task, best compress.Spec) error {
	if best.Sent() < r.Values {
		t.Compression = &schema.Compression{Kind: string(best.Kind), Keep: best.Keep}
	} else {
		r.Warnings = append(r.Warnings, "no compression keeps the error within the tolerance: so many reports, or so little noise, tell of every value; take a larger --tolerance, or a smaller --mean-norm if the updates differ much")
	}
	for kappa := float64(t.Privacy.Kappa); kappa > float64(t.Privacy.Kappa)/16; kappa /= 2 {
		t.Privacy.Kappa = schema.Real(kappa)
		p, err := completePlan(t)
		if err != nil {
			return err
		}
		if n := len(r.Moduli); n == 0 || r.Moduli[n-1].Bits > p.Secagg.Bits() {
			r.Moduli = append(r.Moduli, taskModulus{Kappa: kappa, Bits: p.Secagg.Bits(), ReportBytes: p.Secagg.ReportBytes()})
		}
		if kappa < r.MeanNorm {
			break
		}
	}
	if r.MeanNorm == 1 {
		r.Warnings = append(r.Warnings, "planned with a mean as long as the clipping norm, the worst case: all updates alike; --mean-norm says better")
	}
	return nil
}

// Text implements ui.Result.
func (r *taskPlanResult) Text() string {
	b := &strings.Builder{}
	fmt.Fprintf(b, "%s: %d values, lists of %d to %d reports, noise multiplier %.6g, mean of %.3g clipping norms\n", r.Task, r.Values, r.MinBatch, r.MaxBatch, r.Multiplier, r.MeanNorm)
	for _, w := range r.Warnings {
		fmt.Fprintf(b, "warning: %s\n", w)
	}
	fmt.Fprintf(b, "\n  %-13s %9s %5s %10s %7s %11s %11s %7s\n", "kind", "numbers", "bits", "bytes", "fewer", "noise", "map", "growth")
	for _, c := range r.Candidates {
		mark := " "
		switch {
		case c.Recommended:
			mark = "*"
		case c.Own:
			mark = "="
		}
		fmt.Fprintf(b, "%s %-13s %9d %5d %10d %6.2fx %11.4g %11.4g %7.3f\n", mark, c.Kind, c.Sent, c.Bits, c.ReportBytes, c.Fewer, c.Noise, c.Map, c.Growth)
	}
	b.WriteString("\n* recommended, = the task's own\n")
	for _, c := range r.Candidates {
		if c.Recommended && c.Kind != "none" {
			fmt.Fprintf(b, "compression: {kind: %s, keep: %d}\n", c.Kind, c.Sent)
		}
	}
	fmt.Fprintf(b, "\n  %9s %5s %10s\n", "kappa", "bits", "bytes")
	for _, m := range r.Moduli {
		fmt.Fprintf(b, "  %9.4g %5d %10d\n", m.Kappa, m.Bits, m.ReportBytes)
	}
	return b.String()
}
