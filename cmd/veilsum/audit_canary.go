package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/veilsum/veilsum/cmd/internal/ui"
	"github.com/veilsum/veilsum/pipeline/canaryround"
	"github.com/veilsum/veilsum/privacy/canary"
	"github.com/veilsum/veilsum/storage"
	"github.com/veilsum/veilsum/storage/dir"
	"github.com/veilsum/veilsum/storage/mem"
)

// canaryFlags are the flags of "veilsum audit canary".
type canaryFlags struct {
	config     canaryround.Config
	guesses    int
	confidence float64
	runs       int
	clear      bool
	out        string
}

const canaryHelp = `Attacks one round of its own, and compares what the attack shows with a claim. Every
canary is a made-up vehicle: a fair coin decides whether its update is the longest
allowed one, on a value of its own, or zero. (The claim is about the zero-out
relation, and so are the coins.) The coins are recorded before anything is
sealed. The round is played through every role: task with the least noise that
gives the claim, encoding, sealing, committee, ledger, opening. Then the vehicles
whose values are the highest in the opened sum are guessed to be in and those
of the lowest to be out, --guesses in all.

epsilon_lower_bound is what the right guesses prove with the stated confidence
(Steinke, Nasr and Jagielski 2023); it assumes nothing about the noise. The
tighter bound (Mahloujifar, Melis and Chaudhuri 2024) ASSUMES that the mechanism's
trade-off function is a Gaussian's, and is labeled so. If one of them is above
the claim, the status is 5, and what was built must not be released. A bound below
the claim proves nothing: it is one attack, which was not good enough.

--weaken 0.5 shows the audit at work: it signs a task with half the noise that the
claim needs, and must end with status 5. With the defaults the bound with the
assumption finds that in all but 2 of 10^7 runs and the other in 95 of 100; right noise is
refuted in 6 of 10^6 (privacy/canary/CANARY.md). Fewer canaries find less: try them with --weaken.

--clear leaves out sealing, boxes, signatures, committee, store and ledger, and keeps
what the claim rests on: encoder, every vehicle's own noise, sum modulo Q, decoding.

20,000 canaries need two minutes of processor time and 2.4 GB of memory, or with --out 1 GB on disk; with
--clear 13 seconds and hardly any memory. All of it grows with the square. With --out the store is
OUT/store, which "veilsum audit" then verifies, and OUT/state/auditor/coins.json has the coins.`

func (a *app) auditCanaryCommand() *cobra.Command {
	f := &canaryFlags{}
	c := verb("canary", "Attack one round with planted canaries, and refute epsilon if it leaks more", canaryHelp,
		"  veilsum audit canary\n  veilsum audit canary --weaken 0.5\n  veilsum audit canary --clear --runs 20 --json", cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return a.auditCanary(ctx, f) })
	c.Flags().Float64Var(&f.config.Claim.Epsilon, "epsilon", 2, "claimed epsilon of the round")
	c.Flags().Float64Var(&f.config.Claim.Delta, "delta", 1e-5, "claimed delta")
	c.Flags().IntVar(&f.config.Canaries, "canaries", 20_000, "vehicles, each with a value of its own")
	c.Flags().IntVar(&f.guesses, "guesses", 400, "how many canaries are guessed at; half are said to be in")
	c.Flags().Float64Var(&f.confidence, "confidence", 0.95, "of each bound")
	c.Flags().IntVar(&f.runs, "runs", 1, "independent runs; the rates are reported")
	c.Flags().Float64Var(&f.config.NoiseScale, "weaken", 1, "SELF-TEST: scale the noise, below 1, to see the audit fail")
	c.Flags().BoolVar(&f.clear, "clear", false, "without sealing, committee and store")
	c.Flags().StringVar(&f.out, "out", "", "new folder for store, coins and result.json; one run only")
	return c
}

// canaryRun is one run as it is printed.
type canaryRun struct {
	Run int `json:"run"`
	canary.Verdict
}

var _ ui.Result = canaryRun{}

