package compress

import (
	"math/bits"

	"github.com/veilsum/veilsum/internal/sampler"
)

// subset is a set of numbers below some n, a bit each.
type subset []uint64

// newSubset draws keep of the numbers below n, each set of that size equally
// likely: Floyd's algorithm (Bentley and Floyd 1987), which needs no list.
func newSubset(n, keep int, s *sampler.Stream) subset {
	set := make(subset, (n+63)/64)
	if keep == n {
		for i := range n {
			set.add(i)
		}
		return set
	}
	for j := n - keep; j < n; j++ {
		if t := int(below(uint64(j)+1, s)); !set.has(t) {
			set.add(t)
		} else {
			set.add(j)
		}
	}
	return set
}

// below draws a number below n > 0: the high half of n times a word, drawn again
// where the low half is so small that a number would come too often (Lemire 2019).
func below(n uint64, s *sampler.Stream) uint64 {
	high, low := bits.Mul64(s.Uint64(), n)
	for least := -n % n; low < least; {
		high, low = bits.Mul64(s.Uint64(), n)
	}
	return high
}

func (s subset) has(i int) bool { return s[i>>6]>>(uint(i)&63)&1 == 1 }
func (s subset) add(i int)      { s[i>>6] |= 1 << (uint(i) & 63) }

// gather writes the numbers of x that are in the set, times scale, to out in order. out may
// be the head of x: the j-th of the set is never below j.
func (s subset) gather(out, x []float32, scale float32) {
	j := 0
	for w, word := range s {
		for ; word != 0; word &= word - 1 {
			out[j] = x[w<<6+bits.TrailingZeros64(word)] * scale
			j++
		}
	}
}

// scatter writes y, times scale, to the places of the set in x.
func (s subset) scatter(x, y []float64, scale float64) {
	j := 0
	for w, word := range s {
		for ; word != 0; word &= word - 1 {
			x[w<<6+bits.TrailingZeros64(word)] = y[j] * scale
			j++
		}
	}
}
