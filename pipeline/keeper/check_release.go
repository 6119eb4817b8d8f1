package keeper

import (
	"errors"
	"fmt"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// release verifies a release and that everything that it names is there: the one before, its rounds' receipts, its
// model and its deltas, whose bytes are looked at under their own names.
func (c *checker) release(o object) error {
	p, err := c.load(o.Round.Task)
	if err != nil {
		return c.orphaned(o.Info.Key, err)
	}
	x, err := pipeline.LoadModelRelease(c.ctx, c.store, p, o.Round.Task, o.Serial)
	if err == nil {
		err = pipeline.CheckProvenance(c.ctx, c.store, p, x.Body)
	}
	if err == nil {
		err = c.linked(p, x.Body)
	}
	if err != nil {
		return c.blame(o.Info.Key, err)
	}
	if err := c.sized(pipeline.ModelKey(o.Round.Task, x.Body.Model), x.Body.Size); err != nil {
		return err
	}
	for _, d := range x.Body.Deltas {
		if err := c.sized(pipeline.DeltaKey(o.Round.Task, d.Hash), d.Size); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) linked(p *pipeline.Plan, r schema.Release) error {
	if r.Serial == 1 {
		return nil
	}
	before, err := pipeline.LoadModelRelease(c.ctx, c.store, p, r.TaskID, r.Serial-1)
	if err == nil && before.ID() != r.Previous {
		err = fmt.Errorf("%w: it does not follow release %d", pipeline.ErrUntrusted, r.Serial-1)
	}
	if errors.Is(err, storage.ErrNotExist) {
		err = at{pipeline.ReleaseKey(r.TaskID, r.Serial-1), err}
	}
	return err
}

// sized checks that an object that a release names is there, with the bytes that it states.
func (c *checker) sized(key string, size int64) error {
	info, err := c.store.Stat(c.ctx, key)
	if err == nil && info.Size != size {
		err = fmt.Errorf("%w: %d bytes, its release states %d", pipeline.ErrUntrusted, info.Size, size)
	}
	return c.blame(key, err)
}

// delta reads a delta, whose name is its hash.
func (c *checker) delta(o object) error {
	if c.opt.Quick {
		return nil
	}
	p, err := c.load(o.Round.Task)
	if err != nil {
		return c.orphaned(o.Info.Key, err)
	}
	b, err := storage.ReadAll(c.ctx, c.store, o.Info.Key, p.Task.MaxModelBytes())
	if err == nil && schema.HashDelta(b) != o.Hash {
		err = fmt.Errorf("%w: its hash is %s", pipeline.ErrUntrusted, schema.HashDelta(b))
	}
	return c.blame(o.Info.Key, err)
}