// Text implements ui.Result.
func (r canaryRun) Text() string {
	return fmt.Sprintf("run %d: %d of %d guesses right, epsilon at least %.3f, assuming a Gaussian trade-off %.3f\n",
		r.Run, r.Correct, r.Guesses, r.OneRun, r.Tradeoff)
}

// canaryResult is the answer.
type canaryResult struct {
	Claim       canary.Claim `json:"claimed"`
	Relation    string       `json:"relation"`
	Unit        string       `json:"unit"`
	Confidence  float64      `json:"confidence"`
	Canaries    int          `json:"canaries"`
	Guesses     int          `json:"guesses"`
	Path        string       `json:"path"`        // sealed or clear
	NoiseScale  float64      `json:"noise_scale"` // 1, or less in a self-test
	Multiplier  float64      `json:"noise_multiplier"`
	TaskEpsilon float64      `json:"task_epsilon"` // what the task's own noise gives
	Runs        int          `json:"runs"`
	Refuted     int          `json:"runs_refuted"`
	RefutedBy   int          `json:"runs_refuted_assuming_gaussian_tradeoff"`
	Verdict     string       `json:"verdict"` // refuted or not_refuted
	Worst       canaryRun    `json:"worst"`
	Seconds     float64      `json:"seconds"`
	Task        string       `json:"task,omitempty"`
	Owner       string       `json:"owner,omitempty"`
	Store       string       `json:"store,omitempty"`
}

// Text implements ui.Result.
func (r *canaryResult) Text() string {
	b := &strings.Builder{}
	how := "sealed, opened by a committee"
	if r.Path == "clear" {
		how = "in the clear: encoder, every vehicle's noise, sum, decoding"
	}
	fmt.Fprintf(b, "canaries  %d vehicles, in or out by a fair coin, %s\n", r.Canaries, how)
	if r.NoiseScale < 1 {
		fmt.Fprintf(b, "SELF-TEST noise scaled by %g on purpose: epsilon is really %.3f\n", r.NoiseScale, r.TaskEpsilon)
	}
	fmt.Fprintf(b, "claim     epsilon %g at delta %g for one vehicle (zero-out), noise multiplier %.4g\n", r.Claim.Epsilon, r.Claim.Delta, r.Multiplier)
	fmt.Fprintf(b, "guesses   %d of %d right\n", r.Worst.Correct, r.Worst.Guesses)
	fmt.Fprintf(b, "epsilon   at least %.3f with %g %% confidence (one run, no assumption)\n", r.Worst.OneRun, 100*r.Confidence)
	fmt.Fprintf(b, "          at least %.3f with %g %% confidence, ASSUMING a Gaussian trade-off\n", r.Worst.Tradeoff, 100*r.Confidence)
	if r.Runs > 1 {
		fmt.Fprintf(b, "runs      %d, the worst above; refuted in %d, assuming a Gaussian trade-off in %d\n", r.Runs, r.Refuted, r.RefutedBy)
	}
	if r.Store != "" {
		fmt.Fprintf(b, "store     %s (task %s, owner %s)\n", r.Store, r.Task, r.Owner)
	}
	fmt.Fprintf(b, "verdict   %s\n", map[string]string{"refuted": "REFUTED: it leaks more than is claimed", "not_refuted": "not refuted"}[r.Verdict])
	return b.String()
}

func (f *canaryFlags) check() error {
	switch {
	case f.runs < 1 || f.runs > 10_000:
		return usage("--runs %d: want 1 to 10000", f.runs)
	case f.out != "" && (f.runs > 1 || f.clear):
		return usage("--out keeps the store of one sealed run: it excludes --runs and --clear")
	}
	// What a run would refuse after minutes of work is refused now.
	if err := f.config.Validate(); err != nil {
		return err
	}
	if f.guesses < 2 || f.guesses > f.config.Canaries || f.guesses%2 != 0 {
		return usage("--guesses %d: want an even number, 2 to %d", f.guesses, f.config.Canaries)
	}
	best, err := canary.Judge(canary.Tally{Canaries: f.config.Canaries, Guesses: f.guesses, Correct: f.guesses}, f.config.Claim, f.confidence)
	switch {
	case err != nil:
		return usage("%w", err)
	case best.Err() == nil:
		return &usageError{
			Err:  fmt.Errorf("even %d of %d right guesses about %d canaries could not refute epsilon %g", f.guesses, f.guesses, f.config.Canaries, f.config.Claim.Epsilon),
			Hint: "more --guesses, or less --confidence; for large claims more --canaries too",
		}
	}
	return nil
}

