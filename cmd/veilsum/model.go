package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/client"
	"github.com/veilsum/veilsum/pipeline/releaser"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

func (a *app) modelCommand() *cobra.Command {
	return noun("model", "Signed releases of the model that vehicles run", a.modelReleaseCommand(), a.modelShowCommand(), a.modelVerifyCommand())
}

type releaseFlags struct {
	taskFlags
	key, model, out, note string
	rounds                []string
	bits, bases           int
	force                 bool
}

func (a *app) modelReleaseCommand() *cobra.Command {
	f := &releaseFlags{}
	c := f.register(verb("release", "Publish a model with its provenance and deltas", `Signs the next release of the task: the model's hash, the committed rounds that it
was made from with the hashes of their receipts, the epsilon that the scope has
spent by now, and a serial number one above the last, by which vehicles notice a
rollback. It also publishes deltas from the newest releases, which vehicles load in
place of the whole model; they give its bytes exactly. With --round-bits B the
model is put on a grid first that keeps B bits of the update since the last release:
4 bits cost some 5.5 bits a value and change the update by 3 % of its size, the
noise of the sum is far above that. Train on with the released bytes (--out).
The key is the task's "releaser", or the collector's if it names none. Repeating it
with the same model changes nothing.`,
		"  veilsum model release --model new.f32 --round-bits 4 --out released.f32 --key collector.pem --store file:./store --task $TASK --owner owner.pub",
		cobra.NoArgs, func(ctx context.Context, _ []string) error { return a.modelRelease(ctx, f) }))
	c.Flags().StringVar(&f.key, "key", "", "the key file of the releaser")
	c.Flags().StringVar(&f.model, "model", "", "the new model's file")
	c.Flags().StringVar(&f.out, "out", "", "also write the released bytes to this file")
	c.Flags().BoolVar(&f.force, "force", false, "overwrite --out")
	c.Flags().StringVar(&f.note, "note", "", "how the model was made, for people; at most 1024 bytes")
	c.Flags().StringArrayVar(&f.rounds, "round", nil, "EPOCH or EPOCH-LANE that went into the model, once for each; default: all committed rounds that no release names")
	c.Flags().IntVar(&f.bits, "round-bits", 0, "keep so many bits of the update, 1 to 24, of a model of raw float32 values; 0 keeps the model as it is")
	c.Flags().IntVar(&f.bases, "deltas", 1, "publish deltas from so many of the newest releases, 0 to 16")
	must(c.MarkFlagRequired("key"))
	must(c.MarkFlagRequired("model"))
	return c
}

func (a *app) modelRelease(ctx context.Context, f *releaseFlags) error {
	x := releaser.Publication{Bits: f.bits, Bases: f.bases, Note: f.note}
	var err error
	if x.Model, err = os.ReadFile(f.model); err != nil {
		return err
	}
	key, err := a.readKey(f.key)
	if err != nil {
		return err
	}
	o, err := f.open(ctx)
	if err != nil {
		return err
	}
	if x.Rounds, err = parseRounds(o.id, f.rounds); err != nil {
		return err
	}
	r, err := releaser.New(key)
	if err != nil {
		return err
	}
	done, err := r.Release(ctx, o.store, o.plan, o.id, x)
	if err != nil {
		return err
	}
	if f.out != "" {
		if err := writeOnce(f.out, done.Model, f.force); err != nil {
			return err
		}
	}
	a.out.Result(newReleaseResult(done.Release, done.ID, f.out))
	return nil
}

// parseRounds reads EPOCH or EPOCH-LANE; nil of none.
func parseRounds(task schema.TaskID, words []string) (names []pipeline.RoundName, err error) {
	for _, w := range words {
		epoch, lane, both := strings.Cut(w, "-")
		n := pipeline.RoundName{Task: task}
		n.Epoch, err = strconv.ParseUint(epoch, 10, 64)
		if err == nil && both {
			var l uint64
			l, err = strconv.ParseUint(lane, 10, 32)
			n.Lane = uint32(l)
		}
		if err != nil {
			return nil, &usageError{Err: fmt.Errorf("--round %q", w), Hint: "--round 7, or --round 7-2 for lane 2"}
		}
		names = append(names, n)
	}
	return names, nil
}

