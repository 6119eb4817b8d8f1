package sampler_test

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/veilsum/veilsum/internal/sampler"
)

func mustSkellam(tb testing.TB, mu float64) *sampler.Skellam {
	tb.Helper()
	k, err := sampler.NewSkellam(mu)
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

// probabilities returns what a table gives to every magnitude.
func probabilities(hi, lo []uint64) []*big.Float {
	out := make([]*big.Float, 0, len(hi)+1)
	before := flt(0)
	for i := range hi {
		now := threshold(hi[i], lo[i])
		out = append(out, new(big.Float).SetPrec(prec).Sub(now, before))
		before = now
	}
	return append(out, before.Sub(flt(1), before))
}

// besselSeries returns (mu/2)^-x x! I_x(mu), by its series.
func besselSeries(x int, mu float64) *big.Float {
	quarter := flt(mu / 2)
	quarter.Mul(quarter, quarter)
	sum, term := flt(1), flt(1)
	for k := 1; term.MantExp(nil) > sum.MantExp(nil)-prec; k++ {
		term.Mul(term, quarter)
		term.Quo(term, flt(float64(k)*float64(k+x)))
		sum.Add(sum, term)
	}
	return sum
}

// TestSkellamTable compares the tables of small variance with e^-mu I_x(mu) by
// the power series, another way than the package's continued fraction: half the
// sum of the errors is below what Lambda claims.
func TestSkellamTable(t *testing.T) {
	for _, mu := range []float64{1.0 / 64, 0.3, 1, 4, 41, 100, 1600} {
		k := mustSkellam(t, mu)
		parts, each, hi, lo := k.SkellamTable()
		got := probabilities(hi, lo)
		front := expMinus(flt(each)) // e^-mu (mu/2)^x/x!
		sum, total := flt(0), flt(0)
		for x := range len(got) + 60 {
			p := new(big.Float).SetPrec(prec).Mul(front, besselSeries(x, each))
			if x > 0 {
				p = scaled(p, 1)
			}
			total.Add(total, p)
			if x < len(got) {
				p.Sub(p, got[x])
			}
			sum.Add(sum, p.Abs(p))
			front.Mul(front, flt(each/2))
			front.Quo(front, flt(float64(x+1)))
		}
		half, _ := sum.Float64()
		half /= 2
		if rest, _ := total.Sub(flt(1), total).Float64(); math.Abs(rest) > 0x1p-130 {
			t.Fatalf("mu %v: the exact probabilities miss %g", mu, rest)
		}
		claim := math.Exp2(-k.Lambda()) / float64(parts)
		if half > claim || half < 0x1p-140 || math.Abs(claim/(float64(len(hi)+3)*0x1p-127)-1) > 1e-9 || k.Lambda() < 106 {
			t.Errorf("mu %v: distance 2^%.2f, claimed 2^%.2f", mu, math.Log2(half), math.Log2(claim))
		}
		t.Logf("mu %v: %d parts, %d thresholds, 2^%.2f, Lambda %.2f", mu, parts, len(hi), math.Log2(half), k.Lambda())
	}
}

// TestSkellamRecurrence checks whole tables of any size: I_(x-1) - I_(x+1) =
// (2x/mu) I_x for every x, within the floors of three thresholds' differences.
// The falling solution of this recurrence is I_x alone, up to its size, which
// the sum of one fixes.
func TestSkellamRecurrence(t *testing.T) {
	for _, mu := range []float64{7.25, 100, 1601, 12345.678, 1 << 24} {
		k := mustSkellam(t, mu)
		_, each, hi, lo := k.SkellamTable()
		p := probabilities(hi, lo)
		p[0] = scaled(p[0], 1) // all others count both signs
		m := flt(each)
		for x := 1; x+2 < len(p); x++ {
			d := new(big.Float).SetPrec(prec).Sub(p[x-1], p[x+1])
			c := new(big.Float).SetPrec(prec).Quo(flt(float64(2*x)), m)
			d.Sub(d, c.Mul(c, p[x]))
			limit := (3 + 2*float64(x)/each) * 0x1p-126
			if f, _ := d.Float64(); math.Abs(f) > limit {
				t.Fatalf("mu %v, x %d: off by 2^%.2f", mu, x, math.Log2(math.Abs(f)))
			}
		}
		if k.Lambda() < 106 {
			t.Errorf("mu %v: Lambda %v", mu, k.Lambda())
		}
	}
}

// TestSkellamLargeRatios compares P(x)/P(0) at a variance where no series from
// zero is short: both series are summed from their largest terms.
func TestSkellamLargeRatios(t *testing.T) {
	const mu = 1 << 22
	k := mustSkellam(t, mu)
	_, _, hi, lo := k.SkellamTable()
	p := probabilities(hi, lo)
	p0 := scaled(p[0], 1)
	const peak = mu / 2
	zero := bodySum(0, mu, peak)
	for _, x := range []int{1, 2048, 10_000, 20_000} {
		want := bodySum(x, mu, peak)
		for j := 1; j <= x; j++ { // (mu/2)^x peak!/(peak+x)!
			want.Mul(want, flt(mu/2))
			want.Quo(want, flt(float64(peak+j)))
		}
		want.Quo(want, zero)
		want.Mul(want, p0)
		d, _ := want.Sub(want, p[x]).Float64()
		if math.Abs(d) > 0x1p-125 {
			t.Errorf("x %d: off by 2^%.2f", x, math.Log2(math.Abs(d)))
		}
	}
}

// bodySum is the series of I_x(mu) over its term number from.
func bodySum(x int, mu float64, from int) *big.Float {
	quarter := flt(mu / 2)
	quarter.Mul(quarter, quarter)
	sum := flt(1)
	for _, up := range []bool{true, false} {
		term := flt(1)
		for k := from; term.MantExp(nil) > sum.MantExp(nil)-150 && k > 0; {
			if up {
				k++
				term.Mul(term, quarter)
				term.Quo(term, flt(float64(k)*float64(k+x)))
			} else {
				term.Mul(term, flt(float64(k)*float64(k+x)))
				term.Quo(term, quarter)
				k--
			}
			sum.Add(sum, term)
		}
	}
	return sum
}

// TestSkellamSearch: the bisection gives the full scan's answer, at thresholds,
// beside them and anywhere.
func TestSkellamSearch(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for _, mu := range []float64{1.0 / 64, 1, 41, 1601, 20_000} {
		k := mustSkellam(t, mu)
		_, _, hi, lo := k.SkellamTable()
		check := func(h, l uint64) {
			if a, b := k.Searched(h, l), k.Scanned(h, l); a != b {
				t.Fatalf("mu %v, u %x %x: %d, want %d", mu, h, l, a, b)
			}
		}
		for i := range hi {
			check(hi[i], lo[i])
			check(hi[i], lo[i]-1)
			check(hi[i], lo[i]+1)
		}
		for range 2000 {
			check(r.Uint64()>>1, r.Uint64())
		}
		check(0, 0)
		check(math.MaxUint64>>1, math.MaxUint64)
	}
}

var skellamVariances = []float64{0.25, 4, 41, 100, 400, 1600, 1601, 250_000, 1 << 25}

// TestSkellamDistribution holds the sampler to the battery of the Gaussian;
// sums of 8 against the Skellam law of 8 mu (but for the last). False alarm below 1e-4 a run: 1e-5
// for each of 9 variances at the random seed.
func TestSkellamDistribution(t *testing.T) {
	for _, mu := range skellamVariances {
		t.Run(fmt.Sprint(mu), func(t *testing.T) {
			t.Parallel()
			k := mustSkellam(t, mu)
			one := skellamLaw(mu)
			var sum *reference
			if mu < 1e6 {
				sum = skellamLaw(summands * mu)
			}
			xs := make([]int32, samplesOf(t))
			for _, seed := range seeds() {
				k.Sample(xs, sampler.NewKey(seed).Stream(0))
				for _, bad := range battery(xs, one, sum) {
					t.Errorf("seed %x: %s", seed, bad)
				}
			}
		})
	}
}

// TestSkellamLong is chi-square at 3e7 samples: false alarm 1e-6 each.
func TestSkellamLong(t *testing.T) {
	if os.Getenv("VEILSUM_SLOW") != "1" {
		t.Skip("takes seconds and 120 MB: set VEILSUM_SLOW=1")
	}
	xs := make([]int32, 3e7)
	for _, mu := range []float64{4, 100, 400, 250_000} {
		seed := seeds()[3]
		mustSkellam(t, mu).Sample(xs, sampler.NewKey(seed).Stream(0))
		if p := skellamLaw(mu).chiSquare(xs); !(p > 1e-6) {
			t.Errorf("mu %v, seed %x: chi-square p %.1e", mu, seed, p)
		}
	}
}

// TestSkellamIsNotGaussian: the battery tells a Skellam law from the discrete
// Gaussian of its variance, so it would see one taken for the other.
func TestSkellamIsNotGaussian(t *testing.T) {
	xs := make([]int32, 1e6)
	mustSkellam(t, 20.25).Sample(xs, sampler.NewKey([32]byte{5}).Stream(0))
	if p := newReference(4.5).chiSquare(xs); p > 1e-6 {
		t.Errorf("chi-square p %v against the Gaussian", p)
	}
}

func TestSkellamRange(t *testing.T) {
	for _, mu := range []float64{math.NaN(), math.Inf(1), 0, -1, 0.0156, 1<<28 + 1} {
		if k, err := sampler.NewSkellam(mu); !errors.Is(err, sampler.ErrVariance) || k != nil {
			t.Errorf("variance %v: %v", mu, err)
		}
	}
	if k := mustSkellam(t, 1601); k.Variance() != 1601 || !k.Searches() || mustSkellam(t, 1600).Searches() {
		t.Errorf("variance %v, searches %v", k.Variance(), k.Searches())
	}
	if parts, each, _, _ := mustSkellam(t, 1600).SkellamTable(); parts != 16 || each != 100 {
		t.Errorf("%d parts of %v", parts, each)
	}
}

// TestSkellamCalls: equal streams give equal samples, other indices others, any
// length is filled exactly, and nothing is allocated.
func TestSkellamCalls(t *testing.T) {
	for _, mu := range []float64{41, 400, 2000} {
		k, key := mustSkellam(t, mu), sampler.NewKey([32]byte{9})
		a, b, c := make([]int32, 3001), make([]int32, 3001), make([]int32, 3001)
		k.Sample(a, key.Stream(1))
		k.Sample(b, key.Stream(1))
		k.Sample(c, key.Stream(2))
		if !slices.Equal(a, b) || slices.Equal(a[:64], c[:64]) {
			t.Errorf("mu %v: equal streams differ or others are equal", mu)
		}
		s := key.Stream(3)
		for n := range 40 {
			d := slices.Repeat([]int32{math.MinInt32}, n+1)
			k.Sample(d[:n], s)
			if d[n] != math.MinInt32 || slices.Contains(d[:n], math.MinInt32) {
				t.Fatalf("mu %v: %d samples filled wrongly", mu, n)
			}
		}
		if n := testing.AllocsPerRun(20, func() { k.Sample(a, s) }); n != 0 {
			t.Errorf("mu %v: %v allocations", mu, n)
		}
	}
}
