package client

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/schema/delta"
	"github.com/veilsum/veilsum/storage"
)

var (
	// ErrRollback: the store shows an older release than the vehicle accepted, or than a round announces.
	ErrRollback = errors.New("client: releases were rolled back or are withheld")
	// ErrForked: there are two releases of one serial number, or a chain that does not continue the vehicle's.
	ErrForked = errors.New("client: releases forked")
	// ErrNoRelease: the task has no release yet.
	ErrNoRelease = errors.New("client: the task has no release")
)

// releasesFile keeps what the vehicle accepted. It is apart from the history, which counts what the vehicle gave, so that a
// program that knows no releases can go on with the directory.
const releasesFile = "releases.json"

// Loaded is the newest release that the vehicle accepted of a task.
type Loaded struct {
	Serial  uint64        `json:"serial"`
	Release schema.Digest `json:"release"` // its identity
	Model   schema.Digest `json:"model"`
}

// Loaded returns the newest accepted release of a task; the zero value if there is none.
func (c *Client) Loaded(task schema.TaskID) (Loaded, error) {
	all, err := c.loaded()
	return all[task.String()], err
}

func (c *Client) loaded() (map[string]Loaded, error) {
	b, err := c.state.Read(releasesFile)
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]Loaded{}, nil
	}
	if err != nil {
		return nil, err
	}
	all, err := decodeLoaded(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrHistory, c.state.Path(releasesFile), err)
	}
	return all, nil
}

func decodeLoaded(b []byte) (map[string]Loaded, error) {
	body, err := openBody("releases", b)
	if err != nil {
		return nil, err
	}
	var all map[string]Loaded
	if err := strict(body, &all); err != nil {
		return nil, err
	}
	if all == nil {
		return nil, errors.New("no releases")
	}
	return all, nil
}

// Accept remembers a release for good, before its model runs: from then on the vehicle takes no older one, and
// no other one of its serial.
func (c *Client) Accept(f *Fetched) error {
	all, err := c.loaded()
	if err != nil {
		return err
	}
	task := f.Release.TaskID.String()
	if old := all[task]; f.Release.Serial < old.Serial || f.Release.Serial == old.Serial && f.ID != old.Release {
		return fmt.Errorf("%w: %d after %d", ErrRollback, f.Release.Serial, old.Serial)
	}
	all[task] = Loaded{Serial: f.Release.Serial, Release: f.ID, Model: f.Release.Model}
	b, err := closeBody("releases", all)
	if err != nil {
		return err
	}
	return c.state.Replace(releasesFile, b)
}

// Fetched is a verified release with its model.
type Fetched struct {
	Release schema.Release
	ID      schema.Digest
	Model   []byte
	// Bytes of the model or the delta were read, 0 if the vehicle had the model already.
	Bytes int64
	// ByDelta tells that a delta was read; Spoiled that one was, but did not give the model, which was then read whole.
	ByDelta, Spoiled bool
}

// Fetch gets the newest release of a task and verifies all that a vehicle can before it loads a model: who signed
// it, that it continues the chain of what the vehicle accepted, link by link, the receipts of the rounds that it
// was made from, and every byte of the model. have is the model that the vehicle has, for which the store may
// hold a delta; nil if there is none. bound, if not nil, is a release that a descriptor names: an older one is then refused. The
// vehicle remembers nothing until [Client.Accept].
func (c *Client) Fetch(ctx context.Context, s storage.Store, p *pipeline.Plan, task schema.TaskID, have []byte, bound *schema.ReleaseRef) (*Fetched, error) {
	last, err := c.Loaded(task)
	if err != nil {
		return nil, err
	}
	x, err := follow(ctx, s, p, task, last, bound)
	if err != nil {
		return nil, err
	}
	f := &Fetched{Release: x.Body, ID: x.ID()}
	if schema.HashModel(have) == f.Release.Model && int64(len(have)) == f.Release.Size {
		f.Model = have
		return f, nil
	}
	if err := f.byDelta(ctx, s, have); err != nil || f.Model != nil {
		return f, err
	}
	return f, f.whole(ctx, s)
}

