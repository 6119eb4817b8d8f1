package accountant

import (
	"encoding/json"
	"fmt"
	"math"
	"math/bits"
	"slices"
)

// ErrUnsupported reports an event that the accountant asked has no bound for,
// though another may. It wraps [ErrEvent].
var ErrUnsupported = fmt.Errorf("%w: not supported", ErrEvent)

// samplerDistance is the proved statistical distance of one noise value from
// the exact discrete Gaussian (package internal/sampler; protocol section 6).
const samplerDistance = 0x1p-96

// curve is the composed Rényi divergence of a list of events: RDP curves add
// (Mironov 2017, Proposition 1), and so do total-variation distances.
type curve struct {
	rho, xi  float64 // zCDP part: xi + rho*alpha
	laplace  []laplaceTerm
	sums     []sumTerm
	terms    []term
	known    map[string]int // place in terms, by event
	distance float64        // total variation of the samplers, over all events
	shift    float64        // sensitivity in units of the zero-out one: 1 or 2
	relation NeighboringRelation
}

type laplaceTerm struct{ count, scale float64 }

// term is any other event, count times; series is what other accountants
// report at fractional orders, if that is more.
type term struct {
	count       float64
	rdp, series divergence
}

// sumTerm is one distributed discrete Gaussian with its tau correction.
type sumTerm struct {
	count, l1, l2, width, tau, dimension float64 // width = sqrt(h) sigma
}

func newCurve(events []Event, relation NeighboringRelation) (*curve, error) {
	c := &curve{shift: 1, relation: relation}
	switch relation {
	case ZeroOut, AddRemove:
	case ReplaceOne:
		c.shift = 2
	default:
		return nil, fmt.Errorf("%w: unknown relation %.40q", ErrEvent, string(relation))
	}
	all := Event{Type: Composed, Events: events}
	if err := all.Validate(); err != nil {
		return nil, err
	}
	if err := c.add(&all, 1); err != nil {
		return nil, err
	}
	return c, nil
}

// add composes e, times as often; Validate has bounded the recursion.
func (c *curve) add(e *Event, times float64) error {
	switch e.Type {
	case Composed:
		for i := range e.Events {
			if err := c.add(&e.Events[i], times); err != nil {
				return err
			}
		}
		return nil
	case SelfComposed:
		return c.add(e.Event, times*float64(e.Count))
	case ZCDP:
		return c.addZCDP(e, times)
	case Laplace:
		c.laplace = append(c.laplace, laplaceTerm{times, e.NoiseMultiplier / c.shift})
	case Gaussian:
		c.rho += times * c.shift * c.shift / (2 * e.NoiseMultiplier * e.NoiseMultiplier)
	case DiscreteGaussian: // the same zCDP as the continuous one: CKS 2020, Theorem 4
		r := c.shift * float64(e.Sensitivity) / e.Sigma
		c.rho += times * r * r / 2
	case DistributedDiscreteGaussian:
		return c.addSum(e, times)
	case Tree, Matrix:
		rho, err := strategyRho(e, c.relation)
		c.rho += times * rho
		return err
	default:
		return c.addTerm(e, times)
	}
	return nil
}

// strategyRho is the zCDP parameter of a Gaussian with the sensitivity of its
// strategy: a leaf is in at most ceil(log2(n+1)) nodes of a tree of n leaves.
func strategyRho(e *Event, relation NeighboringRelation) (float64, error) {
	if relation == AddRemove {
		return 0, fmt.Errorf("%w: %s under add_remove: removing a unit moves the others", ErrUnsupported, e.Type)
	}
	squared := e.StrategySensitivity * e.StrategySensitivity
	if e.Type == Tree {
		squared = float64(bits.Len64(uint64(slices.Max(e.StepCounts))))
	}
	if relation == ReplaceOne {
		squared *= 4
	}
	return squared / (2 * e.NoiseMultiplier * e.NoiseMultiplier), nil
}

// addTerm records an event with a curve of its own; the same event is
// computed once.
func (c *curve) addTerm(e *Event, times float64) error {
	key, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("%w: %v", ErrEvent, err)
	}
	if i, ok := c.known[string(key)]; ok {
		c.terms[i].count += times
		return nil
	}
	if len(c.terms) == maxTerms {
		return fmt.Errorf("%w: more than %d different events", ErrUnsupported, maxTerms)
	}
	d, err := divergenceOf(e, c.relation)
	if err != nil {
		return err
	}
	if c.known == nil {
		c.known = make(map[string]int)
	}
	c.known[string(key)] = len(c.terms)
	t := term{count: times, rdp: d}
	if rho, ok := gaussianRho(e.inside()); ok && e.Type == Poisson && c.relation != ReplaceOne && e.SamplingProbability < 1 {
		t.series = poissonSeries(e.SamplingProbability, 1/math.Sqrt(2*rho))
	}
	c.terms = append(c.terms, t)
	return nil
}

