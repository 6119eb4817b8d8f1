package ring

import "fmt"

//go:generate go run gen.go

// Accumulator sums packed blocks mod Q, 4 bytes a value. It is for one
// goroutine at a time; sums made apart are joined by [Accumulator.Merge].
//
// Two 32-bit lanes share a word: value 2k of a block is the low half of its
// word k. Lanes are not reduced at each step. Instead used[b] counts, for block
// b, an upper bound of its lanes in units of 2^F-1, the largest field: adding a
// field costs one unit, a reduced lane is worth at most one, and 2^(32-F) units
// still fit 32 bits. So a lane never carries into its neighbor, whatever the
// fields are.
type Accumulator struct {
	r     *Ring
	lanes []uint64 // N/2 words a block
	used  []uint32 // one a block
}

// NewAccumulator returns a sum of zero over that many blocks.
func (r *Ring) NewAccumulator(blocks int) *Accumulator {
	return &Accumulator{
		r:     r,
		lanes: make([]uint64, blocks*(r.mod.N/2)),
		used:  make([]uint32, blocks),
	}
}

// Blocks returns the number of blocks.
func (a *Accumulator) Blocks() int { return len(a.used) }

// AddPacked adds whole packed blocks, the first of them to block number block.
// Fields need not be canonical.
func (a *Accumulator) AddPacked(block int, packed []byte) {
	a.each(block, packed, func(lanes []uint64, src []byte) {
		adders[a.r.mod.Bits-minBits](lanes, src)
	})
}

// SubPacked subtracts whole packed blocks, the first of them from block number
// block. Fields need not be canonical; the sum stays exact mod Q whether or not
// they were added before. It is several times slower than AddPacked.
func (a *Accumulator) SubPacked(block int, packed []byte) {
	field := make([]uint32, a.r.mod.N)
	a.each(block, packed, func(lanes []uint64, src []byte) {
		a.r.Unpack(field, src)
		q := a.r.mod.Q
		for k := range lanes {
			// q minus a residue is at most Q <= 2^F-1: one unit, like a field.
			lo, hi := q-a.r.reduce(field[2*k]), q-a.r.reduce(field[2*k+1])
			lanes[k] += uint64(lo) | uint64(hi)<<32
		}
	})
}

// each calls add for every packed block, with room for one unit in its lanes.
func (a *Accumulator) each(block int, packed []byte, add func([]uint64, []byte)) {
	size := a.r.BlockBytes()
	n := len(packed) / size
	if len(packed)%size != 0 || block < 0 || block > len(a.used)-n {
		panic(fmt.Sprintf("ring: %d bytes at block %d of %d, want blocks of %d",
			len(packed), block, len(a.used), size))
	}
	for b := block; b < block+n; b++ {
		a.room(b)
		add(a.block(b), packed[:size:size])
		packed = packed[size:]
	}
}

// Merge adds the sum b, of the same ring and number of blocks, and leaves b as
// it is.
func (a *Accumulator) Merge(b *Accumulator) {
	if a.r != b.r || len(a.used) != len(b.used) {
		panic("ring: merge of sums of different shape")
	}
	for i := range a.used {
		a.room(i)
		lanes := a.block(i)
		for k, x := range b.block(i) {
			lanes[k] += a.r.reducePair(x)
		}
	}
}

// Residues writes the N canonical residues of a block.
func (a *Accumulator) Residues(block int, dst []uint32) {
	if len(dst) != a.r.mod.N {
		panic(fmt.Sprintf("ring: block of %d values, want %d", len(dst), a.r.mod.N))
	}
	for k, x := range a.block(block) {
		dst[2*k], dst[2*k+1] = a.r.reduce(uint32(x)), a.r.reduce(uint32(x>>32))
	}
}

// Reset makes the sum zero.
func (a *Accumulator) Reset() {
	clear(a.lanes)
	clear(a.used)
}

// block returns the lanes of block b.
func (a *Accumulator) block(b int) []uint64 {
	h := a.r.mod.N / 2
	return a.lanes[b*h : (b+1)*h : (b+1)*h]
}

// room counts one more unit for block b, after reducing it if it had none left.
func (a *Accumulator) room(b int) {
	if a.used[b] == 1<<(32-a.r.mod.Bits) {
		a.r.shrink(a.block(b))
		a.used[b] = 1
	}
	a.used[b]++
}

// shrink brings every lane to one unit or less, keeping it the same mod Q.
//
// Wide fields need this often, so they get no exact reduction: with c = 2^F-Q,
// a lane h*2^F+l is replaced by h*c+l, both lanes in one step. For F >= 24 every
// c of the table has c << (32-F) < 2^F. The first step then leaves at most
// 2^F-1 plus (2^(32-F)-1)*c < 2^F-c, the second at most 2^F-1.
func (r *Ring) shrink(lanes []uint64) {
	if r.mod.Bits < 24 {
		for k, x := range lanes {
			lanes[k] = r.reducePair(x)
		}
		return
	}
	const both = 1<<32 | 1
	f := uint(r.mod.Bits) & 31
	c := uint64(1)<<f - uint64(r.mod.Q)
	low, high := uint64(both)*(1<<f-1), uint64(both)*(1<<(32-f)-1)
	for k, x := range lanes {
		x = x&low + (x>>f&high)*c
		lanes[k] = x&low + (x>>f&high)*c
	}
}

// reducePair reduces both lanes of x.
func (r *Ring) reducePair(x uint64) uint64 {
	return uint64(r.reduce(uint32(x))) | uint64(r.reduce(uint32(x>>32)))<<32
}
