package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/veilsum/veilsum/cmd/internal/keyfile"
	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/decryptor"
	"github.com/veilsum/veilsum/pipeline/state"
	"github.com/veilsum/veilsum/schema"
)

func (a *app) committeeCommand() *cobra.Command {
	return noun("committee", "One decryptor's side of a round", a.committeeInitCommand(), a.committeeCheckCommand(), a.committeeVoteCommand(), a.committeeAnswerCommand(),
		a.committeeServeCommand(), a.committeeStatusCommand(), a.committeeEraseCommand(), a.committeeHandoverCommand())
}

type initFlags struct {
	taskFlags
	stateFlags
	epochs string
	expire time.Duration

	recipients []string
}

func (a *app) committeeInitCommand() *cobra.Command {
	f := &initFlags{}
	c := f.taskFlags.register(verb("init", "Make a decryptor's identity, or publish its round keys", `Without --epochs: makes the decryptor's signing key in --state, if there is
none, and prints the public key for the task file; --recipient or
--passphrase-file encrypts it. With --epochs: makes the
round keys of these epochs, in all lanes, and publishes them. Repeating it
publishes the same keys. The directory must be on durable storage and must
never be restored from a backup: a decryptor that forgot its vote counts as malicious.`,
		`  veilsum committee init --state d0
  veilsum committee init --state d0 --epochs 1-20 --expires 720h --store file:./store --task $TASK --owner owner.pub`,
		cobra.NoArgs, func(ctx context.Context, _ []string) error { return a.committeeInit(ctx, f) }))
	f.stateFlags.register(c)
	c.Flags().StringVar(&f.epochs, "epochs", "", "epochs to make round keys for, as FIRST-LAST")
	c.Flags().DurationVar(&f.expire, "expires", 30*24*time.Hour, "life of the round keys; then they are erased")
	recipientFlag(c, &f.recipients)
	return c
}

func (a *app) committeeInit(ctx context.Context, f *initFlags) error {
	path := filepath.Join(f.state, identityFile)
	var key ed25519.PrivateKey
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		if err := keyfile.MakeDir(f.state); err != nil {
			return err
		}
		if key, err = a.newKey(path, f.recipients, false); err != nil {
			return err
		}
	}
	if f.epochs == "" {
		var err error
		if key == nil {
			key, err = a.readKey(path)
		}
		if err != nil {
			return err
		}
		a.out.Result(publicResult{schema.NewPublicKey(key)})
		return nil
	}
	first, last, err := parseEpochs(f.epochs)
	if err != nil {
		return err
	}
	if f.expire <= 0 {
		return usage("--expires %s: want a time above 0", f.expire)
	}
	return a.publishKeys(ctx, f, first, last)
}

// maxEpochs bounds the round keys made in one call.
const maxEpochs = 10000

func parseEpochs(s string) (first, last uint64, err error) {
	from, to, ok := strings.Cut(s, "-")
	if !ok {
		to = from
	}
	first, err1 := strconv.ParseUint(from, 10, 64)
	last, err2 := strconv.ParseUint(to, 10, 64)
	if err1 != nil || err2 != nil || last < first || last-first >= maxEpochs {
		return 0, 0, usage("--epochs %q: want FIRST-LAST, at most %d epochs", s, maxEpochs)
	}
	return first, last, nil
}

func (a *app) publishKeys(ctx context.Context, f *initFlags, first, last uint64) error {
	return a.seated(ctx, &f.stateFlags, &f.taskFlags, func(d *decryptor.Decryptor, o *opened) error {
		n, err := d.PublishKeys(ctx, o.store, o.id, first, last, time.Now().Add(f.expire))
		if err != nil {
			return err
		}
		k, err := d.Index(o.plan)
		if err != nil {
			return err
		}
		a.out.Result(keysResult{Index: k, Keys: n})
		return nil
	})
}

type keysResult struct {
	Index int `json:"index"`
	Keys  int `json:"round_keys"`
}

// Text implements ui.Result.
func (r keysResult) Text() string {
	return fmt.Sprintf("decryptor %d: %d round keys published\n", r.Index, r.Keys)
}

