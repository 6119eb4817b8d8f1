package sampler_test

import (
	"fmt"
	"math"
)

// reference is N_Z(0, sigma^2), or the sum of n draws from it, or another
// symmetric law (see newLaw).
type reference struct {
	sigma float64   // of the sum
	half  []float64 // half[i] = P(|X| <= i); nil where the normal law replaces it
	tail  []float64 // tail[i] = P(|X| > i); nil where a Gaussian's formula serves
	kurt  float64   // fourth moment over squared variance
}

// wideSigma: from here P(X <= x) is taken as Phi((x+1/2)/sigma). The midpoint
// rule errs by less than 1/(24 sigma^2) of the largest density slope: below
// 1e-8, while the tests here resolve 1e-3.
const wideSigma = 1000

// newReference sums exp(-x^2/(2 sigma^2)) to 12 widths (the rest: 1e-31).
func newReference(sigma float64) *reference {
	if sigma >= wideSigma {
		return &reference{sigma: sigma, kurt: 3}
	}
	w := make([]float64, int(12*sigma))
	for x := range w {
		w[x] = 2 * math.Exp(-float64(x)*float64(x)/(2*sigma*sigma))
	}
	w[0] = 1
	return accumulate(sigma, w)
}

func accumulate(sigma float64, weight []float64) *reference {
	total := 0.0
	for i, w := range weight {
		total += w
		weight[i] = total
	}
	for i := range weight {
		weight[i] /= total
	}
	return &reference{sigma: sigma, half: weight, kurt: 3}
}

// newSumReference is the exact law of a sum of n draws by the DFT of length m
// of the n-th power of the characteristic function, which is below 1e-30
// after some 30 terms. The law wraps at m/2, 12 widths of the sum, where it is
// below 1e-31.
func newSumReference(sigma float64, n int) *reference {
	one, wide := newReference(sigma), sigma*math.Sqrt(float64(n))
	m := 2 * int(12*wide)
	weight := make([]float64, m/2)
	for j := range min(40, m) {
		theta := 2 * math.Pi * float64(j) / float64(m)
		phi := one.characteristic(theta)
		term := 2 * math.Pow(phi, float64(n))
		if j == 0 {
			term = 1
		}
		for s := range weight {
			weight[s] += term * math.Cos(theta*float64(s))
		}
	}
	for s := range weight {
		if s > 0 {
			weight[s] *= 2
		}
		weight[s] = max(weight[s], 0)
	}
	return accumulate(wide, weight)
}

// characteristic returns E cos(theta X).
func (r *reference) characteristic(theta float64) float64 {
	if r.half == nil { // Poisson summation: exact to exp(-2 pi^2 sigma^2)
		return math.Exp(-r.sigma * r.sigma * theta * theta / 2)
	}
	sum, before := 0.0, 0.0
	for x, c := range r.half {
		sum += (c - before) * math.Cos(theta*float64(x))
		before = c
	}
	return sum
}

// within returns P(|X| <= x).
func (r *reference) within(x int) float64 {
	switch {
	case x < 0:
		return 0
	case r.half == nil:
		return math.Erf((float64(x) + 0.5) / (r.sigma * math.Sqrt2))
	case x >= len(r.half):
		return 1
	}
	return r.half[x]
}

// beyond returns P(|X| > x) without cancellation.
func (r *reference) beyond(x int) float64 {
	if r.half == nil {
		return math.Erfc((float64(x) + 0.5) / (r.sigma * math.Sqrt2))
	}
	if r.tail != nil {
		return r.tail[min(x, len(r.tail)-1)]
	}
	sum := 0.0
	for i := x + 1; i < len(r.half); i++ {
		sum += math.Exp(-float64(i) * float64(i) / (2 * r.sigma * r.sigma))
	}
	return sum * 2 / (r.sigma * math.Sqrt(2*math.Pi)) // the normalizer, to 1e-100
}

// cdf returns P(X <= x).
func (r *reference) cdf(x int) float64 {
	if x < 0 {
		return (1 - r.within(-x-1)) / 2
	}
	return (1 + r.within(x)) / 2
}

// chiSquare returns the p-value of xs against r: bins of equal width, at most
// 50 a width, joined from the left until 10 are expected.
func (r *reference) chiSquare(xs []int32) float64 {
	step := int(math.Ceil(r.sigma / 50))
	reach := int(8*r.sigma)/step + 1
	counts := make([]int, 2*reach+1) // counts[i]: (i-reach-1)*step < x <= (i-reach)*step
	for _, x := range xs {
		i := int(math.Ceil(float64(x)/float64(step))) + reach
		counts[min(max(i, 0), 2*reach)]++
	}
	var got, want []float64
	before, left, n := 0.0, 0, float64(len(xs))
	for i, c := range counts {
		left += c
		now := r.cdf((i - reach) * step)
		if i == 2*reach {
			now = 1
		}
		switch expect := (now - before) * n; {
		case expect >= 10:
			got, want = append(got, float64(left)), append(want, expect)
			before, left = now, 0
		case i == 2*reach:
			got[len(got)-1] += float64(left)
			want[len(want)-1] += expect
		}
	}
	return chiSquareTail(got, want)
}

