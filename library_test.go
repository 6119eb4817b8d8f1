package veilsum_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/veilsum/veilsum/pipeline/auditor"
	"github.com/veilsum/veilsum/pipeline/client"
	"github.com/veilsum/veilsum/pipeline/coordinator"
	"github.com/veilsum/veilsum/pipeline/trial"
	"github.com/veilsum/veilsum/privacy/accountant"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
	"github.com/veilsum/veilsum/storage/mem"
)

// LIBRARY train begin

// train plays epochs: t has the model, and moves it by each mean. After a crash call it again, with the first epoch that t did not see.
func train(ctx context.Context, c *coordinator.Coordinator, t coordinator.Trainer, first, last uint64) error {
	for result, err := range c.Train(ctx, t, first, last) {
		if errors.Is(err, coordinator.ErrVoid) {
			continue // charged or not, as the receipt says; the model stays as it was
		}
		if err != nil {
			return err
		}
		fmt.Printf("epoch %d: %d reports, epsilon spent %.2f\n", result.Epoch, result.Reports, result.Spent.Epsilon)
	}
	return nil
}

// LIBRARY train end

// LIBRARY open begin

// open makes the Collector's coordinator. The key is the only secret that it holds.
func open(ctx context.Context, s storage.Store, owner schema.PublicKey, task schema.TaskID, key ed25519.PrivateKey, see func(coordinator.Event)) (*coordinator.Coordinator, error) {
	return coordinator.Open(ctx, coordinator.Config{
		Store: s, Owner: owner, Task: task, Key: key,
		Reports:  8,                    // freeze the list at so many, or at the deadline with what is there
		Deadline: 30 * time.Minute,     // an hour by default
		Rule:     "gate+mean",          // leave out lanes whose mean is longer than clipped updates can be
		Poll:     5 * time.Millisecond, // a second by default
		Observe:  see,                  // must not block: log, draw, count
	})
}

// LIBRARY open end

// LIBRARY trial begin

// alone plays two epochs with everybody in this process: for tests, examples and notebooks. It protects nobody.
func alone(ctx context.Context, store storage.Store, dir string, task schema.Task, f *fleet) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cast, err := trial.New(ctx, trial.Config{Store: store, Dir: dir, Task: task, Vehicles: 8})
	if err != nil {
		return err
	}
	defer cast.Close()
	go cast.Serve(ctx, 5*time.Millisecond) // four decryptors
	c, err := open(ctx, store, cast.Owner, cast.Task, cast.Collector, func(e coordinator.Event) {
		if _, ok := e.(coordinator.Opened); ok {
			go f.drive(ctx, store, cast, e.Round().Epoch) // eight vehicles seal and send
		}
	})
	if err != nil {
		return err
	}
	if err := train(ctx, c, f, 1, 2); err != nil {
		return err
	}
	return audit(ctx, store, cast.Owner)
}

// LIBRARY trial end

// LIBRARY audit begin

// audit believes nobody but owner. A flaw names the object.
func audit(ctx context.Context, s storage.Store, owner schema.PublicKey) error {
	report, err := auditor.Audit(ctx, s, owner, auditor.Options{Depth: auditor.DepthPieces})
	var flaw *auditor.Flaw
	if errors.As(err, &flaw) {
		return fmt.Errorf("do not believe this store, see %s: %w", flaw.Object, err)
	}
	if err != nil {
		return err
	}
	scope := report.Statement().Scopes[0]
	fmt.Printf("epsilon %.2f of %g over %d epochs\n", scope.Spent, scope.Allowed, scope.Epochs)
	return nil
}

// LIBRARY audit end

// LIBRARY account begin

// left tells how many more rounds of multiplier z fit into a budget after those that were played: no store, no secure sum.
func left(played int64, z, epsilon, delta float64) (int64, error) {
	round := accountant.Event{Type: accountant.Gaussian, NoiseMultiplier: z}
	return accountant.Affordable([]accountant.Event{accountant.Repeat(round, played)}, round, epsilon, delta, accountant.ZeroOut)
}

// LIBRARY account end

// fleet is a Trainer of 12 values whose vehicles send as soon as a round is open.
type fleet struct {
	t     *testing.T
	model [12]float64
	sent  atomic.Int64
}

func (f *fleet) Model() []byte { return fmt.Appendf(nil, "%.3f", f.model) }

func (f *fleet) Apply(r *coordinator.Result) error {
	for i, x := range r.Mean {
		f.model[i] += x
	}
	return nil
}

func (f *fleet) drive(ctx context.Context, store storage.Store, cast *trial.Cast, epoch uint64) {
	model := schema.HashModel(f.Model()) // nothing moves the model while its round is open
	for i := range cast.Vehicles() {
		v, stop, err := cast.Client(i)
		if err != nil {
			f.t.Error(err)
			return
		}
		sealed, err := v.Seal(ctx, store, cast.Task, epoch, client.Update{Values: make([]float32, len(f.model)), ModelHash: model})
		f.sent.Add(1)
		if err == nil {
			_, err = v.Upload(ctx, store, sealed.File(), nil)
		}
		stop()
		if err != nil {
			f.t.Error(err)
			return
		}
	}
}

// TestLibrary plays the snippets of docs/LIBRARY.md.
func TestLibrary(t *testing.T) {
	f := &fleet{t: t}
	err := alone(t.Context(), mem.New(), t.TempDir(), schema.Task{
		Name:          "library",
		Scope:         schema.Scope{Name: "library", Population: "nobody", Epsilon: 100, Delta: 1e-5, Unit: "vehicle", Relation: "zero_out"},
		Tensors:       []schema.Tensor{{Name: "weights", DType: "float32", Shape: []int{12}}},
		Privacy:       schema.Privacy{TrustModel: "distributed", Mechanism: "discrete_gaussian", ClippingNorm: 1, NoiseMultiplier: 1, Kappa: 1, KappaInf: 1},
		Batch:         schema.Batch{Min: 6, Max: 10, MaxDishonest: 1, Lanes: 1},
		Participation: schema.Participation{MinSeparation: 1},
		Suite:         2,
	}, f)
	if err != nil || f.sent.Load() != 16 || f.model == [12]float64{} {
		t.Fatal(err, f.sent.Load(), f.model)
	}
	n, err := left(20, 8, 4, 1e-6)
	if err != nil {
		t.Fatal(err)
	}
	round := accountant.Event{Type: accountant.Gaussian, NoiseMultiplier: 8}
	for rounds, fits := range map[int64]bool{20 + n: true, 21 + n: false} {
		g, err := accountant.Account([]accountant.Event{accountant.Repeat(round, rounds)}, 1e-6, accountant.ZeroOut)
		if err != nil || g.Epsilon <= 4 != fits {
			t.Error(rounds, g, err)
		}
	}
}

// TestLibrarySnippets keeps the code of docs/LIBRARY.md the code that runs here.
func TestLibrarySnippets(t *testing.T) {
	page, code := read(t, "docs/LIBRARY.md"), read(t, "library_test.go")
	for _, name := range []string{"train", "open", "trial", "audit", "account"} {
		snippet := strings.TrimSpace(between(t, code, "// LIBRARY "+name+" begin\n", "// LIBRARY "+name+" end\n"))
		if !strings.Contains(page, "```go\n"+snippet+"\n```\n") {
			t.Errorf("docs/LIBRARY.md does not show\n%s", snippet)
		}
	}
	if shown := strings.Count(page, "```go\n"); shown != 5 {
		t.Error(shown, "blocks of Go in docs/LIBRARY.md")
	}
}
