package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/veilsum/veilsum/cmd/veilsum/internal/report"
	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/lanes"
	"github.com/veilsum/veilsum/privacy"
	"github.com/veilsum/veilsum/privacy/accountant"
	"github.com/veilsum/veilsum/schema"
)

// planFlags are the flags of "veilsum budget plan". Each number replaces that of the task, if there is one.
type planFlags struct {
	taskFlags
	file   string
	given  func(name string) bool
	number struct {
		epsilon, delta, noise, clip float64
		values, min, max, dishonest int
		rounds                      int64
		reports                     int
		relation, trust             string
	}
	report string
	force  bool
}

const planLong = `Answers before anything is signed or spent: epsilon against rounds, how many
rounds a budget affords at a given noise, which noise a number of rounds needs, and
what the batch size does to the noise of the mean and to the bytes of a report.

The numbers come from a task file (--task-file, keys may still be zero), from a
stored task (--store, --task, --owner: then also what its scope has spent), or from
flags alone: --epsilon, --delta, --values, --min-batch-size, and --noise-multiplier
or --rounds. With a task each of these flags replaces the task's number. Modulus, noise
and sizes are those that a task with these numbers gets.

ACCOUNTANTS  rdp: Rényi divergence at the best order, by which every role admits a
round. tight: the least that any accountant here proves, by a formula or by
privacy-loss distributions (upper bound). gaussian: the exact epsilon of one continuous Gaussian of the same
width, a yardstick: for sums of discrete Gaussians in many dimensions no
privacy-loss distribution is known, so tight is rdp there, and no future
accountant can prove less than the yardstick by more than the distance of the sums
to a Gaussian.

BATCH SIZES  min_batch_size is varied; max_batch_size and max_dishonest keep their
proportion to it. The noise is that of the mean of min_batch_size reports, each value, in the
update's units: its root mean square error against the mean of the clipped
updates. snr is the root mean square of one value of a mean as long as the clipping
norm, over the noise: the best case.

LANES  --reports-per-epoch N says into how many lanes an epoch of N reports is cut, so that a batch
holds about 10,000 and stays within the batch sizes: a lane's size is a matter of chance, and is
given within six standard deviations. An epoch costs the same with any number of lanes.

JSON  One object: "inputs", "guarantee_one_round", "rounds" (affordable by "rdp" and
"tight"; 4294967296 means no fewer), "needed" (noise_multiplier by each accountant for the rounds
asked for, null without --rounds), "lanes" (with --reports-per-epoch), "scope" (of a store, else null), "curves" (for each
noise_multiplier lists "rounds", "rdp", "tight", "gaussian"; null where there
is no finite bound), "batches" (rows), "warnings".

--report writes one offline HTML page with the drawings. --rounds that the
budget does not afford at the noise given end with status 4 behind the answer.`

func (a *app) budgetPlanCommand() *cobra.Command {
	f := &planFlags{}
	c := f.register(verb("plan", "Say what a budget affords, before a task is signed", planLong,
		`  veilsum budget plan --task-file task.yaml --rounds 50 --report plan.html
  veilsum budget plan --epsilon 8 --delta 1e-6 --values 1000000 --min-batch-size 10000 --noise-multiplier 5
  veilsum budget plan --epsilon 2 --delta 1e-6 --values 20000 --min-batch-size 500 --rounds 100 --json
  veilsum budget plan --store file:./store --task $TASK --owner owner.pub`, cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return a.budgetPlan(ctx, f) }))
	n := &f.number
	flags := c.Flags()
	flags.StringVarP(&f.file, "task-file", "f", "", "task file in YAML, - for standard input")
	flags.Float64Var(&n.epsilon, "epsilon", 0, "most epsilon ever spent, above 0")
	flags.Float64Var(&n.delta, "delta", 0, "at this delta, between 0 and 1")
	flags.Float64Var(&n.noise, "noise-multiplier", 0, "z, standard deviation of the summed honest noise over the sensitivity")
	flags.Float64Var(&n.clip, "clipping-norm", 1, "C, L2 bound of one update in its own units")
	flags.IntVar(&n.values, "values", 0, "d, values in one update")
	flags.IntVar(&n.min, "min-batch-size", 0, "fewest reports in a list")
	flags.IntVar(&n.max, "max-batch-size", 0, "most reports in a list (default --min-batch-size)")
	flags.IntVar(&n.dishonest, "max-dishonest", 0, "F_c, most dishonest vehicles in one list")
	flags.Int64Var(&n.rounds, "rounds", 0, "epochs that are wanted")
	flags.IntVar(&n.reports, "reports-per-epoch", 0, "reports expected in an epoch: says how many lanes keep a batch near 10,000")
	flags.StringVar(&n.relation, "relation", "zero_out", "zero_out or replace_one")
	flags.StringVar(&n.trust, "trust-model", "distributed", "distributed or local")
	flags.StringVar(&f.report, "report", "", "write the drawings as one HTML page to this file")
	flags.BoolVar(&f.force, "force", false, "overwrite the page")
	f.given = changed(flags)
	return c
}

