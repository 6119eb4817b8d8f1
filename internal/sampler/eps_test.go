package sampler_test

import (
	"math"
	"os"
	"slices"
	"testing"

	"github.com/veilsum/veilsum/internal/sampler"
)

// The eps-test: whoever sees x or x + shift must not tell them apart better than
// (epsilon, delta) allows, for the sampler that runs and not for its formula.

// betaTail is the regularized incomplete beta function I_p(a, b) = P(Bin(a+b-1,
// p) >= a), by Lentz's continued fraction.
func betaTail(a, b, p float64) float64 {
	if p > (a+1)/(a+b+2) {
		return 1 - betaTail(b, a, 1-p)
	}
	la, _ := math.Lgamma(a)
	lb, _ := math.Lgamma(b)
	lab, _ := math.Lgamma(a + b)
	front := math.Exp(lab-la-lb+a*math.Log(p)+b*math.Log1p(-p)) / a
	c, d := 1.0, 1/(1-(a+b)*p/(a+1))
	h := d
	for m := 1.0; m < 1e5; m++ {
		for _, f := range []float64{
			m * (b - m) * p / ((a + 2*m - 1) * (a + 2*m)),
			-(a + m) * (a + b + m) * p / ((a + 2*m) * (a + 2*m + 1)),
		} {
			d = 1 / (1 + f*d)
			c = 1 + f/c
			h *= c * d
		}
		if math.Abs(c*d-1) < 1e-13 {
			break
		}
	}
	return front * h
}

// atLeast and atMost are the one-sided Clopper-Pearson bounds at confidence
// 1 - alpha on a probability that gave k of n.
func atLeast(k, n, alpha float64) float64 {
	if k == 0 {
		return 0
	}
	return bisect(k/n-10*math.Sqrt(k)/n, k/n, func(p float64) bool { return betaTail(k, n-k+1, p) < alpha })
}

func atMost(k, n, alpha float64) float64 {
	if k == n {
		return 1
	}
	return bisect(k/n, (k+10*math.Sqrt(k)+60)/n, func(p float64) bool { return betaTail(k+1, n-k, p) < 1-alpha })
}

// bisect returns where below turns false.
func bisect(low, high float64, below func(float64) bool) float64 {
	low, high = max(low, 1e-300), min(high, 1)
	for range 60 {
		if mid := (low + high) / 2; below(mid) {
			low = mid
		} else {
			high = mid
		}
	}
	return low
}

// TestClopperPearson: bounds by mpmath 1.4.1.
func TestClopperPearson(t *testing.T) {
	for _, c := range [][5]float64{
		{5, 100, 0.025, 0.016431879182052, 0.112834911105462},
		{0, 50, 0.05, 0, 0.058155079117182},
		{500, 10000, 1e-4, 0.042275008287160, 0.058591874688538},
	} {
		low, high := atLeast(c[0], c[1], c[2]), atMost(c[0], c[1], c[2])
		if math.Abs(low-c[3]) > 1e-12 || math.Abs(high-c[4]) > 1e-12 {
			t.Errorf("%v of %v: %.9f to %.9f, want %v to %v", c[0], c[1], low, high, c[3], c[4])
		}
	}
}

// epsilonAtLeast is a lower bound on epsilon at delta for two samples: the best
// of all events {x}, {<= x}, {>= x} in both directions, false with probability
// below 1e-6 in all, by the union bound. Events are ranked by a normal bound and
// the twenty best judged by Clopper-Pearson.
func epsilonAtLeast(a, b []int32, delta float64) float64 {
	type event struct{ k, m, rough float64 }
	low, high := min(slices.Min(a), slices.Min(b)), max(slices.Max(a), slices.Max(b))
	ha, hb := histogram(a, low, high), histogram(b, low, high)
	n := float64(len(a))
	var events []event
	add := func(k, m float64) {
		for _, e := range []event{{k: k, m: m}, {k: m, m: k}} {
			if p := (e.k-6*math.Sqrt(e.k))/n - delta; p > 0 {
				e.rough = math.Log(p * n / (e.m + 6*math.Sqrt(e.m) + 30))
				events = append(events, e)
			}
		}
	}
	sa, sb := 0.0, 0.0
	for i := range ha {
		sa, sb = sa+ha[i], sb+hb[i]
		add(ha[i], hb[i])
		add(sa, sb)
		add(n-sa, n-sb)
	}
	slices.SortFunc(events, func(x, y event) int { return int(math.Copysign(1, y.rough-x.rough)) })
	alpha := 1e-6 / float64(12*len(ha)) // two bounds for each of 6 events a bin
	best := 0.0
	for _, e := range events[:min(20, len(events))] {
		if p := atLeast(e.k, n, alpha) - delta; p > 0 {
			best = max(best, math.Log(p/atMost(e.m, n, alpha)))
		}
	}
	return best
}