// maxTerms bounds the different events with a curve of their own.
const maxTerms = 4096

// reach is the largest order at which a density without a formula, of shifts
// up to s times the noise, is integrated: 64, less where that takes more than
// some thousand nodes.
func reach(s float64) float64 { return math.Max(3, math.Min(64, 1800/(s*s))) }

// divergenceOf is the Rényi divergence of a leaf that is not Gaussian.
func divergenceOf(e *Event, relation NeighboringRelation) (divergence, error) {
	gaussianSample := e.Event != nil && e.Event.Type != Laplace
	most := math.Inf(1)
	switch e.Type {
	case Skellam:
		l2 := float64(e.Sensitivity)
		l1 := l2 * math.Min(math.Sqrt(float64(e.Dimension)), l2)
		if e.L1Sensitivity != 0 {
			l1 = math.Min(l1, float64(e.L1Sensitivity))
		}
		if relation == ReplaceOne {
			l1, l2 = 2*l1, 2*l2
		}
		return skellamRDP(e.Variance, l2, l1), nil
	case Poisson:
		if gaussianSample && relation != ReplaceOne {
			rho, _ := gaussianRho(e.Event)
			return poissonRDP(e.SamplingProbability, 1/math.Sqrt(2*rho)), nil
		}
		if gaussianSample {
			rho, _ := gaussianRho(e.Event)
			most = reach(2 * math.Sqrt(2*rho))
		}
	case FixedSize:
		if relation == ReplaceOne {
			rho, _ := gaussianRho(e.Event)
			return fixedSizeRDP(float64(e.SampleSize)/float64(e.SourceDatasetSize), 1/math.Sqrt(2*rho)), nil
		}
	case GaussianMixture:
		most = reach(slices.Max(e.Sensitivities) / e.StandardDeviation)
	case TruncatedPoisson:
		most = reach(4 / e.NoiseMultiplier)
	}
	pairs, err := pairsOf(e, relation, span{sigmas: 12, alpha: math.Min(most, 64)})
	if err != nil {
		return nil, err
	}
	return pairsRDP(pairs, most), nil
}

func (c *curve) addZCDP(e *Event, times float64) error {
	if c.relation == ReplaceOne {
		return fmt.Errorf("%w: zcdp has no factor for replace_one", ErrUnsupported)
	}
	c.rho += times * e.Rho
	c.xi += times * e.Xi
	return nil
}

// addSum records the sum of h discrete Gaussians (Kairouz, Liu and Steinke
// 2021, Proposition 14). Noise beyond the h counted is independent of the
// data: adding it is post-processing.
func (c *curve) addSum(e *Event, times float64) error {
	if c.relation == AddRemove {
		return fmt.Errorf("%w: %s publishes its list: add_remove does not apply", ErrUnsupported, e.Type)
	}
	d, l2, h := float64(e.Dimension), c.shift*float64(e.Sensitivity), float64(e.Contributors)
	c.distance += times * float64(e.Reports) * d * samplerDistance
	t := tau(e.Sigma, e.Contributors)
	if t*d < 1e-20 { // the first of the three bounds, and nothing to search
		c.rho += times * l2 * l2 / (2 * h * e.Sigma * e.Sigma)
		c.xi += times * t * d
		return nil
	}
	c.sums = append(c.sums, sumTerm{
		count: times,
		l2:    l2,
		// Integers: |m| <= m^2, so the L1 norm is at most D^2 per vector.
		l1:        math.Min(math.Sqrt(d)*l2, l2*l2),
		width:     math.Sqrt(h) * e.Sigma,
		tau:       t,
		dimension: d,
	})
	return nil
}

