package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/privacy/accountant"
	"github.com/veilsum/veilsum/privacy/ledger"
)

func (a *app) budgetCommand() *cobra.Command {
	f := &budgetFlags{}
	show := f.register(verb("show", "Show the budget of the task's scope",
		`Reads and verifies the ledger of the BudgetScope, over all its tasks, and
recomputes epsilon from the recorded events: one charge for each (task, epoch), whatever
became of the round, unless it was aborted before any vote.

Nobody can see that a whole ledger was replaced or rolled back without a checkpoint that
was kept elsewhere: --remember keeps the last one in a file, and refuses a ledger that does
not continue it.`,
		"  veilsum budget show --store file:./store --task $TASK --owner owner.pub --remember budget.checkpoint", cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return a.budgetShow(ctx, f) }))
	show.Flags().StringVar(&f.remember, "remember", "", "file that keeps the last checkpoint of the ledger")
	return noun("budget", "What the privacy budget has been spent on", show, a.budgetPlanCommand(), a.budgetAccountCommand())
}

type budgetFlags struct {
	taskFlags
	remember string
}

func (a *app) budgetShow(ctx context.Context, f *budgetFlags) error {
	o, err := f.open(ctx)
	if err != nil {
		return err
	}
	kept, err := readCheckpoint(f.remember)
	if err != nil {
		return err
	}
	l, err := pipeline.OpenLedger(ctx, o.store, o.plan.Task.Scope, o.owner, nil)
	if err != nil {
		return err
	}
	audit, err := l.Audit(ctx, kept)
	if err != nil {
		return err
	}
	result, err := budgetOf(ctx, l, o.plan)
	if err != nil {
		return err
	}
	result.Ledger = ledgerResult{Size: audit.Head.Size, Root: audit.Head.Root.String(), Checkpoint: audit.Head.ID().String(), Unsigned: audit.Unsigned}
	if audit.Head.Size == 1 {
		result.Ledger.Unsigned = 0 // the opening entry follows from the scope, and nobody signs it
	}
	a.out.Result(*result)
	return writeCheckpoint(f.remember, audit.Head)
}

func budgetOf(ctx context.Context, l *pipeline.Ledger, p *pipeline.Plan) (*budgetResult, error) {
	c, err := l.Charges(ctx)
	if err != nil {
		return nil, err
	}
	spent, err := c.Guarantee()
	if err != nil {
		return nil, err
	}
	left, err := c.RoundsLeft(p)
	return &budgetResult{
		Scope: p.Task.Scope.Name, Epochs: c.Epochs(), Spent: spent, Allowed: float64(p.Task.Scope.Epsilon), RoundsLeft: left,
	}, err
}

// readCheckpoint reads what an earlier call kept; none if there is no file yet.
func readCheckpoint(name string) (ledger.Checkpoint, error) {
	if name == "" {
		return ledger.Checkpoint{}, nil
	}
	b, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return ledger.Checkpoint{}, nil
	}
	if err != nil {
		return ledger.Checkpoint{}, err
	}
	c, err := ledger.ParseCheckpoint(string(b))
	if err != nil {
		return c, usage("--remember %s: %w", name, err)
	}
	return c, nil
}

// writeCheckpoint replaces the file whole: a process that is killed here leaves the older checkpoint.
func writeCheckpoint(name string, c ledger.Checkpoint) error {
	if name == "" {
		return nil
	}
	return writeFile(name, []byte(c.Text()), 0o644, true)
}

type budgetResult struct {
	Scope      string               `json:"scope"`
	Epochs     int                  `json:"epochs_charged"`
	Spent      accountant.Guarantee `json:"spent"`
	Allowed    float64              `json:"epsilon_allowed"`
	RoundsLeft int64                `json:"rounds_left"` // more epochs of this task
	Ledger     ledgerResult         `json:"ledger"`
}

// ledgerResult is the checkpoint of everything that was read.
type ledgerResult struct {
	Size       int64  `json:"size"`
	Root       string `json:"root"`
	Checkpoint string `json:"checkpoint"` // its identity, as votes name it
	Unsigned   int64  `json:"unsigned"`   // entries behind the newest signed checkpoint
}

// Text implements ui.Result.
func (r budgetResult) Text() string {
	text := fmt.Sprintf("scope %q: %s charged\nspent    %s\nallowed  epsilon %g at delta %g\nleft     %s of this task\nledger   %d entries, root %s\n",
		r.Scope, many(r.Epochs, "epoch"), r.Spent, r.Allowed, r.Spent.Delta, many(r.RoundsLeft, "more epoch"), r.Ledger.Size, r.Ledger.Root)
	if n := r.Ledger.Unsigned; n > 0 {
		text += fmt.Sprintf("warning  %d unsigned entries behind the newest signed checkpoint: a collector is at work, or died; \"round propose\" or \"round collect\" signs them\n", n)
	}
	return text
}
