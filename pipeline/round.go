package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/secagg"
	"github.com/veilsum/veilsum/storage"
)

// Round is everything that one round agrees on, verified. It is immutable and
// safe for concurrent use. With adaptive clipping its Privacy is that of the round's own clipping norm.
type Round struct {
	*Plan
	Name       RoundName
	ID         schema.RoundID
	Descriptor schema.Descriptor
	Snapshot   *schema.Snapshot
}

// LoadTask reads a task and verifies it against the privacy owner's key.
func LoadTask(ctx context.Context, s storage.Store, id schema.TaskID, owner schema.PublicKey) (*Plan, error) {
	t, err := load[schema.Task](ctx, s, TaskKey(id), owner)
	if err != nil {
		return nil, err
	}
	if schema.NewTaskID(t) != id {
		return nil, Untrusted(TaskKey(id), errors.New("it is another task than its name says"))
	}
	if t.Body.Owner != owner {
		return nil, Untrusted(TaskKey(id), errors.New("it names another privacy owner than the pinned key"))
	}
	return NewPlan(t.Body)
}

// LoadRound reads and verifies a round's descriptor and its enrollment snapshot.
func LoadRound(ctx context.Context, s storage.Store, p *Plan, n RoundName) (*Round, error) {
	r, err := LoadDescriptor(ctx, s, p, n)
	if err != nil {
		return nil, err
	}
	r.Snapshot, err = LoadSnapshot(ctx, s, p, r.Descriptor.Snapshot)
	return r, err
}

// LoadDescriptor is LoadRound without the snapshot, which no vehicle needs.
func LoadDescriptor(ctx context.Context, s storage.Store, p *Plan, n RoundName) (*Round, error) {
	key := DescriptorKey(n)
	d, err := load[schema.Descriptor](ctx, s, key, p.Task.Collector)
	if errors.Is(err, storage.ErrNotExist) {
		return nil, fmt.Errorf("%w: round %s is not open: %w", ErrNotReady, n, err)
	}
	if err != nil {
		return nil, err
	}
	if err := p.checkDescriptor(d.Body, n); err != nil {
		return nil, Untrusted(key, err)
	}
	if p, err = p.atNorm(d.Body); err != nil {
		return nil, Untrusted(key, err)
	}
	return &Round{Plan: p, Name: n, ID: schema.NewRoundID(d), Descriptor: d.Body}, nil
}

func (p *Plan) checkDescriptor(d schema.Descriptor, n RoundName) error {
	switch {
	case d.TaskID != n.Task || d.Epoch != n.Epoch || d.Lane != n.Lane:
		return errors.New("it belongs to another round")
	case int(d.Lane) >= p.Task.Batch.Lanes:
		return fmt.Errorf("lane %d, the task has %d", d.Lane, p.Task.Batch.Lanes)
	case len(d.RoundKeys) != p.Task.Committee.Size:
		return fmt.Errorf("%d round keys for %d decryptors", len(d.RoundKeys), p.Task.Committee.Size)
	}
	for k, key := range d.RoundKeys {
		if err := p.checkRoundKey(key, n, k, d.KeyExpiry); err != nil {
			return fmt.Errorf("round key %d: %w", k, err)
		}
	}
	return nil
}

func (p *Plan) checkRoundKey(key schema.Signed[schema.RoundKey], n RoundName, k int, expiry int64) error {
	b := key.Body
	switch {
	case b.TaskID != n.Task || b.Epoch != n.Epoch || b.Lane != n.Lane || b.Index != k:
		return errors.New("it belongs to another round or decryptor")
	case b.Expiry < expiry:
		return fmt.Errorf("it expires at %s, before the descriptor's key expiry", time.Unix(b.Expiry, 0).UTC().Format(time.RFC3339))
	case len(b.PublicKey) != p.Secagg.Suite().PublicKeyBytes():
		return fmt.Errorf("public key of %d bytes", len(b.PublicKey))
	}
	if err := key.Verify(p.Task.Committee.Keys[k]); err != nil {
		return err
	}
	// An unusable key must stop the opening of a round, not every vehicle in it.
	return secagg.ValidatePublicKey(p.Secagg.Suite(), b.PublicKey)
}

