package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/privacy/statistics"
	"github.com/veilsum/veilsum/schema"
)

type statsNextFlags struct {
	taskNewFlags
	epoch     uint64
	survivors int
	minCount  int
}

func (a *app) statsNextCommand() *cobra.Command {
	f := &statsNextFlags{}
	c := verb("next", "Go on with a search for frequent texts", `Reads the answers of an epoch, as "stats collect" does, and makes the task of the next
round of each search by prefixes in it: the prefixes that stand out of the noise
and surely have --min-count vehicles go on, at most --survivors of them. Prints
the new TaskID. Which prefixes go on follows from opened sums alone and costs
nothing; the new task's rounds are charged like all others.
If no prefix goes on, nothing is published and the exit status is 1.`,
		"  veilsum stats next --epoch 1 --key owner.pem --store file:./store --task $TASK --owner owner.pub", cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return a.statsNext(ctx, f) })
	f.register(c)
	c.Flags().Uint64Var(&f.epoch, "epoch", 0, "epoch of the rounds")
	c.Flags().StringVar(&f.key, "key", "", "the privacy owner's key file")
	c.Flags().IntVar(&f.survivors, "survivors", 16, "most prefixes that go on")
	c.Flags().IntVar(&f.minCount, "min-count", 0, "fewest vehicles of a prefix that goes on; default the task's min_count")
	c.Flags().BoolVar(&f.dryRun, "dry-run", false, "derive and show, publish nothing")
	must(c.MarkFlagRequired("epoch"))
	must(c.MarkFlagRequired("key"))
	return c
}

func (a *app) statsNext(ctx context.Context, f *statsNextFlags) error {
	if f.survivors < 1 || f.minCount < 0 {
		return usage("--survivors %d, --min-count %d: want at least 1 and 0", f.survivors, f.minCount)
	}
	o, err := f.open(ctx)
	if err != nil {
		return err
	}
	rel, err := a.released(ctx, o, f.epoch)
	if err != nil {
		return err
	}
	least := float64(max(f.minCount, rel.Release.MinCount))
	next := &schema.Statistics{MinCount: rel.Release.MinCount}
	var notes []string
	for i, q := range rel.Set.Queries() {
		if q.Kind != statistics.Prefixes {
			continue
		}
		on, ok, err := rel.Set.Next(i, rel.Release, least, f.survivors)
		if err != nil {
			return err
		}
		if ok {
			next.Queries = append(next.Queries, pipeline.FromQuery(on))
			notes = append(notes, fmt.Sprintf("%s: of the prefixes these go on: %q", q.Name, on.Prefixes))
		}
	}
	if len(next.Queries) == 0 {
		return withHint(errors.New("no prefix goes on"), `the search is at its end: "veilsum stats collect" tells what was found`)
	}
	return a.signStatistics(ctx, &f.taskNewFlags, o.plan.Task, next, 0, notes)
}
