// Package collector opens rounds, proposes their lists, and turns the
// committee's answers into one published aggregate.
//
// The order is [Collector.Open], [Collector.Close] (freezes the candidate
// list), [Collector.Propose] (manifest and reservation) and
// [Collector.Collect] (opens the sum, writes the aggregate, then the receipt).
// Each step is idempotent: started again it finds what it wrote and goes on,
// and two collectors with one key end in one receipt. The collector learns the noisy sum of one
// list and nothing else; the committee does not trust it.
package collector

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// Collector holds the signing key that tasks name. It keeps no state of its
// own: all of it is in the store.
type Collector struct {
	key     ed25519.PrivateKey
	now     func() time.Time
	regions map[string]storage.Store
}

// New returns a collector. now may be nil; it only decides whether keys have expired.
func New(key ed25519.PrivateKey, now func() time.Time) (*Collector, error) {
	if len(key) != ed25519.PrivateKeySize {
		return nil, errors.New("collector: a signing key is required")
	}
	if now == nil {
		now = time.Now
	}
	return &Collector{key: key, now: now}, nil
}

func (c *Collector) authorized(p *pipeline.Plan) error {
	if own := schema.NewPublicKey(c.key); own != p.Task.Collector {
		return fmt.Errorf("%w: the task's collector is %s, this key is %s", pipeline.ErrKey, p.Task.Collector, own)
	}
	return nil
}

// Opening says what a new round is about.
type Opening struct {
	Name        pipeline.RoundName
	Model       []byte // published for the vehicles; may be empty
	OldestModel uint64 // earliest epoch whose model is still accepted
	// Release is the serial number of the release whose model this is; 0 if it is none. Model may then be nil.
	Release uint64
	// Staleness is how updates from older models count less: [schema.StalenessInverseSqrt] or "".
	Staleness string
	Snapshot  schema.Digest
	Deadline  time.Time // advice to vehicles
	KeyExpiry time.Time // zero: the earliest expiry of the committee's round keys
	// Regions are the round's regions, in any order; nil if all vehicles report to the round's own store.
	Regions []schema.Region
}

// Open publishes the model and the round's descriptor. All decryptors must have published
// their round key. If the round is open already with this model, that round is returned. With adaptive
// clipping the norm follows from the rounds committed by now: see [pipeline.Plan.ClippingNorm].
func (c *Collector) Open(ctx context.Context, s storage.Store, p *pipeline.Plan, o Opening) (*pipeline.Round, error) {
	if err := c.authorized(p); err != nil {
		return nil, err
	}
	model, ref, err := o.model(ctx, s, p)
	if err != nil {
		return nil, err
	}
	if r, err := pipeline.LoadRound(ctx, s, p, o.Name); !errors.Is(err, storage.ErrNotExist) {
		if err == nil && r.Descriptor.ModelHash != model {
			return nil, fmt.Errorf("%w: %s stands", pipeline.ErrOpened, r.Descriptor.ModelHash.Short())
		}
		if err == nil && !sameRegions(r.Descriptor.Regions, o.Regions) {
			return nil, fmt.Errorf("%w: it has %d", pipeline.ErrRegions, len(r.Descriptor.Regions))
		}
		return r, err
	}
	d, err := c.describe(ctx, s, p, o)
	if err != nil {
		return nil, err
	}
	if d.ModelHash, d.Release = model, ref; ref != nil {
		_, err = s.Stat(ctx, pipeline.ModelKey(o.Name.Task, model))
	} else {
		_, err = s.PutOnce(ctx, pipeline.ModelKey(o.Name.Task, model), o.Model)
	}
	if err != nil {
		return nil, err
	}
	signed, err := schema.SignBody(*d, c.key)
	if err != nil {
		return nil, err
	}
	if _, err := s.PutOnce(ctx, pipeline.DescriptorKey(o.Name), signed.Bytes()); err != nil && !errors.Is(err, storage.ErrConflict) {
		return nil, err
	}
	return pipeline.LoadRound(ctx, s, p, o.Name)
}

// model finds the hash of the model, which is that of the release if one is named.
func (o Opening) model(ctx context.Context, s storage.Store, p *pipeline.Plan) (schema.Digest, *schema.ReleaseRef, error) {
	hash := schema.HashModel(o.Model)
	if o.Release == 0 {
		return hash, nil, nil
	}
	x, err := pipeline.LoadModelRelease(ctx, s, p, o.Name.Task, o.Release)
	if errors.Is(err, storage.ErrNotExist) {
		return hash, nil, fmt.Errorf("%w: release %d is not published: %w", pipeline.ErrNotReady, o.Release, err)
	}
	if err == nil && o.Model != nil && x.Body.Model != hash {
		err = fmt.Errorf("%w: the model is not that of release %d", pipeline.ErrTask, o.Release)
	}
	return x.Body.Model, &schema.ReleaseRef{Serial: o.Release, ID: x.ID()}, err
}

