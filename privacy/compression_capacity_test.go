package privacy_test

import (
	"math"
	"testing"

	"github.com/veilsum/veilsum/privacy"
	"github.com/veilsum/veilsum/privacy/compress"
	"github.com/veilsum/veilsum/privacy/privacytest"
)

// TestCompressedCapacity: the declared kappa is of the updates, and a map may make their mean longer. Rounds whose map keeps all of
// a mean that lies in one value, scaled up by sqrt(d/k), still fit the modulus, as do those of 400 maps of each kind.
func TestCompressedCapacity(t *testing.T) {
	const d, n, kappa = 4096, 1000, 0.05
	for _, s := range []compress.Spec{
		{Kind: compress.RandomK, Keep: 16},
		{Kind: compress.SRHT, Keep: 16},
		{Kind: compress.CountSketch, Keep: 16, Rows: 2},
		{Kind: compress.LowRank, Rank: 1, Shapes: [][]int{{16, 256}}},
	} {
		l := base(d)
		l.Compression, l.Kappa, l.MinBatchSize, l.MaxBatchSize, l.NoiseMultiplier = &s, kappa, n, n, 1
		p, err := privacy.New(l)
		if err != nil {
			t.Fatal(err)
		}
		room, most := p.RequiredHalfModulus(1024)/n, int32(0)
		for round := range 400 {
			e := newEncoder(t, l, [32]byte{byte(round), byte(round >> 8)})
			spike, spread := make([]float32, d), clippedTo1(privacytest.Update("capacity", d, 1e6))
			spike[0] = kappa
			for i := range spread {
				spread[i] *= kappa
			}
			for _, update := range [][]float32{spike, spread} {
				x, err := e.Encode(update, privacytest.Seed("capacity"))
				if err != nil {
					t.Fatal(err)
				}
				for _, v := range all(x, p.EncodedValues())[:p.EncodedValues()] {
					most = max(most, v, -v)
				}
			}
		}
		if float64(most) > room {
			t.Errorf("%s: %d in each of %d reports, there is room for %g", s.Kind, most, n, math.Floor(room))
		}
	}
}

// TestCompressionIsCopied: nobody changes the map of parameters that were validated.
func TestCompressionIsCopied(t *testing.T) {
	shapes := [][]int{{29, 20}, {20}}
	p, err := privacy.New(compressed(compress.Spec{Kind: compress.LowRank, Rank: 6, Shapes: shapes}))
	if err != nil {
		t.Fatal(err)
	}
	for _, theirs := range [][][]int{shapes, p.Compression().Shapes, p.Literal().Compression.Shapes} {
		theirs[0][0], theirs[1][0] = 1, 580
		if got := p.Compression().Sent(); got != p.Sent() {
			t.Fatalf("sends %d numbers, was validated for %d", got, p.Sent())
		}
	}
}

// TestGrowth: no map of 300 makes a spike, an even or a random vector longer than the bound says.
func TestGrowth(t *testing.T) {
	for _, s := range append(specs[:len(specs):len(specs)], compress.Spec{Kind: compress.LowRank, Rank: 1, Shapes: [][]int{{2, 300}}}, compress.Spec{Kind: compress.SRHT, Keep: 2}) {
		s.Values = 600
		for round := range 300 {
			m, err := compress.New(s, [32]byte{byte(round), byte(round >> 8)})
			if err != nil {
				t.Fatal(err)
			}
			spike, even := make([]float32, 600), make([]float32, 600)
			spike[round] = 1
			for i := range even {
				even[i] = 1 / float32(math.Sqrt(600))
			}
			for _, x := range [][]float32{spike, even, clippedTo1(privacytest.Update("growth", 600, 1e6))} {
				square := 0.0
				for _, v := range m.Apply(x) {
					square += float64(v) * float64(v)
				}
				if got := math.Sqrt(square); got > s.Growth()*(1+1e-5) {
					t.Fatalf("%s: %g times longer, want at most %g", s.Kind, got, s.Growth())
				}
			}
		}
	}
}