func (a *app) auditCanary(ctx context.Context, f *canaryFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	started := time.Now()
	r := &canaryResult{
		Claim: f.config.Claim, Relation: "zero_out", Unit: "vehicle", Confidence: f.confidence, Canaries: f.config.Canaries, Guesses: f.guesses,
		Path: "sealed", NoiseScale: f.config.NoiseScale, Runs: f.runs, Verdict: "not_refuted",
	}
	if f.clear {
		r.Path = "clear"
	}
	for run := 1; run <= f.runs; run++ {
		f.config.Progress = func(what string, done, total int) {
			if f.runs > 1 {
				what = fmt.Sprintf("run %d: %s", run, what)
			}
			a.out.Progress(what, int64(done), int64(total))
		}
		v, err := a.canaryRun(ctx, f, r)
		if err != nil && ctx.Err() != nil {
			return withHint(err, "an audit does not resume: start it again, with another --out if there was one")
		}
		if err != nil {
			return err
		}
		if f.runs > 1 {
			a.out.Event("run", canaryRun{run, v})
		}
		r.count(canaryRun{run, v})
	}
	r.Seconds = time.Since(started).Seconds()
	if err := f.keep(r); err != nil {
		return err
	}
	a.out.Result(r)
	return r.Worst.Err()
}

// count adds a run to the result. The worst is the one that refutes, and of two the one with more right guesses.
func (r *canaryResult) count(x canaryRun) {
	if x.RefutedOneRun {
		r.Refuted++
	}
	if x.RefutedTradeoff {
		r.RefutedBy++
	}
	if x.Err() != nil {
		r.Verdict = "refuted"
	}
	if x.Run == 1 || x.Correct > r.Worst.Correct { // both bounds rise with the right guesses
		r.Worst = x
	}
}

// canaryRun plays one round and judges it.
func (a *app) canaryRun(ctx context.Context, f *canaryFlags, r *canaryResult) (canary.Verdict, error) {
	p, err := f.play(ctx, r)
	if err != nil {
		return canary.Verdict{}, err
	}
	r.Multiplier, r.TaskEpsilon = p.NoiseMultiplier, p.Epsilon
	t, err := canary.Guess(p.Included, p.Released, f.guesses)
	if err != nil {
		return canary.Verdict{}, err
	}
	return canary.Judge(t, f.config.Claim, f.confidence)
}

func (f *canaryFlags) play(ctx context.Context, r *canaryResult) (*canaryround.Played, error) {
	if f.clear {
		return f.config.PlayClear(ctx)
	}
	folder := f.out
	var s storage.Store = mem.New()
	if folder == "" {
		var err error
		if folder, err = os.MkdirTemp("", "veilsum-canary-"); err != nil {
			return nil, err
		}
		defer os.RemoveAll(folder)
	} else {
		if err := os.Mkdir(folder, 0o755); err != nil {
			return nil, withHint(err, "--out is a folder that does not exist yet")
		}
		var err error
		if s, err = dir.Open(filepath.Join(folder, "store"), dir.WithoutSync()); err != nil {
			return nil, err
		}
		r.Store = "file:" + filepath.Join(folder, "store")
	}
	p, err := f.config.Play(ctx, s, filepath.Join(folder, "state"))
	if err == nil && f.out != "" {
		r.Task, r.Owner = p.Task.String(), p.Owner.String()
	}
	return p, err
}

// keep writes the result beside the store.
func (f *canaryFlags) keep(r *canaryResult) error {
	if f.out == "" {
		return nil
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(f.out, "result.json"), append(b, '\n'), 0o644, false)
}