// seated opens a decryptor and a task for a step outside of rounds. It erases expired keys first, and goes
// on only if nothing was restored from a backup.
func (a *app) seated(ctx context.Context, state *stateFlags, task *taskFlags, step func(*decryptor.Decryptor, *opened) error) error {
	d, closeState, err := a.openMember(state, task)
	if err != nil {
		return err
	}
	defer closeState()
	o, err := task.open(ctx)
	if err != nil {
		return err
	}
	if err := d.CheckRecord(ctx, o.store, o.id, o.plan); err != nil {
		return err
	}
	return step(d, o)
}

// memberFlags name a decryptor and a round.
type memberFlags struct {
	roundFlags
	stateFlags
	candidates string
}

func (f *memberFlags) register(c *cobra.Command) *cobra.Command {
	f.acrossLanes(f.roundFlags.register(c))
	f.stateFlags.register(c)
	return c
}

// member opens everything a step of a decryptor needs, and does it in each of the command's rounds. It erases expired keys first, and goes
// on only if nothing was restored from a backup.
func (a *app) member(ctx context.Context, f *memberFlags, step func(*decryptor.Decryptor, *opened, *pipeline.Round) error) error {
	d, closeState, err := a.openMember(&f.stateFlags, &f.taskFlags)
	if err != nil {
		return err
	}
	defer closeState()
	o, err := f.open(ctx)
	if err != nil {
		return err
	}
	if err := f.single(o, "--candidates", f.candidates); err != nil {
		return err
	}
	if err := d.CheckRecord(ctx, o.store, o.id, o.plan); err != nil {
		return err
	}
	return a.eachRound(ctx, o, &f.roundFlags, func(r *pipeline.Round) error { return step(d, o, r) })
}

func (a *app) committeeCheckCommand() *cobra.Command {
	f := &memberFlags{}
	c := f.register(verb("check", "Check the candidate reports of a round", `Verifies header, signature, enrollment, lane, participation and this
decryptor's own box of every candidate report, remembers the accepted ones,
and publishes the signed refusals. Reports are not decrypted by this.`,
		"  veilsum committee check --state d0 --epoch 1 --store file:./store --task $TASK --owner owner.pub", cobra.NoArgs,
		func(ctx context.Context, _ []string) error {
			return a.member(ctx, f, func(d *decryptor.Decryptor, o *opened, r *pipeline.Round) error { return a.check(ctx, f, d, o, r) })
		}))
	c.Flags().StringVar(&f.candidates, "candidates", "", "candidate list to check; default the largest whose reports are all there")
	return c
}

func (a *app) check(ctx context.Context, f *memberFlags, d *decryptor.Decryptor, o *opened, r *pipeline.Round) error {
	if err := pipeline.Ended(ctx, o.store, r); err != nil {
		return err
	}
	id, err := candidatesOf(ctx, o, r, f.candidates)
	if err != nil {
		return err
	}
	c, err := d.Check(ctx, o.store, r, id, a.progress("reports checked"))
	if err != nil {
		return err
	}
	if len(c.Refused) > 0 {
		a.code = exitRefused
	}
	a.out.Result(checkResult{Candidates: id, Accepted: c.Accepted, Refused: refusals(c.Refused)})
	return nil
}

// candidatesOf returns the named list, or the one that everybody takes for frozen.
func candidatesOf(ctx context.Context, o *opened, r *pipeline.Round, name string) (schema.Digest, error) {
	if name != "" {
		id, err := schema.ParseDigest(name)
		if err != nil {
			return id, usage("--candidates: %w", err)
		}
		return id, nil
	}
	id, n, err := pipeline.FrozenCandidates(ctx, o.store, r)
	if err == nil && n == 0 {
		err = withHint(fmt.Errorf("%w: round %s has no candidate list", pipeline.ErrNotReady, r.Name), `the collector freezes it with "veilsum round close"`)
	}
	return id, err
}

func refusals(r []schema.Refusal) []schema.Refusal {
	if r == nil {
		return []schema.Refusal{}
	}
	return r
}

