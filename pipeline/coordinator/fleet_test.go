package coordinator_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/client"
	"github.com/veilsum/veilsum/pipeline/coordinator"
	"github.com/veilsum/veilsum/pipeline/decryptor"
	"github.com/veilsum/veilsum/pipeline/decryptor/record"
	"github.com/veilsum/veilsum/pipeline/decryptor/watch"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/pipeline/state"
	"github.com/veilsum/veilsum/schema"
)

// world is a fleet whose committee and vehicles live in goroutines of their own until stop.
type world struct {
	*pipelinetest.Fleet
	ctx  context.Context
	stop func()

	all sync.WaitGroup
}

// newWorld makes n vehicles and starts the committee's members; f.Clock is not used, all look at the bubble's clock.
func newWorld(t testing.TB, n int, task schema.Task, members ...int) *world {
	f := pipelinetest.New(t, n, task)
	now := time.Now()
	f.Clock = &now // vehicles and collector only look at it for expiry
	f.Keys(1)      // of all members, for an hour
	ctx, cancel := context.WithCancel(context.Background())
	w := &world{Fleet: f, ctx: ctx}
	for _, k := range members {
		m := w.member(k)
		w.all.Go(func() { m.Run(ctx, 5*time.Second, nil) })
	}
	w.stop = func() { cancel(); w.all.Wait() }
	t.Cleanup(w.stop)
	return w
}

func (w *world) member(k int) *watch.Watcher {
	w.T.Helper()
	open := func(name string) *state.Dir {
		d, err := state.Open(filepath.Join(w.Dir, name), state.WithoutSync())
		if err != nil {
			w.T.Fatal(err)
		}
		w.T.Cleanup(func() { d.Close() })
		return d
	}
	owner := schema.NewPublicKey(w.Owner)
	rec, err := record.Open(open(fmt.Sprintf("record-%d", k)), schema.NewPublicKey(w.Members[k]))
	if err != nil {
		w.T.Fatal(err)
	}
	d, err := decryptor.New(decryptor.Config{State: open(w.Homes[k]), Key: w.Members[k], Owner: owner, Record: rec, KeepLedgers: true})
	if err != nil {
		w.T.Fatal(err)
	}
	m, err := watch.New(watch.Config{
		Decryptor: d, Record: rec, Store: w.Store, Owner: owner, Tasks: []schema.TaskID{w.TaskID},
		Ahead: 4, Life: 24 * time.Hour, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		w.T.Fatal(err)
	}
	return m
}

// config is a coordinator's configuration that looks at the store as often as the committee does.
func (w *world) config() coordinator.Config {
	return coordinator.Config{Store: w.Store, Owner: schema.NewPublicKey(w.Owner), Task: w.TaskID, Key: w.CollectKey, Poll: 5 * time.Second}
}

func (w *world) open(c coordinator.Config) *coordinator.Coordinator {
	w.T.Helper()
	co, err := coordinator.Open(w.ctx, c)
	if err != nil {
		w.T.Fatal(err)
	}
	return co
}

// ready waits until the committee has published keys for all epochs up to this one.
func (w *world) ready(epoch uint64) {
	w.T.Helper()
	for k := range w.Members {
		for {
			if _, err := pipeline.LoadRoundKey(w.ctx, w.Store, w.Plan, w.Name(epoch), k); err == nil {
				break
			}
			time.Sleep(5 * time.Second)
		}
	}
}

// drive lets n vehicles seal once for each epoch that they find open, up to last, for the newest first.
func (w *world) drive(n int, last uint64) {
	for i := range n {
		w.all.Go(func() { w.vehicle(i, last) })
	}
}

func (w *world) vehicle(i int, last uint64) {
	c, done := w.Vehicle(i)
	defer done()
	for epoch := uint64(1); epoch <= last && w.ctx.Err() == nil; {
		newest := w.newest(epoch, last)
		if newest == nil {
			time.Sleep(5 * time.Second)
			continue
		}
		if w.seal(c, newest, i) {
			epoch = newest.Name.Epoch + 1
		}
	}
}

func (w *world) newest(from, to uint64) (found *pipeline.Round) {
	for e := from; e <= to; e++ {
		if r, err := pipeline.LoadDescriptor(w.ctx, w.Store, w.Plan, w.Name(e)); err == nil {
			found = r
		}
	}
	return found
}

// seal reports false while the vehicle's lane is not open.
func (w *world) seal(c *client.Client, r *pipeline.Round, i int) bool {
	u := w.Update(i)
	u.ModelHash = r.Descriptor.ModelHash
	sealed, err := c.Seal(w.ctx, w.Store, w.TaskID, r.Name.Epoch, u)
	if err == nil {
		_, err = c.Upload(w.ctx, w.Store, sealed.File(), nil)
	}
	if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, pipeline.ErrNotReady) {
		w.T.Errorf("vehicle %d: %v", i, err)
	}
	return err == nil
}

// expected is the plain mean of the updates of vehicles 0 to n-1.
func (w *world) expected(n int) []float64 {
	mean := make([]float64, w.Plan.Privacy.Values())
	for i := range n {
		for j, x := range w.Update(i).Values {
			mean[j] += float64(x) / float64(n)
		}
	}
	return mean
}
