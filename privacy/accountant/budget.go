package accountant

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
)

// Budget is an (epsilon, delta) that is spent event by event. It keeps Rényi
// divergences, so that asking and spending cost microseconds whatever was
// spent before. It is not safe for concurrent use.
type Budget struct {
	epsilon, delta float64
	rdp            *RDP
	known          map[string]rdpCost // of single events, by their JSON
}

// maxKnown bounds the costs remembered.
const maxKnown = 4096

// NewBudget returns an unspent budget; epsilon above 0, delta in (0, 1). The
// error wraps [ErrEvent].
func NewBudget(epsilon, delta float64, relation NeighboringRelation) (*Budget, error) {
	if !(epsilon > 0) || math.IsInf(epsilon, 1) {
		return nil, fmt.Errorf("%w: epsilon is %g, want more than 0", ErrEvent, epsilon)
	}
	if err := checkDelta(delta); err != nil {
		return nil, err
	}
	r, err := NewRDP(relation)
	if err != nil {
		return nil, err
	}
	return &Budget{epsilon: epsilon, delta: delta, rdp: r, known: make(map[string]rdpCost)}, nil
}

// WouldExceed tells whether e, count times, is more than what is left. It
// spends nothing. The error wraps [ErrEvent].
func (b *Budget) WouldExceed(e Event, count int64) (bool, error) {
	cost, err := b.cost(e, count)
	if err != nil {
		return false, err
	}
	return b.exceeds(cost, count)
}

func (b *Budget) exceeds(cost rdpCost, count int64) (bool, error) {
	next := *b.rdp
	next.values = append([]float64(nil), b.rdp.values...)
	next.charge(cost, float64(count))
	eps, err := next.Epsilon(b.delta)
	if errors.Is(err, ErrNoGuarantee) {
		return true, nil
	}
	return err == nil && eps > b.epsilon, err
}

// cost is that of one e, from memory if possible.
func (b *Budget) cost(e Event, count int64) (rdpCost, error) {
	if err := whole("count", count, 0, maxCount); err != nil {
		return rdpCost{}, err
	}
	key, err := json.Marshal(e)
	if err != nil {
		return rdpCost{}, fmt.Errorf("%w: %v", ErrEvent, err)
	}
	if cost, ok := b.known[string(key)]; ok {
		return cost, nil
	}
	cost, err := b.rdp.cost(e, 1)
	if err != nil {
		return rdpCost{}, err
	}
	if len(b.known) >= maxKnown {
		clear(b.known)
	}
	b.known[string(key)] = cost
	return cost, nil
}

// Spend takes e, count times, off the budget; if that is more than what is
// left it takes nothing and the error wraps [ErrExceeded].
func (b *Budget) Spend(e Event, count int64) error {
	cost, err := b.cost(e, count)
	if err != nil {
		return err
	}
	over, err := b.exceeds(cost, count)
	if err != nil {
		return err
	}
	if over {
		return fmt.Errorf("%w: epsilon %g at delta %g", ErrExceeded, b.epsilon, b.delta)
	}
	b.rdp.charge(cost, float64(count))
	return nil
}

// ErrExceeded reports that a budget does not allow an event.
var ErrExceeded = errors.New("accountant: budget exceeded")

// Spent is the guarantee of what was spent. The error wraps [ErrNoGuarantee].
func (b *Budget) Spent() (Guarantee, error) {
	eps, order, err := b.rdp.EpsilonOrder(b.delta)
	if err != nil {
		return Guarantee{}, err
	}
	return Guarantee{Epsilon: eps, Delta: b.delta, Relation: b.rdp.relation, Unit: "vehicle", Method: "rdp", Order: order}, nil
}

// Left returns how many times e may still be spent, at most 2^32.
func (b *Budget) Left(e Event) (int64, error) {
	cost, err := b.cost(e, 1)
	if err != nil {
		return 0, err
	}
	low, high := int64(0), int64(1)<<32
	for low < high {
		mid := low + (high-low+1)/2
		over, err := b.exceeds(cost, mid)
		if err != nil {
			return 0, err
		}
		if over {
			high = mid - 1
		} else {
			low = mid
		}
	}
	return low, nil
}