// checkRelease refuses a round that announces another release than the one of this serial that the vehicle accepted.
// An older or a newer one is no contradiction: rounds stay open while releases go on.
func (c *Client) checkRelease(r *pipeline.Round) error {
	bound := r.Descriptor.Release
	if bound == nil {
		return nil
	}
	last, err := c.Loaded(r.Name.Task)
	if err != nil {
		return err
	}
	if bound.Serial == last.Serial && (bound.ID != last.Release || r.Descriptor.ModelHash != last.Model) {
		return fmt.Errorf("%w: round %s announces release %d as %s, this vehicle accepted %s", ErrForked, r.Name, bound.Serial, bound.ID.Short(), last.Release.Short())
	}
	return nil
}

// follow walks from the release that the vehicle accepted last to the newest, and checks each on the way. A
// vehicle that accepted none believes the newest, which its key vouches for.
func follow(ctx context.Context, s storage.Store, p *pipeline.Plan, task schema.TaskID, last Loaded, bound *schema.ReleaseRef) (x schema.Signed[schema.Release], err error) {
	newest, err := pipeline.LatestRelease(ctx, s, task, last.Serial)
	if err != nil {
		return x, err
	}
	if newest == 0 && bound == nil {
		return x, ErrNoRelease
	}
	if bound != nil && newest < bound.Serial {
		return x, fmt.Errorf("%w: the store shows %d, a round announces %d", ErrRollback, newest, bound.Serial)
	}
	from := last.Serial
	if from == 0 {
		from = newest
		if bound != nil {
			from = bound.Serial
		}
	}
	for serial := from; serial <= newest; serial++ {
		before := x
		if x, err = pipeline.LoadModelRelease(ctx, s, p, task, serial); err != nil {
			if errors.Is(err, storage.ErrNotExist) {
				err = fmt.Errorf("%w: release %d is gone: %w", ErrRollback, serial, err)
			}
			return x, err
		}
		if err := onLine(x, before, serial > from, last, bound); err != nil {
			return x, err
		}
		if serial > last.Serial {
			if err := pipeline.CheckProvenance(ctx, s, p, x.Body); err != nil {
				return x, err
			}
		}
	}
	return x, nil
}

// onLine compares a release with the one before, with what the vehicle accepted, and with what a round announces.
func onLine(x, before schema.Signed[schema.Release], linked bool, last Loaded, bound *schema.ReleaseRef) error {
	id, serial := x.ID(), x.Body.Serial
	switch {
	case serial == last.Serial && id != last.Release:
		return fmt.Errorf("%w: release %d is %s, this vehicle accepted %s", ErrForked, serial, id.Short(), last.Release.Short())
	case linked && x.Body.Previous != before.ID():
		return fmt.Errorf("%w: release %d does not follow the one before", ErrForked, serial)
	case bound != nil && serial == bound.Serial && id != bound.ID:
		return fmt.Errorf("%w: release %d is %s, a round announces %s", ErrForked, serial, id.Short(), bound.ID.Short())
	}
	return nil
}

// byDelta tries the delta for the model that the vehicle has. One that is gone or spoiled is passed
// over: the whole model is still to be had.
func (f *Fetched) byDelta(ctx context.Context, s storage.Store, have []byte) error {
	base := schema.HashModel(have)
	for _, d := range f.Release.Deltas {
		if have == nil || d.Base != base {
			continue
		}
		b, err := storage.ReadAll(ctx, s, pipeline.DeltaKey(f.Release.TaskID, d.Hash), d.Size)
		switch {
		case errors.Is(err, storage.ErrNotExist):
			return nil
		case errors.Is(err, storage.ErrTooLarge) || errors.Is(err, storage.ErrDamaged):
			f.Spoiled = true
			return nil
		case err != nil:
			return err
		}
		f.Bytes += int64(len(b))
		if schema.HashDelta(b) == d.Hash { // what was not signed for is not decompressed
			model, err := delta.Decode(have, b, f.Release.Size)
			if err == nil && schema.HashModel(model) == f.Release.Model {
				f.Model, f.ByDelta = model, true
				return nil
			}
		}
		f.Spoiled = true
	}
	return nil
}

func (f *Fetched) whole(ctx context.Context, s storage.Store) error {
	key := pipeline.ModelKey(f.Release.TaskID, f.Release.Model)
	b, err := pipeline.Read(ctx, s, key, f.Release.Size)
	if err == nil && (int64(len(b)) != f.Release.Size || schema.HashModel(b) != f.Release.Model) {
		err = pipeline.Untrusted(key, errors.New("it is not the released model"))
	}
	if err != nil {
		return err
	}
	f.Model, f.Bytes = b, f.Bytes+int64(len(b))
	return nil
}
