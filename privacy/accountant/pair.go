package accountant

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mathext"
)

// pair is a dominating pair (P, Q) of a mechanism in one direction, as the
// distribution of the privacy loss log(dP/dQ) under P: whatever happens to a
// unit, the mechanism's hockey-stick divergences are at most those of P and Q
// (Zhu, Dong and Wang 2022, Definition 7), so that compositions of mechanisms
// are dominated by compositions of pairs (their Theorem 10).
type pair struct {
	atoms []atom
	parts []smooth
	// lost is the P-mass that is represented nowhere; it counts as infinite loss.
	lost float64
	// anchor is a loss worth having on the grid; lattice, if not 0, is a step
	// such that all losses are anchor plus whole steps, and gap a step such that
	// all atoms are.
	anchor, lattice, gap float64
}

// atom is an outcome of P-mass mass.
type atom struct{ mass, loss float64 }

// smooth is a part with a density over x in [lo, hi], its loss rising in x.
type smooth struct {
	lo, hi float64
	// step is short enough to resolve the density, scale is its length.
	step, scale float64
	whole       bool // negligible at both ends and entire: the trapezoid rule applies
	at          func(x float64) (logDensity, loss float64)
	// cdf bounds the P-mass below x, that beyond lo included.
	cdf     func(x float64) float64
	inverse func(loss float64) float64 // nil: by search
}

// span says how much of a density to represent: sigmas around the centers
// and, for Rényi orders up to alpha, where the tilted density lies; or, above,
// all but a P-mass of tail.
type span struct{ sigmas, alpha, tail float64 }

const logSqrt2Pi = 0.9189385332046727

// shift is a random shift of Gaussian noise: shift[i] with probability w[i].
type shift struct {
	w, s  []float64
	sigma float64
}

// poissonShift is the shift s with probability q, else none.
func poissonShift(q, s, sigma float64) shift {
	if q == 1 {
		return shift{[]float64{1}, []float64{s}, sigma}
	}
	return shift{[]float64{1 - q, q}, []float64{0, s}, sigma}
}

// loss is log(dP/dQ) at x of P = the noise after the shift and Q = the noise.
func (m *shift) loss(x float64) float64 {
	v := m.sigma * m.sigma
	if len(m.w) == 1 {
		return m.s[0] * (x - m.s[0]/2) / v
	}
	if len(m.w) == 2 && m.s[0] == 0 {
		return sampledLoss(m.w[1], m.s[1]*(x-m.s[1]/2)/v)
	}
	top, sum, small := math.Inf(-1), 0.0, 0.0
	for _, s := range m.s {
		top = math.Max(top, s*(x-s/2)/v)
	}
	for i, s := range m.s {
		u := s * (x - s/2) / v
		sum += m.w[i] * math.Exp(u-top)
		small += m.w[i] * math.Expm1(math.Min(u, 1))
	}
	if top < 0.5 && small > -0.5 {
		return math.Log1p(small)
	}
	return top + math.Log(sum)
}

// sampledLoss is log(1-q+q*exp(u)).
func sampledLoss(q, u float64) float64 {
	switch {
	case q == 1:
		return u
	case u > 30:
		return u + math.Log(q) + math.Log1p((1-q)/q*math.Exp(-u))
	case q > 0.5:
		return math.Log(1 - q + q*math.Exp(u))
	default:
		return math.Log1p(q * math.Expm1(u))
	}
}

// sampledInverse is the u whose sampledLoss is l, for l above log(1-q).
func sampledInverse(q, l float64) float64 {
	if q == 1 {
		return l
	}
	if l > 30 {
		return l + math.Log1p(-(1-q)*math.Exp(-l)) - math.Log(q)
	}
	return math.Log1p(math.Expm1(l) / q)
}

// cdf is the P-mass below x of the noise after the shift.
func (m *shift) cdf(x float64) (p float64) {
	for i, w := range m.w {
		p += w * normalCDF((x-m.s[i])/m.sigma)
	}
	return p
}

func normalCDF(z float64) float64 { return math.Erfc(-z/math.Sqrt2) / 2 }

// most is the largest shift that has weight.
func (m *shift) most() (s float64) {
	for i := range m.s {
		if m.w[i] > 0 {
			s = math.Max(s, m.s[i])
		}
	}
	return s
}

func (m *shift) normal(x float64) float64 {
	z := x / m.sigma
	return -z*z/2 - math.Log(m.sigma) - logSqrt2Pi
}

func (m *shift) step() float64 { return math.Min(m.sigma/2.5, 0.45*m.sigma*m.sigma/m.most()) }

