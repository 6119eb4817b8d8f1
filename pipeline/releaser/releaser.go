// Package releaser publishes the models that vehicles load: a signed release with
// what it was made from and what it cost, and deltas that spare the link.
//
// [Releaser.Release] does all of it. The key is the one that the task names for
// releases, which is not the Collector's if the task says so: the Collector works unattended in every
// round and decides what is trained on; who decides what a vehicle runs can keep a key apart from it.
package releaser

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/schema/delta"
	"github.com/veilsum/veilsum/storage"
)

// Errors of this package; others wrap those of pipeline.
var (
	// ErrRounds: a round that cannot be named in this release.
	ErrRounds = errors.New("releaser: round refused")
	// ErrSize: the model is larger than a vehicle of this task accepts.
	ErrSize = errors.New("releaser: model too large")
)

// Releaser holds the key that signs releases. It keeps no state of its own: all of it is in the store.
type Releaser struct{ key ed25519.PrivateKey }

// New returns a releaser with a signing key.
func New(key ed25519.PrivateKey) (*Releaser, error) {
	if len(key) != ed25519.PrivateKeySize {
		return nil, errors.New("releaser: a signing key is required")
	}
	return &Releaser{key: key}, nil
}

// Publication is what a release is made of.
type Publication struct {
	Model []byte // the new model, in whatever form the vehicles read
	// Bits keeps so many bits of the root mean square of the update since the release before, and gives
	// the rest of its little-endian float32 values up: see [delta.Round]. 0 keeps the model as it is.
	Bits int
	// Rounds went into the model; nil is all committed rounds that no release names yet.
	Rounds []pipeline.RoundName
	// Bases are how many of the releases before get a delta to this one, at most [schema.MaxDeltas].
	Bases int
	Note  string // how the model was made, for people
}

// Released is a release that stands in the store.
type Released struct {
	Release schema.Release
	ID      schema.Digest // its identity
	Model   []byte        // the released bytes, rounded if that was asked for: train on with these
	Stood   bool          // it was there already
}

// Ref names the release, for a descriptor.
func (r Released) Ref() *schema.ReleaseRef {
	return &schema.ReleaseRef{Serial: r.Release.Serial, ID: r.ID}
}

// Release publishes the model, its deltas and then the release, which names the rounds by their receipts and
// the budget by the ledger. Repeated with the model of the newest release, and no new rounds, it
// returns that release. Two releasers at once end in one release of a serial: the other gets storage.ErrConflict.
func (r *Releaser) Release(ctx context.Context, s storage.Store, p *pipeline.Plan, id schema.TaskID, x Publication) (*Released, error) {
	if own := schema.NewPublicKey(r.key); own != p.Task.ReleaseKey() {
		return nil, fmt.Errorf("%w: the task's releases are signed by %s, this key is %s", pipeline.ErrKey, p.Task.ReleaseKey(), own)
	}
	if int64(len(x.Model)) > p.Task.MaxModelBytes() {
		return nil, fmt.Errorf("%w: %d bytes, the task allows %d", ErrSize, len(x.Model), p.Task.MaxModelBytes())
	}
	chain, err := Chain(ctx, s, p, id)
	if err != nil {
		return nil, err
	}
	w := &work{ctx: ctx, store: s, plan: p, task: id, chain: chain}
	rounds, err := w.rounds(x.Rounds)
	if err != nil {
		return nil, err
	}
	if stood, err := w.stands(x, rounds); stood != nil || err != nil {
		return stood, err
	}
	model, exponent, err := w.round(w.last(), x.Model, x.Bits)
	if err != nil {
		return nil, err
	}
	release, err := w.publish(model, exponent, x.Bases)
	if err != nil {
		return nil, err
	}
	release.Rounds, release.Note = rounds, x.Note
	signed, err := schema.SignBody(*release, r.key)
	if err != nil {
		return nil, err
	}
	if _, err := s.PutOnce(ctx, pipeline.ReleaseKey(id, release.Serial), signed.Bytes()); err != nil {
		return nil, err
	}
	return &Released{Release: signed.Body, ID: signed.ID(), Model: model}, nil
}

// Chain returns all releases of a task that the store holds, each verified and linked to the one before.
func Chain(ctx context.Context, s storage.Store, p *pipeline.Plan, id schema.TaskID) ([]schema.Signed[schema.Release], error) {
	var chain []schema.Signed[schema.Release]
	for serial := uint64(1); ; serial++ {
		x, err := pipeline.LoadModelRelease(ctx, s, p, id, serial)
		if errors.Is(err, storage.ErrNotExist) {
			return chain, nil
		}
		if err != nil {
			return chain, err
		}
		if serial > 1 && x.Body.Previous != chain[serial-2].ID() {
			return chain, fmt.Errorf("%w: %s: it does not follow the release before", pipeline.ErrUntrusted, pipeline.ReleaseKey(id, serial))
		}
		chain = append(chain, x)
	}
}

// work is the making of one release.
type work struct {
	ctx   context.Context
	store storage.Store
	plan  *pipeline.Plan
	task  schema.TaskID
	chain []schema.Signed[schema.Release]
}

func (w *work) last() *schema.Signed[schema.Release] {
	if len(w.chain) == 0 {
		return nil
	}
	return &w.chain[len(w.chain)-1]
}

