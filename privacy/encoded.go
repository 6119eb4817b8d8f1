package privacy

import (
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
)

// Encoded is one update as bounded integers m in Z^d, with adaptive clipping
// followed by one more that tells whether the update was within the clipping
// norm; sum m_j^2 <= D^2 over all of them. It stores no second vector: integers
// are computed from the rotated floats and the fixed rounding bits when they
// are asked for. It is secret until sealed: it prints as "[redacted]". Safe for
// concurrent use.
type Encoded struct {
	values   []float32 // rotated, in grid steps
	rounding rounding
	noisy    []int32 // with the noise of a library mechanism; else nil
	last     []int32 // the indicator of adaptive clipping; else nil
	norm     float64
	clipped  bool
	resume   atomic.Pointer[cursor] // where the last call of Values ended
}

// Clipped reports whether a clipping norm was exceeded. Private information.
func (x *Encoded) Clipped() bool { return x.clipped }

// Norm is the L2 norm of the update before clipping. It is local information
// that no guarantee covers: never log or send it.
func (x *Encoded) Norm() float64 { return x.norm }

// Digest is SHA-256 over the integers as 32-bit little-endian: H(m) in the
// hedged randomness (protocol section 2). It is secret like they are.
func (x *Encoded) Digest() [32]byte {
	if x.noisy != nil {
		return digest(func(f func([]int32) bool) {
			for m := x.noisy; len(m) > 0; m = m[min(len(m), pieceValues):] {
				f(m[:min(len(m), pieceValues)])
			}
		})
	}
	return digest(func(f func([]int32) bool) {
		x.rounding.pieces(x.values, f)
		f(x.last)
	})
}

// Values writes the integers m[offset : offset+len(dst)] to dst, zero beyond
// the last. Any order and overlap gives the same integers; reading in order is the
// fastest (a jump costs the bits of up to 8192 values).
func (x *Encoded) Values(offset int, dst []int32) {
	if offset < 0 || offset >= len(x.values)+len(x.last) {
		clear(dst)
		return
	}
	n := max(0, min(len(dst), len(x.values)-offset))
	clear(dst[n:])
	copy(dst[n:], x.last[max(0, min(len(x.last), offset+n-len(x.values))):])
	if n == 0 {
		return
	}
	if x.noisy != nil {
		copy(dst, x.noisy[offset:offset+n])
		return
	}
	// The swap hands the cursor to one caller; another makes its own.
	c := x.resume.Swap(nil)
	switch {
	case c == nil:
		c = x.rounding.newCursor(offset)
	case c.next != offset:
		x.rounding.seek(c, offset)
	}
	for n > 0 {
		// A piece ends where its chunk does.
		k := min(n, pieceValues, chunkValues-offset%chunkValues)
		x.rounding.round(c, x.values[offset:offset+k], dst[:k])
		offset, dst, n = offset+k, dst[k:], n-k
	}
	x.resume.Store(c)
}

// addNoise replaces the bounded integers by noisy ones.
func (x *Encoded) addNoise(p *Params) error {
	m := make([]int32, len(x.values))
	x.Values(0, m)
	if err := p.extra.add(m, p.ValueBound()); err != nil {
		return err
	}
	x.noisy = m
	return nil
}

const redacted = "[redacted]"

// String returns "[redacted]".
func (*Encoded) String() string { return redacted }

// Format writes "[redacted]" whatever the verb.
func (*Encoded) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue returns "[redacted]".
func (*Encoded) LogValue() slog.Value { return slog.StringValue(redacted) }
