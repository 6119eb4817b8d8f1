package sampler

import "unsafe"

// What the exact tests look at.

// TableWidth returns the width and the number of sides of g's table.
func (g *Gaussian) TableWidth() (float64, int64) {
	if g.split != nil {
		return g.sigma / float64(uint64(1)<<g.split.shift), 1
	}
	return g.sigma, 2
}

// Thresholds returns the words of g's table.
func (g *Gaussian) Thresholds() (hi, lo []uint64) {
	t := g.anyTable()
	return t.hi, t.lo
}

func (g *Gaussian) anyTable() *cdt {
	if g.split != nil {
		return g.split.table
	}
	return g.table
}

// Redos returns the exact decisions per batch for the table and, for a split,
// the rejection.
func (g *Gaussian) Redos() (table, reject int) {
	if g.split != nil {
		return g.split.table.redos, g.split.redos
	}
	return g.table.redos, 0
}

// Scan returns the coarse magnitudes of the four lanes and which are open.
func (g *Gaussian) Scan(word uint64) (count [4]uint64, open [4]bool) {
	var l lanes
	l.bits[0] = word
	n := g.anyTable().scan(&l, 1)
	for i := range count {
		count[i] = l.count[0] >> (16 * i) & 0xffff
	}
	for _, p := range l.pos[:n] {
		open[p] = true
	}
	return count, open
}

// Magnitude is the full table's answer for u = hi*2^64+lo.
func (g *Gaussian) Magnitude(hi, lo uint64) uint64 { return g.anyTable().magnitude(hi, lo) }

// Shift returns log2 K of a split.
func (g *Gaussian) Shift() uint { return g.split.shift }

// ExactProbability is exp(-n/(2 sigma^2)) in units of 2^-128 as a split takes it.
func (g *Gaussian) ExactProbability(n uint64) (hi, lo uint64) { return g.split.accept.exact(n) }

// CoarseProbability is the same in units of 2^-32.
func (g *Gaussian) CoarseProbability(n uint64) uint64 { return g.split.accept.coarse(n) }

// WholeExponent is the integer part of the base-two exponent.
func (g *Gaussian) WholeExponent(n uint64) uint {
	whole, _, _ := g.split.accept.exponent(n)
	return whole
}

// SkellamTable returns the parts of k, the variance of each and their table.
func (k *Skellam) SkellamTable() (parts int, variance float64, hi, lo []uint64) {
	return k.parts, k.variance / float64(k.parts), k.table.hi, k.table.lo
}

// Searches tells whether k's table is searched.
func (k *Skellam) Searches() bool { return k.search }

// Searched and Scanned are the two ways to read k's table.
func (k *Skellam) Searched(hi, lo uint64) uint64 { return k.table.searched(hi, lo) }

// Scanned is the full scan.
func (k *Skellam) Scanned(hi, lo uint64) uint64 { return k.table.magnitude(hi, lo) }

// Below is below.
func Below(n uint64, s *Stream) uint64 { return below(n, s) }

// ExpMinusFraction is expMinusFraction.
func ExpMinusFraction(u, n uint64, s *Stream) bool { return expMinusFraction(u, n, s) }

// Fraction returns the scale of l as num/2^shift.
func (l *DiscreteLaplace) Fraction() (num uint64, shift uint) { return l.num, l.shift }

// RedosFor is redosFor.
func RedosFor(p float64) int { return redosFor(p) }

// Exp32 is exp32.
func Exp32(f uint64) uint64 { return exp32(f) }

// Bounds of the derivations.
const (
	Batch             = batch
	ExpMargin         = expMargin
	ScratchBytes      = unsafe.Sizeof(trials{})
	BernoulliDistance = bernoulliDistance
	MinKept           = minKept
)

// RedoLane returns the four magnitudes of a word after lane p is redone.
func (g *Gaussian) RedoLane(word uint64, p uint16, s *Stream) (count [4]uint64) {
	var l lanes
	l.bits[0] = word
	t := g.anyTable()
	t.scan(&l, 1)
	t.redo(&l, p, s)
	for i := range count {
		count[i] = l.count[0] >> (16 * i) & 0xffff
	}
	return count
}

// Trial returns a split's first and redone outcome for one trial (the doubled
// value plus one if kept) and whether the first was open.
func (g *Gaussian) Trial(word, y uint64, s *Stream) (first, redone int32, open bool) {
	var t trials
	t.word[0], t.base.count[0] = word, y
	open = g.split.try(&t, 1) == 1
	first = t.value[0]
	g.split.redo(&t, 0, s)
	return first, t.value[0], open
}
