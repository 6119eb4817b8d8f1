package sampler_test

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/veilsum/veilsum/internal/sampler"
)

var sigmas = []float64{4, 4.6, 6.4, 9.99, 10, 19.999, 20, 35.7, 200, 5000, 1 << 20}

func mustGaussian(tb testing.TB, sigma float64) *sampler.Gaussian {
	tb.Helper()
	g, err := sampler.NewGaussian(sigma)
	if err != nil {
		tb.Fatal(err)
	}
	return g
}

const prec = 420

func flt(x float64) *big.Float { return new(big.Float).SetPrec(prec).SetFloat64(x) }

func scaled(x *big.Float, exp int) *big.Float { return new(big.Float).SetPrec(prec).SetMantExp(x, exp) }

// expMinus returns exp(-x), x >= 0, by Taylor at x/2^k and k squarings: another
// way than the package's, which builds every weight from the one before.
func expMinus(x *big.Float) *big.Float {
	k := max(0, x.MantExp(nil)+20)
	small := scaled(x, -k)
	sum, term := flt(1), flt(1)
	for i := 1; i < 40; i++ { // small < 2^-20: the rest is below 2^-900
		term.Mul(term, small)
		term.Quo(term, flt(-float64(i)))
		sum.Add(sum, term)
	}
	for range k {
		sum.Mul(sum, sum)
	}
	return sum
}

// weight returns exp(-n/(2 sigma^2)).
func weight(n uint64, sigma float64) *big.Float {
	v := flt(sigma)
	v.Mul(v, v)
	v.Mul(v, flt(2))
	return expMinus(new(big.Float).SetPrec(prec).Quo(new(big.Float).SetPrec(prec).SetUint64(n), v))
}

// tableError returns half the sum of |P~(m)-P(m)| over all magnitudes m, the
// exact P to 20 widths (what is beyond is below 2^-280).
func tableError(g *sampler.Gaussian) float64 {
	sigma, sides := g.TableWidth()
	hi, lo := g.Thresholds()
	var w []*big.Float
	total := flt(0)
	for i := uint64(0); float64(i) < 20*sigma; i++ {
		x := weight(i*i, sigma)
		if i > 0 {
			x.Mul(x, flt(float64(sides)))
		}
		w = append(w, x)
		total.Add(total, x)
	}
	sum, before := flt(0), flt(0)
	for i, x := range w {
		now := flt(1) // the last threshold is 1: nothing lies beyond
		if i < len(hi) {
			now = threshold(hi[i], lo[i])
		}
		d := new(big.Float).SetPrec(prec).Sub(now, before)
		d.Sub(d, x.Quo(x, total))
		sum.Add(sum, d.Abs(d))
		before = now
	}
	f, _ := sum.Float64()
	return f / 2
}

func threshold(hi, lo uint64) *big.Float {
	t := new(big.Float).SetPrec(prec).SetUint64(hi)
	t = scaled(t, 64)
	t.Add(t, new(big.Float).SetPrec(prec).SetUint64(lo))
	return scaled(t, -127)
}

// TestTable compares every cumulative table with exact weights and checks that
// the distance Lambda claims covers the one found.
func TestTable(t *testing.T) {
	for _, sigma := range sigmas {
		g := mustGaussian(t, sigma)
		hi, _ := g.Thresholds()
		got := tableError(g)
		claim := float64(len(hi)+3) * 0x1p-127
		if got > claim || got < 0x1p-140 {
			t.Errorf("sigma %v: distance 2^%.2f, claimed 2^%.2f", sigma, math.Log2(got), math.Log2(claim))
		}
		want := claim
		if sigma >= 10 {
			want = (2*claim + sampler.BernoulliDistance) / sampler.MinKept
		}
		if math.Abs(g.Lambda()+math.Log2(want)) > 1e-9 || g.Lambda() < 117 {
			t.Errorf("sigma %v: Lambda %v, want %v", sigma, g.Lambda(), -math.Log2(want))
		}
		t.Logf("sigma %v: %d thresholds, table 2^%.2f, Lambda %.2f", sigma, len(hi), math.Log2(got), g.Lambda())
	}
}

