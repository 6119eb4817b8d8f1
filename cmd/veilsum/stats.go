package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/schema"
)

func (a *app) statsCommand() *cobra.Command {
	return noun("stats", "Statistics of the fleet, by the same sealed sum and budget", a.statsDefineCommand(), a.statsShowCommand(), a.statsCollectCommand(), a.statsNextCommand())
}

type statsDefineFlags struct {
	taskNewFlags
	base    string
	reports int
}

const statsDefineHelp = `Makes, signs and publishes a task that asks the fleet questions instead of
training a model. Vehicles answer with "client seal --values", its rounds are
played like all others, and "stats collect" writes the answers.
Budget scope, committee and roles are those of --task, or of the task file --base,
so that training and statistics are charged to one ledger. Each vehicle's
answers to all queries are one vector of L2 norm at most 1; the query's weight is its share of the
squared norm, so one round is one charge however much is asked, and the same
budget buys few precise answers or many rough ones. What each query's bound is
and why, with the noise and the standard error of an answer, is told on standard
error; --dry-run tells it and publishes nothing.
Short vectors pay the fixed part of a report (some 3 to 6 KB) and one packed block:
asking more in one task costs little.
min_count suppresses cells that do not surely have as many vehicles. That is
post-processing: the noise protects every vehicle, the threshold protects
readers from cells that say nothing, and not from whoever reads the aggregate.`

func (a *app) statsDefineCommand() *cobra.Command {
	f := &statsDefineFlags{}
	c := verb("define", "Ask the fleet questions: make a task of statistics", statsDefineHelp,
		`  veilsum stats define --example > query.yaml
  veilsum stats define --file query.yaml --key owner.pem --store file:./store --task $TASK --owner owner.pub`, cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return a.statsDefine(ctx, f) })
	f.register(c)
	c.Flags().StringVarP(&f.file, "file", "f", "", "query file in YAML, - for standard input")
	c.Flags().StringVar(&f.key, "key", "", "the privacy owner's key file")
	c.Flags().StringVar(&f.base, "base", "", "task file in YAML that everything else is taken from, instead of --task")
	c.Flags().IntVar(&f.reports, "reports", 0, "vehicles to tell the standard errors for; default min_batch_size")
	c.Flags().BoolVar(&f.example, "example", false, "print a commented query file")
	c.Flags().BoolVar(&f.dryRun, "dry-run", false, "derive and show, publish nothing")
	return c
}

func (a *app) statsDefine(ctx context.Context, f *statsDefineFlags) error {
	if f.example {
		_, err := io.WriteString(a.stdout, exampleQuery)
		return err
	}
	raw, err := a.readInput(f.file, maxYAML)
	if err != nil {
		return err
	}
	q, err := readQueries(raw)
	if err != nil {
		return err
	}
	t, err := a.statsBase(ctx, f)
	if err != nil {
		return err
	}
	questions, notes, err := q.statistics()
	if err != nil {
		return err
	}
	if t.Name = q.Name; q.NoiseMultiplier != 0 {
		t.Privacy.NoiseMultiplier = q.NoiseMultiplier
	}
	if q.Batch != nil {
		t.Batch = *q.Batch
	}
	return a.signStatistics(ctx, &f.taskNewFlags, t, questions, f.reports, notes)
}

// statsBase returns the task that scope, batch, committee and roles come from.
func (a *app) statsBase(ctx context.Context, f *statsDefineFlags) (schema.Task, error) {
	if f.base != "" {
		return a.readTask(f.base)
	}
	o, err := f.open(ctx)
	if err != nil {
		if u := (*usageError)(nil); f.task == "" && errors.As(err, &u) {
			err = &usageError{Err: u.Err, Hint: "--task names a task whose budget scope and committee the questions share; --base takes a task file"}
		}
		return schema.Task{}, err
	}
	return o.plan.Task, nil
}

// signStatistics makes the task of the questions from another, signs and publishes it, and tells what it asks.
func (a *app) signStatistics(ctx context.Context, f *taskNewFlags, t schema.Task, questions *schema.Statistics, reports int, notes []string) error {
	key, err := a.readKey(f.key)
	if err != nil {
		return err
	}
	if own := schema.NewPublicKey(key); t.Owner.IsZero() {
		t.Owner = own
	} else if t.Owner != own {
		return fmt.Errorf("%w: --key is of %s, the task's owner is %s", pipeline.ErrKey, own, t.Owner)
	}
	if t, err = pipeline.Ask(t, questions); err != nil {
		return err
	}
	signed, err := schema.SignBody(t, key)
	if err != nil {
		return err
	}
	p, err := pipeline.NewPlan(t)
	if err != nil {
		return err
	}
	told, err := newQuestions(p, schema.NewTaskID(signed), reports)
	if err != nil {
		return err
	}
	for _, n := range notes {
		a.out.Info("%s", n)
	}
	if f.dryRun {
		a.out.Result(told)
		return nil
	}
	a.out.Event("questions", told)
	return a.publishTask(ctx, f, signed)
}

type statsShowFlags struct {
	taskFlags
	reports int
}

func (a *app) statsShowCommand() *cobra.Command {
	f := &statsShowFlags{}
	c := verb("show", "Show what a task asks of each vehicle", `Verifies a task of statistics and shows each query with the bound that one
vehicle's answer keeps, why, and the standard error of an answer under the noise
of --reports vehicles.`,
		"  veilsum stats show --store file:./store --task $TASK --owner owner.pub", cobra.NoArgs,
		func(ctx context.Context, _ []string) error {
			o, err := f.open(ctx)
			if err != nil {
				return err
			}
			told, err := newQuestions(o.plan, o.id, f.reports)
			if err != nil {
				return err
			}
			a.out.Result(told)
			return nil
		})
	f.register(c)
	c.Flags().IntVar(&f.reports, "reports", 0, "vehicles to tell the standard errors for; default min_batch_size")
	return c
}
