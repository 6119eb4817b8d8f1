package sampler

import (
	"math"
	"math/big"
	"math/bits"
)

const (
	tablePrec = 320  // bits of the big floats behind every table
	batch     = 1024 // samples worked on at once
	tailCut   = 14   // the table's normalizing sum stops at tailCut widths

	laneOne = 0x0001_0001_0001_0001 // one in each 16-bit lane of a word
	laneTop = 0x8000 * laneOne
	laneLow = 0x7fff * laneOne
)

// cdt is the cumulative table of the magnitude of a discrete Gaussian or of a
// Skellam distribution:
// threshold i is floor(2^127 * P(magnitude <= i)), and a uniform u of 127 bits
// gives the magnitude #{i : u >= threshold i} (inversion; Peikert 2010).
//
// Distance: a threshold is low by less than 2^-127 (floor) and off by less
// than 2^-138 where the normalizing sum stops, and what lies beyond the last
// threshold has probability at most 2^-126. Half the sum of |P~(m) - P(m)| is
// at most the sum of the threshold errors plus that tail: (len+3) * 2^-127.
type cdt struct {
	hi, lo []uint64    // 63 and 64 bits of each threshold
	coarse [][2]uint64 // in pairs: top 15 bits of the thresholds, copied to four lanes
	redos  int         // exact decisions made for each batch, needed or not
}

// lanes is the working memory of one batch: four samples a word.
type lanes struct {
	bits  [batch / 4]uint64 // uniform: 15 bits for the magnitude, 1 for the sign
	count [batch / 4]uint64 // the magnitudes
	pos   [batch + 1]uint16 // samples to decide exactly; the rest is stale
}

// newCDT computes the table for width sigma. Magnitude 0 has weight 1 and
// magnitude i has sides*exp(-i^2/(2 sigma^2)): two sides for the distribution
// on the integers, one for its nonnegative half.
func newCDT(sigma float64, sides int64) *cdt {
	weight := gaussWeights(sigma, int(math.Ceil(tailCut*sigma))+2)
	c := newTable(weight, sides)
	c.pack()
	return c
}

// newTable computes the thresholds for weights that fall to below 2^-138 of
// their sum; all but the first are multiplied by sides.
func newTable(weight []*big.Float, sides int64) *cdt {
	factor := newFloat().SetInt64(sides)
	total := newFloat()
	for i, w := range weight {
		if i > 0 {
			w.Mul(w, factor)
		}
		total.Add(total, w)
	}
	c := &cdt{}
	sum, limit := newFloat(), new(big.Int).Lsh(big.NewInt(1), 127)
	limit.Sub(limit, big.NewInt(1))
	for _, w := range weight {
		sum.Add(sum, w)
		t, _ := newFloat().SetMantExp(newFloat().Quo(sum, total), 127).Int(nil)
		if t.Cmp(limit) >= 0 {
			break
		}
		hi, lo := split128(t)
		c.hi, c.lo = append(c.hi, hi), append(c.lo, lo)
	}
	return c
}

// pack derives the coarse table. Of the thresholds in the topmost cell one is
// enough: it marks that cell ambiguous, and no u lies above it.
func (c *cdt) pack() {
	const last = 1<<15 - 1
	cells := map[uint64]bool{}
	var tops []uint64
	for _, hi := range c.hi {
		if top := hi >> 48; top != last || !cells[last] {
			tops = append(tops, top*laneOne)
			cells[top] = true
		}
	}
	if len(tops)%2 == 1 {
		tops = append(tops, laneTop) // above every lane; marks the cell 0
		cells[0] = true
	}
	for i := 0; i < len(tops); i += 2 {
		c.coarse = append(c.coarse, [2]uint64(tops[i:]))
	}
	c.redos = redosFor(float64(len(cells)) / (1 << 15))
}

// redosFor returns the least r such that more than r of a batch's independent
// events of probability p happen with probability at most 2^-64, by the union
// bound P(Bin(n,p) > r) <= (np)^(r+1)/(r+1)!.
func redosFor(p float64) int {
	r, bound := 0, batch*p
	for bound > 0x1p-64 {
		r++
		bound *= batch * p / float64(r+1)
	}
	return r
}

// fill draws n <= batch magnitudes into l.count; the top bit of each lane of
// l.bits is an independent sign.
//
// A sample is decided by its top 15 bits unless they fall in a cell that holds
// a threshold, when 112 more bits decide it. Which samples those are says a
// little about their magnitudes, so it must not show in the time: scan lists
// them without branches and the same number of exact decisions follows for
// every batch. The spare ones redo samples that need none, which changes
// nothing: the top bits alone fix their magnitude. (An open sample listed twice
// keeps its last decision, which is as good as the first.) More than the fixed number
// are needed with probability at most 2^-64 a batch; the time tells then.
func (c *cdt) fill(l *lanes, n int, s *Stream) {
	words := (n + 3) / 4
	s.Words(l.bits[:words])
	found := c.scan(l, words)
	for r := range max(found, min(4*words, c.redos)) {
		c.redo(l, l.pos[r], s)
	}
}

