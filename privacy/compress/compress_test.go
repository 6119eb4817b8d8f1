package compress_test

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	"pgregory.net/rapid"

	"github.com/veilsum/veilsum/privacy/compress"
)

func newMap(t interface{ Fatal(...any) }, s compress.Spec, seed uint64) *compress.Map {
	var id [32]byte
	binary.LittleEndian.PutUint64(id[:], seed)
	m, err := compress.New(s, id)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// drawSpec draws a small map of any kind.
func drawSpec(t *rapid.T) compress.Spec {
	s := compress.Spec{Kind: rapid.SampledFrom(compress.Kinds()).Draw(t, "kind")}
	if s.Kind == compress.LowRank {
		s.Rank = rapid.IntRange(1, 12).Draw(t, "rank")
		for range rapid.IntRange(1, 4).Draw(t, "tensors") {
			shape := rapid.SliceOfN(rapid.SampledFrom([]int{1, 2, 3, 4, 7, 9, 31}), 0, 3).Draw(t, "shape")
			size := 1
			for _, n := range shape {
				size *= n
			}
			s.Shapes, s.Values = append(s.Shapes, shape), s.Values+size
		}
		return s
	}
	s.Values = rapid.IntRange(1, 300).Draw(t, "values")
	s.Keep = rapid.IntRange(1, s.Values).Draw(t, "keep")
	if s.Kind == compress.CountSketch && s.Keep%3 == 0 {
		s.Rows = 3
	}
	return s
}

// TestExpandIsTheTranspose: <A x, y> = <x, A^T y> for all x and y, the columns of A have
// norm 1 in the mean, and Apply keeps within the k numbers that it promises.
func TestExpandIsTheTranspose(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSpec(t)
		m := newMap(t, s, rapid.Uint64().Draw(t, "seed"))
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "vectors"), 1))
		x, y := make([]float32, s.Values), make([]float64, m.Sent())
		wide := make([]float64, s.Values)
		for i := range x {
			x[i] = float32(random.NormFloat64())
			wide[i] = float64(x[i])
		}
		for i := range y {
			y[i] = random.NormFloat64()
		}
		back := m.Expand(y)
		ax := m.Apply(x)
		if len(ax) != m.Sent() || len(back) != s.Values || m.Sent() != s.Sent() {
			t.Fatalf("%d and %d numbers, want %d and %d", len(ax), len(back), m.Sent(), s.Values)
		}
		left, right, size := 0.0, 0.0, 0.0
		for i, v := range ax {
			left += float64(v) * y[i]
			size += math.Abs(float64(v) * y[i])
		}
		for i, v := range back {
			right += v * wide[i]
		}
		if math.Abs(left-right) > 1e-5*(1+size) {
			t.Fatalf("%+v: <A x, y> is %g, <x, A^T y> is %g", s, left, right)
		}
	})
}

// frobenius is |A|^2, from the images of the unit vectors of R^k.
func frobenius(m *compress.Map) (sum float64) {
	y := make([]float64, m.Sent())
	for i := range y {
		y[i] = 1
		for _, v := range m.Expand(y) {
			sum += v * v
		}
		y[i] = 0
	}
	return sum
}

// TestNoiseNeitherGrowsNorShrinks: |A|^2 is d for every map, so that equal noise on the k numbers
// has the same root mean square on the d expanded ones.
func TestNoiseNeitherGrowsNorShrinks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSpec(t)
		m := newMap(t, s, rapid.Uint64().Draw(t, "seed"))
		if got := frobenius(m); math.Abs(got-float64(s.Values)) > 1e-9*float64(s.Values) {
			t.Fatalf("%+v: |A|^2 is %g, want %d", s, got, s.Values)
		}
	})
}

