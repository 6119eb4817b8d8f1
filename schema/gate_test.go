package schema_test

import (
	"math/bits"
	"testing"

	"github.com/veilsum/veilsum/schema"
)

// TestAllowedModulus counts over all primes that could be meant: exactly the 16
// rows of PROTOCOL.md section 2 pass, each Q = 1 mod 2N with the stated width.
func TestAllowedModulus(t *testing.T) {
	rows := map[int][2]int{1024: {16, 24}, 2048: {25, 31}}
	for n, widths := range rows {
		found := map[int]int{}
		for q := uint64(1); q < 1<<31; q += uint64(2 * n) {
			if schema.AllowedModulus(n, uint32(q)) {
				found[bits.Len64(q-1)]++
			}
		}
		for f := widths[0]; f <= widths[1]; f++ {
			if found[f] != 1 {
				t.Errorf("N = %d: %d moduli of %d bits, want 1", n, found[f], f)
			}
			delete(found, f)
		}
		if len(found) > 0 {
			t.Errorf("N = %d: moduli of other widths: %v", n, found)
		}
	}
}

func TestRefusedModulus(t *testing.T) {
	for _, x := range []struct {
		n int
		q uint32
	}{
		{0, 61441}, {512, 61441}, {2048, 61441}, {4096, 33550337}, {1024, 33550337}, {1024, 12289}, // a prime, too small
		{1024, 61440}, {1024, 0}, {2048, 2147389440}, {1024, 65537}, // a Fermat prime that is 1 mod 2N
	} {
		if schema.AllowedModulus(x.n, x.q) {
			t.Errorf("(%d, %d) is allowed", x.n, x.q)
		}
	}
}

// TestAllowedCommittee states the gate a second time, by what it is for.
func TestAllowedCommittee(t *testing.T) {
	for n := -1; n <= 18; n++ {
		for c := -1; c <= 18; c++ {
			for f := -1; f <= 18; f++ {
				want := f >= 1 && n <= 16 && c >= 2 &&
					f < c && // the malicious ones cannot open alone
					n-f >= c && // the honest ones can
					c+c-n > f // two quorums share more members than f
				want = want || n == 5 && c == 4 && f == 2 || n == 3 && c == 3 && f == 2
				if got := schema.AllowedCommittee(n, c, f); got != want {
					t.Errorf("(%d,%d,%d): %v, want %v", n, c, f, got, want)
				}
			}
		}
	}
}
