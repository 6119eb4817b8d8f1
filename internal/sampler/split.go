package sampler

import (
	"math"
	"math/bits"
)

// minBase is the least width of the table under the split: K is the largest
// power of two with sigma/K >= minBase, so the table's width is below 2*minBase.
const minBase = 2.5

// split draws from wide Gaussians: x = K*y + u with K = 2^shift, y from the
// nonnegative half of the discrete Gaussian of width sigma/K and u uniform
// below K, kept with probability exp(-u(u+2Ky)/(2 sigma^2)): then
// P(x) ~ exp(-x^2/(2 sigma^2)) for x >= 0 (Ducas, Durmus, Lepoint and
// Lyubashevsky 2013, BLISS). A zero is kept with probability 1/2, and a
// uniform sign makes the distribution two-sided.
//
// Time: trials are independent, so how many were needed and which were
// rejected is independent of the values kept; the rejection itself is by a
// polynomial, as of Zhao, Steinfeld and Sakzad 2020 (FACCT). Inside a trial nothing branches or indexes on a secret; both the
// table and the rejection decide exactly a fixed number of trials per batch,
// at places that cover all the open ones (see cdt.fill).
//
// Distance: with weights b(y)/K*a(x) for the exact and b~/K*a~ for the actual
// process, 1/2 sum |P~ - P| <= sum |b~a~ - ba| / (K sum ba/K) <=
// (2 D(table) + D(decision)) / P(a trial is kept), and a trial is kept with
// probability above 0.8 for widths of the table of 2.5 or more.
type split struct {
	table  *cdt
	accept *bernoulli
	shift  uint // K = 2^shift
	redos  int  // exact rejections made for each batch, needed or not
}

// minKept bounds from below the probability that a trial is kept:
// r/(1/2+r) at r = 2.5*sqrt(pi/2) is 0.862, for every wider table more.
const minKept = 0.8

// trials is the working memory of one batch: below 20 KiB.
type trials struct {
	base  lanes
	word  [batch]uint64 // 32 bits against the probability, zero, sign, u
	value [batch]int32  // the signed value, doubled, plus one if kept
	pos   [batch + 1]uint16
}

func newSplit(sigma float64) *split {
	_, e := math.Frexp(sigma / minBase)
	k := uint(e - 1)
	d := &split{shift: k, table: newCDT(math.Ldexp(sigma, -int(k)), 1), redos: redosFor(bernoulliAmbiguous)}
	u, y := uint64(1)<<k-1, uint64(len(d.table.hi))
	d.accept = newBernoulli(sigma, u*(u+2*(y<<k)))
	return d
}

func (d *split) distance() float64 {
	return (2*d.table.distance() + bernoulliDistance) / minKept
}

// sample fills dst batch by batch. A batch starts more trials than the rest
// needs, about one rejected in ten; a surplus is dropped whatever its values.
func (d *split) sample(dst []int32, s *Stream) {
	var t trials
	for len(dst) > 0 {
		n := min(batch, len(dst)+len(dst)/5+8)
		s.Words(t.word[:n])
		d.table.fill(&t.base, n, s)
		found := d.try(&t, n)
		for r := range max(found, min(n, d.redos)) {
			d.redo(&t, t.pos[r], s)
		}
		dst = dst[copy(dst, t.value[:t.keep(n)]):]
	}
}

// candidate returns trial i's magnitude and the N of its probability
// exp(-N/(2 sigma^2)).
func (d *split) candidate(word, y uint64) (x, n uint64) {
	b := y << (d.shift & 63)
	u := word & (1<<(d.shift&63) - 1)
	return b + u, u * (u + 2*b)
}

// try decides n trials by 32 bits each and lists in t.pos those within
// expMargin of their probability. It returns how many it listed.
func (d *split) try(t *trials, n int) int {
	found := 0
	for i, w := range t.word[:n] {
		y := t.base.count[i>>2] >> (16 * (i & 3)) & 0xffff
		x, e := d.candidate(w, y)
		r, p := w>>32, d.accept.coarse(e)
		_, kept := bits.Sub64(r, p, 0)
		t.value[i] = encode(w, x, kept)
		_, open := bits.Sub64(r-p+expMargin, 2*expMargin, 0)
		t.pos[found] = uint16(i)
		found += int(open)
	}
	return found
}

// encode returns x with the sign of bit 31 of w, doubled, plus kept; of zeros
// it keeps those with bit 30 of w unset.
func encode(w, x, kept uint64) int32 {
	sign := -(w >> 31 & 1)
	zero := (x - 1) >> 63
	return int32(((x^sign)-sign)<<1 | kept&^(zero&(w>>30)))
}

// redo decides trial i again, with 96 fresh bits below its 32. A trial that
// was not open comes out as before.
func (d *split) redo(t *trials, i uint16, s *Stream) {
	w := t.word[i]
	x, e := d.candidate(w, t.base.count[i>>2]>>(16*(i&3))&0xffff)
	phi, plo := d.accept.exact(e)
	fresh := s.Uint64()
	_, below := bits.Sub64(s.Uint64(), plo, 0)
	_, below = bits.Sub64(w>>32<<32|fresh>>32, phi, below)
	t.value[i] = encode(w, x, below)
}

// keep moves the values kept among the first n to the front and returns how
// many there are.
func (t *trials) keep(n int) int {
	j := 0
	for _, v := range t.value[:n] {
		t.value[j] = v >> 1
		j += int(v & 1)
	}
	return j
}
