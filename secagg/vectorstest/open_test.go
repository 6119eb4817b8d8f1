package vectorstest

import (
	"bytes"
	"math"
	"testing"

	"github.com/veilsum/veilsum/internal/sampler"
	"github.com/veilsum/veilsum/secagg"
	"github.com/veilsum/veilsum/secagg/committee"
)

// answers are all decryptors' answers, from their boxes.
func answers(t *testing.T, r round, opened [][]secagg.Seeds) []committee.Answer {
	t.Helper()
	out := make([]committee.Answer, len(opened))
	for k, clients := range opened {
		shares, err := committee.NewShares(r.Params.new(t), k)
		if err != nil {
			t.Fatal(err)
		}
		for _, seeds := range clients {
			if err := shares.Add(seeds); err != nil {
				t.Fatal(err)
			}
		}
		out[k] = committee.Answer{Index: k, Shares: shares.Packed()}
	}
	return out
}

// setSums is V_T for every set in order.
func setSums(r round, given []committee.Answer) [][]byte {
	out := make([][]byte, len(r.Sets))
	for _, a := range given {
		for at, i := range r.Params.committee().Held(a.Index) {
			out[i] = a.Shares[at]
		}
	}
	return out
}

func TestAnswers(t *testing.T) {
	eachRound(t, func(t *testing.T, r round) {
		for k, a := range answers(t, r, openBoxes(t, r)) {
			want := r.Answers[k]
			if want.Decryptor != a.Index || len(want.Sets) != len(a.Shares) {
				t.Fatalf("answer %d: decryptor %d with %d shares", k, a.Index, len(a.Shares))
			}
			for at, i := range want.Sets {
				equal(t, "V_T", a.Shares[at], r.SetSums[i])
			}
		}
	})
}

// opened is what committee.Open gives for the given answers.
func opened(t *testing.T, r round, sum *secagg.Sum, given []committee.Answer) (committee.Result, []int32) {
	t.Helper()
	var x []int32
	result, err := committee.Open(sum.Params(), [32]byte(r.RoundID), len(r.Reports), 0, sum, given,
		func(j int, values []int32) error {
			x = append(x[:j*r.Params.N], values...)
			return nil
		})
	if err != nil {
		t.Fatal(err)
	}
	return result, x
}

// checkOpened compares with the file; Open leaves the witnesses out.
func checkOpened(t *testing.T, r round, given []committee.Answer) committee.Result {
	t.Helper()
	result, x := opened(t, r, r.sum(t), given)
	equal(t, "S", result.SecretSum, int32s(r.S))
	equal(t, "x", x, int32s(r.X)[:r.Params.Values])
	var square float64
	for _, v := range int32s(r.X)[r.Params.Values:] {
		square += float64(v) * float64(v)
	}
	if want := square / float64(r.Params.Witnesses); math.Abs(result.WitnessVariance/want-1) > 1e-12 {
		t.Errorf("witness variance %v, want %v", result.WitnessVariance, want)
	}
	return result
}

func TestOpen(t *testing.T) {
	eachRound(t, func(t *testing.T, r round) {
		given := answers(t, r, openBoxes(t, r))
		all := checkOpened(t, r, given)
		if len(all.Used) != len(given) || len(all.Dropped) != 0 {
			t.Errorf("all answers: used %v, dropped %v", all.Used, all.Dropped)
		}
		last := checkOpened(t, r, given[len(given)-r.Params.Threshold:])
		if last.Confirmed {
			t.Error("exactly t answers are confirmed")
		}
	})
}

// TestOpenNamesTheLiar: with a spare answer, a wrong one is found and dropped.
func TestOpenNamesTheLiar(t *testing.T) {
	ran := 0
	eachRound(t, func(t *testing.T, r round) {
		if r.Params.Decryptors == r.Params.Threshold {
			return
		}
		given := answers(t, r, openBoxes(t, r))
		rg, v := newRing(t, r.Params.N, r.Params.Q), make([]uint32, r.Params.N)
		rg.Unpack(v, given[1].Shares[0])
		v[5] = (v[5] + 1) % rg.Q() // too small to show in the size of S
		given[1].Shares[0] = pack(rg, v)
		result := checkOpened(t, r, given)
		equal(t, "dropped", result.Dropped, []int{1})
		ran++
	})
	if ran == 0 {
		t.Fatal("no round has a spare answer")
	}
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
	boxes := make([][]secagg.Seeds, len(mk.keys))
	for k, key := range mk.keys {
		for _, rep := range r.Reports {
			seeds, err := openBox(mk.p, k, key, r, rep)
			if err != nil {
				t.Fatal(err)
			}
			boxes[k] = append(boxes[k], seeds)
		}
	}
	given := answers(t, r, boxes)
	result, values := opened(t, r, sum, given)
	sets := setSums(r, given)
	s, x := openByHand(t, r, sum, sets) // with the witnesses
	equal(t, "S by hand", s, result.SecretSum)
	equal(t, "x by hand", x[:len(values)], values)
	mk.doc.Sum, mk.doc.SetSums, mk.doc.S, mk.doc.X = b.Bytes(), sets, packInts(s), packInts(x)
}
