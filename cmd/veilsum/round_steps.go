package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/collector"
	"github.com/veilsum/veilsum/pipeline/region"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

type closeFlags struct {
	collectorFlags
	stores  storesFlag
	without []string
	verify  bool
	now     bool
	atLeast int
}

func (a *app) roundCloseCommand() *cobra.Command {
	f := &closeFlags{}
	c := f.register(verb("close", "Freeze the list of candidate reports", `Lists the complete reports once and freezes them as the candidates that the
committee checks. Reports that come later miss the round. Exit status 75 while
there are fewer than min_batch_size, or fewer than --at-least: with it a round is a
buffer that is opened when it is full, while the next one is open already.

In a round with regions the list holds the reports of every region whose signed sum has
arrived and holds, and those uploaded to --store. A region that is absent misses the
round: before its deadline only with --now (else exit status 75). One that is left out is named.
--region NAME=STORE shows who is right if two regions list one report; --verify adds
the reports of these regions again and leaves liars out, --without NAME leaves one out.`,
		"  veilsum round close --epoch 1 --key collector.pem --store file:./store --task $TASK --owner owner.pub", cobra.NoArgs,
		func(ctx context.Context, _ []string) error {
			return f.step(ctx, a, func(c *collector.Collector, o *opened, r *pipeline.Round) error {
				return a.close(ctx, f, c, o, r)
			})
		}))
	f.stores.register(c)
	c.Flags().IntVar(&f.atLeast, "at-least", 0, "close only if so many reports are complete; at most max_batch_size")
	c.Flags().StringArrayVar(&f.without, "without", nil, "leave this region out; may be repeated")
	c.Flags().BoolVar(&f.verify, "verify", false, "add the reports of the regions with --region again, and leave liars out")
	c.Flags().BoolVar(&f.now, "now", false, "close before the deadline of a region that is absent")
	return c
}

func (a *app) close(ctx context.Context, f *closeFlags, c *collector.Collector, o *opened, r *pipeline.Round) error {
	near, err := f.stores.open(ctx)
	if err != nil {
		return err
	}
	regions, err := a.present(ctx, f, near, o, r)
	if err != nil {
		return err
	}
	without := append(regionsResult{regions}.named(regionLies, regionHides), f.without...)
	id, n, err := c.Reading(near).CloseAt(ctx, o.store, r, f.atLeast, without...)
	if err != nil {
		return err
	}
	for _, l := range regions {
		switch l.State {
		case string(region.LeftOut), regionLies, regionHides:
			a.out.Warn("region %s is left out: %s", l.Name, l.Why)
		case string(region.Absent):
			a.out.Warn("region %s is absent and misses the round", l.Name)
		}
	}
	a.out.Result(closeResult{Candidates: id, Reports: n, Regions: regions})
	return nil
}

// present looks at the round's regions before its list is frozen: nobody waits for a region whose deadline is over.
func (a *app) present(ctx context.Context, f *closeFlags, near map[string]storage.Store, o *opened, r *pipeline.Round) ([]regionLine, error) {
	if len(r.Descriptor.Regions) == 0 {
		return nil, nil
	}
	if err := pipeline.Ended(ctx, o.store, r); err != nil {
		return nil, err
	}
	root := region.Root{Store: o.store}
	if f.verify {
		root.Regions = near
	}
	lines, err := a.verify(ctx, root, r)
	if err != nil || f.now {
		return lines, err
	}
	if _, n, err := pipeline.FrozenCandidates(ctx, o.store, r); err != nil || n > 0 {
		return lines, err
	}
	for _, l := range lines {
		if l.State == string(region.Absent) && time.Now().Unix() < l.Deadline {
			return nil, withHint(fmt.Errorf("%w: region %s is absent and has until %s", pipeline.ErrNotReady, l.Name, utc(l.Deadline)), "--now closes the round without it")
		}
	}
	return lines, nil
}

type closeResult struct {
	Candidates schema.Digest `json:"candidates"`
	Reports    int           `json:"reports"`
	Regions    []regionLine  `json:"regions,omitempty"`
}

// Text implements ui.Result.
func (r closeResult) Text() string {
	return fmt.Sprintf("%d candidate reports in list %s\n", r.Reports, r.Candidates) + regionLines(r.Regions)
}

