package sampler_test

import (
	"math"
	"testing"
)

// newLaw is a symmetric law on the integers by its characteristic function:
// the DFT of length 2*reach, with an absolute error of 1e-15 and a wrap of what
// lies beyond reach.
func newLaw(variance, kurt float64, reach int, phi func(theta float64) float64) *reference {
	pmf := make([]float64, reach)
	for j := range reach + 1 {
		theta := math.Pi * float64(j) / float64(reach)
		term := 2 * phi(theta)
		if j == 0 || j == reach {
			term /= 2
		}
		if j > 0 && math.Abs(term) < 1e-19 {
			break // phi falls from 0 to pi
		}
		for x := range pmf {
			pmf[x] += term * math.Cos(theta*float64(x)) / float64(2*reach)
		}
	}
	return fromPMF(variance, kurt, pmf)
}

// fromPMF takes P(0), P(1) = P(-1), ...
func fromPMF(variance, kurt float64, pmf []float64) *reference {
	r := &reference{sigma: math.Sqrt(variance), kurt: kurt, tail: make([]float64, len(pmf))}
	weight := make([]float64, len(pmf))
	for x, p := range pmf {
		weight[x] = 2 * max(p, 0)
	}
	weight[0] /= 2
	for x := len(pmf) - 2; x >= 0; x-- {
		r.tail[x] = r.tail[x+1] + weight[x+1]
	}
	r.half = accumulate(r.sigma, weight).half
	return r
}

// skellamLaw is the Skellam distribution of variance mu.
func skellamLaw(mu float64) *reference {
	reach := int(14*math.Sqrt(mu)) + 40
	return newLaw(mu, 3+1/mu, reach, func(theta float64) float64 {
		s := math.Sin(theta / 2)
		return math.Exp(-2 * mu * s * s)
	})
}

// laplaceVariance is 2p/(1-p)^2 at p = exp(-1/scale).
func laplaceVariance(scale float64) float64 {
	return 1 / (2 * math.Pow(math.Sinh(1/(2*scale)), 2))
}

// laplaceLaw is the discrete Laplace distribution, to 45 scales; its fourth
// moment is variance (1 + 6 variance) by its cumulants.
func laplaceLaw(scale float64) *reference {
	pmf := make([]float64, int(45*scale)+5)
	for x := range pmf {
		pmf[x] = math.Tanh(1/(2*scale)) * math.Exp(-float64(x)/scale)
	}
	v := laplaceVariance(scale)
	return fromPMF(v, 6+1/v, pmf)
}

// laplaceSum is the law of a sum of n.
func laplaceSum(scale float64, n int) *reference {
	v := laplaceVariance(scale)
	p := math.Exp(-1 / scale)
	return newLaw(float64(n)*v, 3+(3+1/v)/float64(n), int(60*scale)+60, func(theta float64) float64 {
		return math.Pow((1-p)*(1-p)/(1-2*p*math.Cos(theta)+p*p), float64(n))
	})
}

// pmf returns P(X = x).
func (r *reference) pmf(x int) float64 {
	x = max(x, -x)
	if x == 0 {
		return r.within(0)
	}
	return (r.within(x) - r.within(x-1)) / 2
}

// TestLaws checks the references of the tests: variance and kurtosis by their
// sums, and a Skellam law against the probabilities of the accounting vectors.
func TestLaws(t *testing.T) {
	for name, r := range map[string]*reference{
		"skellam 1/4": skellamLaw(0.25), "skellam 41": skellamLaw(41), "skellam 5000": skellamLaw(5000),
		"laplace 1/4": laplaceLaw(0.25), "laplace 7.3": laplaceLaw(7.3), "laplace sum": laplaceSum(7.3, 8),
	} {
		var second, fourth float64
		for x := range r.half {
			w, f := 2*r.pmf(x), float64(x)
			second += w * f * f
			fourth += w * f * f * f * f
		}
		if v := r.sigma * r.sigma; math.Abs(second/v-1) > 1e-8 || math.Abs(fourth/v/v/r.kurt-1) > 1e-7 {
			t.Errorf("%s: variance %g of %g, kurtosis %g of %g", name, second, v, fourth/v/v, r.kurt)
		}
	}
	for mu, want := range skellamPMF {
		r := skellamLaw(mu)
		if math.Abs(r.pmf(0)-want[0]) > 1e-14 || math.Abs(r.pmf(3)-want[1]) > 1e-14 {
			t.Errorf("Skellam %v: %v, %v, want %v", mu, r.pmf(0), r.pmf(3), want)
		}
	}
}

// skellamPMF holds P(0) and P(3) by variance, from mpmath (skellam_1d of the
// accounting vectors).
var skellamPMF = map[float64][2]float64{
	1:   {0.46575960759364044, 0.0081553077728142938},
	4:   {0.2070019212239867, 0.061124338029666293},
	100: {0.039944379299096683, 0.03817817317558649},
	400: {0.01995335628193999, 0.019729861816032087},
}
