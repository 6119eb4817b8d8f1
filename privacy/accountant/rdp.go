package accountant

import (
	"fmt"
	"math"
	"slices"
)

// DefaultOrders returns the Rényi orders that [NewRDP] takes if none are
// given: those of dp_accounting 0.6.0, so that results can be compared.
func DefaultOrders() []float64 {
	var orders []float64
	for x := 1; x < 100; x++ {
		orders = append(orders, 1+float64(x)/10)
	}
	for x := 11; x < 64; x++ {
		orders = append(orders, float64(x))
	}
	return append(orders, 128, 256, 512, 1024)
}

// RDP is an accountant that keeps the composed Rényi divergence (Mironov 2017)
// at fixed orders: a query and a further event cost microseconds, whatever was
// composed before. It is not safe for concurrent use.
type RDP struct {
	relation NeighboringRelation
	orders   []float64
	values   []float64
	distance float64 // total variation of the samplers
}

// NewRDP returns an empty accountant. Orders are above 1, at most 4096 of
// them; [DefaultOrders] if none are given. The error wraps [ErrEvent].
func NewRDP(relation NeighboringRelation, orders ...float64) (*RDP, error) {
	if len(orders) == 0 {
		orders = DefaultOrders()
	}
	if len(orders) > 4096 {
		return nil, fmt.Errorf("%w: %d orders, want at most 4096", ErrEvent, len(orders))
	}
	for _, a := range orders {
		if !(a > 1) || math.IsInf(a, 1) {
			return nil, fmt.Errorf("%w: order is %g, want more than 1", ErrEvent, a)
		}
	}
	if _, err := newCurve(nil, relation); err != nil {
		return nil, err
	}
	return &RDP{relation: relation, orders: slices.Clone(orders), values: make([]float64, len(orders))}, nil
}

// Relation is what the accountant protects against.
func (r *RDP) Relation() NeighboringRelation { return r.relation }

// Supports tells whether Compose takes e. The error wraps [ErrEvent].
func (r *RDP) Supports(e Event) error {
	_, err := newCurve([]Event{e}, r.relation)
	return err
}

// Compose adds e, count times. On an error, which wraps [ErrEvent], nothing is
// added.
func (r *RDP) Compose(e Event, count int64) error {
	cost, err := r.cost(e, count)
	if err != nil {
		return err
	}
	r.charge(cost, 1)
	return nil
}

// rdpCost is what an event adds at each order.
type rdpCost struct {
	values   []float64
	distance float64
}

// cost computes what e, count times, adds.
func (r *RDP) cost(e Event, count int64) (rdpCost, error) {
	c, err := newCurve([]Event{Repeat(e, count)}, r.relation)
	if err != nil {
		return rdpCost{}, err
	}
	out := rdpCost{values: make([]float64, len(r.orders)), distance: c.distance}
	for i, a := range r.orders {
		out.values[i] = c.rdp(a)
	}
	return out, nil
}

func (r *RDP) charge(c rdpCost, times float64) {
	if times == 0 {
		return
	}
	for i, v := range c.values {
		r.values[i] += times * v
	}
	r.distance += times * c.distance
}

// Epsilon returns the least epsilon at delta that one of the orders proves.
// The error wraps [ErrEvent] or [ErrNoGuarantee].
func (r *RDP) Epsilon(delta float64) (float64, error) {
	eps, _, err := r.EpsilonOrder(delta)
	return eps, err
}

// EpsilonOrder is Epsilon together with the order that proves it.
func (r *RDP) EpsilonOrder(delta float64) (eps, order float64, err error) {
	if err := checkDelta(delta); err != nil {
		return 0, 0, err
	}
	return fixedPoint(delta, r.distance, r.convert)
}

// convert takes the best order.
func (r *RDP) convert(delta float64) (eps, order float64) {
	eps = math.Inf(1)
	for i, alpha := range r.orders {
		if at := convertAt(alpha, r.values[i], delta); at < eps {
			eps, order = at, alpha
		}
	}
	return eps, order
}

// convertAt is Canonne, Kamath and Steinke 2020, Proposition 12. An order
// whose divergence bounds the total variation by delta (Bretagnolle and Huber
// 1979) proves epsilon 0.
func convertAt(alpha, divergence, delta float64) float64 {
	if divergence == 0 || -math.Expm1(-divergence) < delta*delta {
		return 0
	}
	return math.Max(0, divergence+math.Log1p(-1/alpha)-(math.Log(delta)+math.Log(alpha))/(alpha-1))
}

func checkDelta(delta float64) error {
	if !(delta > 0 && delta < 1) {
		return fmt.Errorf("%w: delta is %g, want more than 0 and less than 1", ErrEvent, delta)
	}
	return nil
}

// Orders returns the orders, and the composed divergence at each.
func (r *RDP) Orders() (orders, values []float64) {
	return slices.Clone(r.orders), slices.Clone(r.values)
}
