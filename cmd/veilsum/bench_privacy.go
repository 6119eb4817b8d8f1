package main

import (
	"context"
	"math"
	"os"

	"github.com/spf13/cobra"

	"github.com/veilsum/veilsum/privacy/accountant"
	"github.com/veilsum/veilsum/privacy/privacybench"
)

const benchPrivacyHelp = `Measures the accountants, the sampler of the noise and the ledger on this machine. Times are
processor time at GOMAXPROCS=1, medians of interleaved runs. It needs 2 GB for the
ledger of a million entries and takes about a minute on a quiet core.

The query is 1e5 steps (1e3 where named) of a Gaussian of noise multiplier 1.2 on a Poisson sample of
0.005, add_remove, delta 1e-7; inverse_tight finds the noise multiplier of 1000 steps at
0.01 for epsilon 2; would_exceed asks an account with 1000 steps about one more. pld_error compares the upper bound
with the closed formula of the Gaussian mechanism at delta 1e-15, relative. ledger_audit reads
a log of reservations and settlements from full bundles in memory, recomputes tree and epsilon.

--python names a Python that has dp_accounting 0.6.0 and, if it is to be compared, prv_accountant 0.2.0
(or VEILSUM_ORACLES): the same query there and here in turn; a ratio says how many times more it
costs there. Interpreter start and imports are not counted.

A missed target is printed as such and changes the exit status only with --check.`

func (a *app) benchPrivacyCommand() *cobra.Command {
	f := &benchFlags{privacy: true}
	c := verb("privacy", "Measure accountants, noise and ledger against their targets", benchPrivacyHelp,
		"  veilsum bench privacy\n  veilsum bench privacy --only rdp_query,tight_query_1e5 --json\n  veilsum bench privacy --python ./oracles/bin/python --check", cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return a.bench(ctx, f, fullBench) })
	c.Flags().StringSliceVar(&f.only, "only", nil, "figures to show, by name (default all)")
	c.Flags().BoolVar(&f.check, "check", false, "exit with status 1 if a target is missed")
	c.Flags().StringVar(&f.python, "python", os.Getenv("VEILSUM_ORACLES"), "a Python with dp_accounting and prv_accountant (VEILSUM_ORACLES)")
	return c
}

func privacyGroups(others bool) []benchGroup {
	all := []benchGroup{
		{"the accountants", []benchFigure{
			{"rdp_query", "ms", "<=", 1},
			{"tight_query_1e3", "ms", "<=", 50},
			{"tight_query_1e5", "ms", "<=", 50},
			{"would_exceed", "ms", "<=", 1},
		}, (*bench).measureAccountants},
		{"the inverse", []benchFigure{{"inverse_tight", "ms", "<=", 1000}}, (*bench).measureInverse},
		{"small deltas", []benchFigure{
			{"pld_error_delta_1e-15", "relative", "<=", 1e-6},
			{"pld_error_delta_1e-15_1000_rounds", "relative", "<=", 1e-6},
		}, (*bench).measureSmallDelta},
		{"the sampler", []benchFigure{{"discrete_gaussian_sigma_10", "million/s", ">=", 10}}, (*bench).measureSampler},
		{"the ledger", []benchFigure{
			{"ledger_audit", "s", "<=", 5},
			{"ledger_audit_ns_per_entry", "ns", "", 0},
		}, (*bench).measureLedger},
	}
	if others {
		all = append(all, othersGroup())
	}
	return all
}

// benchTraining is the usual long case: steps of a sampled Gaussian.
func benchTraining(steps int64, q, z float64) accountant.Event {
	inner := accountant.Event{Type: accountant.Gaussian, NoiseMultiplier: z}
	return accountant.Repeat(accountant.Event{Type: accountant.Poisson, SamplingProbability: q, Event: &inner}, steps)
}

// benchDelta is the delta of the queries.
const benchDelta = 1e-7

// ask is one query from nothing.
func ask(a accountant.Accountant, err error, steps int64) error {
	if err != nil {
		return err
	}
	if err := a.Compose(benchTraining(steps, 0.005, 1.2), 1); err != nil {
		return err
	}
	_, err = a.Epsilon(benchDelta)
	return err
}

func askRDP() error {
	r, err := accountant.NewRDP(accountant.AddRemove)
	return ask(r, err, 100_000)
}

func askPLD(steps int64) func() error {
	return func() error {
		p, err := accountant.NewPLD(accountant.AddRemove)
		return ask(p, err, steps)
	}
}

func (b *bench) measureAccountants(ctx context.Context) error {
	budget, err := accountant.NewBudget(8, 1e-6, accountant.AddRemove)
	if err != nil {
		return err
	}
	if err := budget.Spend(benchTraining(1000, 0.005, 1.2), 1); err != nil {
		return err
	}
	const many = 20 // queries a run: the clock counts in microseconds
	rdp, short, long := timerOf(times(many, askRDP)), timerOf(askPLD(1000)), timerOf(askPLD(100_000))
	exceed := timerOf(times(many, func() error {
		_, err := budget.WouldExceed(benchTraining(1, 0.005, 1.2), 1)
		return err
	}))
	if err := interleave(ctx, b.sizes.reps, rdp, short, long, exceed); err != nil {
		return err
	}
	b.put("rdp_query", rdp.per(many)/1e6)
	b.put("tight_query_1e3", short.per(1)/1e6)
	b.put("tight_query_1e5", long.per(1)/1e6)
	b.put("would_exceed", exceed.per(many)/1e6)
	return nil
}

func (b *bench) measureInverse(ctx context.Context) error {
	inverse := timerOf(func() error {
		_, err := accountant.CalibrateTight(func(z float64) ([]accountant.Event, error) {
			return []accountant.Event{benchTraining(1000, 0.01, z)}, nil
		}, 2, 1e-6, accountant.AddRemove)
		return err
	})
	if err := interleave(ctx, max(1, b.sizes.reps/3), inverse); err != nil {
		return err
	}
	b.put("inverse_tight", inverse.per(1)/1e6)
	return nil
}

// measureSmallDelta compares losses composed on a grid with the formula of the Gaussian mechanism.
func (b *bench) measureSmallDelta(context.Context) error {
	for _, c := range []struct {
		name  string
		steps int64
		z     float64
	}{{"pld_error_delta_1e-15", 1, 1}, {"pld_error_delta_1e-15_1000_rounds", 1000, 20}} {
		exact, err := accountant.NewExact(accountant.AddRemove)
		if err != nil {
			return err
		}
		pld, err := accountant.NewPLD(accountant.AddRemove)
		if err != nil {
			return err
		}
		e := accountant.Event{Type: accountant.Gaussian, NoiseMultiplier: c.z}
		if err := exact.Compose(e, c.steps); err != nil {
			return err
		}
		if err := pld.Compose(e, c.steps); err != nil {
			return err
		}
		want, err := exact.Epsilon(1e-15)
		if err != nil {
			return err
		}
		got, err := pld.Epsilon(1e-15)
		if err != nil {
			return err
		}
		b.put(c.name, math.Abs(got/want-1))
	}
	return nil
}

func (b *bench) measureSampler(ctx context.Context) error {
	d, err := privacybench.NewDraws(10)
	if err != nil {
		return err
	}
	t := timerOf(func() error { d.Take(b.sizes.draws); return nil })
	if err := interleave(ctx, b.sizes.reps, t); err != nil {
		return err
	}
	b.put("discrete_gaussian_sigma_10", 1e3/t.per(b.sizes.draws))
	return nil
}
