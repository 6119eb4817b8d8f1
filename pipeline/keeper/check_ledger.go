package keeper

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/auditor"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// ledgers checks every BudgetScope.
func (c *checker) ledgers() error {
	ids := make([]schema.ScopeID, 0, len(c.scopes))
	for id := range c.scopes {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b schema.ScopeID) int { return strings.Compare(a.String(), b.String()) })
	for _, id := range ids {
		if err := c.budget(id, c.scopes[id]); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) budget(id schema.ScopeID, s *scope) error {
	prefix := pipeline.LedgerPrefix(id)
	if len(s.tasks) == 0 {
		if s.stored || len(s.reservations)+len(s.handovers) > 0 {
			return c.unnamed(prefix, fmt.Errorf("%w: no task of this scope is in the store, so nobody can verify it", storage.ErrKey))
		}
		return nil
	}
	t := s.tasks[0].Task
	_, err := auditor.CheckLedger(c.ctx, c.store, t.Owner, t.Scope, auditor.Options{PassUnnamed: c.opt.PassUnnamed})
	if f := (*auditor.Flaw)(nil); errors.As(err, &f) {
		c.flaw(f.Object, "%s", strings.TrimPrefix(f.Error(), "audit: "+f.Object+": "))
		return nil // what rests on a ledger that does not hold says nothing
	}
	if err != nil {
		return err
	}
	l, err := pipeline.OpenLedger(c.ctx, c.store, t.Scope, t.Owner, nil)
	if err != nil {
		return c.blame(prefix, err)
	}
	if _, err := l.Charges(c.ctx); err != nil { // reads every reservation that an entry names
		if err := c.blame(prefix, err); err != nil {
			return err
		}
	}
	for _, p := range s.receipts {
		if err := c.paid(l, p); err != nil {
			return err
		}
	}
	named, err := c.entries(id, l)
	if err != nil {
		return err
	}
	for _, o := range s.reservations {
		if err := c.reservation(named, o); err != nil {
			return err
		}
	}
	for _, o := range s.handovers {
		if err := c.handover(s, o); err != nil {
			return err
		}
	}
	return nil
}

// paid checks I3: the ledger charges the list of a receipt, at the checkpoint that the votes name.
func (c *checker) paid(l *pipeline.Ledger, p pending) error {
	key := pipeline.ReceiptKey(p.round.Name)
	_, at, err := l.Paid(p.round, p.receipt.Manifest)
	switch {
	case errors.Is(err, pipeline.ErrNotReady):
		c.flaw(key, "the ledger does not charge its list")
	case err != nil:
		return c.blame(key, err)
	case schema.Digest(at.ID()) != p.receipt.Checkpoint:
		c.flaw(key, "its checkpoint is not the ledger's that ends with the reservation of its list")
	}
	return nil
}

// entries checks that what the ledger's entries name is there, and returns it by name.
func (c *checker) entries(id schema.ScopeID, l *pipeline.Ledger) (map[string]bool, error) {
	named := map[string]bool{}
	for _, x := range l.Reservations() {
		n := pipeline.RoundName{Task: schema.TaskID{Digest: schema.Digest(x.Task)}, Epoch: x.Epoch, Lane: x.Lane}
		key := pipeline.ReservationKey(id, n, schema.ManifestID{Digest: schema.Digest(x.Manifest)})
		named[key] = true
		if err := c.exists(key, fmt.Sprintf("entry %d of the ledger names it", x.Index)); err != nil {
			return nil, err
		}
		if end := max(x.Settled, x.Voided); end > 0 {
			if err := c.exists(pipeline.ReceiptKey(n), fmt.Sprintf("entry %d of the ledger ends the round by it", end)); err != nil {
				return nil, err
			}
		}
	}
	return named, nil
}

func (c *checker) exists(key, why string) error {
	_, err := c.store.Stat(c.ctx, key)
	if errors.Is(err, storage.ErrNotExist) {
		c.flaw(key, "missing: %s", why)
		return nil
	}
	return err
}

func (c *checker) reservation(named map[string]bool, o object) error {
	key := o.Info.Key
	p, err := c.load(o.Round.Task)
	if err != nil {
		return c.orphaned(key, err)
	}
	r, err := pipeline.LoadDescriptor(c.ctx, c.store, p, o.Round)
	if err == nil {
		_, err = pipeline.LoadReservation(c.ctx, c.store, r, schema.ManifestID{Digest: o.Hash})
	}
	switch {
	case named[key]:
		return c.blame(key, err)
	case err == nil:
		c.orphan(key, "no entry of the ledger names it: it charges nothing", Amount{1, o.Info.Size})
	}
	return c.unnamed(key, err)
}

// handover verifies one with the key of its committee, if a task of the scope names it.
func (c *checker) handover(s *scope, o object) error {
	i := slices.IndexFunc(s.tasks, func(p *pipeline.Plan) bool { return p.Task.Committee.ID() == o.Hash })
	if i < 0 {
		return c.unnamed(o.Info.Key, fmt.Errorf("%w: no task of this scope has this committee", storage.ErrKey))
	}
	k := s.tasks[i].Task.Committee
	raw, err := storage.ReadAll(c.ctx, c.store, o.Info.Key, schema.MaxObject)
	if err != nil {
		return c.unnamed(o.Info.Key, err)
	}
	h, err := schema.Decode[schema.Handover](raw)
	switch {
	case err != nil:
	case o.Index >= k.Size || h.Body.Index != o.Index || h.Body.Scope != o.Scope || h.Body.Committee != o.Hash || h.Body.Size != o.Object.Size:
		err = fmt.Errorf("%w: it belongs to another committee, member or checkpoint", pipeline.ErrUntrusted)
	default:
		err = h.Verify(k.Keys[o.Index])
	}
	return c.unnamed(o.Info.Key, err)
}
