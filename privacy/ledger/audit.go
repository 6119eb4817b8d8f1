package ledger

import (
	"context"
	"crypto/ed25519"
	"fmt"

	"github.com/veilsum/veilsum/privacy/accountant"
)

// Report is what an audit found in a log whose every check passed.
type Report struct {
	// Head is the checkpoint of everything that was read: keep it, and give it to
	// the next audit. Only so can it notice a log that was rolled back.
	Head Checkpoint
	// Signed is the newest checkpoint that a Collector signed; zero if none. Entries
	// behind it are Unsigned many: a Collector died, or is at work.
	Signed   Checkpoint
	Unsigned int64
	// Remembered is the checkpoint that the log was found to continue; zero if none was given.
	Remembered Checkpoint

	Tasks        int
	Reservations int64 // distinct (task, round, manifest)
	Settled      int64
	Voided       int64
	Revived      int64 // voided, but charged, since a vote is known or nobody can tell
	Epochs       int64 // (task, epoch) that are charged

	// Events is what was charged; Guarantee is what that gives.
	Events    []accountant.Event
	Guarantee accountant.Guarantee
	// OverBudget tells that Guarantee exceeds the scope's epsilon. No honest
	// Collector reserves and no honest decryptor votes then.
	OverBudget bool
}

// Audit reads the whole log of a scope from its full entry bundles and the
// entries behind them, recomputes the tree, checks the chain, the order of entries and the
// signatures, compares the roots with the newest signed checkpoint and with one that
// the auditor remembers (zero if none), and recomputes epsilon. Without
// [Rules].Voted each voided reservation is charged. It writes nothing.
//
// The error wraps [ErrFork] if the log does not continue what was remembered or
// signed, else [ErrCorrupt], or accountant.ErrNoGuarantee. That an event was opened as charged, and the vehicles,
// are to be checked in the objects that the reservations name ([Ledger.Charges]).
func Audit(ctx context.Context, objects Objects, scope Scope, rules Rules, remembered Checkpoint) (*Report, error) {
	l, err := Open(ctx, objects, scope, rules)
	if err != nil {
		return nil, err
	}
	return l.Audit(ctx, remembered)
}

// Audit is [Audit] of what this Ledger has read.
func (l *Ledger) Audit(ctx context.Context, remembered Checkpoint) (*Report, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	head, err := l.at(l.state.size())
	if err != nil {
		return nil, err
	}
	r := &Report{Head: head, Remembered: remembered, Tasks: len(l.state.tasks)}
	if err := l.online(remembered); err != nil {
		return nil, err
	}
	if r.Signed, err = l.newest(ctx); err != nil {
		return nil, err
	}
	r.Unsigned = head.Size - r.Signed.Size
	return r, l.account(ctx, r)
}

// newest verifies the newest signed checkpoint.
func (l *Ledger) newest(ctx context.Context) (Checkpoint, error) {
	key, err := newestKey(ctx, l.objects, l.state.size())
	if err != nil || key == "" {
		return Checkpoint{}, err
	}
	data, err := l.objects.Get(ctx, key, maxNote)
	if err != nil {
		return Checkpoint{}, err
	}
	var keys []ed25519.PublicKey
	for _, k := range l.state.keys {
		keys = append(keys, k.key)
	}
	c, err := OpenCheckpoint(data, l.state.scope.Origin(), keys...)
	if err != nil {
		return c, fmt.Errorf("%s: %w", key, err)
	}
	if key != CheckpointKey(c.Size) {
		return c, fmt.Errorf("%w: %s is of size %d", ErrCorrupt, key, c.Size)
	}
	return c, l.online(c)
}

// newestKey finds the greatest name of a checkpoint of at least size entries,
// or else the greatest below. Names sort as sizes do, and usually the first look finds it.
func newestKey(ctx context.Context, o Objects, size int64) (newest string, err error) {
	for back := int64(1); newest == "" && back < 2*size; back *= 2 {
		for key, err := range o.List(ctx, checkpointPrefix, CheckpointKey(max(size-back, 0))) {
			if err != nil {
				return "", err
			}
			newest = key
		}
	}
	return newest, nil
}

func (l *Ledger) account(ctx context.Context, r *Report) error {
	c, err := l.state.chargesAt(ctx, &l.rules, r.Head.Size)
	if err != nil {
		return err
	}
	r.Reservations, r.Epochs, r.Events = int64(len(l.state.reservations)), c.Epochs(), c.Events()
	for i := range l.state.reservations {
		if l.state.reservations[i].settled > 0 {
			r.Settled++
		}
		if l.state.reservations[i].voided > 0 {
			r.Voided++
		}
	}
	r.Revived = int64(len(c.counted)) - (r.Reservations - r.Voided)
	if r.Guarantee, err = c.Guarantee(); err != nil {
		return err
	}
	r.OverBudget = !(r.Guarantee.Epsilon <= l.state.scope.Epsilon)
	return nil
}
