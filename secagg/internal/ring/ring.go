package ring

import (
	"errors"
	"fmt"
	"math/bits"
	"sync"

	"github.com/tuneinsight/lattigo/v5/ring"
)

// ErrModulus reports a pair (N, Q) outside the table of PROTOCOL.md section 2.
var ErrModulus = errors.New("ring: modulus not allowed")

// Modulus is one allowed pair of ring degree and prime modulus.
type Modulus struct {
	N    int    // ring degree, 1024 or 2048
	Q    uint32 // prime, 1 mod 2N
	Bits int    // F = ceil(log2 Q), 16 to 31: the width of a packed residue
}

// table is the gate of PROTOCOL.md section 2, ascending in Bits. Consecutive
// entries differ by one bit, so entry i has minBits+i bits.
var table = [...]Modulus{
	{1024, 61441, 16},
	{1024, 120833, 17},
	{1024, 249857, 18},
	{1024, 520193, 19},
	{1024, 1038337, 20},
	{1024, 2056193, 21},
	{1024, 4188161, 22},
	{1024, 8380417, 23},
	{1024, 16760833, 24},
	{2048, 33550337, 25},
	{2048, 67104769, 26},
	{2048, 134176769, 27},
	{2048, 268369921, 28},
	{2048, 536813569, 29},
	{2048, 1073692673, 30},
	{2048, 2147389441, 31},
}

const (
	minBits = 16
	maxBits = 31
)

// Moduli returns the allowed moduli, ascending in Bits.
func Moduli() []Modulus {
	return append([]Modulus(nil), table[:]...)
}

// Ring is R_Q for one allowed modulus. It holds only constants and is safe for
// concurrent use.
type Ring struct {
	mod Modulus
	mu  uint64 // floor(2^32/Q), for reduce
	mu2 uint64 // floor(2^64/Q), for reduceInt
	sub *ring.SubRing
}

// New returns the ring of degree n modulo q, or [ErrModulus].
func New(n int, q uint32) (*Ring, error) {
	i := bits.Len32(q) - minBits
	if i < 0 || i >= len(table) || table[i].N != n || table[i].Q != q {
		return nil, fmt.Errorf("%w: N %d, Q %d", ErrModulus, n, q)
	}
	return rings[i]()
}

// rings makes each ring once: finding a primitive root is slow, and a Ring is
// never written to afterwards.
var rings = func() (out [len(table)]func() (*Ring, error)) {
	for i := range table {
		out[i] = sync.OnceValues(func() (*Ring, error) { return build(table[i]) })
	}
	return out
}()

func build(m Modulus) (*Ring, error) {
	l, err := ring.NewRing(m.N, []uint64{uint64(m.Q)})
	if err != nil {
		return nil, fmt.Errorf("ring: transform of Q %d: %w", m.Q, err)
	}
	return &Ring{
		mod: m,
		mu:  1 << 32 / uint64(m.Q),
		mu2: ^uint64(0) / uint64(m.Q), // Q is odd, so this is floor(2^64/Q)
		sub: l.SubRings[0],
	}, nil
}

// N returns the ring degree.
func (r *Ring) N() int { return r.mod.N }

// Q returns the modulus.
func (r *Ring) Q() uint32 { return r.mod.Q }

// Bits returns F, the width of a packed residue.
func (r *Ring) Bits() int { return r.mod.Bits }

// BlockBytes returns the length of a packed block, N*F/8.
func (r *Ring) BlockBytes() int { return r.mod.N / 8 * r.mod.Bits }

// Add sets dst[i] to dst[i]+a[i] mod Q. Both have the same length.
func (r *Ring) Add(dst, a []uint32) {
	q := r.mod.Q
	a = a[:len(dst):len(dst)]
	for i, x := range a {
		dst[i] = lower(dst[i]+x, q) // below 2Q < 2^32
	}
}

// Sub sets dst[i] to dst[i]-a[i] mod Q. Both have the same length.
func (r *Ring) Sub(dst, a []uint32) {
	q := r.mod.Q
	a = a[:len(dst):len(dst)]
	for i, x := range a {
		d := dst[i] - x
		dst[i] = d + q&-(d>>31) // Q < 2^31, so the top bit is the borrow
	}
}

// lower returns x mod q for x < 2q, without a branch: q < 2^31.
func lower(x, q uint32) uint32 {
	d := uint64(x) - uint64(q)
	return uint32(d) + q&uint32(d>>32)
}

// reduce returns x mod Q for any x. The quotient estimate is at most one too
// small: x*mu/2^32 > x/Q - 1 since mu > 2^32/Q - 1 and x < 2^32.
func (r *Ring) reduce(x uint32) uint32 {
	q := r.mod.Q
	return lower(x-uint32(uint64(x)*r.mu>>32)*q, q)
}

// reduceInt returns v mod Q for any v, without a branch or a division.
func (r *Ring) reduceInt(v int32) uint32 {
	q := uint64(r.mod.Q)
	x := uint64(int64(v)) + q<<16 // positive, as Q > 2^15, and the same mod Q
	return lower(uint32(x-mulHigh(x, r.mu2)*q), r.mod.Q)
}

// mulHigh returns the upper half of x*y. With y = floor(2^64/Q) it is
// floor(x/Q) or one less.
func mulHigh(x, y uint64) uint64 {
	hi, _ := bits.Mul64(x, y)
	return hi
}
