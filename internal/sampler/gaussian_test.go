package sampler_test

import (
	"crypto/rand"
	"fmt"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/veilsum/veilsum/internal/sampler"
)

var statSigmas = []float64{4.6, 6.4, 9.99, 10, 35.7, 200, 5000, 1 << 20}

func samplesOf(tb testing.TB) int {
	tb.Helper()
	if testing.Short() {
		return 1e5
	}
	return 1e6
}

// seeds returns three fixed keys and a random one, which the test prints.
func seeds() [][32]byte {
	out := [][32]byte{{1}, {2}, {3}, {}}
	_, _ = rand.Read(out[3][:])
	return out
}

const summands = 8

// battery returns what is wrong with xs. False alarm per call: chi-square
// 1e-6, Kolmogorov-Smirnov 2 exp(-2*2.7^2) = 9.3e-7, mean and variance 2e-6,
// tails 3e-6, signs and lags 2e-6, sums 1e-6: below 1e-5 together.
func battery(xs []int32, one, sum *reference) []string {
	var bad []string
	if p := one.chiSquare(xs); !(p > 1e-6) {
		bad = append(bad, fmt.Sprintf("chi-square p %.1e", p))
	}
	bad = slices.Concat(bad, one.moments(xs), one.tails(xs), one.symmetry(xs))
	if sum != nil {
		if p := sum.chiSquare(sumsOf(xs)); !(p > 1e-6) {
			bad = append(bad, fmt.Sprintf("sums of %d: chi-square p %.1e", summands, p))
		}
	}
	sorted := slices.Clone(xs)
	slices.Sort(sorted)
	if d := one.ks(sorted); d > 2.7 {
		bad = append(bad, fmt.Sprintf("Kolmogorov-Smirnov %.3f", d))
	}
	return bad
}

func sumsOf(xs []int32) []int32 {
	sums := make([]int32, len(xs)/summands)
	for i := range sums {
		for _, x := range xs[summands*i : summands*i+summands] {
			sums[i] += x
		}
	}
	return sums
}

// references returns the laws of one draw and of a sum of draws: the exact DFT
// up to sigma 5000, beyond it the normal law at the sum's width.
func references(sigma float64) (one, sum *reference) {
	one = newReference(sigma)
	if sigma > 5000 {
		return one, newReference(sigma * math.Sqrt(summands))
	}
	return one, newSumReference(sigma, summands)
}

// TestDistribution falsely fails with probability below 1e-4 a run: 1e-5 for
// each of 8 widths at the random seed (the fixed ones never change).
func TestDistribution(t *testing.T) {
	for _, sigma := range statSigmas {
		t.Run(fmt.Sprint(sigma), func(t *testing.T) {
			t.Parallel()
			g := mustGaussian(t, sigma)
			one, sum := references(sigma)
			xs := make([]int32, samplesOf(t))
			for _, seed := range seeds() {
				g.Sample(xs, sampler.NewKey(seed).Stream(0))
				for _, bad := range battery(xs, one, sum) {
					t.Errorf("seed %x: %s", seed, bad)
				}
			}
		})
	}
}

// TestDistributionLong is chi-square alone at 3e7 samples, which sees faults of
// a few parts in 1e4: false alarm 1e-6 each.
func TestDistributionLong(t *testing.T) {
	if os.Getenv("VEILSUM_SLOW") != "1" {
		t.Skip("takes seconds and 120 MB: set VEILSUM_SLOW=1")
	}
	xs := make([]int32, 3e7)
	for _, sigma := range []float64{4.6, 9.99, 10, 35.7, 5000} {
		seed := seeds()[3]
		mustGaussian(t, sigma).Sample(xs, sampler.NewKey(seed).Stream(0))
		p := newReference(sigma).chiSquare(xs)
		if !(p > 1e-6) {
			t.Errorf("sigma %v, seed %x: chi-square p %.1e", sigma, seed, p)
		}
		t.Logf("sigma %v: p %.3f", sigma, p)
	}
}

// TestStrict holds the strict reference to the same battery (fixed seed) and
// compares the fast sampler with it directly: two-sample chi-square, false
// alarm 1e-6 at each width, 4e-6 a run at the random seed.
func TestStrict(t *testing.T) {
	for _, sigma := range []float64{4.6, 9.99, 10, 35.7} {
		g, err := sampler.NewStrictGaussian(sigma)
		if err != nil {
			t.Fatal(err)
		}
		if g.Lambda() < 117 {
			t.Errorf("Lambda %v", g.Lambda())
		}
		one, sum := references(sigma)
		strict, fast := make([]int32, samplesOf(t)/2), make([]int32, samplesOf(t)/2)
		g.Sample(strict, sampler.NewKey([32]byte{4}).Stream(0))
		for _, bad := range battery(strict, one, sum) {
			t.Errorf("sigma %v: %s", sigma, bad)
		}
		seed := seeds()[3]
		mustGaussian(t, sigma).Sample(fast, sampler.NewKey(seed).Stream(0))
		if p := twoSample(strict, fast); p < 1e-6 {
			t.Errorf("sigma %v, seed %x: fast against strict p %.1e", sigma, seed, p)
		}
	}
}