// TestScan checks for all 2^15 leading bits that a closed decision is the one
// of the full table whatever bits follow, that every open cell is marked, and
// that at most one closed cell (the pad's) is.
func TestScan(t *testing.T) {
	for _, sigma := range sigmas {
		g := mustGaussian(t, sigma)
		spare := 0
		for u := uint64(0); u < 1<<15; u += 4 {
			word := (u | (u+1)<<16 | (u+2)<<32 | (u+3)<<48) | rand.Uint64()&0x8000_8000_8000_8000
			count, open := g.Scan(word)
			for i := range uint64(4) {
				low := g.Magnitude((u+i)<<48, 0)
				high := g.Magnitude((u+i)<<48|(1<<48-1), math.MaxUint64)
				switch {
				case !open[i] && (count[i] != low || low != high):
					t.Fatalf("sigma %v, cell %d: coarse %d, exact %d to %d", sigma, u+i, count[i], low, high)
				case open[i] && low == high:
					spare++
				}
			}
		}
		if spare > 1 {
			t.Errorf("sigma %v: %d cells open without need", sigma, spare)
		}
	}
}

// probability returns a 128-bit fraction.
func probability(hi, lo uint64) *big.Float {
	p := scaled(new(big.Float).SetPrec(prec).SetUint64(hi), 64)
	p.Add(p, new(big.Float).SetPrec(prec).SetUint64(lo))
	return scaled(p, -128)
}

// TestBernoulli compares the exact path with exact exponentials on edge and
// random inputs, and the 32-bit path with the exact one.
func TestBernoulli(t *testing.T) {
	worst := 0.0
	for _, sigma := range sigmas[4:] {
		g := mustGaussian(t, sigma)
		hi, _ := g.Thresholds()
		most := uint64(len(hi))
		k := uint64(1) << g.Shift()
		r := rand.New(rand.NewPCG(1, uint64(sigma)))
		for i := range 1500 {
			y, u := r.Uint64N(most+1), r.Uint64N(k)
			switch i {
			case 0:
				y, u = 0, 0
			case 1:
				y, u = most, k-1
			case 2:
				y, u = 0, 1
			case 3:
				y, u = 0, k-1
			}
			n := u * (u + 2*y*k)
			phi, plo := g.ExactProbability(n)
			d := new(big.Float).SetPrec(prec).Sub(weight(n, sigma), probability(phi, plo))
			f, _ := d.Float64()
			worst = max(worst, math.Abs(f))
			if math.Abs(f) > sampler.BernoulliDistance {
				t.Fatalf("sigma %v, N %d: off by %v * 2^-128", sigma, n, f*0x1p128)
			}
			if c := int64(g.CoarseProbability(n)) - int64(phi>>32); max(c, -c) >= sampler.ExpMargin {
				t.Fatalf("sigma %v, N %d: 32-bit path off by %d", sigma, n, c)
			}
			if w := g.WholeExponent(n); w > 15 {
				t.Fatalf("sigma %v, N %d: exponent %d", sigma, n, w)
			}
		}
	}
	t.Logf("worst %.1f of %.0f * 2^-128", worst*0x1p128, sampler.BernoulliDistance*0x1p128)
}

// TestExp32 measures the polynomial on 2^20 points. Between two points 2^-x
// falls by less than ln 2 * 2^-20 (2,840 units) and the polynomial by as much
// and some roundings, so margin minus 2,900 on the points is margin everywhere.
func TestExp32(t *testing.T) {
	worst := 0.0
	for i := range uint64(1<<20 + 1) {
		f := min(i<<12, 1<<32-1)
		worst = max(worst, math.Abs(float64(sampler.Exp32(f))-math.Exp2(-float64(f)/(1<<32))*(1<<32)))
	}
	if worst > sampler.ExpMargin-2900 {
		t.Errorf("error %v of %d units", worst, sampler.ExpMargin)
	}
	t.Logf("worst %.0f units of 2^-32", worst)
}

