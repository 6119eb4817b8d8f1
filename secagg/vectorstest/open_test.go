package vectorstest

import (
	"bytes"
	"testing"

	"github.com/veilsum/veilsum/internal/sampler"
	"github.com/veilsum/veilsum/secagg"
)

// setSums is V_T for every set, packed, from the seeds of all decryptors.
func setSums(t *testing.T, r round, opened [][]secagg.Seeds) [][]byte {
	t.Helper()
	rg := newRing(t, r.Params.N, r.Params.Q)
	out := make([][]byte, len(r.Sets))
	for k, clients := range opened {
		for at, i := range r.Params.committee().Held(k) {
			v := make([]uint32, rg.N())
			for _, seeds := range clients {
				seed := seeds.Bytes()[32*at : 32*at+32]
				rg.Add(v, uniform(rg, sampler.Derive(seed, "prg"), 0))
			}
			out[i] = pack(rg, v)
		}
	}
	return out
}

func TestSetSums(t *testing.T) {
	eachRound(t, func(t *testing.T, r round) {
		for i, v := range setSums(t, r, openBoxes(t, r)) {
			equal(t, "V_T", v, r.SetSums[i])
		}
	})
}

// openByHand is section 8 without its choices, from Go's arithmetic.
func openByHand(t *testing.T, r round, sum *secagg.Sum, sets [][]byte) (s, x []int32) {
	t.Helper()
	rg := newRing(t, r.Params.N, r.Params.Q)
	v, c := make([]uint32, rg.N()), make([]uint32, rg.N())
	if err := sum.Corr(c); err != nil {
		t.Fatal(err)
	}
	for _, set := range sets {
		rg.Unpack(v, set)
		rg.Sub(c, v)
	}
	s = centered(c, rg.Q())
	mul := rg.NewScratch()
	mul.PrepareSecret(s)
	public := sampler.NewKey(sampler.Derive(r.RoundID, "a"))
	for j := range r.Params.Blocks {
		if err := sum.Block(j, c); err != nil {
			t.Fatal(err)
		}
		mul.MulA(v, public.Stream(uint64(j)))
		rg.Sub(c, v)
		x = append(x, centered(c, rg.Q())...)
	}
	return s, x
}

func centered(c []uint32, q uint32) []int32 {
	out := make([]int32, len(c))
	for i, v := range c {
		out[i] = int32(v)
		if v > q/2 {
			out[i] = int32(int64(v) - int64(q))
		}
	}
	return out
}

func TestOpenByHand(t *testing.T) {
	eachRound(t, func(t *testing.T, r round) {
		s, x := openByHand(t, r, r.sum(t), r.SetSums)
		equal(t, "S", s, int32s(r.S))
		equal(t, "x", x, int32s(r.X))
	})
}

// open fills in what the document claims: the sum, V_T, S and x.
func (mk *maker) open(t *testing.T) {
	t.Helper()
	r := mk.asRound()
	sum := r.sum(t)
	var b bytes.Buffer
	if _, err := sum.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	opened := make([][]secagg.Seeds, len(mk.keys))
	for k, key := range mk.keys {
		for _, rep := range r.Reports {
			seeds, err := openBox(mk.p, k, key, r, rep)
			if err != nil {
				t.Fatal(err)
			}
			opened[k] = append(opened[k], seeds)
		}
	}
	sets := setSums(t, r, opened)
	s, x := openByHand(t, r, sum, sets)
	mk.doc.Sum, mk.doc.SetSums, mk.doc.S, mk.doc.X = b.Bytes(), sets, packInts(s), packInts(x)
}
