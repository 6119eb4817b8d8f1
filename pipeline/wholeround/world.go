package wholeround

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/client"
	"github.com/veilsum/veilsum/pipeline/collector"
	"github.com/veilsum/veilsum/pipeline/decryptor"
	"github.com/veilsum/veilsum/pipeline/trial"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// world is everybody who takes part.
type world struct {
	*trial.Cast
	store     storage.Store
	round     *Round
	collector *collector.Collector
	name      pipeline.RoundName
}

func newWorld(ctx context.Context, s storage.Store, folder string, r *Round) (*world, error) {
	cast, err := trial.New(ctx, trial.Config{Store: s, Dir: folder, Task: r.Task, Vehicles: r.Vehicles, Ahead: 1})
	if err != nil {
		return nil, err
	}
	w := &world{Cast: cast, store: s, round: r, name: pipeline.RoundName{Task: cast.Task, Epoch: 1}}
	w.collector, err = collector.New(cast.Collector, nil)
	return w, err
}

// play plays the round and returns the mean that was published.
func (w *world) play(ctx context.Context) (*collector.Collected, error) {
	r, err := w.collector.Open(ctx, w.store, w.Plan, collector.Opening{Name: w.name, Snapshot: w.Snapshot, Deadline: time.Now().Add(time.Hour)})
	if err != nil {
		return nil, err
	}
	if err := w.report(ctx, r); err != nil {
		return nil, err
	}
	candidates, _, err := w.collector.Close(ctx, w.store, r)
	if err != nil {
		return nil, err
	}
	if err := w.Committee(func(k int, d *decryptor.Decryptor) error {
		_, err := d.Check(ctx, w.store, r, candidates, w.progress(fmt.Sprintf("reports checked by decryptor %d", k)))
		return err
	}); err != nil {
		return nil, err
	}
	p, err := w.collector.Propose(ctx, w.store, r, candidates)
	if err != nil {
		return nil, err
	}
	if p.Reports != w.round.Vehicles { // a refused report would make the noise less than is asked for
		return nil, fmt.Errorf("wholeround: %d of %d reports are in the list", p.Reports, w.round.Vehicles)
	}
	if err := w.Committee(func(_ int, d *decryptor.Decryptor) error {
		_, err := d.Vote(ctx, w.store, r)
		return err
	}); err != nil {
		return nil, err
	}
	if err := w.Committee(func(_ int, d *decryptor.Decryptor) error {
		_, err := d.Answer(ctx, w.store, r, nil)
		return err
	}); err != nil {
		return nil, err
	}
	got, err := w.collector.Collect(ctx, w.store, r, w.progress("reports added"))
	if err != nil {
		return nil, err
	}
	if got.Receipt.Status != schema.StatusCommitted {
		return nil, fmt.Errorf("wholeround: the round ended %s", got.Receipt.Status)
	}
	return got, nil
}

// report seals and uploads every vehicle's report.
func (w *world) report(ctx context.Context, r *pipeline.Round) error {
	progress := w.progress("reports sealed")
	var done atomic.Int64
	return pipeline.ForEach(ctx, w.round.Vehicles, func(ctx context.Context, _, i int) error {
		update, err := w.round.Update(i)
		if err == nil {
			err = w.vehicle(ctx, r, i, update)
		}
		if err != nil {
			return fmt.Errorf("vehicle %d: %w", i, err)
		}
		progress(int(done.Add(1)), w.round.Vehicles)
		return nil
	})
}

// vehicle is one vehicle's whole life.
func (w *world) vehicle(ctx context.Context, r *pipeline.Round, i int, update []float32) error {
	c, stop, err := w.Client(i)
	if err != nil {
		return err
	}
	defer os.RemoveAll(w.Home(i)) // nobody needs it once the report is in the store
	defer stop()
	sealed, err := c.SealRound(r, client.Update{Values: update, ModelHash: schema.HashModel(nil)})
	if err != nil {
		return err
	}
	_, err = c.Upload(ctx, w.store, sealed.File(), nil)
	return err
}

func (w *world) progress(what string) func(done, total int) {
	return func(done, total int) { w.round.Progress(what, done, total) }
}
