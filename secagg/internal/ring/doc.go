// Package ring is the arithmetic of the secure sum: the ring
// R_Q = Z_Q[X]/(X^N+1) for the moduli of PROTOCOL.md section 2, packing of
// residues into F-bit fields, expansion of public elements from a stream,
// products with a short secret, and an [Accumulator] that adds packed blocks
// without unpacking them.
//
// A block is N values. Unpacked it is N uint32 residues, packed it is
// [Ring.BlockBytes] bytes. A residue is canonical if it is below Q; functions
// take and return canonical residues unless they say otherwise.
//
// Slices must have the lengths stated: another length is a mistake of the
// caller and panics, as an index out of range does. Contents never panic.
//
// The number-theoretic transform is that of lattigo v5, which only this package
// and the benchmarks name.
package ring
