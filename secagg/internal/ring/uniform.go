package ring

import "github.com/veilsum/veilsum/internal/sampler"

// chunk is how many words of a stream are looked at together.
const chunk = 256

// Uniform fills dst with the next residues of the stream, as PROTOCOL.md
// section 1 defines them: each little-endian word gives floor(64/F) fields from
// the low end, and fields of Q or more are skipped. It reads the fewest words
// that suffice and drops what is left of the last one.
//
// Time depends on the fields that were skipped, never on those returned.
func (r *Ring) Uniform(dst []uint32, s *sampler.Stream) {
	per := 64 / r.mod.Bits
	var buf [chunk]uint64
	for len(dst) > 0 {
		// Each word gives at most per residues, so these words cannot overrun dst.
		words := buf[:min(max(len(dst)/per, 1), chunk)]
		s.Words(words)
		if len(dst) < per {
			dst = dst[r.tail(dst, words[0]):]
			continue
		}
		switch per {
		case 4:
			dst = dst[r.fields4(dst, words):]
		case 3:
			dst = dst[r.fields3(dst, words):]
		default:
			dst = dst[r.fields2(dst, words):]
		}
	}
}

// tail takes fields of one word until dst is full; it returns how many.
func (r *Ring) tail(dst []uint32, w uint64) int {
	n := 0
	for range 64 / r.mod.Bits {
		f := uint32(w) & (1<<r.mod.Bits - 1)
		w >>= r.mod.Bits
		if f < r.mod.Q && n < len(dst) {
			dst[n] = f
			n++
		}
	}
	return n
}

// The three below write every field and step over it only if it is below Q:
// bit 31 of f-Q is set exactly then, as both are below 2^31. A skipped field is
// overwritten by the next or lies beyond what they return.

func (r *Ring) fields4(dst []uint32, words []uint64) int {
	q, b := r.mod.Q, uint(r.mod.Bits)&31
	m := uint32(1)<<b - 1
	n := 0
	for _, w := range words {
		for range 4 {
			f := uint32(w) & m
			w >>= b
			dst[n] = f
			n += int((f - q) >> 31)
		}
	}
	return n
}

func (r *Ring) fields3(dst []uint32, words []uint64) int {
	q, b := r.mod.Q, uint(r.mod.Bits)&31
	m := uint32(1)<<b - 1
	n := 0
	for _, w := range words {
		f := uint32(w) & m
		dst[n] = f
		n += int((f - q) >> 31)
		w >>= b
		f = uint32(w) & m
		dst[n] = f
		n += int((f - q) >> 31)
		w >>= b
		f = uint32(w) & m
		dst[n] = f
		n += int((f - q) >> 31)
	}
	return n
}

func (r *Ring) fields2(dst []uint32, words []uint64) int {
	q, b := r.mod.Q, uint(r.mod.Bits)&31
	m := uint32(1)<<b - 1
	n := 0
	for _, w := range words {
		f := uint32(w) & m
		dst[n] = f
		n += int((f - q) >> 31)
		f = uint32(w>>b) & m
		dst[n] = f
		n += int((f - q) >> 31)
	}
	return n
}
