package ring_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/veilsum/veilsum/secagg/internal/ring"
)

func TestPack(t *testing.T) {
	each(t, func(t *testing.T, r *ring.Ring) {
		src := residues(rand.New(rand.NewPCG(3, uint64(r.Q()))), r.N(), r.Q())
		got := make([]byte, r.BlockBytes())
		for i := range got {
			got[i] = 0xa5 // what was there must not show through
		}
		r.Pack(got, src)
		if !bytes.Equal(got, refPack(src, r.Bits())) {
			t.Fatal("differs from the reference")
		}
		back := make([]uint32, r.N())
		if err := r.UnpackCanonical(back, got); err != nil || !slices.Equal(back, src) {
			t.Fatalf("does not unpack to what was packed: %v", err)
		}
	})
}

func TestUnpack(t *testing.T) {
	each(t, func(t *testing.T, r *ring.Ring) {
		rng := rand.New(rand.NewPCG(4, uint64(r.Q())))
		got := make([]uint32, r.N())
		for _, src := range [][]byte{noise(rng, r.BlockBytes()), ones(r.BlockBytes())} {
			r.Unpack(got, src)
			for i, x := range got {
				if want := refField(src, i, r.Bits()); x != want {
					t.Fatalf("field %d is %d, want %d", i, x, want)
				}
			}
		}
	})
}

// TestUnpackCanonicalEdge puts Q-1, Q and 2^F-1 at every position.
func TestUnpackCanonicalEdge(t *testing.T) {
	each(t, func(t *testing.T, r *ring.Ring) {
		v, dst, b := make([]uint32, r.N()), make([]uint32, r.N()), make([]byte, r.BlockBytes())
		for i := range v {
			for _, x := range []uint32{r.Q() - 1, r.Q(), 1<<r.Bits() - 1} {
				v[i] = x
				r.Pack(b, v)
				if err := r.UnpackCanonical(dst, b); errors.Is(err, ring.ErrCanonical) != (x >= r.Q()) {
					t.Fatalf("%d at %d: %v", x, i, err)
				}
			}
			v[i] = 0
		}
		for _, n := range []int{0, r.BlockBytes() - 1, r.BlockBytes() + 1} {
			if err := r.UnpackCanonical(dst, make([]byte, n)); !errors.Is(err, ring.ErrCanonical) {
				t.Fatalf("%d bytes: %v", n, err)
			}
		}
	})
}

// FuzzUnpackCanonical feeds any bytes to any ring. Input shorter than a block is
// also repeated to a block's length so that the fuzzer reaches the fields.
func FuzzUnpackCanonical(f *testing.F) {
	f.Add([]byte{}, uint8(0))
	f.Add([]byte{0xff}, uint8(15))
	f.Add([]byte{1, 0xf0, 0}, uint8(8))
	f.Fuzz(func(t *testing.T, data []byte, which uint8) {
		m := ring.Moduli()[int(which)%len(ring.Moduli())]
		r, err := ring.New(m.N, m.Q)
		if err != nil {
			t.Fatal(err)
		}
		dst := make([]uint32, m.N)
		if err := r.UnpackCanonical(dst, data); err == nil && len(data) != r.BlockBytes() {
			t.Fatal("accepted a wrong length")
		}
		if len(data) == 0 {
			return
		}
		block := bytes.Repeat(data, r.BlockBytes()/len(data)+1)[:r.BlockBytes()]
		canonical := true
		for i := range m.N {
			canonical = canonical && refField(block, i, m.Bits) < m.Q
		}
		err = r.UnpackCanonical(dst, block)
		if (err == nil) != canonical {
			t.Fatalf("canonical %v: %v", canonical, err)
		}
		if again := make([]byte, len(block)); err == nil {
			if r.Pack(again, dst); !bytes.Equal(again, block) {
				t.Fatal("two encodings of one block")
			}
		}
	})
}

func noise(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

func ones(n int) []byte { return bytes.Repeat([]byte{0xff}, n) }