// LoadRoundKey reads and verifies decryptor k's round key.
func LoadRoundKey(ctx context.Context, s storage.Store, p *Plan, n RoundName, k int) (schema.Signed[schema.RoundKey], error) {
	key, err := load[schema.RoundKey](ctx, s, RoundKeyKey(n, k), p.Task.Committee.Keys[k])
	if err != nil {
		return key, err
	}
	if err := p.checkRoundKey(key, n, k, 0); err != nil {
		return key, Untrusted(RoundKeyKey(n, k), err)
	}
	return key, nil
}

// maxSnapshot bounds the bytes of a snapshot object.
const maxSnapshot = 64 + 64 + 48*schema.MaxVehicles

// LoadSnapshot reads a snapshot and verifies the authority's signature and the scope.
func LoadSnapshot(ctx context.Context, s storage.Store, p *Plan, root schema.Digest) (*schema.Snapshot, error) {
	raw, err := Read(ctx, s, SnapshotKey(root), maxSnapshot)
	if err != nil {
		return nil, err
	}
	snap, err := schema.DecodeSnapshot(raw)
	if err != nil {
		return nil, Untrusted(SnapshotKey(root), err)
	}
	if err := snap.Verify(p.Task.Authority); err != nil {
		return nil, Untrusted(SnapshotKey(root), err)
	}
	if snap.Root() != root || snap.Scope != p.Task.Scope.ID() {
		return nil, Untrusted(SnapshotKey(root), errors.New("it has another root or scope"))
	}
	return snap, nil
}

// LoadManifest reads and verifies a manifest of this round.
func LoadManifest(ctx context.Context, s storage.Store, r *Round, id schema.ManifestID) (schema.Manifest, error) {
	key := ManifestKey(r.Name, id)
	m, err := load[schema.Manifest](ctx, s, key, r.Task.Collector)
	if err != nil {
		return schema.Manifest{}, err
	}
	if m.Body.RoundID != r.ID || schema.NewManifestID(m) != id {
		return schema.Manifest{}, Untrusted(key, errors.New("it belongs to another round"))
	}
	return m.Body, nil
}

// LoadReceipt reads and verifies the receipt of a round; storage.ErrNotExist if the round goes on.
func LoadReceipt(ctx context.Context, s storage.Store, r *Round) (schema.Receipt, error) {
	x, err := loadReceipt(ctx, s, r)
	return x.Body, err
}

func loadReceipt(ctx context.Context, s storage.Store, r *Round) (schema.Signed[schema.Receipt], error) {
	key := ReceiptKey(r.Name)
	x, err := load[schema.Receipt](ctx, s, key, r.Task.Collector)
	if err != nil {
		return schema.Signed[schema.Receipt]{}, err
	}
	if x.Body.RoundID != r.ID {
		return schema.Signed[schema.Receipt]{}, Untrusted(key, errors.New("it belongs to another round"))
	}
	if (x.Body.Unclipped != nil) != (r.Adaptive() && x.Body.Status == schema.StatusCommitted) {
		return schema.Signed[schema.Receipt]{}, Untrusted(key, errors.New("it must state the fraction of unclipped updates if it is committed and the task adapts its clipping norm, else not"))
	}
	return x, nil
}

