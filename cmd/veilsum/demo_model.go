package main

import (
	"bytes"
	"context"
	"fmt"
	"sync"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/client"
	"github.com/veilsum/veilsum/pipeline/fleetsim"
	"github.com/veilsum/veilsum/pipeline/releaser"
)

// demoBits keep the error of a release at 3 % of the update, far below the noise in it.
const demoBits = 4

// release publishes the trainer's model, rounded after the first, with the rounds that went into it, and trains on with
// the released bytes.
func (d *demoRun) release(ctx context.Context, rounds []pipeline.RoundName) error {
	x := releaser.Publication{Model: fleetsim.EncodeModel(d.trainer.Model()), Bases: 1, Rounds: rounds, Note: "veilsum demo"}
	if d.released != nil {
		d.before, x.Bits = d.released.Model, demoBits
	}
	var err error
	if d.released, err = d.world.releaser.Release(ctx, d.store, d.world.plan, d.world.task, x); err != nil {
		return err
	}
	return d.trainer.Load(fleetsim.DecodeModel(d.released.Model))
}

// demoModel is what the vehicles made of the last release.
type demoModel struct {
	Serial   uint64  `json:"serial"`
	Vehicles int     `json:"vehicles"` // that verified and loaded it
	ByDelta  int     `json:"by_delta"` // with a delta from the model of the last round
	Delta    int64   `json:"delta_bytes"`
	Whole    int64   `json:"model_bytes"`
	OnRows   float64 `json:"accuracy_on_own_rows"` // mean over the vehicles
}

// runModel has every vehicle fetch the last release, verify it and run it on its own rows. Those that took part in the
// last round have its model and read the delta.
func (d *demoRun) runModel(ctx context.Context) (*demoModel, error) {
	m := &demoModel{Serial: d.released.Release.Serial, Whole: d.released.Release.Size}
	for _, x := range d.released.Release.Deltas {
		m.Delta = x.Size
	}
	fates := d.rounds[len(d.rounds)-1].fates
	var mu sync.Mutex
	err := pipeline.ForEach(ctx, d.fleet.Vehicles(), func(ctx context.Context, _, i int) error {
		var have []byte
		if fates[i] != fleetsim.GoneBeforeSealing {
			have = d.before
		}
		f, share, err := d.load(ctx, i, have)
		if err != nil {
			return fmt.Errorf("vehicle %d: %w", i, err)
		}
		mu.Lock()
		defer mu.Unlock()
		m.Vehicles++
		m.OnRows += share / float64(d.fleet.Vehicles())
		if f.ByDelta {
			m.ByDelta++
		}
		return nil
	})
	return m, err
}

func (d *demoRun) load(ctx context.Context, i int, have []byte) (*client.Fetched, float64, error) {
	c, stop, err := d.world.client(i)
	if err != nil {
		return nil, 0, err
	}
	defer stop()
	f, err := c.Fetch(ctx, d.store, d.world.plan, d.world.task, have, d.released.Ref())
	if err == nil && !bytes.Equal(f.Model, d.released.Model) {
		err = fmt.Errorf("%w: another model than was released", pipeline.ErrUntrusted)
	}
	if err == nil {
		err = c.Accept(f)
	}
	if err != nil {
		return nil, 0, err
	}
	share, err := d.fleet.AccuracyOf(i, fleetsim.DecodeModel(f.Model))
	return f, share, err
}

// text is the model's line of the result.
func (m *demoModel) text() string {
	how := ""
	if m.ByDelta > 0 {
		how = fmt.Sprintf(", %d of them by a delta of %d bytes for %d", m.ByDelta, m.Delta, m.Whole)
	}
	return fmt.Sprintf("model      release %d, verified and run by %d vehicles%s: %.1f %% right on the data it learned from\n", m.Serial, m.Vehicles, how, 100*m.OnRows)
}
