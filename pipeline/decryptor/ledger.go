package decryptor

import (
	"context"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/privacy/ledger"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// ledgerKey names a kept ledger: opened for a task's eyes in one store, with the
// decryptor's own votes or with those that anybody published.
type ledgerKey struct {
	store string
	task  schema.TaskID
	own   bool
}

// keptLedger is a ledger whose read prefix was verified, and stays: an entry
// never changes, and every later one names its predecessor's hash.
type keptLedger struct {
	*pipeline.Ledger
	voted pipeline.Voted // of the last use
}

// ownLedger shows the scope's ledger with this decryptor's own votes, also those that never left: only
// they keep a void from freeing what it voted for.
func (d *Decryptor) ownLedger(ctx context.Context, s storage.Store, r *pipeline.Round) (*pipeline.Ledger, error) {
	voted, err := d.votes(r.Task.Scope.ID())
	if err != nil {
		return nil, err
	}
	return d.ledger(ctx, s, r, voted)
}

// publicLedger shows the scope's ledger with the votes in the store.
func (d *Decryptor) publicLedger(ctx context.Context, s storage.Store, r *pipeline.Round) (*pipeline.Ledger, error) {
	return d.ledger(ctx, s, r, nil)
}

func (d *Decryptor) ledger(ctx context.Context, s storage.Store, r *pipeline.Round, voted pipeline.Voted) (*pipeline.Ledger, error) {
	key := ledgerKey{s.String(), r.Name.Task, voted != nil}
	if kept := d.ledgers[key]; kept != nil {
		kept.voted = voted
		err := kept.Sync(ctx)
		if err == nil {
			return kept.Ledger, nil
		}
		delete(d.ledgers, key) // the next step reads everything anew
		return nil, err
	}
	kept := &keptLedger{voted: voted}
	var rule pipeline.Voted
	if voted != nil { // asked anew at each use: there may be more votes by then
		rule = func(ctx context.Context, x ledger.Reservation) (bool, error) { return kept.voted(ctx, x) }
	}
	l, err := r.OpenLedger(ctx, s, rule)
	if err != nil {
		return nil, err
	}
	kept.Ledger = l
	if d.ledgers != nil {
		d.ledgers[key] = kept
	}
	return l, nil
}