// above is the P-mass above x of the noise after the shift.
func (m *shift) above(x float64) (p float64) {
	for i, w := range m.w {
		p += w * normalCDF((m.s[i]-x)/m.sigma)
	}
	return p
}

// end is where a density ends whose P-mass above x is above(x), and the mass
// beyond, which counts as lost.
func (sp span) end(most float64, above func(x float64) float64) (hi, lost float64) {
	if sp.tail == 0 {
		return most, above(most)
	}
	low, high := 0.0, most
	for high-low > 1e-3*(1+math.Abs(low))*1e-2 {
		if mid := (low + high) / 2; above(mid) > sp.tail {
			low = mid
		} else {
			high = mid
		}
	}
	return high, above(high) * (1 + 1e-9)
}

// inverseOf returns the analytic inverse of loss, or nil.
func (m *shift) inverseOf() func(l float64) float64 {
	v, s := m.sigma*m.sigma, m.s[len(m.s)-1]
	switch {
	case len(m.w) == 1:
		return func(l float64) float64 { return l*v/s + s/2 }
	case len(m.w) == 2 && m.s[0] == 0:
		q := m.w[1]
		return func(l float64) float64 { return sampledInverse(q, l)*v/s + s/2 }
	default:
		return nil
	}
}

// remove is (noise after the shift, noise): the unit is there and goes.
func (m shift) remove(sp span) pair {
	hi, lost := sp.end(m.most()*sp.alpha+sp.sigmas*m.sigma, m.above)
	p := smooth{
		lo: -sp.sigmas * m.sigma, hi: hi,
		step: m.step(), scale: m.sigma, whole: true, inverse: m.inverseOf(), cdf: m.cdf,
		at: func(x float64) (float64, float64) {
			l := m.loss(x)
			return m.normal(x) + l, l
		},
	}
	return pair{parts: []smooth{p}, lost: lost, anchor: m.floor()}
}

// add is (noise, noise after the shift), over -x to make the loss rise.
func (m shift) add(sp span) pair {
	hi, lost := sp.end(m.most()*(sp.alpha-1)+sp.sigmas*m.sigma, func(x float64) float64 { return normalCDF(-x / m.sigma) })
	p := smooth{
		lo: -sp.sigmas * m.sigma, hi: hi,
		step: m.step(), scale: m.sigma, whole: true,
		cdf: func(x float64) float64 { return normalCDF(x / m.sigma) },
		at:  func(x float64) (float64, float64) { return m.normal(x), -m.loss(-x) },
	}
	if inverse := m.inverseOf(); inverse != nil {
		p.inverse = func(l float64) float64 { return -inverse(-l) }
	}
	return pair{parts: []smooth{p}, lost: lost, anchor: -m.floor()}
}

// replace is (noise after the shift, noise after the opposite shift).
func (m shift) replace(sp span) pair {
	hi, lost := sp.end(m.most()*(2*sp.alpha-1)+sp.sigmas*m.sigma, m.above)
	p := smooth{
		lo: -sp.sigmas * m.sigma, hi: hi,
		step: m.step() / 2, scale: m.sigma, whole: true, cdf: m.cdf,
		at: func(x float64) (float64, float64) {
			l := m.loss(x)
			return m.normal(x) + l, l - m.loss(-x)
		},
	}
	return pair{parts: []smooth{p}, lost: lost}
}

// floor is the loss at minus infinity, 0 if that is infinite.
func (m *shift) floor() float64 {
	w := 0.0
	for i := range m.s {
		if m.s[i] == 0 {
			w += m.w[i]
		}
	}
	if w == 0 || w == 1 {
		return 0
	}
	return math.Log(w)
}

// fixedSizePair dominates a Gaussian of multiplier sigma on a sample without
// replacement, a fraction q of the units, when one unit is replaced: its
// hockey-stick divergence of order a is that of ((1-q)Q+qP, Q) for a >= 1
// (Balle, Barthe and Gaboardi 2018, Theorem 9) and, exchanging the fleets,
// that of (P, (1-q)P+qQ) for a < 1 (Zhu, Dong and Wang 2022, Proposition 30).
// The two meet at a = 1 in a convex curve, so a pair has it: positive losses
// of the first, negative ones of the second, and the rest at zero.
func fixedSizePair(q, sigma float64, sp span) pair {
	m := poissonShift(q, 1, sigma)
	p, n := m.remove(sp), m.add(sp)
	p.parts[0].lo, p.parts[0].whole = 0.5, false
	from := m.cdf(0.5)
	p.parts[0].cdf = func(x float64) float64 { return m.cdf(x) - from }
	n.parts[0].hi, n.parts[0].whole = -0.5, false
	p.parts = append(p.parts, n.parts...)
	p.anchor = 0
	p.atoms = []atom{{(1 - q) * math.Erf(0.5/(sigma*math.Sqrt2)), 0}}
	return p
}