// scan counts, in every lane, the coarse thresholds not above the lane's 15
// bits, always reading the whole table, and lists in l.pos the lanes that
// equal one of them. It returns how many it listed. A word is handled with
// its successor to fill the processor.
func (c *cdt) scan(l *lanes, words int) int {
	found := 0
	for i := 0; i < words; i += 2 {
		a, b := l.bits[i]|laneTop, l.bits[i+1]|laneTop
		var na, nb uint64
		ea, eb := ^uint64(0), ^uint64(0) // a lane's top bit falls at equality
		for _, t := range c.coarse {
			da, db := a-t[0], b-t[0] // no borrow leaves a lane: its top bit is set
			na += da >> 15 & laneOne
			nb += db >> 15 & laneOne
			ea &= da&laneLow + laneLow
			eb &= db&laneLow + laneLow
			da, db = a-t[1], b-t[1]
			na += da >> 15 & laneOne
			nb += db >> 15 & laneOne
			ea &= da&laneLow + laneLow
			eb &= db&laneLow + laneLow
		}
		l.count[i], l.count[i+1] = na, nb
		found = l.gather(found, 4*i, ^ea)
		if i+1 < words {
			found = l.gather(found, 4*i+4, ^eb)
		}
	}
	return found
}

// gather appends to the list the lanes of one word whose top bit is set.
func (l *lanes) gather(found, first int, flags uint64) int {
	p := uint16(first)
	l.pos[found] = p
	found += int(flags >> 15 & 1)
	l.pos[found] = p + 1
	found += int(flags >> 31 & 1)
	l.pos[found] = p + 2
	found += int(flags >> 47 & 1)
	l.pos[found] = p + 3
	return found + int(flags>>63)
}

// redo decides sample p again, with 112 fresh bits below its 15.
func (c *cdt) redo(l *lanes, p uint16, s *Stream) {
	word, shift := p>>2, 16*(p&3)
	hi := l.bits[word]>>shift&0x7fff<<48 | s.Uint64()>>16
	m := c.magnitude(hi, s.Uint64())
	l.count[word] = l.count[word]&^(0xffff<<shift) | m<<shift
}

// magnitude returns #{i : u >= threshold i} for u = hi*2^64 + lo, reading the
// whole table.
func (c *cdt) magnitude(hi, lo uint64) uint64 {
	n := uint64(len(c.hi))
	low := c.lo[:len(c.hi)]
	for i, t := range c.hi {
		_, below := bits.Sub64(lo, low[i], 0)
		_, below = bits.Sub64(hi, t, below)
		n -= below
	}
	return n
}

// distance returns the bound derived at cdt.
func (c *cdt) distance() float64 { return float64(len(c.hi)+3) * 0x1p-127 }

// gaussWeights returns exp(-i^2/(2 sigma^2)) for 0 <= i < n, each from the one
// before: i^2 grows by 2i-1, so the ratio gains exp(-1/sigma^2) every step. The
// relative error is below n^2 * 2^-318.
func gaussWeights(sigma float64, n int) []*big.Float {
	v := newFloat().SetFloat64(sigma)
	v.Mul(v, v)
	ratio := expNeg(newFloat().Quo(newFloat().SetFloat64(0.5), v))
	gain := newFloat().Mul(ratio, ratio)
	out := []*big.Float{newFloat().SetInt64(1)}
	for len(out) < n {
		out = append(out, newFloat().Mul(out[len(out)-1], ratio))
		ratio.Mul(ratio, gain)
	}
	return out
}

// expNeg returns exp(-x) for 0 <= x <= 1 by its Taylor series.
func expNeg(x *big.Float) *big.Float {
	sum, term := newFloat().SetInt64(1), newFloat().SetInt64(1)
	for i := int64(1); term.Sign() != 0 && term.MantExp(nil) > -tablePrec; i++ {
		term.Mul(term, x)
		term.Quo(term, newFloat().SetInt64(-i))
		sum.Add(sum, term)
	}
	return sum
}

func newFloat() *big.Float { return new(big.Float).SetPrec(tablePrec) }

// split128 returns the two words of 0 <= x < 2^128.
func split128(x *big.Int) (hi, lo uint64) {
	return new(big.Int).Rsh(x, 64).Uint64(), new(big.Int).And(x, new(big.Int).SetUint64(math.MaxUint64)).Uint64()
}
