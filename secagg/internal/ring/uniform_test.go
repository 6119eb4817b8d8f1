package ring_test

import (
	"slices"
	"testing"

	"github.com/veilsum/veilsum/secagg/internal/ring"
	"pgregory.net/rapid"
)

// TestUniform compares with the reference and checks how many words were used:
// the next word of the stream must be the first that was not needed.
func TestUniform(t *testing.T) {
	each(t, func(t *testing.T, r *ring.Ring) {
		rapid.Check(t, func(t *rapid.T) {
			n := rapid.OneOf(rapid.IntRange(0, 12), rapid.Just(r.N()), rapid.IntRange(700, 2100)).Draw(t, "n")
			k := key(rapid.Byte().Draw(t, "key"))
			index := rapid.Uint64().Draw(t, "index")
			want, words := refUniform(n, r.Bits(), r.Q(), k.Stream(index))
			got, s := make([]uint32, n), k.Stream(index)
			r.Uniform(got, s)
			if !slices.Equal(got, want) {
				t.Fatal("differs from the reference")
			}
			skip := make([]uint64, words+1)
			k.Stream(index).Words(skip)
			if s.Uint64() != skip[words] {
				t.Fatalf("did not use exactly %d words", words)
			}
		})
	})
}

// TestUniformMean is a sanity check of range and balance. The mean of 50 N
// values uniform below Q has standard deviation Q/sqrt(12*50*N); 7 of them are
// passed with probability 3e-12.
func TestUniformMean(t *testing.T) {
	each(t, func(t *testing.T, r *ring.Ring) {
		dst := make([]uint32, 50*r.N())
		r.Uniform(dst, key(1).Stream(2))
		sum, q := 0.0, float64(r.Q())
		for _, x := range dst {
			if x >= r.Q() {
				t.Fatalf("%d is not below Q", x)
			}
			sum += float64(x)
		}
		// 12*50*1024 > 783^2
		if dev := sum/float64(len(dst)) - (q-1)/2; dev > 7*q/783 || dev < -7*q/783 {
			t.Fatalf("mean is off by %g", dev)
		}
	})
}