// TestSplitDistribution computes the whole distribution a split realizes, from
// its table and its exact probabilities, and its distance from N_Z(0, sigma^2).
func TestSplitDistribution(t *testing.T) {
	for _, sigma := range []float64{10, 12.5, 35.7, 79.9} {
		g := mustGaussian(t, sigma)
		got, kept := realized(g)
		var exact []*big.Float
		total := flt(0)
		for x := range got { // beyond the table: below 2^-120, see TestTable
			w := weight(uint64(x*x), sigma)
			if x > 0 {
				w.Mul(w, flt(2))
			}
			exact = append(exact, w)
			total.Add(total, w)
		}
		sum := flt(0)
		for x, p := range got {
			d := new(big.Float).SetPrec(prec).Sub(p.Quo(p, kept), exact[x].Quo(exact[x], total))
			sum.Add(sum, d.Abs(d))
		}
		f, _ := sum.Float64()
		rate, _ := kept.Float64()
		if f/2 > math.Exp2(-g.Lambda()) || rate < sampler.MinKept {
			t.Errorf("sigma %v: distance 2^%.2f, Lambda %.2f, kept %.3f", sigma, math.Log2(f/2), g.Lambda(), rate)
		}
		t.Logf("sigma %v: distance 2^%.2f, Lambda %.2f, kept %.4f", sigma, math.Log2(f/2), g.Lambda(), rate)
	}
}

// realized returns the probability that a trial ends with magnitude x, for all
// x, and their sum.
func realized(g *sampler.Gaussian) (p []*big.Float, kept *big.Float) {
	hi, lo := g.Thresholds()
	k := uint64(1) << g.Shift()
	kept, before := flt(0), flt(0)
	for y := range uint64(len(hi)) + 1 {
		now := flt(1)
		if y < uint64(len(hi)) {
			now = threshold(hi[y], lo[y])
		}
		each := new(big.Float).SetPrec(prec).Sub(now, before)
		each = scaled(each, -int(g.Shift()))
		before = now
		for u := range k {
			a := probability(g.ExactProbability(u * (u + 2*y*k)))
			if y == 0 && u == 0 {
				a = scaled(a, -1)
			}
			a.Mul(a, each)
			p = append(p, a)
			kept.Add(kept, a)
		}
	}
	return p, kept
}

// TestRedos checks the fixed number of exact decisions against the exact
// binomial tail: exceeded with probability at most 2^-64 a batch.
func TestRedos(t *testing.T) {
	for _, p := range []float64{2.0 * sampler.ExpMargin / (1 << 32), 12.0 / (1 << 15), 44.0 / (1 << 15)} {
		r := sampler.RedosFor(p)
		tail := 0.0
		for i := r + 1; i < r+60; i++ {
			a, _ := math.Lgamma(sampler.Batch + 1)
			b, _ := math.Lgamma(float64(i + 1))
			c, _ := math.Lgamma(float64(sampler.Batch - i + 1))
			tail += math.Exp(a - b - c + float64(i)*math.Log(p) + float64(sampler.Batch-i)*math.Log1p(-p))
		}
		if tail > 0x1p-64 || tail < 0x1p-80 {
			t.Errorf("p %v: %d exceeded with 2^%.1f", p, r, math.Log2(tail))
		}
	}
	for _, sigma := range sigmas {
		table, reject := mustGaussian(t, sigma).Redos()
		t.Logf("sigma %v: %d and %d per %d", sigma, table, reject, sampler.Batch)
	}
}

func TestSigmaRange(t *testing.T) {
	for _, sigma := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), 0, -6.4, 3.999, 1<<20 + 1} {
		if g, err := sampler.NewGaussian(sigma); !errors.Is(err, sampler.ErrSigma) || g != nil {
			t.Errorf("sigma %v: %v", sigma, err)
		}
		if _, err := sampler.NewStrictGaussian(sigma); !errors.Is(err, sampler.ErrSigma) {
			t.Errorf("strict sigma %v: %v", sigma, err)
		}
	}
	if _, err := sampler.NewStrictGaussian(64.1); !errors.Is(err, sampler.ErrSigma) {
		t.Errorf("strict 64.1: %v", err)
	}
	if g := mustGaussian(t, 6.4); g.Sigma() != 6.4 {
		t.Errorf("Sigma %v", g.Sigma())
	}
}

func TestSampleMemory(t *testing.T) {
	if sampler.ScratchBytes > 32<<10 {
		t.Errorf("%d bytes of scratch", sampler.ScratchBytes)
	}
	for _, sigma := range []float64{6.4, 200} {
		g, s := mustGaussian(t, sigma), sampler.NewKey([32]byte{}).Stream(0)
		dst := make([]int32, 3000)
		if n := testing.AllocsPerRun(20, func() { g.Sample(dst, s) }); n != 0 {
			t.Errorf("sigma %v: %v allocations", sigma, n)
		}
	}
	t.Log(fmt.Sprint(sampler.ScratchBytes), "bytes")
}
