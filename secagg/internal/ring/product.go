package ring

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/veilsum/veilsum/internal/sampler"
)

// Scratch multiplies public elements by one secret. It is for one goroutine at
// a time and prints as "[redacted]".
//
// What this package adds to the transforms neither branches on the secret nor
// indexes by it. Lattigo's transforms index by position only, but reduce with
// "if", which the compiler is free to turn into a conditional move or a branch.
type Scratch struct {
	r  *Ring
	a  []uint32 // public element, then products
	w  []uint64 // lattigo's transforms work on these
	s  []uint32 // secret in transform order, canonical
	ss []uint32 // floor(s * 2^32 / Q), Shoup's companion of s
}

// NewScratch returns a Scratch whose secret is zero.
func (r *Ring) NewScratch() *Scratch {
	return &Scratch{
		r:  r,
		a:  make([]uint32, r.mod.N),
		w:  make([]uint64, r.mod.N),
		s:  make([]uint32, r.mod.N),
		ss: make([]uint32, r.mod.N),
	}
}

// PrepareSecret makes s, N signed coefficients, the secret of later products.
// Any int32 is allowed and is taken mod Q. The caller may overwrite s after.
func (sc *Scratch) PrepareSecret(s []int32) {
	if len(s) != sc.r.mod.N {
		panic(fmt.Sprintf("ring: secret of %d values, want %d", len(s), sc.r.mod.N))
	}
	for i, v := range s {
		sc.w[i] = uint64(sc.r.reduceInt(v))
	}
	sc.r.sub.NTT(sc.w, sc.w)
	for i, v := range sc.w {
		sc.s[i] = uint32(v)
		sc.ss[i] = sc.r.shoup(uint32(v))
	}
}

// MulA expands the public element of the stream by [Ring.Uniform], in transform
// order (PROTOCOL.md section 3), and writes the N coefficients of its product
// with the prepared secret to dst.
func (sc *Scratch) MulA(dst []uint32, a *sampler.Stream) {
	if len(dst) != sc.r.mod.N {
		panic(fmt.Sprintf("ring: product of %d values, want %d", len(dst), sc.r.mod.N))
	}
	sc.r.Uniform(sc.a, a)
	sc.pointwise()
	sc.r.sub.INTT(sc.w, sc.w)
	for i, v := range sc.w[:len(dst)] {
		dst[i] = uint32(v)
	}
}

// pointwise sets w to a*s, canonical. Shoup's quotient is at most one too
// small, so the remainder is below 2Q < 2^32.
func (sc *Scratch) pointwise() {
	q := sc.r.mod.Q
	s, ss, w := sc.s[:len(sc.a)], sc.ss[:len(sc.a)], sc.w[:len(sc.a)]
	for i, a := range sc.a {
		w[i] = uint64(lower(a*s[i]-uint32(uint64(a)*uint64(ss[i])>>32)*q, q))
	}
}

// shoup returns floor(v * 2^32 / Q) for v < Q, without a division: v may be
// secret. The estimate from mu2 is at most one too small.
func (r *Ring) shoup(v uint32) uint32 {
	x := uint64(v) << 32
	est := mulHigh(x, r.mu2)
	rest := x - est*uint64(r.mod.Q) // below 2Q
	return uint32(est + 1 - (rest-uint64(r.mod.Q))>>63)
}

// Wipe overwrites the secret and everything computed from it.
func (sc *Scratch) Wipe() {
	clear(sc.a)
	clear(sc.w)
	clear(sc.s)
	clear(sc.ss)
}

// String returns "[redacted]".
func (*Scratch) String() string { return redacted }

// Format writes "[redacted]" whatever the verb.
func (*Scratch) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue returns "[redacted]".
func (*Scratch) LogValue() slog.Value { return slog.StringValue(redacted) }

const redacted = "[redacted]"

// BareINTT runs lattigo's inverse transform alone, in place, on N values below
// Q. It is the yardstick of the benchmarks.
func (r *Ring) BareINTT(dst []uint64) { r.sub.INTT(dst, dst) }

// BareNTT runs lattigo's forward transform alone, in place, on N values below Q.
func (r *Ring) BareNTT(dst []uint64) { r.sub.NTT(dst, dst) }
