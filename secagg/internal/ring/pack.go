package ring

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrCanonical reports a packed residue of Q or more.
var ErrCanonical = errors.New("ring: residue not canonical")

// Pack writes the N canonical residues of src as one packed block: residue i
// occupies bits iF to iF+F-1, bit b being bit b mod 8 of byte b/8.
func (r *Ring) Pack(dst []byte, src []uint32) {
	r.checkBlock(len(src), len(dst))
	f := uint(r.mod.Bits)
	var acc uint64 // fill bits not yet written, lowest first
	var fill uint
	o := 0
	for i := 0; i+1 < len(src); i += 2 {
		p := uint64(src[i]) | uint64(src[i+1])<<(f&63)
		acc |= p << (fill & 63)
		fill += 2 * f
		if fill >= 64 {
			binary.LittleEndian.PutUint64(dst[o:], acc)
			o += 8
			fill -= 64
			acc = p >> ((2*f - fill) & 63) // 2F < 64: never a shift by 64
		}
	}
	// N*F is a multiple of 64, so nothing is left over.
}

// Unpack reads one packed block into N fields below 2^F. They are not checked
// against Q: see [Ring.UnpackCanonical].
func (r *Ring) Unpack(dst []uint32, src []byte) {
	r.checkBlock(len(dst), len(src))
	f := uint(r.mod.Bits)
	m := uint32(1)<<f - 1
	var acc uint64
	var fill uint
	for i := range dst {
		if fill < f {
			// At least 4 bytes remain: those not yet read hold the field's rest
			// and N*F is a multiple of 32.
			acc |= uint64(binary.LittleEndian.Uint32(src)) << (fill & 63)
			src = src[4:]
			fill += 32
		}
		dst[i] = uint32(acc) & m
		acc >>= f & 63
		fill -= f
	}
}

// UnpackCanonical reads one packed block and returns [ErrCanonical] if a
// residue is Q or more, or if src is not one block long. dst then holds
// nothing of use.
func (r *Ring) UnpackCanonical(dst []uint32, src []byte) error {
	if len(src) != r.BlockBytes() {
		return fmt.Errorf("%w: block of %d bytes, want %d", ErrCanonical, len(src), r.BlockBytes())
	}
	r.Unpack(dst, src)
	ok := ^uint32(0)
	for _, x := range dst {
		ok &= x - r.mod.Q // bit 31 is set where x < Q
	}
	if ok>>31 == 0 {
		return ErrCanonical
	}
	return nil
}

// checkBlock panics unless the lengths are those of one block.
func (r *Ring) checkBlock(values, bytes int) {
	if values != r.mod.N || bytes != r.BlockBytes() {
		panic(fmt.Sprintf("ring: block of %d values in %d bytes, want %d in %d",
			values, bytes, r.mod.N, r.BlockBytes()))
	}
}
