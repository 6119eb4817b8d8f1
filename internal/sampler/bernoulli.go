package sampler

import (
	"math/big"
	"math/bits"
)

const (
	// expTerms is the degree of the exact path's Taylor polynomial.
	expTerms = 31
	// expMargin, in units of 2^-32, exceeds the error of exp32 (at most 8,419
	// on 2^20 points and 2,900 more between them) and of its argument (2).
	expMargin = 1 << 14
	// bernoulliAmbiguous bounds the probability that 32 uniform bits leave a
	// decision open.
	bernoulliAmbiguous = 2.0 * expMargin / (1 << 32)
)

// The coefficients of exp32: a near-best polynomial of degree 4 for 2^-x on
// [0,1), alternating signs, in units of 2^-32. They are constants so that
// every machine finds the same trials open.
const (
	exp32c0 = 0xffffdf1d
	exp32c1 = 0xb16ba7aa
	exp32c2 = 0x3d4b52f4
	exp32c3 = 0x0d9f5ff9
	exp32c4 = 0x01bff2de
)

// exp32 returns 2^-(f/2^32), f < 2^32, in units of 2^-32, to within expMargin.
func exp32(f uint64) uint64 {
	p := exp32c3 - exp32c4*f>>32
	p = exp32c2 - p*f>>32
	p = exp32c1 - p*f>>32
	return exp32c0 - p*f>>32
}

// bernoulli decides events of probability exp(-N/(2 sigma^2)) for integers
// 0 <= N <= max. It writes the exponent to base two: t = N*chi with
// chi = 1/(2 sigma^2 ln 2) and t < 16.
//
// Distance of one decision from the exact probability, in units of 2^-128:
// the exponent is low by at most N<<shift < 2^63 units of 2^-185, that is 64,
// and one for the bits dropped; each of the 31 Horner steps drops less than
// one for its coefficient and three in its product, and no step amplifies an
// earlier error; the polynomial's remainder is ln(2)^32/32! < 2^-134; the
// constant term is 2^128-1 and the final shift drops less than one. Together
// below 64 + 1 + 31*4 + 1 + 1 + 1 = 192.
type bernoulli struct {
	shift  uint   // brings every N below 2^63, as high as possible
	hi, lo uint64 // floor(chi * 2^(185-shift)) < 2^127
	coeff  [expTerms + 1][2]uint64
}

// bernoulliDistance is the bound derived at bernoulli.
const bernoulliDistance = 192 * 0x1p-128

// newBernoulli prepares the decisions for width sigma and N <= largest.
func newBernoulli(sigma float64, largest uint64) *bernoulli {
	b := &bernoulli{shift: uint(63 - bits.Len64(largest))}
	ln2 := naturalLog2()
	chi := newFloat().SetFloat64(sigma)
	chi.Mul(chi, chi)
	chi.Mul(chi, ln2)
	chi.Quo(newFloat().SetFloat64(0.5), chi)
	scaled, _ := newFloat().SetMantExp(chi, 185-int(b.shift)).Int(nil)
	b.hi, b.lo = split128(scaled)
	term := newFloat().SetInt64(1)
	for i := 1; i <= expTerms; i++ {
		term.Mul(term, ln2)
		term.Quo(term, newFloat().SetInt64(int64(i)))
		c, _ := newFloat().SetMantExp(term, 128).Int(nil)
		b.coeff[i][0], b.coeff[i][1] = split128(c)
	}
	return b
}

// coarse returns the probability for N in units of 2^-32, to within expMargin.
// It takes 57 bits below the point of the exponent, of which all but the last
// one are right.
func (b *bernoulli) coarse(n uint64) uint64 {
	t, _ := bits.Mul64(n<<(b.shift&63), b.hi)
	return exp32(t>>25&0xffff_ffff) >> (t >> 57 & 63)
}

// exact returns the probability for N in units of 2^-128, to within 192.
func (b *bernoulli) exact(n uint64) (hi, lo uint64) {
	whole, fhi, flo := b.exponent(n)
	phi, plo := b.coeff[expTerms][0], b.coeff[expTerms][1]
	for i := expTerms - 1; i >= 0; i-- {
		c := [2]uint64{^uint64(0), ^uint64(0)}
		if i > 0 {
			c = b.coeff[i]
		}
		mhi, mlo := mulHigh128(phi, plo, fhi, flo)
		var borrow uint64
		plo, borrow = bits.Sub64(c[1], mlo, 0)
		phi, _ = bits.Sub64(c[0], mhi, borrow)
	}
	return phi >> whole, plo>>whole | phi<<1<<(63-whole)
}

// exponent returns t = N*chi as its whole part and 128 bits of fraction.
func (b *bernoulli) exponent(n uint64) (whole uint, fhi, flo uint64) {
	n <<= b.shift & 63
	h1, l1 := bits.Mul64(n, b.hi)
	h0, l0 := bits.Mul64(n, b.lo)
	mid, carry := bits.Add64(l1, h0, 0)
	top := h1 + carry // t = (top, mid, l0) / 2^185
	return uint(top>>57) & 63, top<<7 | mid>>57, mid<<7 | l0>>57
}

// mulHigh128 returns the upper half of a product of 128-bit numbers, less than
// three units low.
func mulHigh128(ahi, alo, bhi, blo uint64) (hi, lo uint64) {
	hi, lo = bits.Mul64(ahi, bhi)
	x, _ := bits.Mul64(ahi, blo)
	y, _ := bits.Mul64(alo, bhi)
	var carry uint64
	lo, carry = bits.Add64(lo, x, 0)
	hi += carry
	lo, carry = bits.Add64(lo, y, 0)
	return hi + carry, lo
}

// naturalLog2 returns ln 2 as the sum of 1/(k 2^k).
func naturalLog2() *big.Float {
	sum := newFloat()
	for k := 1; k <= tablePrec+20; k++ {
		sum.Add(sum, newFloat().SetMantExp(newFloat().Quo(newFloat().SetInt64(1), newFloat().SetInt64(int64(k))), -k))
	}
	return sum
}
