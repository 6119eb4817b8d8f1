package ring_test

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/veilsum/veilsum/secagg/internal/ring"
)

// TestTransformOrder checks PROTOCOL.md section 3: value k of a transform is
// the polynomial at psi^(2 brv(k)+1), by naive evaluation with big integers.
func TestTransformOrder(t *testing.T) {
	each(t, func(t *testing.T, r *ring.Ring) {
		n, q := r.N(), int64(r.Q())
		rng := rand.New(rand.NewPCG(1, uint64(q)))
		poly := residues(rng, n, r.Q())
		w := make([]uint64, n)
		for i, x := range poly {
			w[i] = uint64(x)
		}
		r.BareNTT(w)
		psi := refRoot(n, q)
		at := []int{0, 1, 2, 3, n / 2, n - 2, n - 1}
		for range 25 {
			at = append(at, rng.IntN(n))
		}
		for _, k := range at {
			x := new(big.Int).Exp(psi, big.NewInt(int64(2*refReverse(k, n)+1)), big.NewInt(q))
			if want := refEval(poly, x, q); int64(w[k]) != want {
				t.Fatalf("value %d is %d, want %d", k, w[k], want)
			}
		}
		r.BareINTT(w)
		for i, x := range poly {
			if w[i] != uint64(x) {
				t.Fatalf("inverse gives %d at %d, want %d", w[i], i, x)
			}
		}
	})
}

// TestMulA compares MulA with the schoolbook product of the polynomial whose
// transform is the stream's residues.
func TestMulA(t *testing.T) {
	each(t, func(t *testing.T, r *ring.Ring) {
		n, q := r.N(), r.Q()
		rng := rand.New(rand.NewPCG(2, uint64(q)))
		s := make([]int32, n)
		for _, i := range []int{0, 1, n / 2, n - 1, rng.IntN(n), rng.IntN(n)} {
			s[i] = int32(rng.IntN(61) - 30)
		}
		s[3], s[5], s[7], s[9] = math.MinInt32, math.MaxInt32, int32(q-1), -int32(q)
		values, _ := refUniform(n, r.Bits(), q, key(9).Stream(4))
		w := make([]uint64, n)
		for i, x := range values {
			w[i] = uint64(x)
		}
		r.BareINTT(w)
		a := make([]uint32, n)
		for i, x := range w {
			a[i] = uint32(x)
		}
		sc := r.NewScratch()
		sc.PrepareSecret(s)
		got := make([]uint32, n)
		for range 2 { // a product leaves the secret as it is
			sc.MulA(got, key(9).Stream(4))
			if !slices.Equal(got, refMul(a, s, q)) {
				t.Fatal("product differs from the schoolbook's")
			}
		}
		sc.Wipe()
		if sc.MulA(got, key(9).Stream(4)); slices.Max(got) != 0 {
			t.Fatal("a wiped secret still multiplies")
		}
	})
}

func TestScratchIsRedacted(t *testing.T) {
	r, err := ring.New(1024, 61441)
	if err != nil {
		t.Fatal(err)
	}
	sc := r.NewScratch()
	for _, s := range []string{fmt.Sprint(sc), fmt.Sprintf("%+v", sc), fmt.Sprintf("%#v", sc), sc.LogValue().String()} {
		if s != "[redacted]" {
			t.Fatalf("printed %.40q", s)
		}
	}
}

// TestScratchesShareARing is for the race detector: scratches of one ring share
// lattigo's tables, which nothing may write to.
func TestScratchesShareARing(t *testing.T) {
	r, err := ring.New(2048, 2147389441)
	if err != nil {
		t.Fatal(err)
	}
	s := make([]int32, r.N())
	s[1] = 1
	product := func() []uint32 {
		sc, dst := r.NewScratch(), make([]uint32, r.N())
		sc.PrepareSecret(s)
		for j := range uint64(20) {
			sc.MulA(dst, key(8).Stream(j))
		}
		return dst
	}
	want := product()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if !slices.Equal(product(), want) {
				t.Error("a product changed beside others")
			}
		})
	}
	wg.Wait()
}
