package sampler

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"math/bits"
)

// The variances accepted by [NewSkellam], and how they are served.
const (
	MinSkellamVariance = 1.0 / 64
	MaxSkellamVariance = 1 << 28

	// scanVariance is the largest for one table that is read in full, and
	// searchVariance for one that is searched (60,000 thresholds, 1 MiB).
	scanVariance   = 100
	searchVariance = 1 << 24
	maxParts       = 16
)

// ErrVariance reports a variance outside the accepted range.
var ErrVariance = errors.New("sampler: variance out of range")

// Skellam draws from the symmetric Skellam distribution of a variance mu, the
// difference of two independent Poisson variables of mean mu/2: P(x) =
// e^-mu I_|x|(mu) (Agarwal, Kairouz and Liu 2021). It is immutable, safe for
// concurrent use, and must come from its constructor.
//
// Timing: up to a variance of 1,600 that of a [Gaussian] of width below 10: it
// does not depend on the values. Above, every sample takes the same number of
// steps, without a branch on its value, but it searches a table, and the
// addresses read depend on the value: who sees cache lines of the process
// learns the sample, nearly. Where this matters, use a [Gaussian].
type Skellam struct {
	variance float64
	parts    int // the sum of so many independent draws, each of table's law
	table    *cdt
	search   bool
}

// NewSkellam prepares sampling at variance mu, 1/64 to 2^28. Other values,
// infinities and NaN give [ErrVariance]. It costs a millisecond up to 1,600,
// above up to half a second.
//
// A sum of Skellam variables is one of the summed variances, so a variance that
// is too large for one table is halved, which is exact, at most four times.
func NewSkellam(mu float64) (*Skellam, error) {
	if !(mu >= MinSkellamVariance && mu <= MaxSkellamVariance) {
		return nil, fmt.Errorf("%w: %v not in [%v, %d]", ErrVariance, mu, MinSkellamVariance, MaxSkellamVariance)
	}
	k := &Skellam{variance: mu, parts: 1, search: mu > maxParts*scanVariance}
	most := float64(scanVariance)
	if k.search {
		most = searchVariance
	}
	part := mu
	for ; part > most; part /= 2 {
		k.parts *= 2
	}
	k.table = newTable(skellamWeights(part), 2)
	if !k.search {
		k.table.pack()
	}
	return k, nil
}

// Variance returns mu.
func (k *Skellam) Variance() float64 { return k.variance }

// Lambda returns -log2 of a proven bound on the statistical distance between
// one sample and the Skellam distribution, given a uniform stream: at least 96
// (it is above 106 at every variance). It is the bound at cdt, times the number
// of parts. The distance of n samples is at most n times as large.
func (k *Skellam) Lambda() float64 {
	return -math.Log2(float64(k.parts) * k.table.distance())
}

// Sample fills dst with independent samples, using the next words of s. It
// allocates nothing and works in less than 16 KiB of stack. Equal streams and
// equal lengths give equal samples on every machine; a long call and two short
// ones may differ.
func (k *Skellam) Sample(dst []int32, s *Stream) {
	var part [batch]int32
	for len(dst) > 0 {
		n := min(batch, len(dst))
		k.draw(dst[:n], s)
		for range k.parts - 1 {
			k.draw(part[:n], s)
			for i, v := range part[:n] {
				dst[i] += v
			}
		}
		dst = dst[n:]
	}
}

func (k *Skellam) draw(dst []int32, s *Stream) {
	if k.search {
		k.table.sampleSearched(dst, s)
		return
	}
	k.table.sample(dst, s)
}

// sampleSearched takes two words a sample, as sampleStrict: 127 bits and the
// sign.
func (c *cdt) sampleSearched(dst []int32, s *Stream) {
	for i := range dst {
		hi, lo := s.Uint64(), s.Uint64()
		sign := -int32(hi & 1)
		dst[i] = (int32(c.searched(hi>>1, lo)) ^ sign) - sign
	}
}

// searched is magnitude by bisection. The number of steps depends on the length
// of the table only.
func (c *cdt) searched(hi, lo uint64) uint64 {
	first, n := 0, len(c.hi) // the answer lies in [first, first+n]
	for n > 0 {
		half := (n + 1) / 2
		at := first + half - 1
		_, borrow := bits.Sub64(lo, c.lo[at], 0)
		_, borrow = bits.Sub64(hi, c.hi[at], borrow)
		first += half & int(borrow-1) // if u >= threshold
		n -= half
	}
	return uint64(first)
}

// skellamWeights returns I_x(mu)/I_0(mu) for x = 0, 1, ... until they are below
// 2^-140 of their sum. The ratios r_x = I_x/I_(x-1) follow from
// I_(x-1) - I_(x+1) = (2x/mu) I_x as r_x = 1/(2x/mu + r_(x+1)), from a far x
// downward (Miller's algorithm; Olver et al. 2010, section 10.74(iv)). All terms are
// positive, so a step multiplies the error above it by at most r_x^2 and adds
// rounding below 2^-318: starting from zero where the weight is below 2^-512 leaves
// a relative error below n 2^-317 in all that is kept.
func skellamWeights(mu float64) []*big.Float {
	ratio := make([]*big.Float, skellamReach(mu, 512))
	one, next := newFloat().SetInt64(1), newFloat()
	step := newFloat().Quo(newFloat().SetInt64(2), newFloat().SetFloat64(mu))
	for x := len(ratio) - 1; x > 0; x-- {
		r := newFloat().Mul(newFloat().SetInt64(int64(x)), step)
		next = r.Quo(one, r.Add(r, next))
		ratio[x] = r
	}
	out := []*big.Float{newFloat().SetInt64(1)}
	for x := range skellamReach(mu, 145) {
		if x > 0 {
			out = append(out, newFloat().Mul(out[x-1], ratio[x]))
		}
	}
	return out
}

// skellamReach returns the least x at which the Chernoff bound on P(X >= x),
// exp(mu (cosh t - 1) - t x) at t = asinh(x/mu), is below 2^-exp.
func skellamReach(mu float64, exp float64) int {
	enough := func(x int) bool {
		t := float64(x) / mu
		return float64(x)*math.Asinh(t)-mu*(math.Hypot(1, t)-1) > exp*math.Ln2
	}
	low, high := 0, 1
	for !enough(high) {
		low, high = high, 2*high
	}
	for high-low > 1 {
		if mid := (low + high) / 2; enough(mid) {
			high = mid
		} else {
			low = mid
		}
	}
	return high
}
