package secagg

import "github.com/veilsum/veilsum/secagg/internal/ring"

// Modulus is one allowed pair of ring degree and prime (section 2).
type Modulus struct {
	N    int    // ring degree, 1024 or 2048
	Q    uint32 // prime, 1 mod 2N
	Bits int    // F = ceil(log2 Q), 16 to 31
}

// Moduli returns the allowed moduli, smallest first, as a fresh slice. Take
// the first whose capacity suffices: each bit costs N/8 bytes a block, and
// security falls slowly with it (section 10).
func Moduli() []Modulus {
	table := ring.Moduli()
	out := make([]Modulus, len(table))
	for i, m := range table {
		out[i] = Modulus(m)
	}
	return out
}
