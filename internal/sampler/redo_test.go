package sampler_test

import (
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/veilsum/veilsum/internal/sampler"
)

// TestRedoLane: a redo gives what the full table says of the lane's 15 bits
// and the stream's next 112, changes no other lane, and changes no closed one.
func TestRedoLane(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, sigma := range sigmas {
		g, key := mustGaussian(t, sigma), sampler.NewKey([32]byte{7})
		hi, _ := g.Thresholds()
		for i := range uint64(400) {
			p := uint16(i & 3)
			word := r.Uint64()
			if i&4 == 0 { // an open lane
				cell := hi[r.IntN(len(hi))] >> 48
				word = word&^(0x7fff<<(16*p)) | cell<<(16*p)
			}
			count, open := g.Scan(word)
			got := g.RedoLane(word, p, key.Stream(i))
			s := key.Stream(i)
			want := g.Magnitude(word>>(16*p)&0x7fff<<48|s.Uint64()>>16, s.Uint64())
			if got[p] != want || !open[p] && want != count[p] {
				t.Fatalf("sigma %v, word %x, lane %d: got %d, want %d", sigma, word, p, got[p], want)
			}
			for j := range got {
				if j != int(p) && got[j] != count[j] {
					t.Fatalf("sigma %v: lane %d changed", sigma, j)
				}
			}
		}
	}
}

// TestTrial: a redone trial is kept if and only if its 128 uniform bits lie
// below the exact probability; a closed one comes out as before; the value is
// K*y+u with the word's sign; a zero needs its bit unset.
func TestTrial(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, sigma := range sigmas[4:] {
		g, key := mustGaussian(t, sigma), sampler.NewKey([32]byte{7})
		k := uint64(1) << g.Shift()
		opened := 0
		for i := range uint64(3000) {
			word, y := r.Uint64(), r.Uint64N(uint64(3*sigma)/k+1)
			if i%5 == 0 {
				word, y = word&^(k-1), 0
			}
			u := word & (k - 1)
			n := u * (u + 2*y*k)
			phi, plo := g.ExactProbability(n)
			if i%2 == 0 { // uniform bits close to the probability
				word = word&(1<<32-1) | (phi>>32+r.Uint64N(5)-2)<<32
			}
			first, redone, open := g.Trial(word, y, key.Stream(i))
			s := key.Stream(i)
			w1, w2 := s.Uint64(), s.Uint64()
			kept := join(word>>32<<32|w1>>32, w2).Cmp(join(phi, plo)) < 0
			x := int32(y*k + u)
			if x == 0 && word>>30&1 == 1 {
				kept = false
			}
			if word>>31&1 == 1 {
				x = -x
			}
			if redone>>1 != x || redone&1 == 1 != kept || !open && first != redone || first>>1 != x {
				t.Fatalf("sigma %v, word %x, y %d: first %d, redone %d, open %v; want %d kept %v",
					sigma, word, y, first, redone, open, x, kept)
			}
			if open {
				opened++
			}
		}
		if opened < 1000 {
			t.Errorf("sigma %v: only %d open trials", sigma, opened)
		}
	}
}

func join(hi, lo uint64) *big.Int {
	x := new(big.Int).SetUint64(hi)
	return x.Add(x.Lsh(x, 64), new(big.Int).SetUint64(lo))
}