// twoSample is the chi-square p-value of two samples of one size, over the
// values seen at least 20 times together.
func twoSample(a, b []int32) float64 {
	counts := map[int32][2]float64{}
	for i := range a {
		c := counts[a[i]]
		c[0]++
		counts[a[i]] = c
		c = counts[b[i]]
		c[1]++
		counts[b[i]] = c
	}
	stat, bins := 0.0, 0.0
	for _, c := range counts {
		if n := c[0] + c[1]; n >= 20 {
			stat += (c[0] - c[1]) * (c[0] - c[1]) / n
			bins++
		}
	}
	return gammaTail(bins/2, stat/2)
}

// TestBatteryRejects shows that the battery finds faults of the size it is for,
// at 1e5 samples. Missing one has probability below 1e-6 each.
func TestBatteryRejects(t *testing.T) {
	const sigma = 10
	one, sum := references(sigma)
	xs := make([]int32, 1e5)
	faults := map[string]func(){
		"width":  func() { mustGaussian(t, 1.03*sigma).Sample(xs, sampler.NewKey([32]byte{5}).Stream(0)) },
		"zeros":  func() { dropZeros(xs) },
		"shift":  func() { each(xs, func(i int) { xs[i] += int32(i & 1) }) },
		"tail":   func() { copy(xs[7:], []int32{62, -61, 63}) },
		"repeat": func() { each(xs, func(i int) { xs[i] = xs[i&^7] }) },
		"sign":   func() { each(xs, func(i int) { xs[i] = max(xs[i], -xs[i]) }) },
	}
	for name, spoil := range faults {
		mustGaussian(t, sigma).Sample(xs, sampler.NewKey([32]byte{5}).Stream(0))
		if bad := battery(xs, one, sum); len(bad) != 0 {
			t.Fatalf("sound samples rejected: %s", bad)
		}
		spoil()
		if bad := battery(xs, one, sum); len(bad) == 0 {
			t.Errorf("%s: not found", name)
		}
	}
}

func each(xs []int32, f func(int)) {
	for i := range xs {
		f(i)
	}
}

// dropZeros replaces every second zero, as a split would that keeps too many.
func dropZeros(xs []int32) {
	odd := false
	for i, x := range xs {
		if x == 0 {
			if odd = !odd; odd {
				xs[i] = 1
			}
		}
	}
}

// TestDeterministic: equal keys and indices give equal samples, whatever runs
// beside; others never do (64 equal samples: below 2^-200).
func TestDeterministic(t *testing.T) {
	for _, sigma := range []float64{4.6, 200} {
		g, key := mustGaussian(t, sigma), sampler.NewKey([32]byte{9})
		out := make([][]int32, 16)
		done := make(chan int)
		for i := range out {
			out[i] = make([]int32, 3001)
			go func() {
				g.Sample(out[i], key.Stream(uint64(i/2)))
				done <- i
			}()
		}
		for range out {
			<-done
		}
		other := make([]int32, 3001)
		g.Sample(other, sampler.NewKey([32]byte{8}).Stream(0))
		out = append(out, other)
		for i, a := range out {
			for j, b := range out[:i] {
				same := i < 16 && i/2 == j/2
				if same != slices.Equal(a, b) || same != slices.Equal(a[:64], b[:64]) {
					t.Errorf("sigma %v: outputs %d and %d: equal should be %v", sigma, i, j, same)
				}
			}
		}
	}
}

// TestShortCalls: every length fills exactly dst, and many short calls follow
// the distribution as a long one does. False alarm below 1e-5 a fixed seed.
func TestShortCalls(t *testing.T) {
	for _, sigma := range []float64{4.6, 10, 5000} {
		g, s := mustGaussian(t, sigma), sampler.NewKey([32]byte{6}).Stream(1)
		xs := slices.Repeat([]int32{math.MinInt32}, 1e5)
		for i, n := 0, 0; i < len(xs); i, n = i+n, (n+1)%30 {
			n = min(n, len(xs)-i)
			g.Sample(xs[i:i+n:i+n], s)
			if i+n < len(xs) && xs[i+n] != math.MinInt32 {
				t.Fatalf("sigma %v: wrote beyond %d", sigma, n)
			}
		}
		one, sum := references(sigma)
		for _, bad := range battery(xs, one, sum) {
			t.Errorf("sigma %v: %s", sigma, bad)
		}
	}
	mustGaussian(t, 6.4).Sample(nil, sampler.NewKey([32]byte{}).Stream(0))
}

// TestSampleKnownAnswer pins the bytes-to-samples map.
func TestSampleKnownAnswer(t *testing.T) {
	for sigma, want := range knownSamples {
		got := make([]int32, len(want))
		mustGaussian(t, sigma).Sample(got, sampler.NewKey([32]byte{1, 2, 3}).Stream(5))
		if !slices.Equal(got, want) {
			t.Errorf("sigma %v: got %v, want %v", sigma, got, want)
		}
	}
}

func TestGammaTail(t *testing.T) {
	for _, c := range [][3]float64{{0.5, 2, 0.04550026389635842}, {10, 5, 0.9681719426937952}, {200, 260, 4.75001244430088e-5}} {
		if got := gammaTail(c[0], c[1]); math.Abs(got/c[2]-1) > 1e-6 {
			t.Errorf("Q(%v, %v) = %v, want %v", c[0], c[1], got, c[2])
		}
	}
}
