package statistics

import (
	"math"
	"sort"
)

// A tree of quantiles has Levels levels below its root; level l counts the vehicles in
// Branching^(l+1) equal parts of [Low, High]. Each vehicle is in one part of each level,
// with 1/sqrt(Levels), so that its norm is 1.

func (q *Query) leaves() int {
	n := 1
	for range q.Levels {
		n *= q.Branching
	}
	return n
}

// leaf is the leaf of x, clipped to [Low, High].
func (q *Query) leaf(x float64) int {
	n := q.leaves()
	at := math.Floor((x - q.Low) / (q.High - q.Low) * float64(n))
	return int(min(max(at, 0), float64(n-1)))
}

func (q *Query) encodeTree(x float64, block []float64) {
	entry, leaf, part, at := 1/math.Sqrt(float64(q.Levels)), q.leaf(x), q.leaves(), 0
	nodes := 1
	for range q.Levels {
		nodes, part = nodes*q.Branching, part/q.Branching
		block[at+leaf/part] += entry
		at += nodes
	}
}

// fuse returns the leaves of least squares: the only ones whose sums along the tree are as
// near to all noisy levels as they can be (Hay, Rastogi, Miklau and Suciu 2010, section 4),
// for a tree whose root was not measured. It is linear in the nodes.
func (q *Query) fuse(nodes []float64) []float64 {
	b := float64(q.Branching)
	levels, at, n := make([][]float64, q.Levels), 0, 1
	for l := range levels {
		n *= q.Branching
		levels[l] = append([]float64(nil), nodes[at:at+n]...)
		at += n
	}
	power := b // b^height of the level that is written
	for l := q.Levels - 2; l >= 0; l-- {
		below := power
		power *= b
		for i := range levels[l] {
			levels[l][i] = (power-below)/(power-1)*levels[l][i] + (below-1)/(power-1)*total(levels[l+1][i*q.Branching:(i+1)*q.Branching])
		}
	}
	for l := 1; l < q.Levels; l++ {
		for i, parent := range levels[l-1] {
			children := levels[l][i*q.Branching : (i+1)*q.Branching]
			share := (parent - total(children)) / b
			for k := range children {
				children[k] += share
			}
		}
	}
	return levels[q.Levels-1]
}

func total(x []float64) (sum float64) {
	for _, v := range x {
		sum += v
	}
	return sum
}

// distribution is a decoded tree.
type distribution struct {
	*Query
	below []float64 // vehicles below the lower bound of each leaf, and all; rising
	count float64
	noise float64 // standard deviation of one node
}

func newDistribution(q *Query, block []float64, noise float64) *distribution {
	scale := math.Sqrt(float64(q.Levels))
	nodes := make([]float64, len(block))
	for i, v := range block {
		nodes[i] = v * scale
	}
	leaves := q.fuse(nodes)
	d := &distribution{Query: q, below: make([]float64, len(leaves)+1), noise: noise * scale}
	for i, v := range leaves {
		d.below[i+1] = d.below[i] + v
	}
	d.count = d.below[len(leaves)]
	for i, v := range d.below {
		d.below[i] = min(max(v, 0), max(d.count, 0))
	}
	rising(d.below)
	return d
}

// rising replaces x by the mean of its running maximum from the left and its running
// minimum from the right, which rise and move no value that was in order.
func rising(x []float64) {
	right := append([]float64(nil), x...)
	for i := len(right) - 2; i >= 0; i-- {
		right[i] = min(right[i], right[i+1])
	}
	left := x[0]
	for i := range x {
		left = max(left, x[i])
		x[i] = (left + right[i]) / 2
	}
}

// inverse is the value below which rank of the vehicles lie, interpolated inside its leaf.
func (d *distribution) inverse(rank float64) float64 {
	n := len(d.below) - 1
	want := d.below[0] + min(max(rank, 0), 1)*(d.below[n]-d.below[0])
	i := sort.Search(n, func(i int) bool { return d.below[i+1] >= want })
	i = min(i, n-1)
	inside := 0.5
	if width := d.below[i+1] - d.below[i]; width > 0 {
		inside = min(max((want-d.below[i])/width, 0), 1)
	}
	return d.Low + (d.High-d.Low)*(float64(i)+inside)/float64(n)
}

// rankStdErr is the standard error of the number of vehicles below leaf minus rank times
// all of them: exact for the least squares of [Query.fuse], in vehicles per unit of the
// noise of one node. The variance of c·leaves is c·y for the y that solves the normal
// equations for c, which fuse gives when only the leaves hold c.
func (q *Query) rankStdErr(leaf int, rank float64) float64 {
	n := q.leaves()
	nodes := make([]float64, q.size())
	c := nodes[len(nodes)-n:]
	for i := range c {
		if c[i] = -rank; i < leaf {
			c[i]++
		}
	}
	var variance float64
	for i, y := range q.fuse(nodes) {
		variance += c[i] * y
	}
	return math.Sqrt(variance)
}

// quantile returns the value of a rank with the 95 % interval that the noise leaves, widened
// to whole leaves: where in a leaf its vehicles are, nobody knows.
func (d *distribution) quantile(rank float64) (value, low, high float64) {
	value = d.inverse(rank)
	if !(d.count > 0) {
		return value, d.Low, d.High
	}
	spread := z95 * d.noise * d.rankStdErr(d.leaf(value), rank) / d.count
	n, width := float64(d.leaves()), d.High-d.Low
	below, above := float64(d.leaf(d.inverse(rank-spread))), float64(d.leaf(d.inverse(rank+spread))+1)
	return value, d.Low + width*below/n, d.Low + width*above/n
}

// RankStdErr is the standard error of the rank of query i's estimated quantile, as a share of the
// vehicles that answer: how far from rank the share of the vehicles below it is, by the noise alone and in the
// resolution of the tree. It is NaN for another kind of query, or if there is too little to tell.
func (s *Set) RankStdErr(i int, rank float64, r Release) float64 {
	if i < 0 || i >= len(s.queries) || s.queries[i].Kind != Quantiles || len(r.Mean) != s.Values() {
		return math.NaN()
	}
	d := s.decoder(i, r)
	dist := newDistribution(d.Query, d.block, d.noise)
	if !(dist.count >= 1) {
		return math.NaN()
	}
	return dist.noise * d.rankStdErr(d.leaf(dist.inverse(rank)), rank) / dist.count
}
