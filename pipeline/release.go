package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// LoadModelRelease reads the release of a serial number and verifies it against the task: who signed it, what
// it says of itself, and that what it states of the budget is of the task's scope and within it. The
// receipts that it names are the business of [CheckProvenance].
func LoadModelRelease(ctx context.Context, s storage.Store, p *Plan, id schema.TaskID, serial uint64) (schema.Signed[schema.Release], error) {
	key := ReleaseKey(id, serial)
	x, err := load[schema.Release](ctx, s, key, p.Task.ReleaseKey())
	if err != nil {
		return x, err
	}
	if err := p.checkRelease(x.Body, id, serial); err != nil {
		return x, Untrusted(key, err)
	}
	return x, nil
}

func (p *Plan) checkRelease(r schema.Release, id schema.TaskID, serial uint64) error {
	scope := p.Task.Scope
	switch {
	case r.TaskID != id || r.Serial != serial:
		return errors.New("it is another release than its name says")
	case r.Size > p.Task.MaxModelBytes():
		return fmt.Errorf("a model of %d bytes, the task allows %d", r.Size, p.Task.MaxModelBytes())
	case r.Spent.Delta != scope.Delta || r.Spent.Relation != scope.Relation || r.Spent.Unit != scope.Unit:
		return errors.New("the guarantee that it states is not of the task's scope")
	case r.Spent.Epsilon > scope.Epsilon:
		return fmt.Errorf("epsilon %g is spent, the scope allows %g", float64(r.Spent.Epsilon), float64(scope.Epsilon))
	}
	for _, x := range r.Rounds {
		if int(x.Lane) >= p.Task.Batch.Lanes {
			return fmt.Errorf("lane %d, the task has %d", x.Lane, p.Task.Batch.Lanes)
		}
	}
	return nil
}

// LatestRelease returns the largest serial number of a release that the store shows, which is at least the given
// one, whose release the caller knows to exist; 0 for none. Serials have no gaps, so it asks for about twice as many names as
// the difference has binary digits: it lists nothing, which a gateway does not offer. A store can hide the newest.
func LatestRelease(ctx context.Context, s storage.Store, id schema.TaskID, from uint64) (uint64, error) {
	there := func(serial uint64) (bool, error) {
		_, err := s.Stat(ctx, ReleaseKey(id, serial))
		if errors.Is(err, storage.ErrNotExist) {
			return false, nil
		}
		return err == nil, err
	}
	low, step := from, uint64(1)
	for ; ; step *= 2 {
		ok, err := there(low + step)
		if err != nil {
			return 0, err
		}
		if !ok {
			break
		}
		if low += step; low > 1<<53 {
			return 0, Untrusted(ReleasesPrefix(id), errors.New("it has no end"))
		}
	}
	for high := low + step; high-low > 1; { // low exists, or is from; high does not
		mid := low + (high-low)/2
		ok, err := there(mid)
		if err != nil {
			return 0, err
		}
		if ok {
			low = mid
		} else {
			high = mid
		}
	}
	return low, nil
}

// CheckProvenance verifies that every round that a release names ended with the very receipt that it names,
// signed by the task's Collector, with an opened sum.
func CheckProvenance(ctx context.Context, s storage.Store, p *Plan, r schema.Release) error {
	for _, x := range r.Rounds {
		n := RoundName{Task: r.TaskID, Epoch: x.Epoch, Lane: x.Lane}
		key := ReceiptKey(n)
		receipt, err := load[schema.Receipt](ctx, s, key, p.Task.Collector)
		if errors.Is(err, storage.ErrNotExist) {
			err = Untrusted(key, fmt.Errorf("release %d names it: %w", r.Serial, err))
		}
		if err != nil {
			return err
		}
		b := receipt.Body
		switch {
		case receipt.ID() != x.Receipt || b.TaskID != r.TaskID || b.RoundID != x.RoundID || b.Epoch != x.Epoch || b.Lane != x.Lane:
			return Untrusted(key, fmt.Errorf("release %d names another receipt", r.Serial))
		case b.Status != schema.StatusCommitted:
			return Untrusted(key, fmt.Errorf("release %d names it, but the round is %s: it gave no sum", r.Serial, b.Status))
		}
	}
	return nil
}

// ReleasedRound is what a release says of a committed round; ErrNotReady while it goes on or is void.
func ReleasedRound(ctx context.Context, s storage.Store, p *Plan, n RoundName) (schema.ReleaseRound, error) {
	r, err := LoadDescriptor(ctx, s, p, n)
	if err != nil {
		return schema.ReleaseRound{}, err
	}
	x, err := loadReceipt(ctx, s, r)
	if errors.Is(err, storage.ErrNotExist) {
		return schema.ReleaseRound{}, fmt.Errorf("%w: round %s goes on", ErrNotReady, n)
	}
	if err != nil {
		return schema.ReleaseRound{}, err
	}
	if x.Body.Status != schema.StatusCommitted {
		return schema.ReleaseRound{}, fmt.Errorf("%w: round %s is void and gave no sum", ErrNotReady, n)
	}
	return schema.ReleaseRound{Epoch: n.Epoch, Lane: n.Lane, RoundID: r.ID, Receipt: x.ID()}, nil
}

// CommittedRounds lists what a release may say of all committed rounds of a task, by epoch and lane. Rounds that
// do not verify are left out, as every role takes them for silence.
func CommittedRounds(ctx context.Context, s storage.Store, p *Plan, id schema.TaskID) ([]schema.ReleaseRound, error) {
	var all []schema.ReleaseRound
	for n, err := range rounds(ctx, s, id, "") {
		if err != nil {
			return nil, err
		}
		x, err := ReleasedRound(ctx, s, p, n)
		switch {
		case err == nil:
			all = append(all, x)
		case errors.Is(err, ErrNotReady) || errors.Is(err, ErrUntrusted):
		default:
			return nil, err
		}
	}
	slices.SortFunc(all, CompareRounds)
	return all, nil
}

// CompareRounds orders by epoch, then lane.
func CompareRounds(a, b schema.ReleaseRound) int {
	return cmp.Or(cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Lane, b.Lane))
}

// Spent is what the ledger charges by now, as a release states it.
func (l *Ledger) Spent(ctx context.Context) (schema.Spent, error) {
	c, err := l.charges(ctx, false)
	if err != nil {
		return schema.Spent{}, err
	}
	g, err := c.Guarantee()
	if err != nil {
		return schema.Spent{}, err
	}
	head, err := l.log.Head()
	if err != nil {
		return schema.Spent{}, ledgerError(err)
	}
	return schema.Spent{
		Epsilon: schema.Real(g.Epsilon), Delta: l.scope.Delta, Relation: l.scope.Relation, Unit: l.scope.Unit,
		Entries: head.Size, Root: schema.Digest(head.Root),
	}, nil
}
