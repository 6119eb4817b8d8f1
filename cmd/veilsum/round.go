package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/collector"
	"github.com/veilsum/veilsum/schema"
)

func (a *app) roundCommand() *cobra.Command {
	return noun("round", "The collector's side of a round", a.roundOpenCommand(), a.roundCloseCommand(), a.roundProposeCommand(),
		a.roundCollectCommand(), a.roundMergeCommand(), a.roundStatusCommand(), a.roundAbortCommand())
}

// collectorFlags name the collector's key and a round.
type collectorFlags struct {
	roundFlags
	key string
}

func (f *collectorFlags) register(c *cobra.Command) *cobra.Command {
	f.acrossLanes(f.roundFlags.register(c))
	c.Flags().StringVar(&f.key, "key", "", "the collector's key file")
	must(c.MarkFlagRequired("key"))
	return c
}

func (f *collectorFlags) collector(a *app) (*collector.Collector, error) {
	key, err := a.readKey(f.key)
	if err != nil {
		return nil, err
	}
	return collector.New(key, nil)
}

// step opens everything a step of the collector needs, and does it in each of the command's rounds.
func (f *collectorFlags) step(ctx context.Context, a *app, do func(*collector.Collector, *opened, *pipeline.Round) error) error {
	c, err := f.collector(a)
	if err != nil {
		return err
	}
	o, err := f.open(ctx)
	if err != nil {
		return err
	}
	return a.eachRound(ctx, o, &f.roundFlags, func(r *pipeline.Round) error { return do(c, o, r) })
}

type openFlags struct {
	collectorFlags
	model    string
	snapshot string
	release  string
	stale    string
	oldest   uint64
	deadline time.Duration
	expires  time.Duration
	regions  string
}

func (a *app) roundOpenCommand() *cobra.Command {
	f := &openFlags{}
	c := f.register(verb("open", "Open a round", `Publishes the model and the signed descriptor of each lane of the epoch, or of
--lane, with every decryptor's round key. Vehicles may then seal for it. Repeating it changes nothing.
If the task adapts its clipping norm, the round's norm follows from the newest
round that is committed by now; open the epochs of a lane in their order.

--regions names a list "regions:" of name, aggregator (the public key that signs the
region's sum, or its file) and deadline (a time of RFC 3339 or as long from now, such as
45m; without it that of the round): see "veilsum region sync" and "region sum".`,
		"  veilsum round open --epoch 1 --model model.bin --key collector.pem --store file:./store --task $TASK --owner owner.pub",
		cobra.NoArgs, func(ctx context.Context, _ []string) error { return a.roundOpen(ctx, f) }))
	c.Flags().StringVar(&f.model, "model", "", "model file that vehicles start from; empty for none")
	c.Flags().StringVar(&f.release, "release", "", "serial number of the release whose model vehicles start from, or \"latest\", in place of --model")
	c.Flags().StringVar(&f.stale, "staleness", "", "\"inverse_sqrt\": an update from a model of s epochs before counts 1/sqrt(1+s); default: all count the same")
	c.Flags().StringVar(&f.snapshot, "snapshot", "", "root of the enrollment snapshot; default the newest in the store")
	c.Flags().Uint64Var(&f.oldest, "oldest-model", 0, "earliest epoch whose model is still accepted; default this epoch")
	c.Flags().DurationVar(&f.deadline, "deadline", time.Hour, "advice to vehicles: report within this time")
	c.Flags().StringVar(&f.regions, "regions", "", "YAML file with the round's regions; none: all vehicles report to --store")
	c.Flags().DurationVar(&f.expires, "expires", 0, "round keys expire after this time; default when the committee's keys do")
	return c
}

func (a *app) roundOpen(ctx context.Context, f *openFlags) error {
	if f.stale != "" && f.stale != schema.StalenessInverseSqrt {
		return usage("--staleness %q: want %q", f.stale, schema.StalenessInverseSqrt)
	}
	c, err := f.collector(a)
	if err != nil {
		return err
	}
	o, err := f.open(ctx)
	if err != nil {
		return err
	}
	if err := pipeline.Prepare(ctx, o.store); err != nil {
		return err
	}
	op := collector.Opening{OldestModel: f.epoch, Staleness: f.stale, Deadline: time.Now().Add(f.deadline)}
	if op.Release, err = releaseOf(ctx, o.store, o.id, f.release); err != nil {
		return err
	}
	if f.oldest > 0 {
		op.OldestModel = f.oldest
	}
	if f.expires > 0 {
		op.KeyExpiry = time.Now().Add(f.expires)
	}
	if f.model != "" {
		if op.Model, err = os.ReadFile(f.model); err != nil {
			return err
		}
	}
	if f.regions != "" {
		if op.Regions, err = a.readRegions(f.regions, time.Now(), op.Deadline); err != nil {
			return err
		}
	}
	if op.Snapshot, err = f.snapshotRoot(ctx, o); err != nil {
		return err
	}
	if err := a.eachLane(ctx, o, &f.roundFlags, func(n pipeline.RoundName) error {
		op.Name = n
		r, err := c.Open(ctx, o.store, o.plan, op)
		if err == nil {
			a.out.Result(newOpenResult(r))
		}
		return openHint(err)
	}); err != nil {
		return err
	}
	a.warnBudget(ctx, o)
	a.warnHandover(ctx, o)
	return nil
}

func openHint(err error) error {
	switch {
	case errors.Is(err, pipeline.ErrNotReady):
		return withHint(err, `that member's "committee serve" or "committee init --epochs" publishes its round keys; then run this again`)
	case errors.Is(err, pipeline.ErrTask):
		return withHint(err, "nothing was opened: look at --expires, and at the age of the committee's round keys; another epoch has other keys")
	}
	return err
}

