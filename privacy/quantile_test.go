package privacy_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/veilsum/veilsum/privacy"
	"github.com/veilsum/veilsum/privacy/privacytest"
	"pgregory.net/rapid"
)

// adaptive is base with adaptive clipping.
func adaptive(d int) privacy.Literal {
	l := base(d)
	l.Adaptive = &privacy.Adaptive{CountStdDev: 2}
	return l
}

func mustParams(tb failer, l privacy.Literal) privacy.Params {
	tb.Helper()
	p, err := privacy.New(l)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// clipVector is one case of adaptive clipping in the accounting vectors.
type clipVector struct {
	Kind    string
	Z       float64
	StdDev  float64 `json:"clipped_count_stddev"`
	Clients int     `json:"expected_clients"`
	ZDelta  float64 `json:"z_delta"`
	First   float64 `json:"C0"`
	Eta     float64
	Gamma   float64
	Steps   []struct {
		Fraction float64 `json:"b_tilde"`
		Next     float64 `json:"C_after"`
	}
}

// clipVectors reads the cases of a kind from the accounting vectors.
func clipVectors(t *testing.T, kind string, count int) []clipVector {
	t.Helper()
	raw, err := os.ReadFile("accountant/testdata/accounting.json")
	if err != nil {
		t.Fatal(err)
	}
	var all struct {
		Cases []json.RawMessage `json:"inverse_and_clipping"`
	}
	if err := json.Unmarshal(raw, &all); err != nil {
		t.Fatal(err)
	}
	var found []clipVector
	for _, c := range all.Cases {
		var v clipVector
		if bytes.Contains(c, []byte(`"`+kind+`"`)) {
			if err := json.Unmarshal(c, &v); err != nil {
				t.Fatal(err)
			}
			found = append(found, v)
		}
	}
	if len(found) != count {
		t.Fatalf("%d cases of %s, want %d", len(found), kind, count)
	}
	return found
}

// TestAdaptiveSplit: the three cases adaptive_clip_split of the accounting
// vectors (Andrew et al. 2021, Theorem 1). B is a whole number of steps, so the
// count's noise is at most CountStdDev; at the noise it has, z_delta is exact.
func TestAdaptiveSplit(t *testing.T) {
	for _, c := range clipVectors(t, "adaptive_clip_split", 3) {
		l := base(4000)
		l.NoiseMultiplier, l.MinBatchSize, l.MaxBatchSize = c.Z, c.Clients, c.Clients
		plain := mustParams(t, l)
		l.Adaptive = &privacy.Adaptive{CountStdDev: c.StdDev}
		p := mustParams(t, l)
		b, sigma := float64(p.Indicator()), p.TotalStdDev()
		if got := sigma / (2 * b); got > c.StdDev || sigma/(2*(b-1)) <= c.StdDev {
			t.Errorf("z = %g: B = %g gives a count's noise of %g, want the least B for at most %g", c.Z, b, got, c.StdDev)
		}
		split := func(s float64) float64 { return 1 / math.Sqrt(1/(c.Z*c.Z)-1/(4*s*s)) }
		near(t, "z_delta of the formula", split(c.StdDev), c.ZDelta, 1e-12)
		near(t, "z_delta", sigma/p.UpdateBound(), split(sigma/(2*b)), 1e-12)
		// The update keeps the room that it has without an indicator.
		if room := float64(plain.Sensitivity()); p.UpdateBound() < room || float64(p.Sensitivity()) > room*p.TotalStdDev()/c.Z/p.UpdateBound()+2 {
			t.Errorf("z = %g: D = %d leaves %g to the update, want at least %g", c.Z, p.Sensitivity(), p.UpdateBound(), room)
		}
		if p.EncodedValues() != 4001 || p.Values() != 4000 || plain.EncodedValues() != 4000 {
			t.Errorf("%d values encoded of %d, %d without an indicator", p.EncodedValues(), p.Values(), plain.EncodedValues())
		}
	}
}

// TestAdaptiveWorkedExample is the example of GUARANTEE.md, section 8.
func TestAdaptiveWorkedExample(t *testing.T) {
	p := mustParams(t, privacy.Literal{
		Values: 100_000, ClippingNorm: 0.5, NoiseMultiplier: 1, MinBatchSize: 10_000, MaxBatchSize: 12_000, MaxDishonest: 100,
		Adaptive: &privacy.Adaptive{},
	})
	if p.Sensitivity() != 1131 || p.Indicator() != 2 || p.Literal().Adaptive.CountStdDev != 500 {
		t.Errorf("D %d, B %d, s_b %g", p.Sensitivity(), p.Indicator(), p.Literal().Adaptive.CountStdDev)
	}
	near(t, "UpdateBound", p.UpdateBound(), 1130.998, 1e-3)
	r, err := p.WithRoundClippingNorm(0.25)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "Grid", r.Grid(), p.UpdateBound()/(0.25*1.01), 1e-9)
}