func changed(flags *pflag.FlagSet) func(string) bool {
	return func(name string) bool { return flags.Changed(name) }
}

func (a *app) budgetPlan(ctx context.Context, f *planFlags) error {
	t, scope, err := a.plannedTask(ctx, f)
	if err != nil {
		return err
	}
	if err := f.override(&t); err != nil {
		return err
	}
	r, err := newPlanAnswer(t, f.number.rounds)
	if err != nil {
		return planHint(err)
	}
	r.Scope = scope
	if n := f.number.reports; n > 0 {
		s := lanes.Suggest(n, r.Inputs.MinBatch, r.Inputs.MaxBatch)
		if r.Lanes = &s; !s.Fits {
			r.Warnings = append(r.Warnings, fmt.Sprintf("no number of lanes keeps batches of %d reports surely within %d to %d: change the batch sizes", n, r.Inputs.MinBatch, r.Inputs.MaxBatch))
		}
	}
	if f.report != "" {
		var page bytes.Buffer
		if err := report.WritePlan(&page, r.page()); err != nil {
			return err
		}
		if err := writeFile(f.report, page.Bytes(), 0o644, f.force); err != nil {
			return err
		}
	}
	a.out.Result(r)
	if n := f.number.rounds; n > r.Rounds.RDP {
		return withHint(fmt.Errorf("%w: %d rounds at noise multiplier %g, %d are affordable", pipeline.ErrBudget, n, r.Inputs.NoiseMultiplier, r.Rounds.RDP),
			"noise_multiplier %.6g affords them; nothing was reserved or signed", upward(r.Needed.RDP))
	}
	return nil
}

func planHint(err error) error {
	if errors.Is(err, privacy.ErrParams) || errors.Is(err, accountant.ErrUnreachable) || errors.Is(err, accountant.ErrEvent) {
		return &usageError{Err: err, Hint: `"veilsum budget plan --help" says which numbers it needs`}
	}
	return err
}

// plannedTask is the task that the numbers start from: of a store, of a file, or a sketch.
func (a *app) plannedTask(ctx context.Context, f *planFlags) (schema.Task, *planScope, error) {
	switch {
	case f.file != "" && f.given("task"):
		return schema.Task{}, nil, usage("--task-file and --task exclude each other")
	case f.file != "":
		t, err := a.readTask(f.file)
		sketchKeys(&t)
		return t, nil, err
	case f.task != "" && (f.given("task") || f.given("store") || !f.given("values")): // VEILSUM_TASK does not hinder a sketch
		return f.storedTask(ctx)
	}
	return f.sketch()
}

// storedTask also reads what the task's scope has spent.
func (f *planFlags) storedTask(ctx context.Context) (schema.Task, *planScope, error) {
	o, err := f.open(ctx)
	if err != nil {
		return schema.Task{}, nil, err
	}
	l, err := pipeline.OpenLedger(ctx, o.store, o.plan.Task.Scope, o.owner, nil)
	if err != nil {
		return schema.Task{}, nil, err
	}
	b, err := budgetOf(ctx, l, o.plan)
	if err != nil {
		return schema.Task{}, nil, err
	}
	return o.plan.Task, &planScope{Name: b.Scope, Epochs: b.Epochs, Spent: b.Spent, RoundsLeft: b.RoundsLeft}, nil
}

// sketchName is the name of a task of numbers alone.
const sketchName = "sketch"

// sketch is a task of the numbers alone. The keys stand for nobody and sign nothing.
func (f *planFlags) sketch() (schema.Task, *planScope, error) {
	var missing []string
	for _, name := range []string{"epsilon", "delta", "values", "min-batch-size"} {
		if !f.given(name) {
			missing = append(missing, "--"+name)
		}
	}
	if !f.given("noise-multiplier") && !f.given("rounds") {
		missing = append(missing, "--noise-multiplier or --rounds")
	}
	if len(missing) > 0 {
		return schema.Task{}, nil, &usageError{Err: fmt.Errorf("without a task %s must be given", strings.Join(missing, ", ")), Hint: "or pass --task-file, or --store with --task and --owner"}
	}
	return sketchTask(f), nil, nil
}

