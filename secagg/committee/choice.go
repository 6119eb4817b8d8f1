package committee

import (
	"bytes"
	"fmt"
	"math/bits"

	"github.com/veilsum/veilsum/secagg"
	"github.com/veilsum/veilsum/secagg/internal/ring"
)

// members is a set of decryptors, bit k for decryptor k; n_c is at most 16.
type members uint32

func (m members) has(k int) bool { return m>>k&1 == 1 }
func (m members) size() int      { return bits.OnesCount32(uint32(m)) }

// list returns the members in order.
func (m members) list() []int {
	var out []int
	for k := range 32 {
		if m.has(k) {
			out = append(out, k)
		}
	}
	return out
}

// ballot holds the answers of one list, indexed by decryptor.
type ballot struct {
	p         secagg.Params
	r         *ring.Ring
	sets      [][]int
	shares    [][][]byte // by decryptor; nil if it gave no usable answer
	position  [][]int    // position[k][i] is the place of set i among those k holds, -1 if none
	given     members    // well-formed answers
	malformed members
	conflicts []members // conflicts[k]: who above k disagrees with it on a set they share
}

// newBallot sorts the answers. A malformed one (wrong lengths, residue of Q or
// more) is set aside: its signed bytes convict it without any comparison, and
// it must not stop the opening.
func newBallot(p secagg.Params, r *ring.Ring, answers []Answer) (*ballot, error) {
	size := p.Committee().Size
	b := &ballot{
		p: p, r: r, sets: p.Committee().Sets(),
		shares: make([][][]byte, size), position: make([][]int, size), conflicts: make([]members, size),
	}
	for _, a := range answers {
		if a.Index < 0 || a.Index >= size || (b.given | b.malformed).has(a.Index) {
			return nil, fmt.Errorf("%w: index %d unknown or given twice", ErrAnswers, a.Index)
		}
		if checkShares(p, r, a.Shares) != nil {
			b.malformed |= 1 << a.Index
			continue
		}
		b.given |= 1 << a.Index
		b.shares[a.Index] = a.Shares
	}
	for k := range size {
		b.position[k] = positions(p.Committee().Held(k), len(b.sets))
	}
	b.compare()
	return b, nil
}

// positions inverts a list of held sets.
func positions(held []int, sets int) []int {
	out := make([]int, sets)
	for i := range out {
		out[i] = -1
	}
	for place, set := range held {
		out[set] = place
	}
	return out
}

// share returns decryptor k's packed V_T for set i, nil if it holds none.
func (b *ballot) share(k, i int) []byte {
	if place := b.position[k][i]; place >= 0 && b.given.has(k) {
		return b.shares[k][place]
	}
	return nil
}

// compare finds every pair that disagrees. Shares are canonical, so equal sums
// are equal bytes.
func (b *ballot) compare() {
	given := b.given.list()
	for i := range b.sets {
		for x, k := range given {
			for _, l := range given[x+1:] {
				one, other := b.share(k, i), b.share(l, i)
				if one != nil && other != nil && !bytes.Equal(one, other) {
					b.conflicts[k] |= 1 << l
				}
			}
		}
	}
}

// agree reports whether no two of m disagree.
func (b *ballot) agree(m members) bool {
	for _, k := range m.list() {
		if b.conflicts[k]&m != 0 {
			return false
		}
	}
	return true
}

// usable reports whether m agree and cover every set: t answers always do, as
// a set has t-1 members, and fewer never do.
func (b *ballot) usable(m members) bool {
	return m.size() >= b.p.Committee().Threshold && b.agree(m)
}

// liars returns every set of decryptors that may be the liars among those who
// answered, smallest first, lexicographic within a size (section 8): at most f
// in all, with those whose answers were malformed.
func (b *ballot) liars() []members {
	given := b.given.list()
	out := []members{0}
	most := min(b.p.Committee().Malicious-b.malformed.size(), len(given))
	for size := 1; size <= most; size++ {
		var extend func(set members, from, left int)
		extend = func(set members, from, left int) {
			if left == 0 {
				out = append(out, set)
				return
			}
			for i := from; i <= len(given)-left; i++ {
				extend(set|1<<given[i], i+1, left-1)
			}
		}
		extend(0, 0, size)
	}
	return out
}

// secretSum returns S = sum corr - sum of V_T for the answers of m, centered
// (section 8), taking each V_T from the first member that holds it.
func (b *ballot) secretSum(corr []uint32, m members) ([]int32, error) {
	total := append([]uint32(nil), corr...)
	v := make([]uint32, b.p.N())
	list := m.list()
	for i := range b.sets {
		first := 0
		for first < len(list) && b.share(list[first], i) == nil {
			first++
		}
		if first == len(list) {
			return nil, fmt.Errorf("%w: set %d is not covered", ErrAnswers, i)
		}
		b.r.Unpack(v, b.share(list[first], i))
		b.r.Sub(total, v)
	}
	s := make([]int32, len(total))
	center(s, total, b.p.Q())
	return s, nil
}

// center sets dst to the representatives of x in -(q-1)/2 to (q-1)/2.
func center(dst []int32, x []uint32, q uint32) {
	dst = dst[:len(x)]
	half := q / 2
	for i, v := range x {
		// half-v is negative, so its top bit set, exactly where v > half.
		dst[i] = int32(v - q&-((half-v)>>31))
	}
}

// convicted returns those who lied in every explanation of the answers by at
// most f liars that gives the sum secret s. An explanation with fewer than t
// honest answers cannot be tested and counts. So if no more than f decryptors
// are malicious, whoever is convicted did lie: dropping somebody is not enough,
// since f >= 2 liars can choose errors that cancel in S and disagree with one
// honest decryptor only.
func (b *ballot) convicted(corr []uint32, s []int32) (members, error) {
	common := b.given
	for _, liars := range b.liars() {
		rest := b.given &^ liars
		if !b.agree(rest) {
			continue
		}
		if b.usable(rest) {
			other, err := b.secretSum(corr, rest)
			if err != nil {
				return 0, err
			}
			if !equal(s, other) {
				continue
			}
		}
		if common &= liars; common == 0 {
			break
		}
	}
	return common | b.malformed, nil
}

func equal(a, b []int32) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return len(a) == len(b)
}