// TestErrorFactor measures E|A^T A x - x|^2 over 400 maps against the formula, and that the mean over
// the maps is x. Fixed seeds: it never fails by chance; the limits are about 5 standard deviations.
func TestErrorFactor(t *testing.T) {
	x := make([]float32, 200)
	random := rand.New(rand.NewPCG(7, 7))
	norm := 0.0
	for i := range x { // a few large values among small ones
		x[i] = float32(random.NormFloat64() * math.Exp(random.NormFloat64()))
		norm += float64(x[i]) * float64(x[i])
	}
	even := make([]float32, 200) // for low_rank, whose factor is that of an even vector
	for i := range even {
		even[i] = float32(random.NormFloat64() * math.Sqrt(norm/200))
	}
	for _, s := range []compress.Spec{
		{Kind: compress.RandomK, Values: 200, Keep: 50},
		{Kind: compress.SRHT, Values: 200, Keep: 50},
		{Kind: compress.SRHT, Values: 200, Keep: 7},
		{Kind: compress.CountSketch, Values: 200, Keep: 60},
		{Kind: compress.CountSketch, Values: 200, Keep: 60, Rows: 3},
		{Kind: compress.LowRank, Values: 200, Rank: 3, Shapes: [][]int{{19, 10}, {10}}},
		{Kind: compress.LowRank, Values: 200, Rank: 2, Shapes: [][]int{{8, 4, 6}, {8}}},
	} {
		in := x
		if s.Kind == compress.LowRank {
			in = even
		}
		square, mean, total := 0.0, make([]float64, 200), 0.0
		const maps = 400
		for seed := range uint64(maps) {
			m := newMap(t, s, seed)
			sent := m.Apply(append([]float32(nil), in...))
			y := make([]float64, len(sent))
			for i, v := range sent {
				y[i] = float64(v)
			}
			for i, v := range m.Expand(y) {
				square += (v - float64(in[i])) * (v - float64(in[i])) / maps
				mean[i] += v / maps
			}
		}
		for i := range mean {
			total += (mean[i] - float64(in[i])) * (mean[i] - float64(in[i]))
		}
		var n float64
		for _, v := range in {
			n += float64(v) * float64(v)
		}
		if got, want := square/n, s.ErrorFactor(); math.Abs(got/want-1) > 0.15 {
			t.Errorf("%+v: factor %.3f, predicted %.3f", s, got, want)
		}
		if got, want := total/n, s.ErrorFactor()/maps; got > 1.6*want {
			t.Errorf("%+v: the mean over the maps is off by %.3g of |x|^2, want about %.3g", s, got, want)
		}
	}
}

// TestWholeIsExact: a map that keeps everything loses nothing.
func TestWholeIsExact(t *testing.T) {
	for _, s := range []compress.Spec{
		{Kind: compress.RandomK, Values: 130, Keep: 130},
		{Kind: compress.SRHT, Values: 130, Keep: 130},
		{Kind: compress.LowRank, Values: 130, Rank: 13, Shapes: [][]int{{13, 10}}},
	} {
		x := make([]float32, 130)
		for i := range x {
			x[i] = float32(i) - 60
		}
		m := newMap(t, s, 3)
		y := make([]float64, 0, 130)
		for _, v := range m.Apply(append([]float32(nil), x...)) {
			y = append(y, float64(v))
		}
		for i, v := range m.Expand(y) {
			if math.Abs(v-float64(x[i])) > 1e-4 {
				t.Fatalf("%s: value %d is %g, want %g", s.Kind, i, v, x[i])
			}
		}
		if f := s.ErrorFactor(); f != 0 {
			t.Errorf("%s: error factor %g", s.Kind, f)
		}
	}
}

// TestSubsetIsUniform: over 6000 maps each of 20 values is kept 6000*6/20 times; more than 5.5
// standard deviations off would be a chance of 8*10^-7. The seeds are fixed.
func TestSubsetIsUniform(t *testing.T) {
	const maps, d, k = 6000, 20, 6
	counts := make([]float64, d)
	for seed := range uint64(maps) {
		y := []float64{1, 1, 1, 1, 1, 1}
		for i, v := range newMap(t, compress.Spec{Kind: compress.RandomK, Values: d, Keep: k}, seed).Expand(y) {
			if v != 0 {
				counts[i]++
			}
		}
	}
	p := float64(k) / d
	for i, c := range counts {
		if z := (c - maps*p) / math.Sqrt(maps*p*(1-p)); math.Abs(z) > 5.5 {
			t.Errorf("value %d is kept %g times of %d", i, c, maps)
		}
	}
}

