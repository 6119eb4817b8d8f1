package accountant

import (
	"fmt"
	"math"
)

// maxExactRho bounds the rho of Gaussians together, far beyond any protection: the formula
// needs no grid, and an auditor wants to know how bad a bad setting is.
const maxExactRho = 1e12

// Exact is an accountant of those compositions whose least epsilon has a
// formula: any number of Gaussians (also trees and matrix mechanisms), or one
// Laplace, or one Gaussian on a sample without replacement, or any number of
// one discrete mechanism whose losses lie on a lattice, so that composing is
// exact but for rounding. It is not safe for concurrent use.
type Exact struct{ pld *PLD }

// NewExact returns an empty accountant. The error wraps [ErrEvent].
func NewExact(relation NeighboringRelation) (*Exact, error) {
	p, err := NewPLD(relation)
	if err != nil {
		return nil, err
	}
	return &Exact{p}, nil
}

// Relation is what the accountant protects against.
func (x *Exact) Relation() NeighboringRelation { return x.pld.relation }

// Supports tells whether Compose takes e, if nothing was composed before. The
// error wraps [ErrEvent].
func (x *Exact) Supports(e Event) error {
	other, err := NewExact(x.pld.relation)
	if err != nil {
		return err
	}
	return other.Compose(e, 1)
}

// Compose adds e, count times. The error wraps [ErrEvent], and
// [ErrUnsupported] if no formula is known for what is then composed; nothing
// is added then.
func (x *Exact) Compose(e Event, count int64) error {
	next := x.pld.clone()
	if err := next.compose(e, count, maxExactRho); err != nil {
		return err
	}
	if !hasFormula(next) {
		return fmt.Errorf("%w: no formula for this composition", ErrUnsupported)
	}
	x.pld = next
	return nil
}

// hasFormula: see [Exact].
func hasFormula(p *PLD) bool {
	l, one := p.only()
	switch {
	case !one:
		return len(p.names) == 0
	case p.rho > 0:
		return false
	}
	switch l.event.Type {
	case Laplace, FixedSize:
		return l.count == 1
	case DiscreteGaussian, DiscreteLaplace, RandomizedResponse:
		return true
	default:
		return false
	}
}

// only is the leaf of p if it has just one.
func (p *PLD) only() (*leaf, bool) {
	if len(p.names) != 1 {
		return nil, false
	}
	return p.leaves[p.names[0]], true
}

// Epsilon returns the least epsilon at delta, to about 1e-12 of it and not
// below. The error wraps [ErrEvent] or [ErrNoGuarantee].
func (x *Exact) Epsilon(delta float64) (float64, error) {
	if err := checkDelta(delta); err != nil {
		return 0, err
	}
	l, one := x.pld.only()
	if !one {
		return gaussianEpsilon(math.Sqrt(2*x.pld.rho), delta)
	}
	switch l.event.Type {
	case Laplace:
		b := l.event.NoiseMultiplier
		if x.pld.relation == ReplaceOne {
			b /= 2
		}
		return laplaceEpsilon(b, delta), nil
	case FixedSize:
		return fixedSizeEpsilon(&l.event, delta)
	}
	return x.lattice(delta)
}

// lattice is the numerical composition, if all of it lies on the grid.
func (x *Exact) lattice(delta float64) (float64, error) {
	lower, upper, err := x.pld.Bounds(delta)
	if err != nil {
		return 0, err
	}
	if upper-lower > 1e-7*(1+upper) {
		return 0, fmt.Errorf("%w: the lattice of losses is too fine", ErrUnsupported)
	}
	return upper, nil
}

// laplaceEpsilon inverts delta = 1 - exp((eps-1/b)/2).
func laplaceEpsilon(b, delta float64) float64 {
	return math.Max(0, 1/b+2*math.Log1p(-delta))
}

// gaussianEpsilon is the least epsilon of a Gaussian of sensitivity mu over
// standard deviation: Balle and Wang 2018, Theorem 8, by halving on
// [gaussianDelta].
func gaussianEpsilon(mu, delta float64) (float64, error) {
	if gaussianDelta(mu, 0) <= math.Log(delta) {
		return 0, nil
	}
	high := mu*mu/2 + mu*math.Sqrt(2*-math.Log(delta)) + 1 // the zCDP bound of Bun and Steinke 2016
	if math.IsInf(high, 1) {
		return 0, fmt.Errorf("%w: epsilon overflows", ErrNoGuarantee)
	}
	return halve(0, high, func(eps float64) bool { return gaussianDelta(mu, eps) <= math.Log(delta) }), nil
}

