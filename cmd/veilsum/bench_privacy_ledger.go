package main

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/veilsum/veilsum/privacy/accountant"
	"github.com/veilsum/veilsum/privacy/ledger"
)

// benchObjects is a store of one ledger in memory. Nothing writes to it while it is read.
type benchObjects map[string][]byte

// PutOnce implements ledger.Objects.
func (o benchObjects) PutOnce(context.Context, string, []byte) (ledger.Outcome, error) {
	return 0, fmt.Errorf("bench: an audit writes nothing")
}

// Get implements ledger.Objects.
func (o benchObjects) Get(ctx context.Context, key string, limit int64) ([]byte, error) {
	body, ok := o[key]
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case !ok:
		return nil, fmt.Errorf("%s: %w", key, fs.ErrNotExist)
	case int64(len(body)) > limit:
		return nil, fmt.Errorf("%s: %d bytes, at most %d", key, len(body), limit)
	}
	return body, nil
}

// List implements ledger.Objects.
func (o benchObjects) List(_ context.Context, prefix, startAfter string) iter.Seq2[string, error] {
	keys := slices.Sorted(maps.Keys(o))
	return func(yield func(string, error) bool) {
		for _, k := range keys {
			if strings.HasPrefix(k, prefix) && k > startAfter && !yield(k, nil) {
				return
			}
		}
	}
}

func benchID(what string, n uint64) ledger.ID {
	return sha256.Sum256(binary.LittleEndian.AppendUint64([]byte(what), n))
}

// benchHistory is a log of n entries: rounds of one task, reserved and settled. Only the
// newest entries are signed: of full bundles an audit looks at no older signature.
func benchHistory(scope ledger.Scope, key ed25519.PrivateKey, n int) (benchObjects, error) {
	b, o := ledger.NewBuilder(scope), benchObjects{}
	event := accountant.Event{Type: accountant.Gaussian, NoiseMultiplier: 8}
	for epoch := uint64(0); b.Size() < n; epoch++ {
		q := ledger.Request{
			Task: benchID("task", 0), Round: benchID("round", epoch), Epoch: epoch, Manifest: benchID("manifest", epoch),
			Reports: 9900, Reservation: benchID("reservation", epoch), Event: event,
		}
		index, sign := b.Size(), b.Size() >= n/256*256-4
		b.Add(&ledger.Entry{Kind: ledger.KindReserve, Request: q}, key, sign)
		if b.Size() < n {
			b.Add(&ledger.Entry{Kind: ledger.KindSettle, Reserve: int64(index), Receipt: q.Reservation, Status: ledger.StatusCommitted}, key, sign)
		}
	}
	return o, b.Store(func(name string, body []byte) { o[name] = body }, key)
}

func (b *bench) measureLedger(ctx context.Context) error {
	scope := ledger.Scope{ID: benchID("scope", 0), Epsilon: 1e5, Delta: 1e-6, Relation: accountant.ZeroOut, Unit: "vehicle"}
	seed := benchID("key", 0)
	key := ed25519.NewKeyFromSeed(seed[:])
	o, err := benchHistory(scope, key, b.sizes.entries)
	if err != nil {
		return err
	}
	rules := ledger.Rules{
		Writer: func(context.Context, ledger.ID) (ledger.Writer, error) {
			return ledger.Writer{Key: key.Public().(ed25519.PublicKey), Event: accountant.Event{Type: accountant.Gaussian, NoiseMultiplier: 8}}, nil
		},
		Voted: func(context.Context, ledger.Reservation) (bool, error) { return false, nil },
	}
	audit := timerOf(func() error {
		r, err := ledger.Audit(ctx, o, scope, rules, ledger.Checkpoint{})
		if err == nil && (r.Head.Size != int64(b.sizes.entries) || r.Unsigned != 0) {
			err = fmt.Errorf("the audit found %d entries, %d of them unsigned", r.Head.Size, r.Unsigned)
		}
		return err
	})
	if err := interleave(ctx, min(3, b.sizes.reps), audit); err != nil {
		return err
	}
	b.put("ledger_audit", audit.per(1)/1e9)
	b.put("ledger_audit_ns_per_entry", audit.per(b.sizes.entries))
	return nil
}