func (c *Collector) describe(ctx context.Context, s storage.Store, p *pipeline.Plan, o Opening) (*schema.Descriptor, error) {
	if int(o.Name.Lane) >= p.Task.Batch.Lanes {
		return nil, fmt.Errorf("%w: lane %d, the task has lanes 0 to %d", pipeline.ErrTask, o.Name.Lane, p.Task.Batch.Lanes-1)
	}
	if _, err := pipeline.LoadSnapshot(ctx, s, p, o.Snapshot); err != nil {
		return nil, err
	}
	d := &schema.Descriptor{
		Version: schema.Version, TaskID: o.Name.Task, Epoch: o.Name.Epoch, Lane: o.Name.Lane,
		OldestModel: o.OldestModel, Staleness: o.Staleness, Deadline: o.Deadline.Unix(), Snapshot: o.Snapshot,
		Regions: sortedRegions(o.Regions),
	}
	var err error
	if d.ClippingNorm, d.ClippingRound, err = p.ClippingNorm(ctx, s, o.Name); err != nil {
		return nil, err
	}
	for k := range p.Task.Committee.Size {
		key, err := pipeline.LoadRoundKey(ctx, s, p, o.Name, k)
		if errors.Is(err, storage.ErrNotExist) {
			return nil, fmt.Errorf("%w: decryptor %d has published no key for round %s", pipeline.ErrNotReady, k, o.Name)
		}
		if err != nil {
			return nil, err
		}
		d.RoundKeys = append(d.RoundKeys, key)
		if k == 0 || key.Body.Expiry < d.KeyExpiry {
			d.KeyExpiry = key.Body.Expiry
		}
	}
	if err := expiry(d, o); err != nil {
		return nil, err
	}
	if c.now().Unix() >= d.KeyExpiry {
		return nil, fmt.Errorf("%w: the round keys of %s expired at %s", pipeline.ErrTask, o.Name, time.Unix(d.KeyExpiry, 0).UTC().Format(time.RFC3339))
	}
	return d, nil
}

// expiry applies the wished key expiry and keeps the deadline before it.
func expiry(d *schema.Descriptor, o Opening) error {
	if wish := o.KeyExpiry.Unix(); !o.KeyExpiry.IsZero() {
		if wish > d.KeyExpiry {
			return fmt.Errorf("%w: key expiry %s is after that of a round key", pipeline.ErrTask, o.KeyExpiry.UTC().Format(time.RFC3339))
		}
		d.KeyExpiry = wish
	}
	d.Deadline = min(d.Deadline, d.KeyExpiry)
	for i := range d.Regions {
		d.Regions[i].Deadline = min(d.Regions[i].Deadline, d.KeyExpiry)
	}
	return nil
}

// Close freezes the list of complete reports as a candidate list for the
// committee, and returns its identity. Reports that come later miss the round, and so do regions of which no sum that
// verifies has arrived. Regions in without are left out. If a list was frozen already, it is returned.
func (c *Collector) Close(ctx context.Context, s storage.Store, r *pipeline.Round, without ...string) (schema.Digest, int, error) {
	return c.CloseAt(ctx, s, r, 0, without...)
}

// CloseAt is Close for a round that waits until it has as many reports, pipeline.ErrNotReady before: a buffer that is
// opened when it is full. Fewer than min_batch_size never close a round.
func (c *Collector) CloseAt(ctx context.Context, s storage.Store, r *pipeline.Round, atLeast int, without ...string) (schema.Digest, int, error) {
	if most := r.Task.Batch.Max; atLeast > most {
		return schema.Digest{}, 0, fmt.Errorf("%w: no round takes %d reports, max_batch_size is %d", pipeline.ErrTask, atLeast, most)
	}
	if err := c.authorized(r.Plan); err != nil {
		return schema.Digest{}, 0, err
	}
	if err := pipeline.Ended(ctx, s, r); err != nil {
		return schema.Digest{}, 0, err
	}
	if id, n, err := pipeline.FrozenCandidates(ctx, s, r); n > 0 || err != nil {
		return id, n, err
	}
	ids, err := c.complete(ctx, s, r, without)
	if err != nil {
		return schema.Digest{}, 0, err
	}
	if len(ids) < r.Task.Batch.Min {
		return schema.Digest{}, len(ids), fmt.Errorf("%w: %d reports, min_batch_size is %d", pipeline.ErrNotReady, len(ids), r.Task.Batch.Min)
	}
	if len(ids) < atLeast {
		return schema.Digest{}, len(ids), fmt.Errorf("%w: %d reports of %d", pipeline.ErrNotReady, len(ids), atLeast)
	}
	id, err := pipeline.Freeze(ctx, s, r, ids)
	return id, len(ids), err
}

// Format implements fmt.Formatter: a collector never prints its key.
func (Collector) Format(f fmt.State, _ rune) { io.WriteString(f, "[redacted]") }

// LogValue implements slog.LogValuer.
func (Collector) LogValue() slog.Value { return slog.StringValue("[redacted]") }
