package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/decryptor"
	"github.com/veilsum/veilsum/schema"
)

type handoverFlags struct {
	taskFlags
	stateFlags
	size int64
}

func (a *app) committeeHandoverCommand() *cobra.Command {
	f := &handoverFlags{}
	c := f.taskFlags.register(verb("handover", "Vote no more, so that the committee can be replaced", `Ends this decryptor's part in the task's committee for good, in all tasks of
the BudgetScope: it casts no new vote with this committee, and signs which
checkpoint of the ledger holds all that it voted for. Rounds that it voted in
are still answered. When n_c - t + f + 1 members (3 of 4 by default) have
handed over at one checkpoint, "veilsum task renew" makes a task with another
committee. If they named different ones, run this again: it takes the largest.`,
		"  veilsum committee handover --state d0 --store file:./store --task $TASK --owner owner.pub", cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return a.committeeHandover(ctx, f) }))
	f.stateFlags.register(c)
	c.Flags().Int64Var(&f.size, "size", 0, "entries of the ledger to hand over at; default the most that another member named, or all")
	return c
}

func (a *app) committeeHandover(ctx context.Context, f *handoverFlags) error {
	if f.size < 0 {
		return usage("--size %d: want a number of entries", f.size)
	}
	return a.seated(ctx, &f.stateFlags, &f.taskFlags, func(d *decryptor.Decryptor, o *opened) error {
		h, err := d.Handover(ctx, o.store, o.plan, f.size)
		if err != nil {
			return err
		}
		a.out.Result(handoverResult{Index: h.Index, Size: h.Size, Root: h.Root, Committee: h.Committee})
		return nil
	})
}

type handoverResult struct {
	Index     int           `json:"index"`
	Size      int64         `json:"size"`
	Root      schema.Digest `json:"root"`
	Committee schema.Digest `json:"committee"`
}

// Text implements ui.Result.
func (r handoverResult) Text() string {
	return fmt.Sprintf("decryptor %d handed over at %d entries of the ledger (root %s); it votes no more with this committee\n", r.Index, r.Size, r.Root.Short())
}

type renewFlags struct {
	taskFlags
	key     string
	replace []string
	dryRun  bool
}

func (a *app) taskRenewCommand() *cobra.Command {
	f := &renewFlags{}
	c := f.register(verb("renew", "Replace a lost decryptor", `Signs and publishes a new task that goes on in the BudgetScope of --task with
another committee: same model, privacy, budget and ledger, other decryptors.
The old committee has to hand over first ("veilsum committee handover"); what
it was charged stays charged. Prints the new TaskID. The decryptors of the new
task, also those that stay, then publish round keys for it, and vehicles are
told the new TaskID; their own counts of participations go on.`,
		`  veilsum committee init --state new3                       # prints the new public key
  veilsum task renew --replace 3=PUBLICKEY --key owner.pem --store file:./store --task $TASK --owner owner.pub`, cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return a.taskRenew(ctx, f) }))
	c.Flags().StringVar(&f.key, "key", "", "the privacy owner's key file")
	c.Flags().StringArrayVar(&f.replace, "replace", nil, "INDEX=PUBLICKEY of a decryptor's seat, hexadecimal or a file; repeat it for more")
	c.Flags().BoolVar(&f.dryRun, "dry-run", false, "verify and show, publish nothing")
	must(c.MarkFlagRequired("key"))
	must(c.MarkFlagRequired("replace"))
	return c
}

func (a *app) taskRenew(ctx context.Context, f *renewFlags) error {
	o, err := f.open(ctx)
	if err != nil {
		return err
	}
	key, err := a.readKey(f.key)
	if err != nil {
		return err
	}
	if own := schema.NewPublicKey(key); own != o.owner {
		return fmt.Errorf("%w: --key is of %s, the task's owner is %s", pipeline.ErrKey, own, o.owner)
	}
	next, err := replaceSeats(o.plan.Task.Committee, f.replace)
	if err != nil {
		return err
	}
	t, err := renewed(ctx, o, next)
	if err != nil {
		return err
	}
	signed, err := schema.SignBody(t, key)
	if err != nil {
		return err
	}
	return a.publishTask(ctx, &taskNewFlags{taskFlags: f.taskFlags, dryRun: f.dryRun}, signed)
}

// renewed makes the task from the handovers in the store, and compares them with the ledger: an
// owner who signed another line would stop the scope.
func renewed(ctx context.Context, o *opened, next schema.Committee) (schema.Task, error) {
	handovers, err := pipeline.LoadHandovers(ctx, o.store, o.plan)
	if err != nil {
		return schema.Task{}, withHint(err, `members hand over with "veilsum committee handover"; if they named different checkpoints, run it once more on those that named the smaller`)
	}
	t, err := pipeline.Renew(o.plan, next, handovers)
	if err != nil {
		return t, err
	}
	p, err := pipeline.NewPlan(t)
	if err != nil {
		return t, err
	}
	l, err := pipeline.OpenLedger(ctx, o.store, t.Scope, o.owner, nil)
	if err != nil {
		return t, err
	}
	if err := errors.Join(l.Continues(o.plan), l.Continues(p)); err != nil {
		return t, err
	}
	return t, onlyRenewal(ctx, o, t.Committee)
}

// onlyRenewal refuses to replace one committee by two: together they could spend more than the budget.
func onlyRenewal(ctx context.Context, o *opened, next schema.Committee) error {
	other, err := pipeline.OtherRenewal(ctx, o.store, o.plan, next)
	if err != nil || other == nil {
		return err
	}
	return withHint(fmt.Errorf("%w: task %s replaced this committee already, by another one than this", pipeline.ErrTask, other),
		"go on with that task; to replace its committee, too, let that one hand over first")
}

// replaceSeats gives seats of a committee to other keys.
func replaceSeats(c schema.Committee, replace []string) (schema.Committee, error) {
	c.Keys = slices.Clone(c.Keys)
	for _, s := range replace {
		seat, text, ok := strings.Cut(s, "=")
		k, err := strconv.Atoi(seat)
		if !ok || err != nil || k < 0 || k >= len(c.Keys) {
			return c, usage("--replace %.80q: want INDEX=PUBLICKEY with an index of 0 to %d", s, len(c.Keys)-1)
		}
		key, err := readPublic(text)
		if u := (*usageError)(nil); errors.As(err, &u) {
			return c, &usageError{Err: fmt.Errorf("--replace %d: %w", k, u.Err), Hint: u.Hint}
		}
		if err != nil {
			return c, usage("--replace %d: %w", k, err)
		}
		c.Keys[k] = key
	}
	return c, nil
}