// halve is the least x in (low, high] at which a rising condition holds, to
// the last digits; it holds at what is returned.
func halve(low, high float64, holds func(x float64) bool) float64 {
	for range 200 {
		mid := low + (high-low)/2
		if mid <= low || mid >= high {
			break
		}
		if holds(mid) {
			high = mid
		} else {
			low = mid
		}
	}
	return high
}

// gaussianDelta is log(Phi(mu/2-eps/mu) - exp(eps) Phi(-mu/2-eps/mu)). The
// exponential of the second term is the ratio of the densities, so both are
// the density times Mills' ratios, whose difference is taken without
// cancellation of their leading part.
func gaussianDelta(mu, eps float64) float64 {
	if mu == 0 {
		return math.Inf(-1)
	}
	a := eps/mu - mu/2
	logDensity := -a*a/2 - logSqrt2Pi
	if a < -1 {
		// delta near 1: no cancellation to fear.
		return math.Log(normalCDF(-a) - math.Exp(logDensity)*mills(a+mu))
	}
	return logDensity + math.Log(millsDrop(a, mu))
}

// mills is Phi(-x)/phi(x), for any x above -38.
func mills(x float64) float64 {
	if x < 10 {
		return math.Sqrt(math.Pi/2) * math.Erfc(x/math.Sqrt2) * math.Exp(x*x/2)
	}
	// The continued fraction 1/(x+1/(x+2/(x+3/...))), evaluated from behind; 60
	// levels are exact to rounding from 10 on.
	v := x
	for k := 60.0; k >= 1; k-- {
		v = x + k/v
	}
	return 1 / v
}

// millsDrop is mills(a)-mills(a+d) for a >= -1 and d > 0: the difference where
// that keeps its digits, else the integral of -mills' = 1 - x mills(x), which
// is positive, by Gauss-Legendre.
func millsDrop(a, d float64) float64 {
	if d > 0.5 {
		return mills(a) - mills(a+d)
	}
	sum := 0.0
	for k, node := range gauss8.nodes {
		for _, x := range []float64{a + d/2 - node*d/2, a + d/2 + node*d/2} {
			sum += gauss8.weights[k] * d / 2 * millsSlope(x)
		}
	}
	return sum
}

// millsSlope is 1 - x mills(x) = integral of t exp(-xt-t^2/2) over t > 0.
func millsSlope(x float64) float64 {
	if x < 3 {
		return 1 - x*mills(x)
	}
	// With mills = 1/(x+r): 1 - x/(x+r) = r/(x+r), r the rest of the fraction.
	v, r := x, 0.0
	levels := 60.0
	if x < 10 {
		levels = 600
	}
	for k := levels; k >= 1; k-- {
		r = k / v
		v = x + r
	}
	return r / v
}

// gauss8 has the positive nodes of the rule with eight (Abramowitz and Stegun,
// table 25.4).
var gauss8 = rule{
	[]float64{0.1834346424956498, 0.5255324099163290, 0.7966664774136267, 0.9602898564975363},
	[]float64{0.3626837833783620, 0.3137066458778873, 0.2223810344533745, 0.1012285362903763},
}

// fixedSizeEpsilon inverts delta' = q delta(log(1+(exp(eps')-1)/q)), exact for
// one Gaussian on a sample without replacement (Balle, Barthe and Gaboardi
// 2018, Theorem 9).
func fixedSizeEpsilon(e *Event, delta float64) (float64, error) {
	rho, _ := gaussianRho(e.Event)
	q := float64(e.SampleSize) / float64(e.SourceDatasetSize)
	if delta >= q {
		return 0, nil
	}
	inner, err := gaussianEpsilon(math.Sqrt(2*rho), delta/q)
	if err != nil {
		return 0, err
	}
	return math.Max(0, sampledLoss(q, inner)) * (1 + 1e-15), nil
}
