package sampler_test

import (
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/veilsum/veilsum/internal/sampler"
)

func mustLaplace(tb testing.TB, scale float64) *sampler.DiscreteLaplace {
	tb.Helper()
	l, err := sampler.NewDiscreteLaplace(scale)
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

// TestLaplaceFraction: the scale is the fraction exactly, in lowest terms.
func TestLaplaceFraction(t *testing.T) {
	for _, scale := range []float64{1.0 / 64, 0.1, 1.0 / 3, 1, 1.5, 10, math.Pi, 1000.001, 1<<20 - 1, 1 << 20} {
		l := mustLaplace(t, scale)
		num, shift := l.Fraction()
		if math.Ldexp(float64(num), -int(shift)) != scale || num >= 1<<53 || shift > 58 || num%2 == 0 && shift > 0 {
			t.Errorf("scale %v is taken as %d/2^%d", scale, num, shift)
		}
		if l.Scale() != scale || l.Lambda() < 1473 {
			t.Errorf("scale %v: %v, Lambda %v", scale, l.Scale(), l.Lambda())
		}
	}
	for _, scale := range []float64{math.NaN(), math.Inf(1), 0, -1, 0.0156, 1<<20 + 1} {
		if l, err := sampler.NewDiscreteLaplace(scale); !errors.Is(err, sampler.ErrScale) || l != nil {
			t.Errorf("scale %v: %v", scale, err)
		}
	}
}

// TestExpMinusFraction: successes of Bernoulli(exp(-u/n)) within 5.4 standard
// deviations of 2e5 trials, 7e-8 each; the seed is fixed.
func TestExpMinusFraction(t *testing.T) {
	const trials = 200_000
	s := sampler.NewKey([32]byte{21}).Stream(0)
	for _, c := range [][2]uint64{{0, 1}, {1, 1}, {1, 2}, {5, 7}, {1, 1000}, {999, 1000}, {1 << 51, 1<<53 - 1}, {1<<53 - 1, 1<<53 - 1}} {
		count := 0.0
		for range trials {
			if sampler.ExpMinusFraction(c[0], c[1], s) {
				count++
			}
		}
		p := math.Exp(-float64(c[0]) / float64(c[1]))
		if math.Abs(count-trials*p) > 5.4*math.Sqrt(trials*p*(1-p)) {
			t.Errorf("%d/%d: %v of %d, want a share of %v", c[0], c[1], count, trials, p)
		}
	}
}

// TestBelow: every residue of a small n comes equally often (chi-square, false
// alarm 1e-6, fixed seed), and a large n is not exceeded and not cut: of 2e4
// draws some lie in each quarter of an n just above a half of the range, where
// a sampler without rejection would give the lower half twice the weight.
func TestBelow(t *testing.T) {
	s := sampler.NewKey([32]byte{22}).Stream(0)
	got, want := make([]float64, 7), slices.Repeat([]float64{1e5 / 7}, 7)
	for range 100_000 {
		got[sampler.Below(7, s)]++
	}
	if p := chiSquareTail(got, want); !(p > 1e-6) {
		t.Errorf("n = 7: p %v", p)
	}
	const n = 3 << 61 // 2^64 mod n is a quarter of the range
	quarter := make([]float64, 4)
	for range 20_000 {
		quarter[sampler.Below(n, s)/(n/4)]++
	}
	if p := chiSquareTail(quarter, slices.Repeat([]float64{5000}, 4)); !(p > 1e-6) {
		t.Errorf("n = 3*2^61: quarters %v, p %v", quarter, p)
	}
	if got := sampler.Below(1, s); got != 0 {
		t.Errorf("below 1: %d", got)
	}
}

// TestLaplaceDistribution holds the sampler to the battery of the Gaussian; sums
// of 8 against the exact DFT up to scale 50. False alarm below 1e-4 a run: 1e-5
// for each of 7 scales at the random seed.
func TestLaplaceDistribution(t *testing.T) {
	for _, scale := range []float64{0.25, 1, math.Pi, 10, 50, 1000.5, 20_000.7} {
		t.Run(fmt.Sprint(scale), func(t *testing.T) {
			t.Parallel()
			l := mustLaplace(t, scale)
			one := laplaceLaw(scale)
			var sum *reference
			if scale <= 50 {
				sum = laplaceSum(scale, summands)
			}
			xs := make([]int32, samplesOf(t)/2)
			for _, seed := range seeds() {
				l.Sample(xs, sampler.NewKey(seed).Stream(0))
				for _, bad := range battery(xs, one, sum) {
					t.Errorf("seed %x: %s", seed, bad)
				}
			}
		})
	}
}

// TestLaplaceLargest: Kolmogorov-Smirnov at the largest scale against the closed
// form, false alarm 9.3e-7; the seed is fixed.
func TestLaplaceLargest(t *testing.T) {
	xs := make([]int32, samplesOf(t)/2)
	mustLaplace(t, sampler.MaxLaplaceScale).Sample(xs, sampler.NewKey([32]byte{23}).Stream(0))
	slices.Sort(xs)
	p := math.Exp(-1.0 / sampler.MaxLaplaceScale)
	worst := 0.0
	for i, x := range xs {
		at := 1 - math.Pow(p, float64(x)+1)/(1+p)
		if x < 0 {
			at = math.Pow(p, float64(-x)) / (1 + p)
		}
		worst = max(worst, math.Abs(float64(i+1)/float64(len(xs))-at))
	}
	if d := worst * math.Sqrt(float64(len(xs))); d > 2.7 || d < 0.1 {
		t.Errorf("Kolmogorov-Smirnov %.3f", d)
	}
}

// TestLaplaceLong is chi-square at 1e7 samples: false alarm 1e-6 each.
func TestLaplaceLong(t *testing.T) {
	if os.Getenv("VEILSUM_SLOW") != "1" {
		t.Skip("takes seconds: set VEILSUM_SLOW=1")
	}
	xs := make([]int32, 1e7)
	for _, scale := range []float64{0.25, 1, math.Pi, 50, 1000.5} {
		seed := seeds()[3]
		mustLaplace(t, scale).Sample(xs, sampler.NewKey(seed).Stream(0))
		if p := laplaceLaw(scale).chiSquare(xs); !(p > 1e-6) {
			t.Errorf("scale %v, seed %x: chi-square p %.1e", scale, seed, p)
		}
	}
}

// TestLaplaceBatteryRejects: faults that a wrong rejection would make are found
// at 1e5 samples; missing one has probability below 1e-6 each.
func TestLaplaceBatteryRejects(t *testing.T) {
	one, sum := laplaceLaw(10), laplaceSum(10, summands)
	xs := make([]int32, 1e5)
	for name, spoil := range map[string]func(){
		"scale": func() { mustLaplace(t, 10.4).Sample(xs, sampler.NewKey([32]byte{5}).Stream(0)) },
		"zeros": func() { dropZeros(xs) },
		"sign":  func() { each(xs, func(i int) { xs[i] = max(xs[i], -xs[i]) }) },
		"end":   func() { each(xs, func(i int) { xs[i] = min(xs[i], 60) }) },
	} {
		mustLaplace(t, 10).Sample(xs, sampler.NewKey([32]byte{5}).Stream(0))
		if bad := battery(xs, one, sum); len(bad) != 0 {
			t.Fatalf("sound samples rejected: %s", bad)
		}
		spoil()
		if bad := battery(xs, one, sum); len(bad) == 0 {
			t.Errorf("%s: not found", name)
		}
	}
}

// TestLaplaceCalls: equal streams give equal samples, also in two calls; others
// differ; nothing is allocated; a tiny scale gives zeros (another value has
// probability 2e-28 here) and the largest stays an int32.
func TestLaplaceCalls(t *testing.T) {
	l, key := mustLaplace(t, math.Pi), sampler.NewKey([32]byte{9})
	a, b, c := make([]int32, 999), make([]int32, 999), make([]int32, 999)
	l.Sample(a, key.Stream(1))
	s := key.Stream(1)
	l.Sample(b[:400], s)
	l.Sample(b[400:], s)
	l.Sample(c, key.Stream(2))
	if !slices.Equal(a, b) || slices.Equal(a[:64], c[:64]) {
		t.Error("equal streams differ or others are equal")
	}
	if n := testing.AllocsPerRun(20, func() { l.Sample(a, s) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	mustLaplace(t, sampler.MinLaplaceScale).Sample(a, s)
	if slices.ContainsFunc(a, func(x int32) bool { return x != 0 }) {
		t.Errorf("scale 1/64 gave %v", a)
	}
}