// warnBudget tells before vehicles seal for nothing. It is advice: "round propose" decides.
func (a *app) warnBudget(ctx context.Context, o *opened) {
	charges, err := pipeline.LoadCharges(ctx, o.store, o.plan.Task.Scope, o.owner)
	if err != nil {
		return
	}
	if left, err := charges.RoundsLeft(o.plan); err == nil && left == 0 {
		a.out.Warn("the budget affords no further epoch: unless this epoch is charged already, the round can be opened but not proposed")
	}
}

// warnHandover tells before vehicles seal for a committee that votes no more.
func (a *app) warnHandover(ctx context.Context, o *opened) {
	if _, err := pipeline.LoadHandovers(ctx, o.store, o.plan); err == nil {
		a.out.Warn("the committee of this task has handed over and votes for no new list: open rounds of the task that \"veilsum task renew\" printed")
	}
}

func (f *openFlags) snapshotRoot(ctx context.Context, o *opened) (schema.Digest, error) {
	if f.snapshot != "" {
		root, err := schema.ParseDigest(f.snapshot)
		if err != nil {
			return root, usage("--snapshot: %w", err)
		}
		return root, nil
	}
	s, err := pipeline.NewestSnapshot(ctx, o.store, o.plan)
	if errors.Is(err, pipeline.ErrNotReady) {
		return schema.Digest{}, withHint(err, `"veilsum fleet enroll" makes a snapshot`)
	}
	if err != nil {
		return schema.Digest{}, err
	}
	return s.Root(), nil
}

type openResult struct {
	RoundID   schema.RoundID `json:"round_id"`
	Epoch     uint64         `json:"epoch"`
	Lane      uint32         `json:"lane"`
	Snapshot  schema.Digest  `json:"snapshot"`
	KeyExpiry int64          `json:"key_expiry"`
	// ClippingNorm and ClippingRound are those of the descriptor; only with adaptive clipping.
	ClippingNorm  float64         `json:"clipping_norm,omitempty"`
	ClippingRound *schema.RoundID `json:"clipping_round,omitempty"`
}

func newOpenResult(r *pipeline.Round) openResult {
	o := openResult{
		RoundID: r.ID, Epoch: r.Name.Epoch, Lane: r.Name.Lane, Snapshot: r.Descriptor.Snapshot, KeyExpiry: r.Descriptor.KeyExpiry,
		ClippingNorm: float64(r.Descriptor.ClippingNorm),
	}
	if from := r.Descriptor.ClippingRound; !from.IsZero() {
		o.ClippingRound = &from
	}
	return o
}

// Text implements ui.Result.
func (r openResult) Text() string {
	text := fmt.Sprintf("round %d-%d open: %s, keys expire %s\n", r.Epoch, r.Lane, r.RoundID, time.Unix(r.KeyExpiry, 0).UTC().Format(time.RFC3339))
	switch {
	case r.ClippingRound != nil:
		text += fmt.Sprintf("clipping norm %.6g, which follows from round %s\n", r.ClippingNorm, r.ClippingRound.Short())
	case r.ClippingNorm > 0:
		text += fmt.Sprintf("clipping norm %.6g, the task's: no round is committed yet\n", r.ClippingNorm)
	}
	return text
}

func (a *app) showReceipt(ctx context.Context, o *opened, r *pipeline.Round, rec schema.Receipt, out string, force bool) error {
	res, err := newReceiptResult(r, rec)
	if err != nil {
		return err
	}
	if out != "" && rec.Status == schema.StatusCommitted {
		_, b, err := collector.Published(ctx, o.store, r, rec)
		if err != nil {
			return err
		}
		if err := writeOnce(out, b, force); err != nil {
			return err
		}
		res.File = out
	}
	a.out.Result(res)
	if rec.Status == schema.StatusVoid {
		return withHint(fmt.Errorf("round %s is void: %s", r.Name, rec.Reason), "the round published nothing; open the next epoch")
	}
	return nil
}

func (a *app) roundStatusCommand() *cobra.Command {
	f := &roundFlags{}
	return f.acrossLanes(f.register(verb("status", "Show how far a round is", `Verifies and counts what the store holds of a round: reports, candidates,
checks, votes, answers, receipt.`, "  veilsum round status --epoch 1 --store file:./store --task $TASK --owner owner.pub", cobra.NoArgs,
		func(ctx context.Context, _ []string) error {
			o, err := f.open(ctx)
			if err != nil {
				return err
			}
			return a.eachRound(ctx, o, f, func(r *pipeline.Round) error {
				s, err := newStatus(ctx, o, r)
				if err == nil {
					a.out.Result(s)
				}
				return err
			})
		})))
}

func (a *app) roundAbortCommand() *cobra.Command {
	f := &collectorFlags{}
	var reason string
	c := f.register(verb("abort", "End a round without an aggregate", `Writes a void receipt. While nobody has voted nothing is charged. After a vote
the cost is final and only "round collect" can end the round, until its keys have expired.`,
		`  veilsum round abort --epoch 1 --reason "too few reports" --key collector.pem --store file:./store --task $TASK --owner owner.pub`, cobra.NoArgs,
		func(ctx context.Context, _ []string) error {
			return f.step(ctx, a, func(c *collector.Collector, o *opened, r *pipeline.Round) error {
				got, err := c.Abort(ctx, o.store, r, reason)
				if errors.Is(err, pipeline.ErrEnded) && got.Receipt.Status == schema.StatusVoid {
					err = nil // aborted before: the same outcome
				}
				if err != nil {
					return err
				}
				res, err := newReceiptResult(r, got.Receipt)
				if err != nil {
					return err
				}
				a.out.Result(res)
				return nil
			})
		}))
	c.Flags().StringVar(&reason, "reason", "aborted by the collector", "why, for the receipt")
	return c
}
