package main

import (
	"context"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/privacy/ledger"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// budgetReader reads the budgets of tasks again and again: of each ledger, only what was appended since.
// It is not safe for concurrent use.
type budgetReader struct {
	store   storage.Store
	owner   schema.PublicKey
	plans   map[schema.TaskID]*pipeline.Plan
	ledgers map[schema.ScopeID]*pipeline.Ledger
}

// scopeBudget is a verified ledger and what it spends.
type scopeBudget struct {
	plan   *pipeline.Plan // of the task that was asked for
	ledger *pipeline.Ledger
	report *ledger.Report
}

func newBudgetReader(s storage.Store, owner schema.PublicKey) *budgetReader {
	return &budgetReader{store: s, owner: owner, plans: map[schema.TaskID]*pipeline.Plan{}, ledgers: map[schema.ScopeID]*pipeline.Ledger{}}
}

// plan returns a verified task, which never changes.
func (b *budgetReader) plan(ctx context.Context, id schema.TaskID) (*pipeline.Plan, error) {
	if p := b.plans[id]; p != nil {
		return p, nil
	}
	p, err := pipeline.LoadTask(ctx, b.store, id, b.owner)
	if err == nil {
		b.plans[id] = p
	}
	return p, err
}

// task reads and verifies the ledger that pays for a task. After an error the next call begins anew.
func (b *budgetReader) task(ctx context.Context, id schema.TaskID) (*scopeBudget, error) {
	p, err := b.plan(ctx, id)
	if err != nil {
		return nil, err
	}
	scope := p.Task.Scope.ID()
	l := b.ledgers[scope]
	if l == nil {
		l, err = pipeline.OpenLedger(ctx, b.store, p.Task.Scope, b.owner, nil)
	} else {
		err = l.Sync(ctx)
	}
	if err == nil {
		var r *ledger.Report
		if r, err = l.Audit(ctx, ledger.Checkpoint{}); err == nil {
			b.ledgers[scope] = l
			return &scopeBudget{plan: p, ledger: l, report: r}, nil
		}
	}
	delete(b.ledgers, scope)
	return nil, err
}