// tau bounds how far the sum of n discrete Gaussians is from one: 10
// sum_{k=1}^{n-1} exp(-2 pi^2 sigma^2 k/(k+1)). The terms fall, so once the
// rest is negligible or long it is replaced by its first term throughout.
func tau(sigma float64, n int64) float64 {
	term := func(k int64) float64 {
		return math.Exp(-2 * math.Pi * math.Pi * sigma * sigma * float64(k) / float64(k+1))
	}
	var t float64
	for k := int64(1); k < n; k++ {
		rest := float64(n-k) * term(k)
		if rest <= 1e-15*t || k > 1<<14 {
			return 10 * (t + rest)
		}
		t += term(k)
	}
	return 10 * t
}

// rdp is the composed Rényi divergence of order alpha > 1.
func (c *curve) rdp(alpha float64) float64 {
	r := c.xi + c.rho*alpha
	for _, t := range c.laplace {
		r += t.count * laplaceRDP(alpha, t.scale)
	}
	for i := range c.sums {
		r += c.sums[i].count * c.sums[i].rdp(alpha)
	}
	for _, t := range c.terms {
		if t.count > 0 {
			r += t.count * t.rdp(alpha)
		}
	}
	return r
}

// rdp is the least of the three bounds of Proposition 14.
func (t *sumTerm) rdp(alpha float64) float64 {
	ratio := t.l2 / t.width
	gauss := alpha / 2 * ratio * ratio
	both := ratio + math.Sqrt(t.dimension)*t.tau
	return min(
		gauss+t.tau*t.dimension,
		gauss+alpha/2*(2*t.l1*t.tau/t.width+t.tau*t.tau*t.dimension),
		alpha/2*both*both)
}

// laplaceRDP is Mironov 2017, Proposition 6, for scale over L1 sensitivity b.
// It is convex in the shift and zero at zero, so spreading an L1 shift over
// several coordinates never costs more than putting it into one.
func laplaceRDP(alpha, b float64) float64 {
	x := (alpha - 1) / b
	up := math.Log(alpha/(2*alpha-1)) + x
	down := math.Log((alpha-1)/(2*alpha-1)) - alpha/b
	r := (up + math.Log1p(math.Exp(down-up))) / (alpha - 1)
	return math.Min(math.Max(r, 0), 1/b) // the pure epsilon bounds every order
}

// convert returns the least epsilon found at delta for an exact sampler and
// the order that gives it; order 0 means pure composition.
func (c *curve) convert(delta float64) (eps, order float64) {
	if c.rdp(2) == 0 { // nothing released
		return 0, 0
	}
	eps, order = bestOrder(delta, c.rdp)
	if len(c.laplace) == 0 {
		return eps, order
	}
	// Alternatively charge the Laplace events by their pure epsilons.
	var pure float64
	for _, t := range c.laplace {
		pure += t.count / t.scale
	}
	rest := *c
	rest.laplace = nil
	if rest.rho == 0 && rest.xi == 0 && len(rest.sums) == 0 && len(rest.terms) == 0 {
		if pure <= eps*(1+1e-6) { // a millionth is not worth an order of 10^8
			return pure, 0
		}
		return eps, order
	}
	if e, o := bestOrder(delta, rest.rdp); e+pure < eps {
		return e + pure, o
	}
	return eps, order
}

// bestOrder minimizes the conversion of Canonne, Kamath and Steinke 2020
// (Proposition 12; also Balle et al. 2020) over real orders. Any order gives a
// valid bound, so the search cannot do harm; it is exact to about 1e-12.
func bestOrder(delta float64, rdp func(float64) float64) (eps, order float64) {
	at := func(u float64) float64 { // u = log(alpha-1)
		a1 := math.Exp(u)
		alpha := 1 + a1
		return rdp(alpha) + math.Log1p(-1/alpha) - (math.Log(delta)+math.Log(alpha))/a1
	}
	const low, high, step = -18.0, 30.0, 0.25
	best, least := low, math.Inf(1)
	for u := low; u <= high; u += step {
		if v := at(u); v < least {
			best, least = u, v
		}
	}
	u := golden(at, best-step, best+step, 40)
	return math.Max(at(u), 0), 1 + math.Exp(u)
}

// golden finds the minimum of a function with one valley in [a, b].
func golden(f func(float64) float64, a, b float64, steps int) float64 {
	const ratio = 0.6180339887498949
	x, y := b-ratio*(b-a), a+ratio*(b-a)
	fx, fy := f(x), f(y)
	for range steps {
		if fx < fy {
			b, y, fy = y, x, fx
			x = b - ratio*(b-a)
			fx = f(x)
		} else {
			a, x, fx = x, y, fy
			y = a + ratio*(b-a)
			fy = f(y)
		}
	}
	return (a + b) / 2
}