func chiSquareTail(got, want []float64) float64 {
	stat := 0.0
	for i, w := range want {
		stat += (got[i] - w) * (got[i] - w) / w
	}
	return gammaTail(float64(len(want)-1)/2, stat/2)
}

// gammaTail is the regularized upper incomplete gamma function: its series
// below a+1, else Lentz's continued fraction.
func gammaTail(a, x float64) float64 {
	lg, _ := math.Lgamma(a)
	front := math.Exp(a*math.Log(x) - x - lg)
	if x < a+1 {
		sum, term := 1/a, 1/a
		for i := 1.0; term > sum*1e-15; i++ {
			term *= x / (a + i)
			sum += term
		}
		return 1 - front*sum
	}
	b, d := x+1-a, 1/(x+1-a)
	c, h := 1e300, d
	for i := 1.0; i < 1e5; i++ {
		an := i * (a - i)
		b += 2
		d = 1 / (an*d + b)
		c = b + an/c
		h *= d * c
		if math.Abs(d*c-1) < 1e-14 {
			break
		}
	}
	return front * h
}

// ks returns sqrt(N) times the Kolmogorov-Smirnov distance at the atoms; sorted
// is xs in order.
func (r *reference) ks(sorted []int32) float64 {
	worst, n := 0.0, float64(len(sorted))
	for i, x := range sorted {
		if i+1 < len(sorted) && sorted[i+1] == x {
			continue
		}
		at := r.cdf(int(x))
		worst = max(worst, math.Abs(float64(i+1)/n-at))
		if i+1 < len(sorted) { // up to just below the next value
			worst = max(worst, math.Abs(float64(i+1)/n-r.cdf(int(sorted[i+1])-1)))
		}
	}
	return worst * math.Sqrt(n)
}

// poissonTwoSided returns twice the smaller tail probability of k at mean.
func poissonTwoSided(k int, mean float64) float64 {
	at := func(i int) float64 {
		lg, _ := math.Lgamma(float64(i + 1))
		return math.Exp(float64(i)*math.Log(mean) - mean - lg)
	}
	low, high := 0.0, 0.0
	for i := range k + 1 {
		low += at(i)
	}
	for i := k; i < k+200+int(20*math.Sqrt(mean)); i++ {
		high += at(i)
	}
	return min(1, 2*min(low, high))
}

// moments returns the failures of the mean and variance windows: 4.9 standard
// errors, false alarm 1e-6 each.
func (r *reference) moments(xs []int32) (bad []string) {
	sum, square, n := 0.0, 0.0, float64(len(xs))
	for _, x := range xs {
		sum += float64(x)
		square += float64(x) * float64(x)
	}
	if z := sum / n / r.sigma * math.Sqrt(n); math.Abs(z) > 4.9 {
		bad = append(bad, fmt.Sprintf("mean at %.2f standard errors", z))
	}
	if z := (square/n/r.sigma/r.sigma - 1) * math.Sqrt(n/(r.kurt-1)); math.Abs(z) > 4.9 {
		bad = append(bad, fmt.Sprintf("variance at %.2f standard errors", z))
	}
	return bad
}

// tails returns the failures of the counts beyond 4, 5 and 6 widths: false
// alarm 1e-6 each.
func (r *reference) tails(xs []int32) (bad []string) {
	for _, k := range []float64{4, 5, 6} {
		limit, count := int(k*r.sigma), 0
		for _, x := range xs {
			if max(x, -x) > int32(limit) {
				count++
			}
		}
		mean := float64(len(xs)) * r.beyond(limit)
		if p := poissonTwoSided(count, mean); p < 1e-6 {
			bad = append(bad, fmt.Sprintf("%d beyond %v widths, expected %.3f, p %.1e", count, k, mean, p))
		}
	}
	return bad
}

// symmetry returns the failures of the sign balance (4.9 standard errors, false
// alarm 1e-6) and of the autocorrelation at lags 1 to 16 (5.4, together 1e-6).
func (r *reference) symmetry(xs []int32) (bad []string) {
	plus, minus := 0.0, 0.0
	for _, x := range xs {
		switch {
		case x > 0:
			plus++
		case x < 0:
			minus++
		}
	}
	if z := (plus - minus) / math.Sqrt(plus+minus); math.Abs(z) > 4.9 {
		bad = append(bad, fmt.Sprintf("signs at %.2f standard errors", z))
	}
	for lag := 1; lag <= 16; lag++ {
		sum := 0.0
		for i, x := range xs[lag:] {
			sum += float64(x) * float64(xs[i])
		}
		if z := sum / r.sigma / r.sigma / math.Sqrt(float64(len(xs)-lag)); math.Abs(z) > 5.4 {
			bad = append(bad, fmt.Sprintf("lag %d at %.2f standard errors", lag, z))
		}
	}
	return bad
}