// TestNextClippingNorm: the sequence adaptive_clip_geometric of the accounting
// vectors, then the limits.
func TestNextClippingNorm(t *testing.T) {
	l, v := base(10), clipVectors(t, "adaptive_clip_geometric", 1)[0]
	l.ClippingNorm = v.First
	l.Adaptive = &privacy.Adaptive{TargetQuantile: v.Gamma, LearningRate: v.Eta, CountStdDev: 2, MinNorm: 0.05, MaxNorm: 0.3}
	p := mustParams(t, l)
	c := l.ClippingNorm
	for _, step := range v.Steps {
		next, err := p.NextClippingNorm(c, step.Fraction)
		if err != nil {
			t.Fatal(err)
		}
		near(t, fmt.Sprintf("after %g", step.Fraction), next, step.Next, 3e-17)
		c = next
	}
	if len(v.Steps) != 5 || v.First != 0.1 {
		t.Errorf("%d steps from %g", len(v.Steps), v.First)
	}
	for _, limit := range []struct{ c, fraction, want float64 }{
		{0.05, 1, 0.05}, {0.3, 0, 0.3}, {0.3, -1e9, 0.3}, {0.051, 7, 0.05},
	} {
		if got, err := p.NextClippingNorm(limit.c, limit.fraction); err != nil || got != limit.want {
			t.Errorf("after %g at %g: %g, %v, want %g", limit.fraction, limit.c, got, err, limit.want)
		}
	}
	for _, bad := range [][2]float64{{0.04, 0.5}, {0.31, 0.5}, {math.NaN(), 0.5}, {0.1, math.NaN()}, {0.1, math.Inf(1)}} {
		if _, err := p.NextClippingNorm(bad[0], bad[1]); !errors.Is(err, privacy.ErrParams) {
			t.Errorf("%g, %g: %v", bad[0], bad[1], err)
		}
	}
	for _, c := range []float64{0.04, 0.31} {
		if _, err := p.WithRoundClippingNorm(c); !errors.Is(err, privacy.ErrParams) {
			t.Errorf("a round's clipping norm %g: %v", c, err)
		}
	}
}

// TestNextClippingNormIsExact: within one unit in the last place of a float64
// exponential that is itself within one.
func TestNextClippingNormIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := adaptive(1)
		l.Adaptive.LearningRate = rapid.Float64Range(1e-3, 4).Draw(t, "eta")
		l.Adaptive.TargetQuantile = rapid.Float64Range(0.01, 0.99).Draw(t, "g")
		l.Adaptive.MinNorm, l.Adaptive.MaxNorm = 1e-20, 1e20
		p := mustParams(t, l)
		c, f := rapid.Float64Range(1e-10, 1e10).Draw(t, "C"), rapid.Float64Range(0, 1).Draw(t, "fraction")
		got, err := p.NextClippingNorm(c, f)
		want := c * math.Exp(-l.Adaptive.LearningRate*(f-l.Adaptive.TargetQuantile))
		if err != nil || math.Abs(got-want) > 4e-16*want {
			t.Fatalf("got %v, %v, want %v", got, err, want)
		}
	})
}