// Ended returns ErrEnded if the round has a receipt, and ErrUntrusted if
// something else lies in its place.
func Ended(ctx context.Context, s storage.Store, r *Round) error {
	x, err := LoadReceipt(ctx, s, r)
	if errors.Is(err, storage.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return fmt.Errorf("%w: %s is %s", ErrEnded, r.Name, x.Status)
}

// LoadVotes returns the valid votes of the round by decryptor; absent and invalid ones are left out.
func LoadVotes(ctx context.Context, s storage.Store, r *Round) (map[int]schema.Signed[schema.Vote], error) {
	return byDecryptor(r, func(k int) (schema.Signed[schema.Vote], error) {
		v, err := load[schema.Vote](ctx, s, VoteKey(r.Name, k), r.Task.Committee.Keys[k])
		if err == nil && (v.Body.RoundID != r.ID || v.Body.Index != k) {
			err = Untrusted(VoteKey(r.Name, k), errors.New("it belongs to another round or decryptor"))
		}
		return v, err
	})
}

// LoadAnswers returns the valid answers to a manifest by decryptor.
func LoadAnswers(ctx context.Context, s storage.Store, r *Round, id schema.ManifestID) (map[int]schema.Signed[schema.Answer], error) {
	return byDecryptor(r, func(k int) (schema.Signed[schema.Answer], error) {
		a, err := load[schema.Answer](ctx, s, AnswerKey(r.Name, k), r.Task.Committee.Keys[k])
		if err == nil && (a.Body.RoundID != r.ID || a.Body.Index != k || a.Body.Manifest != id || len(a.Body.Shares) != r.Secagg.HeldSets()) {
			err = Untrusted(AnswerKey(r.Name, k), errors.New("it belongs to another round, list or decryptor"))
		}
		return a, err
	})
}

// byDecryptor collects what each decryptor left; an absent or untrusted object
// is that decryptor's silence, any other error ends the step.
func byDecryptor[T any](r *Round, get func(k int) (T, error)) (map[int]T, error) {
	found := map[int]T{}
	for k := range r.Task.Committee.Size {
		v, err := get(k)
		switch {
		case err == nil:
			found[k] = v
		case errors.Is(err, storage.ErrNotExist) || errors.Is(err, ErrUntrusted):
		default:
			return nil, err
		}
	}
	return found, nil
}

// Certified returns the (manifest, checkpoint) pair that t valid votes name,
// or ErrDecryptors. Two pairs cannot both be certified: they would share an honest voter.
func Certified(r *Round, votes map[int]schema.Signed[schema.Vote]) (schema.ManifestID, schema.Digest, error) {
	type pair struct {
		m schema.ManifestID
		c schema.Digest
	}
	count := map[pair]int{}
	for _, v := range votes {
		p := pair{v.Body.Manifest, v.Body.Checkpoint}
		if count[p]++; count[p] >= r.Task.Committee.Threshold {
			return p.m, p.c, nil
		}
	}
	return schema.ManifestID{}, schema.Digest{}, fmt.Errorf("%w: %d votes, %d for one list are needed", ErrDecryptors, len(votes), r.Task.Committee.Threshold)
}

// load reads one signed object and verifies its signature.
func load[T schema.Object](ctx context.Context, s storage.Store, key string, signer schema.PublicKey) (schema.Signed[T], error) {
	raw, err := Read(ctx, s, key, schema.MaxObject)
	if err != nil {
		return schema.Signed[T]{}, err
	}
	x, err := schema.Decode[T](raw)
	if err != nil {
		return x, Untrusted(key, err)
	}
	if err := x.Verify(signer); err != nil {
		return x, Untrusted(key, err)
	}
	return x, nil
}

// Read reads an object of at most limit bytes. One that is larger or damaged is [ErrUntrusted].
func Read(ctx context.Context, s storage.Store, key string, limit int64) ([]byte, error) {
	b, err := storage.ReadAll(ctx, s, key, limit)
	if errors.Is(err, storage.ErrTooLarge) || errors.Is(err, storage.ErrDamaged) {
		return nil, Untrusted(key, err)
	}
	return b, err
}

// Untrusted says what is wrong with an object: an [ErrUntrusted].
func Untrusted(key string, err error) error {
	return fmt.Errorf("%w: %s: %w", ErrUntrusted, key, err)
}
