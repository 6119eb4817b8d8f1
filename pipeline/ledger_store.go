package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"strings"

	"github.com/veilsum/veilsum/privacy/accountant"
	"github.com/veilsum/veilsum/privacy/ledger"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// LedgerScope is what a ledger says of its BudgetScope.
func LedgerScope(s schema.Scope) ledger.Scope {
	return ledger.Scope{
		ID: ledger.ID(s.ID().Digest), Epsilon: float64(s.Epsilon), Delta: float64(s.Delta),
		Relation: accountant.NeighboringRelation(s.Relation), Unit: s.Unit,
	}
}

// LedgerObjects shows a scope's ledger in a store.
func LedgerObjects(s storage.Store, id schema.ScopeID) ledger.Objects {
	return ledgerObjects{s, LedgerPrefix(id)}
}

type ledgerObjects struct {
	store  storage.Store
	prefix string
}

// PutOnce implements ledger.Objects.
func (o ledgerObjects) PutOnce(ctx context.Context, key string, body []byte) (ledger.Outcome, error) {
	outcome, err := o.store.PutOnce(ctx, o.prefix+key, body)
	switch {
	case errors.Is(err, storage.ErrConflict):
		return ledger.Conflict, nil
	case err != nil:
		return 0, err
	case outcome == storage.Identical:
		return ledger.Identical, nil
	}
	return ledger.Created, nil
}

// Get implements ledger.Objects.
func (o ledgerObjects) Get(ctx context.Context, key string, limit int64) ([]byte, error) {
	b, err := Read(ctx, o.store, o.prefix+key, limit)
	if errors.Is(err, storage.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", err, fs.ErrNotExist)
	}
	return b, err
}

// List implements ledger.Objects.
func (o ledgerObjects) List(ctx context.Context, prefix, startAfter string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for info, err := range o.store.List(ctx, o.prefix+prefix, o.prefix+startAfter) {
			if err != nil {
				yield("", err)
				return
			}
			if !yield(info.Key[len(o.prefix):], nil) {
				return
			}
		}
	}
}

// ledgerError gives an error of the ledger its meaning for the roles.
func ledgerError(err error) error {
	for _, m := range []struct{ from, to error }{
		{ledger.ErrBudget, ErrBudget},
		{ledger.ErrLimit, ErrLimit},
		{ledger.ErrFork, ErrFork},
		{ledger.ErrCorrupt, ErrUntrusted},
		{ledger.ErrNotReserved, ErrNotReady},
		{ledger.ErrEnded, ErrEnded},
	} {
		if errors.Is(err, m.from) {
			return &ledgerFault{m.to, err}
		}
	}
	return err
}

// ledgerFault is an error of the ledger with its meaning, which it does not say twice.
type ledgerFault struct{ meaning, err error }

// Error implements error.
func (f *ledgerFault) Error() string {
	text := strings.TrimPrefix(f.err.Error(), "ledger: ")
	if strings.HasPrefix(text, f.meaning.Error()) {
		return text
	}
	return f.meaning.Error() + ": " + text
}

// Unwrap returns both.
func (f *ledgerFault) Unwrap() []error { return []error{f.meaning, f.err} }