func histogram(xs []int32, low, high int32) []float64 {
	h := make([]float64, high-low+1)
	for _, x := range xs {
		h[x-low]++
	}
	return h
}

// hockeyStick is the exact delta at epsilon of a law and its shift.
func (r *reference) hockeyStick(shift int, epsilon float64) float64 {
	sum := 0.0
	for x := -len(r.half); x < len(r.half)+shift; x++ {
		sum += max(0, r.pmf(x-shift)-math.Exp(epsilon)*r.pmf(x))
	}
	return sum
}

// TestHockeyStick: skellam_1d of the accounting vectors (mpmath).
func TestHockeyStick(t *testing.T) {
	for _, c := range []struct {
		mu             float64
		shift          int
		epsilon, delta float64
	}{
		{1, 1, 0.25, 0.38989068256132104},
		{4, 2, 1, 0.12434004595802936},
		{4, 2, 3, 4.7121182470572146e-5},
		{400, 3, 0.25, 0.0033530258392745946},
	} {
		if got := skellamLaw(c.mu).hockeyStick(c.shift, c.epsilon); math.Abs(got-c.delta) > 1e-12 {
			t.Errorf("mu %v, shift %d, epsilon %v: %v, want %v", c.mu, c.shift, c.epsilon, got, c.delta)
		}
	}
}

// noises are what the eps-test runs on, each at a shift with its exact epsilon
// and delta; the discrete Laplace distribution is pure: shift/scale at delta 0.
func noises(t *testing.T) map[string]epsCase {
	t.Helper()
	gauss, skellam, searched := newReference(6.4), skellamLaw(41), skellamLaw(2500)
	return map[string]epsCase{
		"laplace 10":    {mustLaplace(t, 10).Sample, 10, 1, 0},
		"laplace 2.5":   {mustLaplace(t, 2.5).Sample, 1, 0.4, 0},
		"gaussian 6.4":  {mustGaussian(t, 6.4).Sample, 6, 1, gauss.hockeyStick(6, 1)},
		"gaussian 35.7": {mustGaussian(t, 35.7).Sample, 40, 1, newReference(35.7).hockeyStick(40, 1)},
		"skellam 41":    {mustSkellam(t, 41).Sample, 6, 1, skellam.hockeyStick(6, 1)},
		"skellam 2500":  {mustSkellam(t, 2500).Sample, 50, 1, searched.hockeyStick(50, 1)},
	}
}

type epsCase struct {
	sample         func([]int32, *sampler.Stream)
	shift          int32
	epsilon, delta float64
}

// TestEpsilon is the eps-test: histograms of M(0) and M(D), 1e7 draws each under
// VEILSUM_SLOW=1, 1e6 else; the Clopper-Pearson bound of the best event must not
// exceed epsilon (false alarm 1e-6 each, at a random seed) and must come near
// it; where D is a third larger or more it must exceed it, so the test can fail.
func TestEpsilon(t *testing.T) {
	draws := samplesOf(t)
	if os.Getenv("VEILSUM_SLOW") == "1" {
		draws = 1e7
	}
	for name, c := range noises(t) {
		t.Run(name, func(t *testing.T) {
			key := sampler.NewKey(seeds()[3])
			a, b := make([]int32, draws), make([]int32, draws)
			c.sample(a, key.Stream(0))
			c.sample(b, key.Stream(1))
			each(b, func(i int) { b[i] += c.shift })
			got := epsilonAtLeast(b, a, c.delta)
			each(b, func(i int) { b[i] += (c.shift + 2) / 3 })
			broken := epsilonAtLeast(b, a, c.delta)
			t.Logf("epsilon %v at delta %.3g: at least %.4f by %d draws, %.4f at a larger shift", c.epsilon, c.delta, got, draws, broken)
			if got > c.epsilon || got < 0.85*c.epsilon || broken <= c.epsilon {
				t.Errorf("epsilon is %v, the attack shows %v, and %v at a larger shift", c.epsilon, got, broken)
			}
		})
	}
}
