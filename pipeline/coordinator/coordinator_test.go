package coordinator_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/coordinator"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/schema"
)

func TestRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 8, pipelinetest.Task(40), 0, 1, 2, 3)
		defer w.stop()
		var log []string
		c := w.config()
		c.Reports = 8
		c.Observe = func(e coordinator.Event) { log = append(log, fmt.Sprintf("%T", e)) }
		co := w.open(c)
		w.drive(8, 1)
		res, err := co.Round(w.ctx, 1, []byte("model"))
		if err != nil {
			t.Fatal(err)
		}
		near(t, w, res.Mean, w.expected(8), 8)
		if res.Reports != 8 || len(res.Lanes) != 1 || res.Spent.Epsilon <= 0 || res.Spent.Unit != "vehicle" {
			t.Errorf("%d reports, %d lanes, spent %+v", res.Reports, len(res.Lanes), res.Spent)
		}
		text := strings.Join(log, " ")
		for _, e := range []string{"Opened", "Waiting", "Frozen", "Proposed", "Ended"} {
			if !strings.Contains(text, "coordinator."+e) {
				t.Errorf("no event %s in %s", e, text)
			}
		}
		again, err := w.open(w.config()).Round(w.ctx, 1, []byte("model")) // by another process, afterwards
		if err != nil || !slices.Equal(again.Mean, res.Mean) || again.Spent != res.Spent {
			t.Errorf("a round that is played again differs: %v, %+v and %+v", err, again, res)
		}
		if _, err := co.Round(w.ctx, 1, []byte("another")); !errors.Is(err, pipeline.ErrOpened) {
			t.Errorf("another model for the same epoch: %v", err)
		}
	})
}

// near fails unless got is the plain mean of n updates plus the declared noise. Chance of a false alarm: below 1e-8 a value.
func near(t *testing.T, w *world, got, want []float64, n int) {
	t.Helper()
	p := w.Plan.Privacy
	tolerance := 6.5 * p.NoiseStdDev(n)
	if len(got) != len(want) {
		t.Fatalf("%d values, want %d", len(got), len(want))
	}
	for j := range got {
		if math.Abs(got[j]-want[j]) > tolerance {
			t.Fatalf("value %d is %g, want %g within %g", j, got[j], want[j], tolerance)
		}
	}
}

func TestDeadlineWithTooFewReportsCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, pipelinetest.Task(10), 0, 1, 2, 3)
		defer w.stop()
		c := w.config()
		c.Deadline = time.Minute
		co := w.open(c)
		w.drive(3, 1)
		began := time.Now()
		res, err := co.Round(w.ctx, 1, nil)
		if !errors.Is(err, coordinator.ErrVoid) || res == nil || !strings.Contains(res.Lanes[0].Receipt.Reason, "too few") {
			t.Fatalf("%v, %+v", err, res)
		}
		if res.Spent.Epsilon != 0 || time.Since(began) < time.Minute {
			t.Errorf("spent %+v after %s", res.Spent, time.Since(began))
		}
	})
}

func TestCancelledRoundGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 8, pipelinetest.Task(10), 0, 1, 2) // the fourth is silent
		defer w.stop()
		for _, state := range []string{"opened", "waiting", "frozen", "proposed"} {
			ctx, cancel := context.WithCancelCause(w.ctx)
			stop := errors.New("stopped when " + state)
			c := w.config()
			c.Observe = func(e coordinator.Event) {
				if strings.EqualFold(strings.TrimPrefix(fmt.Sprintf("%T", e), "coordinator."), state) {
					cancel(stop)
				}
			}
			if state == "waiting" {
				w.drive(8, 1)
			}
			if _, err := w.open(c).Round(ctx, 1, nil); !errors.Is(err, stop) && !errors.Is(err, context.Canceled) {
				t.Fatalf("%s: %v", state, err)
			}
		}
		res, err := w.open(w.config()).Round(w.ctx, 1, nil)
		if err != nil || res.Reports < 5 {
			t.Fatalf("%v, %+v", err, res)
		}
	})
}

func TestSilentCommittee(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 8, pipelinetest.Task(10), 0, 1) // two of the three that are needed
		defer w.stop()
		var stalled []error
		c := w.config()
		c.Observe = func(e coordinator.Event) {
			if s, ok := e.(coordinator.Stalled); ok {
				stalled = append(stalled, s.Reason)
			}
		}
		w.drive(8, 1)
		res, err := w.open(c).Round(w.ctx, 1, nil)
		if !errors.Is(err, coordinator.ErrVoid) || !strings.Contains(res.Lanes[0].Receipt.Reason, "expired") {
			t.Fatalf("%v, %+v", err, res)
		}
		if len(stalled) == 0 || !errors.Is(stalled[0], pipeline.ErrDecryptors) || len(stalled) > 3 {
			t.Errorf("stalled: %v", stalled)
		}
		if res.Spent.Epsilon != 0 {
			t.Errorf("nobody voted, yet %+v is spent", res.Spent)
		}
	})
}

