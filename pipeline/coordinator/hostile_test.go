package coordinator_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/veilsum/veilsum/pipeline/coordinator"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/storage"
)

// TestManyCoordinators: two coordinators of one task, each asked twice at once for one epoch of two lanes, end in the same
// receipts, charge the epoch once, and tell nothing once their calls have returned.
func TestManyCoordinators(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		task := pipelinetest.Task(10)
		task.Batch.Lanes = 2
		w := newWorld(t, 24, task, 0, 1, 2, 3)
		defer w.stop()
		w.drive(24, 1)
		var mu sync.Mutex
		told := 0
		c := w.config()
		c.Reports, c.Deadline = 24, time.Minute
		c.Observe = func(coordinator.Event) { mu.Lock(); told++; mu.Unlock() }
		both := []*coordinator.Coordinator{w.open(c), w.open(c)}
		results := make([]*coordinator.Result, 4)
		var all sync.WaitGroup
		for i := range results {
			all.Go(func() {
				var err error
				if results[i], err = both[i%2].Round(w.ctx, 1, []byte("model")); err != nil {
					t.Errorf("call %d: %v", i, err)
				}
			})
		}
		all.Wait()
		mu.Lock()
		seen := told
		mu.Unlock()
		for i, r := range results {
			if r == nil || !slices.Equal(r.Mean, results[0].Mean) || r.Spent != results[0].Spent {
				t.Fatalf("call %d: %+v, the first %+v", i, r, results[0])
			}
			for k := range r.Lanes {
				if r.Lanes[k].Receipt.Sum != results[0].Lanes[k].Receipt.Sum {
					t.Errorf("call %d, lane %d: another receipt", i, k)
				}
			}
		}
		time.Sleep(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if told != seen {
			t.Errorf("%d events after all calls had returned", told-seen)
		}
	})
}

// deaf is a store whose ledgers cannot be read once it is off.
type deaf struct {
	storage.Store
	off atomic.Bool
}

var errDeaf = errors.New("the link is down")

func (d *deaf) Get(ctx context.Context, key string) (io.ReadCloser, storage.Info, error) {
	if d.off.Load() && strings.HasPrefix(key, "scopes/") {
		return nil, storage.Info{}, errDeaf
	}
	return d.Store.Get(ctx, key)
}

// TestTrainEndsOnError: a round whose receipt is there but whose cost cannot be read is no void round: the sequence ends, nothing is
// applied, and no round is opened from a model that misses it.
func TestTrainEndsOnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		task := pipelinetest.Task(10)
		task.Scope.Epsilon = 1e4
		w := newWorld(t, 8, task, 0, 1, 2, 3)
		defer w.stop()
		w.drive(8, 1)
		s := &deaf{Store: w.Store}
		c := w.config()
		c.Store = s
		c.Observe = func(e coordinator.Event) {
			if _, ok := e.(coordinator.Ended); ok {
				s.off.Store(true)
			}
		}
		trainer := &counter{}
		n := 0
		for _, err := range w.open(c).Train(w.ctx, trainer, 1, 2) {
			if n++; !errors.Is(err, errDeaf) {
				t.Error(err)
			}
		}
		if n != 1 || len(trainer.applied) != 0 || len(trainer.models) != 1 {
			t.Errorf("%d results, applied %v, announced %q", n, trainer.applied, trainer.models)
		}
		w.stop()
	})
}

// TestCancelledBeforeItBegan: a call whose context has ended leaves at once with the cause.
func TestCancelledBeforeItBegan(t *testing.T) {
	w := newWorld(t, 4, pipelinetest.Task(4))
	co := w.open(w.config())
	ctx, cancel := context.WithCancelCause(context.Background())
	p, err := co.Start(ctx, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	stop := errors.New("enough")
	cancel(stop)
	select {
	case <-p.Done():
	case <-time.After(time.Minute):
		t.Fatal("it goes on")
	}
	if res, err := p.Result(context.Background()); res != nil || !errors.Is(err, stop) && !errors.Is(err, context.Canceled) {
		t.Errorf("%v, %v", res, err)
	}
}