// sketchTask is the task of the numbers; epsilon, delta and noise are [planFlags.override]'s to fill in.
func sketchTask(f *planFlags) schema.Task {
	t := schema.Task{
		Name: sketchName, Scope: schema.Scope{Name: sketchName, Population: "a sketch", Unit: "vehicle", Relation: f.number.relation},
		Tensors: []schema.Tensor{{Name: "update", DType: "float32", Shape: []int{f.number.values}}},
		Privacy: schema.Privacy{TrustModel: f.number.trust, Mechanism: "discrete_gaussian", ClippingNorm: schema.Real(f.number.clip), Kappa: 1, KappaInf: 1},
		Batch:   schema.Batch{Min: f.number.min, Max: f.number.min, Lanes: 1}, Participation: schema.Participation{MinSeparation: 1},
		Committee: schema.Committee{Size: 4, Threshold: 3, Malicious: 1}, Suite: 1,
	}
	sketchKeys(&t)
	return t
}

// sketchKeys fills in keys that are absent, so that a task can be planned before anybody has one.
func sketchKeys(t *schema.Task) {
	next := byte(0)
	fill := func(k *schema.PublicKey) {
		if next++; k.IsZero() {
			*k = schema.PublicKey{0: 0xff, 1: next}
		}
	}
	if len(t.Committee.Keys) == 0 && t.Committee.Size > 0 && t.Committee.Size <= 16 {
		t.Committee.Keys = make([]schema.PublicKey, t.Committee.Size)
	}
	t.Committee.Keys = slices.Clone(t.Committee.Keys)
	for i := range t.Committee.Keys {
		fill(&t.Committee.Keys[i])
	}
	fill(&t.Collector)
	fill(&t.Authority)
	fill(&t.Owner)
}

// override replaces numbers of the task by those of the flags.
func (f *planFlags) override(t *schema.Task) error {
	n := &f.number
	set := func(name string, to *schema.Real, v float64) {
		if f.given(name) {
			*to = schema.Real(v)
		}
	}
	set("epsilon", &t.Scope.Epsilon, n.epsilon)
	set("delta", &t.Scope.Delta, n.delta)
	set("noise-multiplier", &t.Privacy.NoiseMultiplier, n.noise)
	if f.given("clipping-norm") && len(t.Privacy.Groups) > 0 {
		return usage("--clipping-norm: the task clips groups of tensors; change the file")
	}
	set("clipping-norm", &t.Privacy.ClippingNorm, n.clip)
	if f.given("values") {
		t.Tensors, t.Privacy.Groups = []schema.Tensor{{Name: "update", DType: "float32", Shape: []int{n.values}}}, nil
	}
	if f.given("min-batch-size") {
		t.Batch.Min, t.Batch.Max = n.min, max(t.Batch.Max, n.min)
	}
	if f.given("max-batch-size") {
		t.Batch.Max = n.max
	}
	if f.given("max-dishonest") {
		t.Batch.MaxDishonest = n.dishonest
	}
	if f.given("relation") {
		t.Scope.Relation = n.relation
	}
	if f.given("trust-model") {
		t.Privacy.TrustModel = n.trust
	}
	if n.rounds < 0 || n.rounds > maxPlanRounds || f.given("rounds") && n.rounds == 0 {
		return usage("--rounds %d: want 1 to %d", n.rounds, int64(maxPlanRounds))
	}
	if f.given("noise-multiplier") && !(n.noise > 0) {
		return usage("--noise-multiplier %g: want a number above 0", n.noise)
	}
	if e, d := float64(t.Scope.Epsilon), float64(t.Scope.Delta); !(e > 0) || !(d > 0 && d < 1) {
		return usage("epsilon %g and delta %g: want epsilon above 0 and delta between 0 and 1", e, d)
	}
	return nil
}

// laneLine says into how many lanes an epoch is cut, if that was asked for.
func (r *planAnswer) laneLine(line func(name, format string, args ...any)) {
	if l := r.Lanes; l != nil {
		line("lanes", "%s of about %.4g reports, %d to %d", many(l.Lanes, "lane"), l.Mean, l.Least, l.Most)
	}
}
