package privacy_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/veilsum/veilsum/internal/sampler"
	"github.com/veilsum/veilsum/privacy"
	"github.com/veilsum/veilsum/privacy/compress"
	"github.com/veilsum/veilsum/privacy/privacytest"
)

// specs is one map of each kind, from 600 to about 150 values.
var specs = []compress.Spec{
	{Kind: compress.RandomK, Keep: 150},
	{Kind: compress.SRHT, Keep: 150},
	{Kind: compress.CountSketch, Keep: 150, Rows: 3},
	{Kind: compress.LowRank, Rank: 6, Shapes: [][]int{{29, 20}, {20}}},
}

// updateOf is a random update of exactly that norm.
func updateOf(label string, norm float64) []float32 {
	x := clippedTo1(privacytest.Update(label, 600, 1e6))
	for i := range x {
		x[i] = float32(float64(x[i]) * norm)
	}
	return x
}

func compressed(s compress.Spec) privacy.Literal {
	l := base(600)
	l.Compression = &s
	return l
}

// TestCompressedParams: what is sent decides grid, bound, noise, capacity and charge; the update keeps its length.
func TestCompressedParams(t *testing.T) {
	for _, s := range specs {
		p, err := privacy.New(compressed(s))
		if err != nil {
			t.Fatal(err)
		}
		k := p.Sent()
		plain, err := privacy.New(base(k))
		if err != nil {
			t.Fatal(err)
		}
		if k < 100 || k > 160 || p.Values() != 600 || p.EncodedValues() != k || p.Compression().Sent() != k {
			t.Errorf("%s: sends %d of %d values, encodes %d", s.Kind, k, p.Values(), p.EncodedValues())
		}
		if p.Sensitivity() != plain.Sensitivity() || p.Grid() != plain.Grid() || p.LocalStdDev() != plain.LocalStdDev() ||
			p.RequiredHalfModulus(1024) != plain.RequiredHalfModulus(1024) || p.NoiseStdDev(20) != plain.NoiseStdDev(20) {
			t.Errorf("%s: parameters are not those of %d values", s.Kind, k)
		}
		if a, b := mustEvent(t, p), mustEvent(t, plain); fmt.Sprint(a) != fmt.Sprint(b) {
			t.Errorf("%s: charged %v, want %v", s.Kind, a, b)
		}
	}
}