func TestAdaptiveRefusals(t *testing.T) {
	for _, c := range []struct {
		change func(*privacy.Literal)
		want   string
	}{
		{func(l *privacy.Literal) { l.Adaptive.TargetQuantile = 1 }, "Adaptive.TargetQuantile is 1"},
		{func(l *privacy.Literal) { l.Adaptive.TargetQuantile = math.NaN() }, "Adaptive.TargetQuantile is NaN"},
		{func(l *privacy.Literal) { l.Adaptive.LearningRate = -1 }, "Adaptive.LearningRate is -1"},
		{func(l *privacy.Literal) { l.Adaptive.LearningRate = 5 }, "Adaptive.LearningRate is 5, want 5e-324 to 4"},
		{func(l *privacy.Literal) { l.Adaptive.CountStdDev = math.Inf(1) }, "Adaptive.CountStdDev is +Inf"},
		{func(l *privacy.Literal) { l.Adaptive.CountStdDev = 0.9 }, "Adaptive.CountStdDev is 0.9, want at least 1 with"},
		{func(l *privacy.Literal) { l.Adaptive.CountStdDev = 0 }, "Adaptive.CountStdDev is 0.5, want at least 1 with"},
		{func(l *privacy.Literal) { l.TrustModel = privacy.Local }, "Adaptive.CountStdDev is 2, want at least 3.16"},
		{func(l *privacy.Literal) { l.Adaptive.MinNorm = 2 }, "Adaptive.MinNorm is 2, want 1e-30 to 1"},
		{func(l *privacy.Literal) { l.Adaptive.MaxNorm = 0.5 }, "Adaptive.MaxNorm is 0.5, want 1 to"},
		{func(l *privacy.Literal) { l.Mechanism, l.TrustModel = privacy.Gaussian, privacy.Local }, "Adaptive needs Mechanism discrete_gaussian"},
	} {
		l := adaptive(100)
		c.change(&l)
		if _, err := privacy.New(l); !errors.Is(err, privacy.ErrParams) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
	e := newEncoder(t, base(10), [32]byte{})
	if _, err := e.Fraction(make([]int64, 10), 1); !errors.Is(err, privacy.ErrParams) {
		t.Errorf("a fraction without adaptive clipping: %v", err)
	}
	if _, err := e.Params().NextClippingNorm(1, 0.5); !errors.Is(err, privacy.ErrParams) || !math.IsNaN(e.FractionStdDev(10)) {
		t.Errorf("a next clipping norm without adaptive clipping: %v", err)
	}
	e = newEncoder(t, adaptive(10), [32]byte{})
	for _, c := range [][2]int{{10, 1}, {12, 1}, {11, 0}, {11, 101}} {
		if _, err := e.FractionInt32(make([]int32, c[0]), c[1]); !errors.Is(err, privacy.ErrLength) {
			t.Errorf("%d values of %d reports: %v", c[0], c[1], err)
		}
	}
}

// TestAdaptiveLiteral: defaults, copies and JSON.
func TestAdaptiveLiteral(t *testing.T) {
	l := base(100)
	l.MinBatchSize, l.ClippingNorm, l.Adaptive = 60, 4, &privacy.Adaptive{}
	p := mustParams(t, l)
	want := privacy.Adaptive{TargetQuantile: 0.5, LearningRate: 0.2, CountStdDev: 3, MinNorm: 4.0 / 1024, MaxNorm: 4096}
	if *l.Adaptive != (privacy.Adaptive{}) {
		t.Error("New changed the caller's literal")
	}
	p.Literal().Adaptive.MaxNorm = 1
	if diff := cmp.Diff(want, *p.Literal().Adaptive); diff != "" {
		t.Error(diff)
	}
	data, err := json.Marshal(p.Literal())
	if err != nil {
		t.Fatal(err)
	}
	var back privacy.Literal
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(p.Literal(), back); diff != "" {
		t.Error(diff)
	}
	if data, _ := json.Marshal(base(1)); bytes.Contains(data, []byte("adaptive")) {
		t.Error("a literal without adaptive clipping names it")
	}
}

// TestAdaptiveCharge: one charge of D covers the update and the indicator; only
// the number of values, for the sampler's distance, differs.
func TestAdaptiveCharge(t *testing.T) {
	plain, p := mustParams(t, base(1000)), mustParams(t, adaptive(1000))
	a, errA := plain.Event()
	b, errB := p.Event()
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	if b.Dimension != 1001 || b.Sensitivity != p.Sensitivity() || b.Sigma != p.LocalStdDev() || b.Contributors != a.Contributors || b.Reports != a.Reports {
		t.Errorf("charged %+v", b)
	}
	gA, errA := plain.Guarantee(10, 1e-6)
	gB, errB := p.Guarantee(10, 1e-6)
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	near(t, "epsilon", gB.Epsilon, gA.Epsilon, 1e-9)
	z, err := privacy.NoiseMultiplierFor(withCount(adaptive(1000), 100), 10, 2, 1e-6)
	if err != nil {
		t.Fatal(err)
	}
	want, err := privacy.NoiseMultiplierFor(base(1000), 10, 2, 1e-6)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "noise multiplier", z, want, 1e-6)
}

func withCount(l privacy.Literal, stdDev float64) privacy.Literal {
	l.Adaptive.CountStdDev = stdDev
	return l
}