// laplacePairs are the directions of noise of scale b on a shift of 1 with
// probability q: the loss is constant beyond the two centers.
func laplacePairs(q, b float64) []pair {
	low, high := sampledLoss(q, -1/b), sampledLoss(q, 1/b)
	left, right := 0.5, 0.5*math.Exp(-1/b) // Q-masses below 0 and above 1
	between := func(x float64) (logQ, loss float64) {
		return -x/b - math.Log(2*b), sampledLoss(q, (2*x-1)/b)
	}
	inverse := func(l float64) float64 { return (sampledInverse(q, l)*b + 1) / 2 }
	step := math.Min(0.125, b/8)
	remove := pair{
		atoms: []atom{{left * math.Exp(low), low}, {right * math.Exp(high), high}}, anchor: high, gap: high - low,
		parts: []smooth{{lo: 0, hi: 1, step: step, scale: b, inverse: inverse, cdf: func(x float64) float64 {
			return -0.5 * math.Expm1(-x/b) * math.Exp(sampledLoss(q, (2*x-1)/b))
		}, at: func(x float64) (float64, float64) {
			logQ, l := between(x)
			return logQ + l, l
		}}},
	}
	if q == 1 {
		return []pair{remove}
	}
	add := pair{
		atoms: []atom{{left, -low}, {right, -high}}, anchor: -low, gap: high - low,
		parts: []smooth{{lo: -1, hi: 0, step: step, scale: b, inverse: func(l float64) float64 { return -inverse(-l) }, cdf: func(x float64) float64 {
			return 0.5 * (math.Exp(x/b) - math.Exp(-1/b))
		}, at: func(x float64) (float64, float64) {
			logQ, l := between(-x)
			return logQ, -l
		}}},
	}
	return []pair{remove, add}
}

// mixed is one of two mechanisms, the second with probability w, publicly
// chosen.
func mixed(a, b pair, w float64) pair {
	weigh := func(p pair, w float64) pair {
		out := pair{lost: w * p.lost, anchor: p.anchor}
		for _, x := range p.atoms {
			out.atoms = append(out.atoms, atom{w * x.mass, x.loss})
		}
		for _, s := range p.parts {
			at, cdf, logW := s.at, s.cdf, math.Log(w)
			s.cdf = func(x float64) float64 { return w * cdf(x) }
			s.at = func(x float64) (float64, float64) {
				d, l := at(x)
				return d + logW, l
			}
			out.parts = append(out.parts, s)
		}
		return out
	}
	out, other := weigh(a, 1-w), weigh(b, w)
	out.atoms, out.parts = append(out.atoms, other.atoms...), append(out.parts, other.parts...)
	out.lost += other.lost
	return out
}

// truncatedPairs: with probability t the sample has to be cut, and then the
// unit takes another's place with probability q2: that is at most replacing
// one (arXiv 2508.15089; dp_accounting 0.6.0 uses the same bound).
func truncatedPairs(e *Event, sp span) []pair {
	q, n, b := e.SamplingProbability, float64(e.DatasetSize), float64(e.TruncatedBatchSize)
	m := poissonShift(q, 1, e.NoiseMultiplier)
	plain := []pair{m.remove(sp), m.add(sp)}
	t := atLeast(n-1, b, q)
	if t == 0 {
		return plain
	}
	q2 := math.Min(atLeast(n, b+1, q)*b/(t*n)*(1+2*tailError), 1)
	t = math.Min(t*(1+tailError), 1)
	cut := poissonShift(q2, 1, e.NoiseMultiplier/2)
	worst := cut.replace(sp)
	return []pair{mixed(plain[0], worst, t), mixed(plain[1], worst, t)}
}

// tailError bounds the relative error of gonum's incomplete beta function;
// the tests compare it with sums at 60 digits.
const tailError = 1e-9

// atLeast is P[Bin(n, q) >= k].
func atLeast(n, k, q float64) float64 {
	switch {
	case k <= 0:
		return 1
	case k > n:
		return 0
	default:
		return mathext.RegIncBeta(k, n-k+1, q)
	}
}

// errPair is a mechanism without a known pair.
func errPair(e *Event, why string) error {
	return fmt.Errorf("%w: %s: %s", ErrUnsupported, e.Type, why)
}