func TestBudgetEndsTraining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		task := pipelinetest.Task(10)
		task.Scope.Epsilon = 8 // for one round of noise multiplier 1, not for three
		w := newWorld(t, 8, task, 0, 1, 2, 3)
		defer w.stop()
		w.ready(4)
		w.drive(8, 4)
		n := 0
		for res, err := range w.open(w.config()).Train(w.ctx, &counter{}, 1, 4) {
			if err != nil {
				if !errors.Is(err, pipeline.ErrBudget) || res != nil {
					t.Errorf("ended with %v, %v", res, err)
				}
				break
			}
			n++
		}
		if n == 0 || n == 4 {
			t.Errorf("%d rounds", n)
		}
		w.stop()
	})
}

// counter is a model that counts what was applied.
type counter struct {
	applied []uint64
	models  []string
}

func (c *counter) Model() []byte {
	m := fmt.Sprintf("model after %d", len(c.applied))
	c.models = append(c.models, m)
	return []byte(m)
}

func (c *counter) Apply(r *coordinator.Result) error {
	c.applied = append(c.applied, r.Epoch)
	return nil
}

func TestTrainBuffered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		task := pipelinetest.Task(10)
		task.Scope.Epsilon = 10000
		w := newWorld(t, 12, task, 0, 1, 2, 3)
		defer w.stop()
		w.drive(12, 5)
		open, most := 0, 0
		c := w.config()
		c.Window, c.Staleness = 3, 3
		c.Observe = func(e coordinator.Event) {
			switch e.(type) {
			case coordinator.Opened:
				open++
			case coordinator.Ended:
				open--
			}
			most = max(most, open)
		}
		trainer := &counter{}
		for res, err := range w.open(c).Train(w.ctx, trainer, 1, 5) {
			if err != nil {
				t.Fatal(err)
			}
			if res.Epoch != uint64(len(trainer.applied)) {
				t.Errorf("epoch %d after %v", res.Epoch, trainer.applied)
			}
		}
		if !slices.Equal(trainer.applied, []uint64{1, 2, 3, 4, 5}) || most < 2 || most > 3 {
			t.Errorf("applied %v, at most %d open", trainer.applied, most)
		}
		if trainer.models[1] != "model after 0" {
			t.Errorf("the second round waited for the first: %v", trainer.models)
		}
	})
}

func TestLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		task := pipelinetest.Task(20)
		task.Batch.Lanes = 2
		w := newWorld(t, 24, task, 0, 1, 2, 3)
		defer w.stop()
		w.drive(24, 1)
		c := w.config()
		c.Reports, c.Deadline = 24, 5*time.Minute // never so many: the deadline decides
		res, err := w.open(c).Round(w.ctx, 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(res.Lanes) != 2 || res.Reports != 24 {
			t.Errorf("%d lanes, %d reports", len(res.Lanes), res.Reports)
		}
		near(t, w, res.Mean, w.expected(24), 24)
	})
}

func TestOpenRefuses(t *testing.T) {
	w := newWorld(t, 4, pipelinetest.Task(4))
	other := pipelinetest.New(t, 4, pipelinetest.Task(4))
	for name, c := range map[string]struct {
		change func(*coordinator.Config)
		want   error
	}{
		"no store":       {func(c *coordinator.Config) { c.Store = nil }, coordinator.ErrConfig},
		"no owner":       {func(c *coordinator.Config) { c.Owner = schema.PublicKey{} }, coordinator.ErrConfig},
		"another's key":  {func(c *coordinator.Config) { c.Key = other.CollectKey }, pipeline.ErrKey},
		"another owner":  {func(c *coordinator.Config) { c.Owner = schema.NewPublicKey(other.Owner) }, pipeline.ErrUntrusted},
		"too few":        {func(c *coordinator.Config) { c.Reports = 3 }, coordinator.ErrConfig},
		"too many":       {func(c *coordinator.Config) { c.Reports = 65 }, coordinator.ErrConfig},
		"window":         {func(c *coordinator.Config) { c.Window = 65 }, coordinator.ErrConfig},
		"negative time":  {func(c *coordinator.Config) { c.Deadline = -1 }, coordinator.ErrConfig},
		"negative times": {func(c *coordinator.Config) { c.Poll = -1 }, coordinator.ErrConfig},
	} {
		config := w.config()
		c.change(&config)
		if _, err := coordinator.Open(context.Background(), config); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	co := w.open(w.config())
	if text := fmt.Sprintf("%v %+v %#v %s", *co, co, co, co); strings.Contains(text, "ed25519") || !strings.Contains(text, "redacted") {
		t.Errorf("a coordinator prints %s", text)
	}
	if _, err := co.Round(context.Background(), 2, nil); !errors.Is(err, pipeline.ErrNotReady) {
		t.Errorf("without round keys: %v", err)
	}
}