// TestAdaptiveBoundAlwaysHolds: the update with its indicator stays inside D,
// the update alone inside UpdateBound, and the indicator tells the truth.
func TestAdaptiveBoundAlwaysHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := rapid.OneOf(rapid.IntRange(1, 40), rapid.SampledFrom([]int{64, 100, 300})).Draw(t, "d")
		l := adaptive(d)
		l.ClippingNorm = rapid.SampledFrom([]float64{1e-20, 1e-3, 1, 7.3, 1e20}).Draw(t, "C")
		l.NoiseMultiplier = rapid.SampledFrom([]float64{0.01, 0.7, 1, 2}).Draw(t, "z")
		l.MaxInf = rapid.SampledFrom([]int64{0, 1, 3}).Draw(t, "MaxInf")
		e := newEncoder(t, l, [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "round")))
		update := drawUpdate(t, e)
		x, err := e.Encode(update, privacytest.Seed(rapid.String().Draw(t, "seed")))
		if err != nil {
			t.Fatal(err)
		}
		m := all(x, d+1)
		p := e.Params()
		var sum int64
		for _, v := range m[:d] {
			sum += int64(v) * int64(v)
		}
		b := int64(m[d])
		if bound := p.Sensitivity(); sum+b*b > bound*bound || float64(sum) > p.UpdateBound()*p.UpdateBound()*(1+1e-15) {
			t.Fatalf("square %d and indicator %d, want at most %d^2", sum, b, bound)
		}
		want := p.Indicator()
		if x.Clipped() {
			want = -want
		}
		if b != want || x.Clipped() != (x.Norm() > l.ClippingNorm) || m[d+1] != 0 {
			t.Fatalf("indicator %d then %d with norm %g, want %d", b, m[d+1], x.Norm(), want)
		}
		if max(b, -b) > p.ValueBound() {
			t.Fatalf("indicator %d above ValueBound %d", b, p.ValueBound())
		}
	})
}

// TestAdaptiveChangesNothingElse: the update's integers are those of a round
// without an indicator on the same grid, and the mean is decoded the same.
func TestAdaptiveChangesNothingElse(t *testing.T) {
	const d = 9000
	e := newEncoder(t, adaptive(d), [32]byte{3})
	p, err := mustParams(t, base(d)).WithRoundClippingNorm(1)
	if err != nil {
		t.Fatal(err)
	}
	update := privacytest.Update("same", d, 0.9)
	x, err := e.Encode(cloneOf(update), privacytest.Seed("same"))
	if err != nil {
		t.Fatal(err)
	}
	m := all(x, d+1)
	mean, err := e.DecodeInt32(m[:d+1], 1)
	if err != nil {
		t.Fatal(err)
	}
	var square float64
	for i, v := range mean {
		square += (v - float64(update[i])) * (v - float64(update[i]))
	}
	if limit := math.Sqrt(d) / e.Params().Grid(); len(mean) != d || math.Sqrt(square) > limit {
		t.Errorf("%d values, error %g, want below %g", len(mean), math.Sqrt(square), limit)
	}
	if f, err := e.FractionInt32(m[:d+1], 1); err != nil || f != 1 {
		t.Errorf("fraction %g, %v", f, err)
	}
	if p.EncodedValues() != d || p.Indicator() != 0 || p.UpdateBound() != float64(p.Sensitivity()) {
		t.Errorf("without: %d values, B %d, bound %g", p.EncodedValues(), p.Indicator(), p.UpdateBound())
	}
	var raw []byte
	for _, v := range m[:d+1] {
		raw = binary.LittleEndian.AppendUint32(raw, uint32(v))
	}
	if x.Digest() != sha256.Sum256(raw) {
		t.Error("Digest does not cover all integers and the indicator")
	}
	for _, offset := range []int{d - 3, d - 1, d, d + 1} { // reads over the seam
		got := make([]int32, 5)
		x.Values(offset, got)
		for i, v := range got {
			if at := offset + i; v != valueAt(m, at, d+1) {
				t.Errorf("read at %d: integer %d is %d", offset, at, v)
			}
		}
	}
}

func cloneOf(x []float32) []float32 { return append([]float32(nil), x...) }

func valueAt(m []int32, at, length int) int32 {
	if at >= length {
		return 0
	}
	return m[at]
}

// TestAdaptiveCapacity: indicators that all agree fit the modulus.
func TestAdaptiveCapacity(t *testing.T) {
	for _, d := range []int{1, 64, 100_000} {
		l := adaptive(d)
		l.Kappa, l.KappaInf, l.MaxInf = 1e-6, 1e-6, 1
		p := mustParams(t, l)
		least := float64(l.MaxBatchSize)*float64(p.Indicator()) + 7.54*math.Sqrt(float64(l.MaxBatchSize))*p.LocalStdDev()
		if got := p.RequiredHalfModulus(1024); got < least*(1-1e-12) {
			t.Errorf("d = %d: half modulus %g, want at least %g", d, got, least)
		}
	}
}
