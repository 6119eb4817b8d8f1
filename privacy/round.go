package privacy

import (
	"crypto/sha256"
	"encoding/binary"
	"sync"

	"github.com/veilsum/veilsum/internal/sampler"
)

const (
	// chunkValues share one stream of rounding bits. Values inside a chunk are
	// reached by skipping its head; 8192 keeps streams, which allocate, rare.
	chunkValues = 8192
	// pieceValues are rounded at a time: 4 KiB of random bytes.
	pieceValues = 1024

	maxRounds = 16   // tries at full scale
	maxShrink = 256  // further tries, each at 0.99 of the former scale
	shrink    = 0.99 // 0.99^256 = 0.076
)

// rounding is one fixed outcome of stochastic rounding: the values times
// scale, with the bits of one try. A zero scale stands for the zero vector.
type rounding struct {
	key   *sampler.Key
	try   uint64
	scale float64
}

// cursor reads the bits of one rounding in order.
type cursor struct {
	stream *sampler.Stream
	next   int // index of the value whose bits come next
	bits   [4 * pieceValues]byte
}

// newCursor points at value offset.
func (r *rounding) newCursor(offset int) *cursor {
	c := new(cursor)
	r.seek(c, offset)
	return c
}

// seek moves c to value offset. Tries and chunks have streams of their own:
// try < 2^9 and chunk < 2^16, so no two share an index.
func (r *rounding) seek(c *cursor, offset int) {
	chunk := offset / chunkValues
	c.stream = r.key.Stream(r.try<<32 | uint64(chunk))
	c.next = offset
	for skip := offset % chunkValues; skip > 0; {
		n := min(skip, pieceValues)
		_, _ = c.stream.Read(c.bits[:4*n])
		skip -= n
	}
}

// round writes the integers of x, at most pieceValues that lie in one chunk,
// to dst and advances c, which must stand there.
//
// In 32.32 fixed point t = v*2^32 is floored after adding 32 uniform bits, so
// the mean is t/2^32 exactly; cutting v to t moves it by less than 2^-32. The
// norm of x is at most about D <= 2^26, so t and the integers are far from
// overflow.
func (r *rounding) round(c *cursor, x []float32, dst []int32) {
	if c.next%chunkValues == 0 {
		r.seek(c, c.next)
	}
	c.next += len(x)
	raw := c.bits[:4*len(x)]
	_, _ = c.stream.Read(raw)
	dst = dst[:len(x)]
	scale := r.scale * (1 << 32)
	for i, v := range x {
		dst[i] = roundFixed(int64(float64(v)*scale), binary.LittleEndian.Uint32(raw[4*i:4*i+4]))
	}
}

// roundFixed is floor((t + u)/2^32): for uniform u its mean is t/2^32.
func roundFixed(t int64, u uint32) int32 { return int32((t + int64(u)) >> 32) }

// piecePool holds scratch for one piece of integers.
var piecePool = sync.Pool{New: func() any { return new([pieceValues]int32) }}

// pieces calls f with the integers of x in order, until f returns false.
func (r *rounding) pieces(x []float32, f func([]int32) bool) {
	buf := piecePool.Get().(*[pieceValues]int32)
	defer func() {
		clear(buf[:]) // integers of an update do not linger in a pool
		piecePool.Put(buf)
	}()
	for c := r.newCursor(0); len(x) > 0; {
		n := min(len(x), pieceValues)
		r.round(c, x[:n], buf[:n])
		if !f(buf[:n]) {
			return
		}
		x = x[n:]
	}
}

// fits is the check on which the privacy claim rests, in exact integers:
// sum m^2 <= square and |m| <= maxInf <= 2^26. A piece has 1024 squares of at
// most 2^52 each and is added to a sum of at most 2^52: no overflow. A larger
// |m| is refused for its size, whatever its square did to the sum.
func (r *rounding) fits(x []float32, square, maxInf int64) bool {
	var sum int64
	ok := true
	r.pieces(x, func(m []int32) bool {
		s, within := squares(m, int32(maxInf))
		sum += s
		ok = within && sum <= square
		return ok
	})
	return ok
}

// squares returns sum m^2 (exact if within) and whether all |m| <= limit.
func squares(m []int32, limit int32) (sum int64, within bool) {
	var outside int32
	for _, v := range m {
		sum += int64(v) * int64(v)
		outside |= (limit - v) | (limit + v) // negative if |v| > limit
	}
	return sum, outside >= 0
}

// choose fixes the rounding of x: conditional stochastic rounding (Kairouz,
// Liu and Steinke 2021), with an end to the tries. Whatever is chosen passed
// the exact check or is zero.
func choose(key *sampler.Key, x []float32, square, maxInf int64) rounding {
	r := rounding{key: key, scale: 1}
	for ; r.try < maxRounds+maxShrink; r.try++ {
		if r.try >= maxRounds {
			r.scale *= shrink
		}
		if r.fits(x, square, maxInf) {
			return r
		}
	}
	r.scale = 0
	return r
}

// digest is SHA-256 over the integers as 32-bit little-endian.
func digest(each func(func([]int32) bool)) (sum [32]byte) {
	h := sha256.New()
	var raw [4 * pieceValues]byte
	each(func(m []int32) bool {
		for i, v := range m {
			binary.LittleEndian.PutUint32(raw[4*i:], uint32(v))
		}
		h.Write(raw[:4*len(m)])
		return true
	})
	h.Sum(sum[:0])
	return sum
}