// stands returns the newest release if it is what is asked for: made of the same model and rounds.
func (w *work) stands(x Publication, rounds []schema.ReleaseRound) (*Released, error) {
	last := w.last()
	if last == nil || len(rounds) > 0 && !slices.Equal(rounds, last.Body.Rounds) {
		return nil, nil
	}
	model := x.Model
	if schema.HashModel(model) != last.Body.Model && x.Bits > 0 && len(w.chain) > 1 {
		var err error
		if model, _, err = w.round(&w.chain[len(w.chain)-2], model, x.Bits); err != nil {
			return nil, err
		}
	}
	if schema.HashModel(model) != last.Body.Model {
		return nil, nil
	}
	return &Released{Release: last.Body, ID: last.ID(), Model: model, Stood: true}, nil
}

// rounds finds the receipts of the rounds, each of which a task releases once.
func (w *work) rounds(names []pipeline.RoundName) ([]schema.ReleaseRound, error) {
	type place struct {
		epoch uint64
		lane  uint32
	}
	taken := map[place]uint64{}
	for _, x := range w.chain {
		for _, r := range x.Body.Rounds {
			taken[place{r.Epoch, r.Lane}] = x.Body.Serial
		}
	}
	newest := uint64(len(w.chain)) // whose rounds may be named again by who repeats it
	if names == nil {
		all, err := pipeline.CommittedRounds(w.ctx, w.store, w.plan, w.task)
		return slices.DeleteFunc(append([]schema.ReleaseRound{}, all...), func(r schema.ReleaseRound) bool { return taken[place{r.Epoch, r.Lane}] > 0 }), err
	}
	rounds, again := []schema.ReleaseRound{}, 0
	for _, n := range names {
		by := taken[place{n.Epoch, n.Lane}]
		if by == newest && by > 0 {
			again++
		} else if by > 0 {
			return nil, fmt.Errorf("%w: release %d names %s already", ErrRounds, by, n)
		}
		r, err := pipeline.ReleasedRound(w.ctx, w.store, w.plan, n)
		if err != nil {
			return nil, err
		}
		taken[place{n.Epoch, n.Lane}] = newest + 1
		rounds = append(rounds, r)
	}
	slices.SortFunc(rounds, pipeline.CompareRounds)
	if again > 0 && !slices.Equal(rounds, w.last().Body.Rounds) {
		return nil, fmt.Errorf("%w: release %d names some of them already", ErrRounds, newest)
	}
	return rounds, nil
}

// round puts the model on the grid of its update since a release, if that is asked for.
func (w *work) round(last *schema.Signed[schema.Release], model []byte, bits int) ([]byte, int, error) {
	if bits == 0 {
		return model, delta.NoGrid, nil
	}
	if last == nil {
		return nil, 0, fmt.Errorf("%w: the first release has no update to round", delta.ErrRound)
	}
	base, err := w.model(last.Body)
	if err != nil {
		return nil, 0, err
	}
	return delta.Round(base, model, bits)
}

// model reads a released model.
func (w *work) model(r schema.Release) ([]byte, error) {
	key := pipeline.ModelKey(w.task, r.Model)
	b, err := storage.ReadAll(w.ctx, w.store, key, r.Size)
	if err == nil && schema.HashModel(b) != r.Model {
		err = fmt.Errorf("%w: %s: its hash is another one", pipeline.ErrUntrusted, key)
	}
	return b, err
}

// publish writes the model and its deltas, and returns the release but for its rounds.
func (w *work) publish(model []byte, exponent, bases int) (*schema.Release, error) {
	l, err := pipeline.OpenLedger(w.ctx, w.store, w.plan.Task.Scope, w.plan.Task.Owner, nil)
	if err != nil {
		return nil, err
	}
	release := &schema.Release{
		Version: schema.Version, TaskID: w.task, Serial: uint64(len(w.chain)) + 1, Model: schema.HashModel(model), Size: int64(len(model)),
	}
	if last := w.last(); last != nil {
		release.Previous = last.ID()
	}
	if release.Spent, err = l.Spent(w.ctx); err != nil {
		return nil, err
	}
	if _, err := w.store.PutOnce(w.ctx, pipeline.ModelKey(w.task, release.Model), model); err != nil {
		return nil, err
	}
	release.Deltas, err = w.deltas(model, release.Model, exponent, bases)
	return release, err
}

// deltas writes those that are shorter than the model. A release whose model is gone gets none.
func (w *work) deltas(model []byte, hash schema.Digest, exponent, bases int) ([]schema.Delta, error) {
	var all []schema.Delta
	seen := map[schema.Digest]bool{hash: true}
	for i := len(w.chain) - 1; i >= 0 && len(all) < min(bases, schema.MaxDeltas); i-- {
		r := w.chain[i].Body
		if seen[r.Model] {
			continue
		}
		seen[r.Model] = true
		base, err := w.model(r)
		if errors.Is(err, storage.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		d, err := delta.Encode(base, model, exponent)
		if err != nil {
			return nil, err
		}
		if len(d) >= len(model) {
			continue
		}
		x := schema.Delta{Base: r.Model, Hash: schema.HashDelta(d), Size: int64(len(d))}
		if _, err := w.store.PutOnce(w.ctx, pipeline.DeltaKey(w.task, x.Hash), d); err != nil {
			return nil, err
		}
		all = append(all, x)
	}
	slices.SortFunc(all, func(a, b schema.Delta) int { return schema.CompareDigests(a.Base, b.Base) })
	return all, nil
}

// Format implements fmt.Formatter: a releaser never prints its key.
func (Releaser) Format(f fmt.State, _ rune) { io.WriteString(f, "[redacted]") }

// LogValue implements slog.LogValuer.
func (Releaser) LogValue() slog.Value { return slog.StringValue("[redacted]") }
