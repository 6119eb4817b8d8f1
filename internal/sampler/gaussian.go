package sampler

import (
	"errors"
	"fmt"
	"math"
)

// The widths accepted by [NewGaussian] and [NewStrictGaussian].
const (
	MinSigma       = 4
	MaxSigma       = 1 << 20
	MaxStrictSigma = 64
	splitSigma     = 10 // from here the split is used: the table grows with sigma
)

// ErrSigma reports a width outside the accepted range.
var ErrSigma = errors.New("sampler: sigma out of range")

// Gaussian draws from the discrete Gaussian N_Z(0, sigma^2), the distribution
// on the integers with P(x) proportional to exp(-x^2/(2 sigma^2)) (Canonne,
// Kamath and Steinke 2020). Its variance is below sigma^2 and equals it to
// within 2^-400 for every accepted width. A Gaussian is immutable and safe for
// concurrent use, and must come from a constructor.
//
// The running time depends on the number of samples and on rejections, never
// on the values returned: tables are read in full, no branch or address depends
// on a value, rejections are independent of the values kept, and the rare
// decisions that need more bits are made at a fixed rate whether needed or not
// (exceeded with probability 2^-64 per 1,024 trials and decision). Which
// entries of the caller's own slice get such a second decision shows in the
// addresses written: for about one sample in a thousand, someone who sees
// single cache lines of the process learns that it is one of a few dozen about
// equally likely magnitudes, and never its sign.
type Gaussian struct {
	sigma  float64
	lambda float64
	table  *cdt   // narrow and strict
	split  *split // wide
	strict bool
}

// NewGaussian prepares sampling at width sigma, 4 <= sigma <= 2^20. Other
// values, infinities and NaN give [ErrSigma]. It costs about a millisecond.
func NewGaussian(sigma float64) (*Gaussian, error) {
	if !(sigma >= MinSigma && sigma <= MaxSigma) {
		return nil, fmt.Errorf("%w: %v not in [%d, %d]", ErrSigma, sigma, MinSigma, MaxSigma)
	}
	if sigma < splitSigma {
		return newTableGaussian(sigma, false), nil
	}
	d := newSplit(sigma)
	return &Gaussian{sigma: sigma, lambda: -math.Log2(d.distance()), split: d}, nil
}

// NewStrictGaussian prepares the reference sampler, 4 <= sigma <= 64 or
// [ErrSigma]: every sample compares 127 uniform bits with the whole table, and
// nothing else happens. It is an order of magnitude slower than [NewGaussian].
func NewStrictGaussian(sigma float64) (*Gaussian, error) {
	if !(sigma >= MinSigma && sigma <= MaxStrictSigma) {
		return nil, fmt.Errorf("%w: %v not in [%d, %d]", ErrSigma, sigma, MinSigma, MaxStrictSigma)
	}
	return newTableGaussian(sigma, true), nil
}

func newTableGaussian(sigma float64, strict bool) *Gaussian {
	table := newCDT(sigma, 2)
	return &Gaussian{sigma: sigma, lambda: -math.Log2(table.distance()), table: table, strict: strict}
}

// Sigma returns the width.
func (g *Gaussian) Sigma() float64 { return g.sigma }

// Lambda returns -log2 of a proven bound on the statistical distance between
// one sample and N_Z(0, sigma^2), given a uniform stream: at least 96 (it is
// above 117 at every width). The distance of n samples is at most n times as
// large. The bound is the sum of the rounding of the table, its cut tail and,
// for wide Gaussians, the error of the rejection's 128-bit exponential.
func (g *Gaussian) Lambda() float64 { return g.lambda }

// Sample fills dst with independent samples, using the next words of s. It
// allocates nothing and works in less than 32 KiB of stack. Equal streams and
// equal lengths give equal samples on every machine; a long call and two short
// ones differ.
func (g *Gaussian) Sample(dst []int32, s *Stream) {
	switch {
	case g.split != nil:
		g.split.sample(dst, s)
	case g.strict:
		g.table.sampleStrict(dst, s)
	default:
		g.table.sample(dst, s)
	}
}

// sample fills dst with the two-sided distribution, a batch at a time.
func (c *cdt) sample(dst []int32, s *Stream) {
	var l lanes
	for len(dst) > 0 {
		n := min(batch, len(dst))
		c.fill(&l, n, s)
		for i := range dst[:n] {
			shift := 16 * (i & 3)
			sign := -int32(l.bits[i>>2] >> shift >> 15 & 1)
			dst[i] = (int32(l.count[i>>2]>>shift&0xffff) ^ sign) - sign
		}
		dst = dst[n:]
	}
}

// sampleStrict takes two words a sample: 127 bits and the sign.
func (c *cdt) sampleStrict(dst []int32, s *Stream) {
	for i := range dst {
		hi, lo := s.Uint64(), s.Uint64()
		sign := -int32(hi & 1)
		dst[i] = (int32(c.magnitude(hi>>1, lo)) ^ sign) - sign
	}
}
