package accountant

import "math"

// Limits of what is enumerated.
const (
	maxAtoms = 1 << 18
)

// randomizedResponsePairs: A is the probability of the truth, B that of each
// other answer.
func randomizedResponsePairs(e *Event, relation NeighboringRelation) []pair {
	p, k := e.NoiseParameter, float64(e.NumBuckets)
	if k == 1 || p == 1 {
		return nil
	}
	b := p / k
	a := 1 - p + b
	gap := math.Log(a / b)
	if relation == ReplaceOne {
		return []pair{{atoms: []atom{{b, -gap}, {(k - 2) * b, 0}, {a, gap}}, anchor: gap, lattice: gap}}
	}
	truth, other := math.Log(k*a), math.Log(p)
	return []pair{
		{atoms: []atom{{(k - 1) * b, other}, {a, truth}}, anchor: truth, lattice: gap},
		{atoms: []atom{{1 / k, -truth}, {1 - 1/k, -other}}, anchor: -other, lattice: gap},
	}
}

// discreteLaplacePair: P is the noise after a shift of d, Q the noise; the
// loss is constant beyond the centers. A smaller shift is no worse, because
// the noise is log-concave.
func discreteLaplacePair(rate float64, d int64) pair {
	r := math.Exp(-rate)
	unit := -math.Expm1(-rate) / (1 + r) // Q(0)
	p := pair{anchor: rate * float64(d), lattice: 2 * rate}
	p.atoms = append(p.atoms, atom{math.Exp(-rate*float64(d)) / (1 + r), -rate * float64(d)})
	for x := int64(1); x < d; x++ {
		p.atoms = append(p.atoms, atom{unit * math.Exp(-rate*float64(d-x)), rate * float64(2*x-d)})
	}
	p.atoms = append(p.atoms, atom{1 / (1 + r), rate * float64(d)})
	return p
}

// discreteGaussianPair: P = N_Z(0, sigma^2) after a shift of d, Q without.
// sigmas bounds the mass beyond by 2 exp(-sigmas^2/2), the sub-Gaussian tail
// of Canonne, Kamath and Steinke 2020, Corollary 23.
func discreteGaussianPair(sigma float64, d int64, sp span) pair {
	reach := math.Ceil(sp.sigmas*sigma + float64(d)*math.Max(0, sp.alpha-1))
	low := -math.Ceil(sp.sigmas * sigma)
	norm := 0.0
	for x := -math.Ceil(39 * sigma); x <= 39*sigma; x++ {
		norm += math.Exp(-x * x / (2 * sigma * sigma))
		if sigma > 4 { // Poisson summation: exact to exp(-2 pi^2 16)
			norm = sigma * math.Sqrt(2*math.Pi)
			break
		}
	}
	shift := float64(d)
	at := func(x float64) atom { // x is the noise of P
		return atom{math.Exp(-x*x/(2*sigma*sigma)) / norm, shift * (x + shift/2) / (sigma * sigma)}
	}
	p := pair{lattice: shift / (sigma * sigma), lost: 2 * math.Exp(-sp.sigmas*sp.sigmas/2)}
	p.anchor = at(0).loss
	for x := low; x <= reach; x++ {
		p.atoms = append(p.atoms, at(x))
	}
	p.atoms[0].mass += p.lost // the lower tail, whose losses are smaller
	return p
}

// pairsOf returns the dominating pairs of a leaf under the relation: one if
// both directions have the same, none if nothing is released. The error wraps
// [ErrUnsupported].
func pairsOf(e *Event, relation NeighboringRelation, sp span) ([]pair, error) {
	factor := 1.0
	if relation == ReplaceOne {
		factor = 2
	}
	switch e.Type {
	case Laplace:
		return laplacePairs(1, e.NoiseMultiplier/factor), nil
	case DiscreteLaplace:
		return []pair{discreteLaplacePair(e.NoiseParameter, e.Sensitivity*int64(factor))}, nil
	case DiscreteGaussian:
		switch {
		case e.Dimension > 1:
			return nil, errPair(e, "the privacy loss of more than one dimension depends on the direction")
		case e.Sigma*(2*sp.sigmas+sp.alpha) > maxAtoms:
			return nil, errPair(e, "sigma is too large to enumerate")
		}
		return []pair{discreteGaussianPair(e.Sigma, e.Sensitivity*int64(factor), sp)}, nil
	case RandomizedResponse:
		if relation == AddRemove {
			return nil, errPair(e, "an answer cannot be added or removed")
		}
		return randomizedResponsePairs(e, relation), nil
	default:
		return sampledPairs(e, relation, sp)
	}
}

func sampledPairs(e *Event, relation NeighboringRelation, sp span) ([]pair, error) {
	switch e.Type {
	case Poisson:
		return poissonPairs(e, relation, sp)
	case FixedSize:
		if relation != ReplaceOne {
			return nil, errPair(e, "only replace_one keeps the number of units")
		}
		rho, _ := gaussianRho(e.Event)
		q := float64(e.SampleSize) / float64(e.SourceDatasetSize)
		if q == 1 {
			m := poissonShift(1, 1, 1/math.Sqrt(2*rho))
			return []pair{m.remove(sp)}, nil
		}
		return []pair{fixedSizePair(q, 1/math.Sqrt(2*rho), sp)}, nil
	case GaussianMixture:
		if relation == ReplaceOne {
			return nil, errPair(e, "no dominating pair is known under replace_one")
		}
		m := mixtureShift(e)
		if m.most() == 0 {
			return nil, nil
		}
		return []pair{m.remove(sp), m.add(sp)}, nil
	case TruncatedPoisson:
		if relation != AddRemove {
			return nil, errPair(e, "analyzed under add_remove only")
		}
		return truncatedPairs(e, sp), nil
	default:
		return nil, errPair(e, "its privacy loss distribution is not known")
	}
}

// poissonPairs: under replace_one the unit's contribution is taken to move
// from one end of the ball to the other, the worst pair for the sampled
// Gaussian (Schuchardt et al. 2024, arXiv 2403.04867; dp_accounting does the
// same).
func poissonPairs(e *Event, relation NeighboringRelation, sp span) ([]pair, error) {
	if e.Event.Type == Laplace {
		if relation == ReplaceOne {
			return nil, errPair(e, "no dominating pair of a sampled Laplace is known under replace_one")
		}
		return laplacePairs(e.SamplingProbability, e.Event.NoiseMultiplier), nil
	}
	rho, _ := gaussianRho(e.Event)
	m := poissonShift(e.SamplingProbability, 1, 1/math.Sqrt(2*rho))
	switch {
	case relation == ReplaceOne:
		return []pair{m.replace(sp)}, nil
	case e.SamplingProbability == 1:
		return []pair{m.remove(sp)}, nil
	}
	return []pair{m.remove(sp), m.add(sp)}, nil
}

// mixtureShift normalizes the probabilities and joins equal sensitivities of
// zero, so that a sampled Gaussian written as a mixture is one.
func mixtureShift(e *Event) shift {
	sum, zero := 0.0, 0.0
	for i, w := range e.SamplingProbs {
		sum += w
		if e.Sensitivities[i] == 0 {
			zero += w
		}
	}
	m := shift{sigma: e.StandardDeviation}
	if zero > 0 {
		m.w, m.s = []float64{zero / sum}, []float64{0}
	}
	for i, w := range e.SamplingProbs {
		if w > 0 && e.Sensitivities[i] > 0 {
			m.w, m.s = append(m.w, w/sum), append(m.s, e.Sensitivities[i])
		}
	}
	return m
}
