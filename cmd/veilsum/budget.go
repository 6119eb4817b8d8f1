package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/privacy/accountant"
)

func (a *app) budgetCommand() *cobra.Command {
	f := &taskFlags{}
	return noun("budget", "What the privacy budget has been spent on", f.register(verb("show", "Show the budget of the task's scope",
		`Counts every reservation of the BudgetScope, over all its tasks, and recomputes
epsilon from the recorded events: one charge for each (task, epoch), whatever
became of the round. Until the ledger exists this holds against crashes, not against a
collector that hides reservations from the store.`,
		"  veilsum budget show --store file:./store --task $TASK --owner owner.pub", cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return a.budgetShow(ctx, f) })))
}

func (a *app) budgetShow(ctx context.Context, f *taskFlags) error {
	o, err := f.open(ctx)
	if err != nil {
		return err
	}
	c, err := pipeline.LoadCharges(ctx, o.store, o.plan.Task.Scope, o.owner)
	if err != nil {
		return err
	}
	spent, err := c.Guarantee()
	if err != nil {
		return err
	}
	left, err := c.RoundsLeft(o.plan)
	if err != nil {
		return err
	}
	a.out.Result(budgetResult{
		Scope: o.plan.Task.Scope.Name, Epochs: c.Epochs(), Spent: spent, Allowed: float64(o.plan.Task.Scope.Epsilon), RoundsLeft: left,
	})
	return nil
}

type budgetResult struct {
	Scope      string               `json:"scope"`
	Epochs     int                  `json:"epochs_charged"`
	Spent      accountant.Guarantee `json:"spent"`
	Allowed    float64              `json:"epsilon_allowed"`
	RoundsLeft int64                `json:"rounds_left"` // more epochs of this task
}

// Text implements ui.Result.
func (r budgetResult) Text() string {
	return fmt.Sprintf("scope %q: %d epochs charged\nspent    %s\nallowed  epsilon %g at delta %g\nleft     %d more epochs of this task\n",
		r.Scope, r.Epochs, r.Spent, r.Allowed, r.Spent.Delta, r.RoundsLeft)
}