func (a *app) roundProposeCommand() *cobra.Command {
	f, stores := &collectorFlags{}, &storesFlag{}
	var candidates string
	c := f.register(verb("propose", "Propose the list and reserve its cost", `Makes the manifest (the candidates less every refused report), reserves its
cost in the BudgetScope, and publishes both. Nothing is written if the budget
or a participation limit would be exceeded (exit status 4).

A report that a region added and the committee refuses is subtracted from the region's sum: give the
region's store with --region NAME=STORE. Without it the whole region is left out and named.`,
		"  veilsum round propose --epoch 1 --key collector.pem --store file:./store --task $TASK --owner owner.pub", cobra.NoArgs,
		func(ctx context.Context, _ []string) error {
			return f.step(ctx, a, func(c *collector.Collector, o *opened, r *pipeline.Round) error {
				if err := f.single(o, "--candidates", candidates); err != nil {
					return err
				}
				near, err := stores.open(ctx)
				if err != nil {
					return err
				}
				return a.propose(ctx, c.Reading(near), o, r, candidates)
			})
		}))
	stores.register(c)
	c.Flags().StringVar(&candidates, "candidates", "", "candidate list; default the largest whose reports are all there")
	return c
}

func (a *app) propose(ctx context.Context, c *collector.Collector, o *opened, r *pipeline.Round, candidates string) error {
	if err := pipeline.Ended(ctx, o.store, r); err != nil {
		return err
	}
	id, err := candidatesOf(ctx, o, r, candidates)
	if err != nil {
		return err
	}
	p, err := c.Propose(ctx, o.store, r, id)
	if err != nil {
		return err
	}
	for _, k := range p.Ignored {
		a.out.Warn("decryptor %d refused more reports alone than vehicles may be dishonest; its refusals are ignored", k)
	}
	for _, u := range p.Unused {
		a.out.Warn("region %s is left out: %v; --region %s=STORE lets the report be subtracted", u.Name, u.Err, u.Name)
	}
	if len(p.Refused) > 0 {
		a.code = exitRefused
	}
	a.out.Result(proposeResult{Manifest: p.Manifest, Reports: p.Reports, Refused: refusals(p.Refused)})
	return nil
}

type proposeResult struct {
	Manifest schema.ManifestID `json:"manifest"`
	Reports  int               `json:"reports"`
	Refused  []schema.Refusal  `json:"refused"`
}

// Text implements ui.Result.
func (r proposeResult) Text() string {
	return fmt.Sprintf("manifest %s of %d reports proposed and reserved\n", r.Manifest, r.Reports) + refusalLines(r.Refused)
}

func (a *app) roundCollectCommand() *cobra.Command {
	f, stores := &collectorFlags{}, &storesFlag{}
	var out string
	var force bool
	c := f.register(verb("collect", "Open the sum and publish aggregate and receipt", `Opens the noisy sum over the certified list with the committee's answers,
writes the Arrow aggregate and then the receipt, which is the commit point.
Partial sums in the store are used; what they lack is added. Repeating it
shows the receipt. Exit status 6 while votes or answers are missing.

If the sum of a round with regions does not open, the reports of the regions whose stores are given
(--region NAME=STORE) are added again: the true sum is opened, and who lied is named. While
a region's pieces cannot be had, nothing is given up (exit status 75).`,
		"  veilsum round collect --epoch 1 --out mean.arrow --key collector.pem --store file:./store --task $TASK --owner owner.pub", cobra.NoArgs,
		func(ctx context.Context, _ []string) error {
			return a.collect(ctx, f, stores, out, force)
		}))
	stores.register(c)
	c.Flags().StringVar(&out, "out", "", "also copy the aggregate to this file; over several lanes their mean, as \"round merge\"")
	c.Flags().BoolVar(&force, "force", false, "overwrite --out")
	return c
}

func (a *app) collect(ctx context.Context, f *collectorFlags, stores *storesFlag, out string, force bool) error {
	c, err := f.collector(a)
	if err != nil {
		return err
	}
	o, err := f.open(ctx)
	if err != nil {
		return err
	}
	near, err := stores.open(ctx)
	if err != nil {
		return err
	}
	return a.collectEach(ctx, o, &f.roundFlags, out, force, func(r *pipeline.Round, out string) error {
		got, err := c.Reading(near).Collect(ctx, o.store, r, a.progress("reports added"))
		if err = a.findings(got, err); err != nil {
			return err
		}
		return a.showReceipt(ctx, o, r, got.Receipt, out, force)
	})
}

// findings names regions that lied, or that keep a round from ending.
func (a *app) findings(got *collector.Collected, err error) error {
	if got == nil {
		return err
	}
	for _, f := range got.Regions {
		if errors.Is(f.Err, region.ErrLies) {
			a.out.Warn("region %s lied: its reports do not add up to the sum that it signed; the true sum was taken", f.Name)
		} else {
			a.out.Warn("%v", f.Err)
		}
	}
	if err != nil && len(got.Regions) > 0 {
		return withHint(err, "give the stores of these regions with --region NAME=STORE; if their pieces are gone, \"round abort\" ends the round once its keys have expired, and its cost stays charged")
	}
	return err
}