func mustEvent(t *testing.T, p privacy.Params) any {
	t.Helper()
	e, err := p.Event()
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestCompressedDecode: decoding is A^T A of the clipped update, as package compress alone computes it, within the
// rounding: sqrt(k) steps, grown by at most the largest singular value of A^T (below 4 for these maps).
func TestCompressedDecode(t *testing.T) {
	id := [32]byte{7}
	for _, s := range specs {
		e := newEncoder(t, compressed(s), id)
		update := updateOf("compress", 3) // norm above C = 1
		x, err := e.Encode(append([]float32(nil), update...), privacytest.Seed("compress"))
		if err != nil {
			t.Fatal(err)
		}
		if !x.Clipped() {
			t.Errorf("%s: not clipped", s.Kind)
		}
		got, err := e.DecodeInt32(all(x, e.Params().Sent())[:e.Params().EncodedValues()], 1)
		if err != nil {
			t.Fatal(err)
		}
		off := 0.0
		for i, v := range mapped(t, *e.Params().Compression(), id, update) {
			off += (got[i] - v) * (got[i] - v)
		}
		if limit := 4 * math.Sqrt(float64(e.Params().Sent())) / e.Params().Grid(); math.Sqrt(off) > limit {
			t.Errorf("%s: %g from A^T A x, want at most %g", s.Kind, math.Sqrt(off), limit)
		}
	}
}

// mapped is A^T of A x clipped twice, to norm 1.
func mapped(t *testing.T, s compress.Spec, id [32]byte, x []float32) []float64 {
	t.Helper()
	m, err := compress.New(s, id)
	if err != nil {
		t.Fatal(err)
	}
	y := m.Apply(clippedTo1(x))
	wide := make([]float64, 0, len(y))
	for _, v := range clippedTo1(y) {
		wide = append(wide, float64(v))
	}
	return m.Expand(wide)
}

func clippedTo1(x []float32) []float32 {
	norm := 0.0
	for _, v := range x {
		norm += float64(v) * float64(v)
	}
	norm = math.Max(1, math.Sqrt(norm))
	out := make([]float32, len(x))
	for i, v := range x {
		out[i] = float32(float64(v) / norm)
	}
	return out
}

// TestCompressedError plays 60 rounds of 40 equal updates with their noise: noise and compression together have the root mean
// square error that Params predicts. The 60 maps and seeds are fixed; the limit is about 5 standard deviations.
func TestCompressedError(t *testing.T) {
	for _, s := range specs {
		l := compressed(s)
		l.NoiseMultiplier, l.MinBatchSize = 2, 40
		square, norm, signal := 0.0, 0.8, 0.0
		const rounds, n = 60, 40
		var p privacy.Params
		for round := range rounds {
			e := newEncoder(t, l, [32]byte{byte(round)})
			p = e.Params()
			update := updateOf(fmt.Sprint("error", round), norm)
			mean := noisyMean(t, e, update, n, uint64(round))
			for i, v := range mean {
				square += (v - float64(update[i])) * (v - float64(update[i])) / (600 * rounds)
			}
			got := p.SignalNorm(mean, n)
			signal += got * got / rounds
		}
		want := math.Hypot(p.NoiseStdDev(n), p.CompressionRMSE(norm))
		if got := math.Sqrt(square); math.Abs(got/want-1) > 0.08 {
			t.Errorf("%s: error %.4f a value, predicted %.4f", s.Kind, got, want)
		}
		if got := math.Sqrt(signal); math.Abs(got/norm-1) > 0.15 {
			t.Errorf("%s: the norm of the mean is estimated as %.3f, it is %.3f", s.Kind, got, norm)
		}
	}
}

// noisyMean is the decoded mean of n equal updates, with the noise of all n in one draw.
func noisyMean(t *testing.T, e *privacy.Encoder, update []float32, n int, seed uint64) []float64 {
	t.Helper()
	sum := make([]int64, e.Params().EncodedValues())
	for i := range n {
		x, err := e.Encode(append([]float32(nil), update...), privacytest.Seed(fmt.Sprint(seed, i)))
		if err != nil {
			t.Fatal(err)
		}
		for j, v := range all(x, len(sum))[:len(sum)] {
			sum[j] += int64(v)
		}
	}
	g, err := sampler.NewGaussian(math.Sqrt(float64(n)) * e.Params().LocalStdDev())
	if err != nil {
		t.Fatal(err)
	}
	noise := make([]int32, len(sum))
	g.Sample(noise, sampler.NewKey(privacytest.Seed("noise")).Stream(seed))
	for j, v := range noise {
		sum[j] += int64(v)
	}
	mean, err := e.Decode(sum, n)
	if err != nil {
		t.Fatal(err)
	}
	return mean
}

// TestCompressedAdaptive: the indicator is one more number and follows the norm of the update itself, also where the map makes
// what is sent shorter or longer; a round's own norm scales what is decoded.
func TestCompressedAdaptive(t *testing.T) {
	for _, s := range specs {
		l := compressed(s)
		l.Adaptive = &privacy.Adaptive{CountStdDev: 5}
		p, err := privacy.New(l)
		if err != nil {
			t.Fatal(err)
		}
		if p.EncodedValues() != p.Sent()+1 {
			t.Fatalf("%s: %d numbers, want one more than %d", s.Kind, p.EncodedValues(), p.Sent())
		}
		round, err := p.WithRoundClippingNorm(3)
		if err != nil {
			t.Fatal(err)
		}
		for i, norm := range []float64{2.97, 3.03, 2.5, 30} {
			e, err := privacy.NewEncoder(round, [32]byte{byte(i)})
			if err != nil {
				t.Fatal(err)
			}
			x, err := e.Encode(updateOf("adaptive", norm), privacytest.Seed("adaptive"))
			if err != nil {
				t.Fatal(err)
			}
			want := int32(p.Indicator())
			if norm > 3 {
				want = -want
			}
			if got := all(x, p.EncodedValues())[p.Sent()]; got != want || x.Clipped() != (norm > 3) {
				t.Errorf("%s: norm %g has indicator %d, want %d", s.Kind, norm, got, want)
			}
		}
	}
}

// TestCompressedGroups: groups are clipped apart before the map.
func TestCompressedGroups(t *testing.T) {
	l := base(10)
	l.ClippingNorm = 0
	l.Groups = []privacy.Group{{0, 4, 3}, {4, 10, 4}}
	l.Compression = &compress.Spec{Kind: compress.SRHT, Keep: 10} // a map that loses nothing
	e := newEncoder(t, l, [32]byte{1})
	x, err := e.Encode([]float32{100, 0, 0, 0, 1, 1, 1, 1, 1, 1}, [32]byte{2})
	if err != nil {
		t.Fatal(err)
	}
	checkDecoded(t, e, [][]int32{all(x, 10)}, []float32{3, 0, 0, 0, 1, 1, 1, 1, 1, 1})
}

func TestCompressionRefusals(t *testing.T) {
	for want, l := range map[string]privacy.Literal{
		"Compression.Values is 5": compressed(compress.Spec{Kind: compress.SRHT, Values: 5, Keep: 5}),
		"Keep is 601":             compressed(compress.Spec{Kind: compress.SRHT, Keep: 601}),
		"Kind is":                 compressed(compress.Spec{Kind: "top_k", Keep: 60}),
	} {
		if _, err := privacy.New(l); !errors.Is(err, privacy.ErrParams) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	l := compressed(compress.Spec{Kind: compress.SRHT, Keep: 1000})
	l.Values, l.TrustModel, l.Mechanism = 5000, privacy.Local, privacy.Laplace
	if _, err := privacy.New(l); err != nil {
		t.Errorf("1000 numbers of 5000 with Laplace noise: %v", err)
	}
	l.Compression.Keep = 1001
	if _, err := privacy.New(l); !errors.Is(err, privacy.ErrParams) {
		t.Errorf("1001 numbers with Laplace noise: %v", err)
	}
}
