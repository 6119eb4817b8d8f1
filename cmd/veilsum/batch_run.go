package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/batch"
	"github.com/veilsum/veilsum/schema"
)

type runFlags struct {
	treeFlags
	plan               string
	workers, readAhead int
}

const batchRunHelp = `Does all steps of a plan on this machine, a level at a time, as many steps at once as there are processors.
Without --plan it plans first, as "batch plan" does with the same flags; of a task with lanes it does all
lanes of the epoch, unless --lane names one.

Memory is one accumulator (4 bytes a value) and 1 + --read-ahead packed reports (about 2.5 bytes a value each)
for each worker, whatever the number of reports. It may be killed and started again at any time, or run beside other
workers: steps that are done are found, and none of their reports is read again.`

func (a *app) batchRunCommand() *cobra.Command {
	f := &runFlags{}
	c := f.acrossLanes(f.register(verb("run", "Do all steps of a plan on this machine", batchRunHelp,
		"  veilsum batch run --epoch 1 --store file:./store --task $TASK --owner owner.pub", cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return a.batchRun(ctx, f) })))
	c.Flags().StringVar(&f.plan, "plan", "", "the plan's hash, as \"batch plan\" printed it (default: plan now)")
	c.Flags().IntVar(&f.workers, "workers", 0, "steps at a time (default: one for each processor)")
	c.Flags().IntVar(&f.readAhead, "read-ahead", 0, "reports that each worker reads before it needs them (default 2)")
	return c
}

func (a *app) batchRun(ctx context.Context, f *runFlags) error {
	if f.workers < 0 || f.readAhead < 0 {
		return usage("--workers and --read-ahead are 1 or more")
	}
	o, err := f.open(ctx)
	if err != nil {
		return err
	}
	// These are of one list, and lists are of one lane.
	for _, x := range []struct{ flag, value string }{{"--plan", f.plan}, {"--reports", f.reports}, {"--region", strings.Join(f.regions, " ")}} {
		if err := f.single(o, x.flag, x.value); err != nil {
			return err
		}
	}
	return a.eachRound(ctx, o, &f.roundFlags, func(r *pipeline.Round) error { return a.runRound(ctx, f, o, r) })
}

// runRound does all steps of one round's plan.
func (a *app) runRound(ctx context.Context, f *runFlags, o *opened, r *pipeline.Round) error {
	t, err := a.treeOf(ctx, f, o, r)
	if err != nil {
		return err
	}
	ran, err := batch.Run(ctx, t, &batch.Local{Store: o.store, Round: r, Workers: f.workers, ReadAhead: f.readAhead, Progress: a.progress("reports added")})
	if err != nil {
		return err
	}
	root := a.stepDone(r, t, ran.Root)
	if root.Reports == 0 {
		return fmt.Errorf("%w: none of %d reports can be added", pipeline.ErrTooFew, t.Plan.Reports())
	}
	a.out.Result(runResult{
		Plan: t.ID, Steps: ran.Steps, Found: ran.Found, Read: ran.Read, Reports: root.Reports, Refused: root.Refused,
		Partial: root.Partial, SHA256: root.SHA256, Bytes: root.Bytes,
	})
	return nil
}

// treeOf is the plan that --plan names, or the one that the other flags make.
func (a *app) treeOf(ctx context.Context, f *runFlags, o *opened, r *pipeline.Round) (*batch.Tree, error) {
	if f.plan != "" {
		return loadPlan(ctx, o, r, f.plan, schema.Digest{})
	}
	return a.plant(ctx, &f.treeFlags, o, r)
}

type runResult struct {
	Plan    schema.Digest    `json:"plan"`
	Steps   int              `json:"steps"`
	Found   int              `json:"found"` // of the steps: done before
	Read    int              `json:"read"`  // reports that were read now
	Reports int              `json:"reports"`
	Refused []schema.Refusal `json:"refused"`
	Partial string           `json:"partial"`
	SHA256  schema.Digest    `json:"sha256"`
	Bytes   int64            `json:"bytes"`
}

// Text implements ui.Result.
func (r runResult) Text() string {
	found := ""
	if r.Found > 0 {
		found = fmt.Sprintf(", %d of them done before", r.Found)
	}
	return fmt.Sprintf("partial %s of %s in %s%s\n", r.SHA256, many(r.Reports, "report"), many(r.Steps, "step"), found) + refusalLines(r.Refused)
}
