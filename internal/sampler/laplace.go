package sampler

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
)

// The scales accepted by [NewDiscreteLaplace].
const (
	MinLaplaceScale = 1.0 / 64
	MaxLaplaceScale = 1 << 20
)

// ErrScale reports a scale outside the accepted range.
var ErrScale = errors.New("sampler: scale out of range")

// mostWhole ends the count of whole scales: |x| stays below 2^31 and the sum
// that holds it below 2^63. A draw gets there with probability e^-1023.
const mostWhole = 1023

// DiscreteLaplace draws from the discrete Laplace distribution, P(x)
// proportional to exp(-|x|/scale) on the integers, by Canonne, Kamath and
// Steinke 2020, Algorithm 2, in integers alone. A float64 is the fraction
// num/den exactly, den a power of two, and that is the scale of the
// distribution. It is immutable, safe for concurrent use, and must come from
// its constructor.
//
// Given a uniform stream the samples are exact, but for the end that mostWhole
// sets: see [DiscreteLaplace.Lambda].
//
// Timing: not constant. It grows with floor(|x|/scale), by one trial each, and
// tells that number to whoever can measure single samples; the position inside
// a scale enters a little (the trial that kept it may have taken longer), the
// sign not at all. The time of a whole vector tells about the sum of those
// numbers. Where this matters, use a [Gaussian].
type DiscreteLaplace struct {
	scale float64
	num   uint64 // below 2^53
	shift uint   // den = 1 << shift, at most 2^58
}

// NewDiscreteLaplace prepares sampling at scale, 1/64 to 2^20. Other values,
// infinities and NaN give [ErrScale].
func NewDiscreteLaplace(scale float64) (*DiscreteLaplace, error) {
	if !(scale >= MinLaplaceScale && scale <= MaxLaplaceScale) {
		return nil, fmt.Errorf("%w: %v not in [%v, %d]", ErrScale, scale, MinLaplaceScale, MaxLaplaceScale)
	}
	fraction, exp := math.Frexp(scale)
	num, shift := uint64(fraction*(1<<53)), 53-exp // num is exact; 32 <= shift <= 58
	spare := min(bits.TrailingZeros64(num), shift)
	return &DiscreteLaplace{scale: scale, num: num >> spare, shift: uint(shift - spare)}, nil
}

// Scale returns the scale.
func (l *DiscreteLaplace) Scale() float64 { return l.scale }

// Lambda returns -log2 of a bound on the statistical distance of one sample:
// 4 e^-1023, above 1473. (Ending V costs e^-1023, ending a k far less, and at
// least half of what is drawn is kept.) The distance of n samples is at most n
// times as large.
func (l *DiscreteLaplace) Lambda() float64 { return mostWhole*math.Log2E - 2 }

// Sample fills dst with independent samples, using the next words of s. It
// allocates nothing. Equal streams and lengths give equal samples on every
// machine, and two short calls give those of a long one.
func (l *DiscreteLaplace) Sample(dst []int32, s *Stream) {
	for i := range dst {
		dst[i] = l.draw(s)
	}
}

// draw is one sample. With X = U + num*V, where U below num is kept with
// probability exp(-U/num) and V is geometric of ratio e^-1, P(X) is
// proportional to exp(-X/num), so that Y = floor(X/den) has P(Y) proportional
// to exp(-Y den/num). Of the two zeros one is rejected.
func (l *DiscreteLaplace) draw(s *Stream) int32 {
	for {
		u := below(l.num, s)
		if !expMinusFraction(u, l.num, s) {
			continue
		}
		v := uint64(0)
		for v < mostWhole && expMinusFraction(1, 1, s) {
			v++
		}
		y := int32((u + l.num*v) >> l.shift) // below 2^53 (mostWhole+1)
		sign := -int32(s.Uint64() & 1)
		if y != 0 || sign == 0 {
			return (y ^ sign) - sign
		}
	}
}

// expMinusFraction is true with probability exp(-u/n), u <= n < 2^53
// (Algorithm 1): the number of successes, of probability u/(n k) for k = 1, 2,
// ..., before the first failure is even with probability exp(-u/n). n*k stays
// below 2^63, as a k of 1024 comes with probability below 1/1023!.
func expMinusFraction(u, n uint64, s *Stream) bool {
	k := uint64(1)
	for k < mostWhole && below(n*k, s) < u {
		k++
	}
	return k&1 == 1
}

// below is uniform in [0, n), n < 2^63 (Lemire 2019): the upper word of w*n,
// where lower words below 2^64 mod n are rejected.
func below(n uint64, s *Stream) uint64 {
	hi, lo := bits.Mul64(s.Uint64(), n)
	if lo < n {
		for reject := -n % n; lo < reject; {
			hi, lo = bits.Mul64(s.Uint64(), n)
		}
	}
	return hi
}