func (a *app) modelShowCommand() *cobra.Command {
	f := &taskFlags{}
	return f.register(verb("show", "Show the releases of a task", `Lists all releases of the task, each verified: signature, chain, and what it says of
the budget. "veilsum audit" recomputes what they state.`,
		"  veilsum model show --store file:./store --task $TASK --owner owner.pub", cobra.NoArgs,
		func(ctx context.Context, _ []string) error {
			o, err := f.open(ctx)
			if err != nil {
				return err
			}
			chain, err := releaser.Chain(ctx, o.store, o.plan, o.id)
			if err != nil {
				return err
			}
			res := chainResult{Key: o.plan.Task.ReleaseKey(), Releases: []releaseResult{}}
			for _, x := range chain {
				res.Releases = append(res.Releases, newReleaseResult(x.Body, x.ID(), ""))
			}
			a.out.Result(res)
			return nil
		}))
}

func (a *app) modelVerifyCommand() *cobra.Command {
	f := &taskFlags{}
	var model string
	c := f.register(verb("verify", "Find out whether a file is a released model", `Verifies the chain of releases with the receipts of their rounds, and looks for the one
whose model the file is: exit status 5 if there is none, or if anything on the way
does not verify.`,
		"  veilsum model verify --model model.f32 --store file:./store --task $TASK --owner owner.pub", cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return a.modelVerify(ctx, f, model) }))
	c.Flags().StringVar(&model, "model", "", "the model's file")
	must(c.MarkFlagRequired("model"))
	return c
}

func (a *app) modelVerify(ctx context.Context, f *taskFlags, path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	o, err := f.open(ctx)
	if err != nil {
		return err
	}
	chain, err := releaser.Chain(ctx, o.store, o.plan, o.id)
	if err != nil {
		return err
	}
	hash := schema.HashModel(b)
	for i := len(chain) - 1; i >= 0; i-- { // the newest of its releases
		if x := chain[i]; x.Body.Model == hash {
			if err := pipeline.CheckProvenance(ctx, o.store, o.plan, x.Body); err != nil {
				return err
			}
			a.out.Result(newReleaseResult(x.Body, x.ID(), path))
			return nil
		}
	}
	return fmt.Errorf("%w: %s is none of the %s of this task (its hash is %s)", errNotReleased, path, many(len(chain), "released model"), hash)
}

// errNotReleased: a file is no released model.
var errNotReleased = errors.New("not released")

type chainResult struct {
	Key      schema.PublicKey `json:"release_key"`
	Releases []releaseResult  `json:"releases"`
}

// Text implements ui.Result.
func (r chainResult) Text() string {
	if len(r.Releases) == 0 {
		return "no release\n"
	}
	text := ""
	for _, x := range r.Releases {
		text += x.Text()
	}
	return text
}

type releaseResult struct {
	Release schema.Digest  `json:"release_id"`
	Body    schema.Release `json:"release"`
	File    string         `json:"file,omitempty"`
}

func newReleaseResult(r schema.Release, id schema.Digest, file string) releaseResult {
	return releaseResult{Release: id, Body: r, File: file}
}

// Text implements ui.Result.
func (r releaseResult) Text() string {
	b := r.Body
	text := fmt.Sprintf("release %d: %s\n  model   %s, %d bytes\n", b.Serial, r.Release, b.Model, b.Size)
	for _, d := range b.Deltas {
		text += fmt.Sprintf("  delta   %d bytes (%.1f %% of the model) from %s\n", d.Size, 100*float64(d.Size)/float64(b.Size), d.Base.Short())
	}
	for _, x := range b.Rounds {
		text += fmt.Sprintf("  made of round %d-%d, receipt %s\n", x.Epoch, x.Lane, x.Receipt.Short())
	}
	text += fmt.Sprintf("  spent   epsilon %.4g at delta %g (%s, %s) over %d ledger entries\n", float64(b.Spent.Epsilon), float64(b.Spent.Delta), b.Spent.Relation, b.Spent.Unit, b.Spent.Entries)
	if b.Note != "" {
		text += "  note    " + strings.ReplaceAll(b.Note, "\n", "\n          ") + "\n"
	}
	return text
}

// releaseOf reads --release: a serial number or "latest".
func releaseOf(ctx context.Context, s storage.Store, id schema.TaskID, word string) (uint64, error) {
	switch word {
	case "":
		return 0, nil
	case "latest":
		n, err := pipeline.LatestRelease(ctx, s, id, 0)
		if err == nil && n == 0 {
			err = client.ErrNoRelease
		}
		return n, err
	}
	n, err := strconv.ParseUint(word, 10, 64)
	if err != nil || n == 0 {
		return 0, &usageError{Err: fmt.Errorf("--release %q", word), Hint: `a serial number, or "latest"`}
	}
	if _, err = s.Stat(ctx, pipeline.ReleaseKey(id, n)); errors.Is(err, storage.ErrNotExist) {
		err = fmt.Errorf("%w %d", client.ErrNoRelease, n)
	}
	return n, err
}