type checkResult struct {
	Candidates schema.Digest    `json:"candidates"`
	Accepted   int              `json:"accepted"`
	Refused    []schema.Refusal `json:"refused"`
}

// Text implements ui.Result.
func (r checkResult) Text() string {
	return fmt.Sprintf("accepted %d, refused %d reports\n", r.Accepted, len(r.Refused)) + refusalLines(r.Refused)
}

func refusalLines(all []schema.Refusal) string {
	b := &strings.Builder{}
	for _, r := range all {
		fmt.Fprintf(b, "refused %s %s\n", r.Report, r.Reason)
	}
	return b.String()
}

func (a *app) committeeVoteCommand() *cobra.Command {
	f := &memberFlags{}
	return f.register(verb("vote", "Vote for the proposed list", `Votes, once in the life of the round key, for a manifest whose every report
this decryptor accepted and whose reservation stays within budget and limits.
The vote is durable before it is sent; asked again, the same vote is sent.`,
		"  veilsum committee vote --state d0 --epoch 1 --store file:./store --task $TASK --owner owner.pub", cobra.NoArgs,
		func(ctx context.Context, _ []string) error {
			return a.member(ctx, f, func(d *decryptor.Decryptor, o *opened, r *pipeline.Round) error {
				v, err := d.Vote(ctx, o.store, r)
				if err != nil {
					return err
				}
				a.out.Result(voteResult{Index: v.Index, Manifest: v.Manifest, Checkpoint: v.Checkpoint})
				return nil
			})
		}))
}

type voteResult struct {
	Index      int               `json:"index"`
	Manifest   schema.ManifestID `json:"manifest"`
	Checkpoint schema.Digest     `json:"checkpoint"`
}

// Text implements ui.Result.
func (r voteResult) Text() string {
	return fmt.Sprintf("decryptor %d voted for manifest %s\n", r.Index, r.Manifest)
}

func (a *app) committeeAnswerCommand() *cobra.Command {
	f := &memberFlags{}
	return f.register(verb("answer", "Answer for the certified list", `When enough decryptors voted for the list this one voted for, sends its share
of the opening. Key and seeds are destroyed in the same durable write that
stores the answer; asked again, the same answer is sent.`,
		"  veilsum committee answer --state d0 --epoch 1 --store file:./store --task $TASK --owner owner.pub", cobra.NoArgs,
		func(ctx context.Context, _ []string) error {
			return a.member(ctx, f, func(d *decryptor.Decryptor, o *opened, r *pipeline.Round) error {
				x, err := d.Answer(ctx, o.store, r, a.progress("reports added"))
				if err != nil {
					return err
				}
				a.out.Result(answerResult{Index: x.Index, Manifest: x.Manifest})
				return nil
			})
		}))
}

type answerResult struct {
	Index    int               `json:"index"`
	Manifest schema.ManifestID `json:"manifest"`
}

// Text implements ui.Result.
func (r answerResult) Text() string {
	return fmt.Sprintf("decryptor %d answered for manifest %s; its round key is erased\n", r.Index, r.Manifest)
}

func (a *app) committeeEraseCommand() *cobra.Command {
	var path string
	c := verb("erase", "Destroy the round keys that have expired", `Destroys keys and seeds of every round whose key has expired by this machine's
clock. It needs no store and no key: run it from cron, so that a store or a collector that
goes silent cannot keep keys alive. Every other committee command does it first, too.`,
		"  veilsum committee erase --state d0", cobra.NoArgs, func(context.Context, []string) error {
			dir, err := state.Open(path)
			if err != nil {
				return err
			}
			defer dir.Close()
			n, err := decryptor.Erase(dir, time.Now)
			a.out.Result(eraseResult{n})
			return err
		})
	c.Flags().StringVar(&path, "state", "", "the decryptor's directory")
	must(c.MarkFlagRequired("state"))
	return c
}

type eraseResult struct {
	Erased int `json:"erased"`
}

// Text implements ui.Result.
func (r eraseResult) Text() string { return fmt.Sprintf("%d expired round keys erased\n", r.Erased) }