func TestRefusals(t *testing.T) {
	for _, s := range []compress.Spec{
		{},
		{Kind: "dct", Values: 10, Keep: 5},
		{Kind: compress.SRHT, Values: 0, Keep: 1},
		{Kind: compress.SRHT, Values: 10},
		{Kind: compress.RandomK, Values: 10, Keep: 11},
		{Kind: compress.CountSketch, Values: 10, Keep: 5, Rows: 2},
		{Kind: compress.CountSketch, Values: 10, Keep: 5, Rows: 17},
		{Kind: compress.LowRank, Values: 10, Shapes: [][]int{{10}}},
		{Kind: compress.LowRank, Values: 10, Rank: 1, Shapes: [][]int{{3, 3}}},
		{Kind: compress.LowRank, Values: 10, Rank: 1, Shapes: [][]int{{1 << 40, 1 << 40}}},
	} {
		if _, err := compress.New(s, [32]byte{}); !errors.Is(err, compress.ErrSpec) {
			t.Errorf("%+v: %v", s, err)
		}
		if s.Sent() != 0 || !math.IsNaN(s.ErrorFactor()) {
			t.Errorf("%+v sends %d numbers at factor %g", s, s.Sent(), s.ErrorFactor())
		}
	}
}

// TestKeepFor: the k it returns meets the tolerance, and one less does not.
func TestKeepFor(t *testing.T) {
	for _, c := range []struct{ d, noise, mean, tolerance float64 }{{1e5, 1e-3, 0.3, 0.1}, {1e5, 1e-2, 0.3, 0.1}, {1e6, 1e-6, 1, 0.5}, {50, 1, 1e-3, 1}} {
		d := int(c.d)
		k := compress.KeepFor(d, c.noise, c.mean, c.tolerance)
		grown := func(k int) float64 {
			return math.Sqrt(1 + (c.d/float64(k)-1)*c.mean*c.mean/(c.d*c.noise*c.noise))
		}
		if k < 1 || k > d || grown(k) > (1+c.tolerance)*(1+1e-9) || k > 1 && grown(k-1) < 1+c.tolerance {
			t.Errorf("%+v: k = %d grows the error by %g", c, k, grown(k))
		}
	}
}

func FuzzSpec(f *testing.F) {
	f.Add("srht", 100, 10, 0, 0, 10, 10)
	f.Add("low_rank", 100, 0, 0, 3, 10, 10)
	f.Add("count_sketch", 90, 30, 3, 0, 1, 1)
	f.Fuzz(func(t *testing.T, kind string, values, keep, rows, rank, a, b int) {
		if values > 1<<12 {
			return
		}
		s := compress.Spec{Kind: compress.Kind(kind), Values: values, Keep: keep, Rows: rows, Rank: rank, Shapes: [][]int{{a, b}}}
		m, err := compress.New(s, [32]byte{1})
		if err != nil {
			return
		}
		if y := m.Apply(make([]float32, values)); len(y) != m.Sent() || len(y) < 1 || len(y) > max(values, 1) {
			t.Fatalf("%+v sends %d numbers", s, len(y))
		}
	})
}

// TestMapVectors compares every kind with testdata/maps.py: what was sent once must be read for ever.
func TestMapVectors(t *testing.T) {
	data, err := os.ReadFile("testdata/maps.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Seed          string
		Spec          compress.Spec
		Input, Output []float64
	}
	if err := json.Unmarshal(data, &cases); err != nil || len(cases) < 10 {
		t.Fatalf("%d cases, %v", len(cases), err)
	}
	for _, c := range cases {
		m, err := compress.New(c.Spec, [32]byte([]byte(c.Seed)))
		if err != nil {
			t.Fatal(err)
		}
		x := make([]float32, len(c.Input))
		for i, v := range c.Input {
			x[i] = float32(v)
		}
		y := m.Apply(x)
		if len(y) != len(c.Output) {
			t.Fatalf("%+v: %d numbers, want %d", c.Spec, len(y), len(c.Output))
		}
		for i, want := range c.Output {
			if math.Abs(float64(y[i])-want) > 2e-5 {
				t.Fatalf("%+v: number %d is %g, want %g", c.Spec, i, y[i], want)
			}
		}
	}
}
