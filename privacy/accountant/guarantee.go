package accountant

import (
	"errors"
	"fmt"
	"math"
)

// ErrNoGuarantee reports that no finite epsilon can be proved at this delta,
// for instance because the distance of the sampler alone exceeds it.
var ErrNoGuarantee = errors.New("accountant: no guarantee at this delta")

// Guarantee is (epsilon, delta)-differential privacy together with what it is
// about. A bare epsilon means nothing.
type Guarantee struct {
	Epsilon float64 `json:"epsilon"`
	Delta   float64 `json:"delta"`
	// Relation and Unit say what is protected: one Unit, changed as Relation says.
	Relation NeighboringRelation `json:"relation"`
	Unit     string              `json:"unit"`
	// TrustModel is "distributed" or "local"; empty where the events alone were judged.
	TrustModel string `json:"trust_model,omitempty"`
	// Method is how epsilon was found ("rdp" or "pure"), Order the Rényi order
	// that gave it (0 for "pure").
	Method string  `json:"method"`
	Order  float64 `json:"order,omitempty"`
}

// String is one line for people.
func (g Guarantee) String() string {
	s := fmt.Sprintf("(%.4g, %.3g)-DP per %s under %s", g.Epsilon, g.Delta, g.Unit, g.Relation)
	if g.TrustModel != "" {
		s += ", " + g.TrustModel + " trust model"
	}
	return s
}

// Account composes the events and returns the least epsilon it can prove at
// delta, in (0, 1). The unit is "vehicle": one vehicle's contributions to all
// the events. The error wraps [ErrEvent] or [ErrNoGuarantee].
func Account(events []Event, delta float64, relation NeighboringRelation) (Guarantee, error) {
	if err := checkDelta(delta); err != nil {
		return Guarantee{}, err
	}
	c, err := newCurve(events, relation)
	if err != nil {
		return Guarantee{}, err
	}
	g := Guarantee{Delta: delta, Relation: relation, Unit: "vehicle"}
	g.Epsilon, g.Order, err = c.epsilon(delta)
	if err != nil {
		return Guarantee{}, err
	}
	g.Method = "rdp"
	if g.Order == 0 {
		g.Method = "pure"
	}
	return g, nil
}

// epsilon is the least epsilon of the curve at delta.
func (c *curve) epsilon(delta float64) (eps, order float64, err error) {
	return fixedPoint(delta, c.distance, c.convert)
}

// fixedPoint is the least fixed point of e = E(delta - (1+exp(e)) distance),
// where E is the conversion for exact samplers: if the exact mechanism is (e,
// d)-DP and each output distribution moves by at most `distance` in total
// variation, then the real one is (e, d + (1+exp(e)) distance)-DP.
func fixedPoint(delta, distance float64, convert func(delta float64) (eps, order float64)) (eps, order float64, err error) {
	for range 1000 {
		left := delta - (1+math.Exp(eps))*distance
		if distance == 0 {
			left = delta
		}
		if !(left > 0) {
			return 0, 0, fmt.Errorf("%w: sampler distance %.3g times 1+exp(%.4g) exceeds delta %g", ErrNoGuarantee, distance, eps, delta)
		}
		next, alpha := convert(left)
		// The sequence rises from zero, so the first step that does not rise
		// is past the fixed point and proves eps.
		if next <= eps {
			return eps, alpha, nil
		}
		if math.IsInf(next, 1) || math.IsNaN(next) {
			return 0, 0, fmt.Errorf("%w: epsilon overflows", ErrNoGuarantee)
		}
		// The slack covers the rounding of every sum above (below 1e-13) and
		// makes the iteration end.
		eps, order = next*(1+1e-12)+1e-15, alpha
		if distance == 0 {
			return eps, order, nil
		}
	}
	return 0, 0, fmt.Errorf("%w: sampler distance %.3g is too large for delta %g", ErrNoGuarantee, distance, delta)
}
