package main

import (
	"bufio"
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/aggregator"
	"github.com/veilsum/veilsum/schema"
)

func (a *app) batchCommand() *cobra.Command {
	return noun("batch", "The aggregator's side of a round", a.batchPlanCommand(), a.batchStepCommand(), a.batchRunCommand(), a.batchSumCommand(), a.batchMergeCommand(), a.batchExportCommand())
}

type sumFlags struct {
	roundFlags
	reports string
	shard   string
}

func (a *app) batchSumCommand() *cobra.Command {
	f := &sumFlags{}
	c := f.acrossLanes(f.register(verb("sum", "Verify and add reports into a partial sum", `Adds the reports of the proposed manifest, or before a proposal those of the
frozen candidate list, and stores the partial sum under its hash. A regional
aggregator adds its part: --reports FILE names its reports, one ReportID a
line ("-" for standard input), --shard I/N takes part I (from 1) of N by the reports' hashes.
The aggregator learns nothing and needs no key. A report that fails a check is left out (exit status 3).`,
		"  veilsum batch sum --shard 1/2 --epoch 1 --store file:./store --task $TASK --owner owner.pub", cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return a.batchSum(ctx, f) })))
	c.Flags().StringVar(&f.reports, "reports", "", "file with the ReportIDs to add, - for standard input")
	c.Flags().StringVar(&f.shard, "shard", "", "add part I of N, as I/N")
	return c
}

func (a *app) batchSum(ctx context.Context, f *sumFlags) error {
	if _, err := shardOf(nil, f.shard); err != nil {
		return err
	}
	o, err := f.open(ctx)
	if err != nil {
		return err
	}
	if err := f.single(o, "--reports", f.reports); err != nil {
		return err
	}
	return a.eachRound(ctx, o, &f.roundFlags, func(r *pipeline.Round) error { return a.sumRound(ctx, f, o, r) })
}

func (a *app) sumRound(ctx context.Context, f *sumFlags, o *opened, r *pipeline.Round) error {
	ids, err := frozenList(ctx, o, r)
	if err != nil {
		return err
	}
	if f.reports != "" {
		if ids, err = a.chosen(f.reports, ids); err != nil {
			return err
		}
	}
	if ids, err = shardOf(ids, f.shard); err != nil {
		return err
	}
	res, err := aggregator.Sum(ctx, o.store, r, ids, a.progress("reports added"))
	if err != nil {
		return err
	}
	if len(res.Reports) == 0 {
		return fmt.Errorf("%w: none of %d reports can be added", pipeline.ErrTooFew, len(ids))
	}
	id, err := aggregator.Store(ctx, o.store, r, &res.PartialSum)
	if err != nil {
		return err
	}
	if len(res.Refused) > 0 {
		a.code = exitRefused
	}
	a.out.Result(sumResult{Partial: id, Reports: len(res.Reports), Refused: refusals(res.Refused)})
	return nil
}

// frozenList returns the reports of the first manifest, or of the first candidate list.
func frozenList(ctx context.Context, o *opened, r *pipeline.Round) ([]schema.ReportID, error) {
	_, ids, err := frozen(ctx, o, r)
	return ids, err
}

// frozen is frozenList with the identity of the list.
func frozen(ctx context.Context, o *opened, r *pipeline.Round) (schema.Digest, []schema.ReportID, error) {
	manifests, err := pipeline.ListManifests(ctx, o.store, r)
	if err != nil {
		return schema.Digest{}, nil, err
	}
	if len(manifests) > 0 {
		m, err := pipeline.LoadManifest(ctx, o.store, r, manifests[0])
		return manifests[0].Digest, m.Reports, err
	}
	id, err := candidatesOf(ctx, o, r, "")
	if err != nil {
		return id, nil, err
	}
	l, err := pipeline.LoadCandidates(ctx, o.store, r, id)
	return id, l.Reports, err
}

// chosen keeps the reports of the frozen list that the file names.
func (a *app) chosen(path string, frozen []schema.ReportID) ([]schema.ReportID, error) {
	raw, err := a.readInput(path, schema.MaxReports*66)
	if err != nil {
		return nil, err
	}
	want := map[schema.ReportID]bool{}
	for sc := bufio.NewScanner(strings.NewReader(string(raw))); sc.Scan(); {
		d, err := schema.ParseDigest(strings.TrimSpace(sc.Text()))
		if err != nil {
			return nil, usage("%s: line %d: want a ReportID of 64 hexadecimal digits", path, len(want)+1)
		}
		want[schema.ReportID{Digest: d}] = true
	}
	var ids []schema.ReportID
	for _, id := range frozen {
		if want[id] {
			ids = append(ids, id)
		}
	}
	if late := len(want) - len(ids); late > 0 {
		a.out.Warn("%d reports are not in the frozen list and miss the round", late)
	}
	return ids, nil
}

// shardOf cuts the sorted list into n consecutive parts of nearly equal length.
func shardOf(ids []schema.ReportID, shard string) ([]schema.ReportID, error) {
	if shard == "" {
		return ids, nil
	}
	var i, n int
	if k, err := fmt.Sscanf(shard, "%d/%d", &i, &n); k != 2 || err != nil || i < 1 || i > n || shard != fmt.Sprintf("%d/%d", i, n) {
		return nil, usage("--shard %q: want I/N with 1 <= I <= N", shard)
	}
	return ids[len(ids)*(i-1)/n : len(ids)*i/n], nil
}

type sumResult struct {
	Partial schema.Digest    `json:"partial"`
	Reports int              `json:"reports"`
	Refused []schema.Refusal `json:"refused"`
}

// Text implements ui.Result.
func (r sumResult) Text() string {
	return fmt.Sprintf("partial %s of %d reports\n", r.Partial, r.Reports) + refusalLines(r.Refused)
}

func (a *app) batchMergeCommand() *cobra.Command {
	f := &roundFlags{}
	return f.register(verb("merge PARTIAL …", "Merge partial sums", `Adds partial sums of disjoint lists and stores the result under its hash: the
root aggregator's step. A report in two of them is refused.`,
		"  veilsum batch merge $EAST $WEST --epoch 1 --store file:./store --task $TASK --owner owner.pub", cobra.MinimumNArgs(1),
		func(ctx context.Context, args []string) error { return a.batchMerge(ctx, f, args) }))
}

func (a *app) batchMerge(ctx context.Context, f *roundFlags, args []string) error {
	o, r, err := f.round(ctx)
	if err != nil {
		return err
	}
	var parts []*aggregator.PartialSum
	for i, arg := range args {
		id, err := schema.ParseDigest(arg)
		if err != nil {
			return usage("partial %.70q: %w", arg, err)
		}
		p, err := aggregator.Load(ctx, o.store, r, id)
		if err != nil {
			return err
		}
		parts = append(parts, p)
		a.out.Progress("partial sums read", int64(i+1), int64(len(args)))
	}
	m, err := aggregator.Merge(r, parts...)
	if err != nil {
		return err
	}
	id, err := aggregator.Store(ctx, o.store, r, m)
	if err != nil {
		return err
	}
	a.out.Result(sumResult{Partial: id, Reports: len(m.Reports), Refused: []schema.Refusal{}})
	return nil
}
