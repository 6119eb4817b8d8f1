package privacy_test

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/veilsum/veilsum/privacy"
)

// TestRefusals: every field out of range is named together with its value.
func TestRefusals(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		change func(*privacy.Literal)
		want   string
	}{
		{func(l *privacy.Literal) { l.Values = 0 }, "Values is 0, want 1 to"},
		{func(l *privacy.Literal) { l.Values = 1<<28 + 1 }, "Values is 268435457"},
		{func(l *privacy.Literal) { l.ClippingNorm = 0 }, "ClippingNorm is 0"},
		{func(l *privacy.Literal) { l.ClippingNorm = nan }, "ClippingNorm is NaN"},
		{func(l *privacy.Literal) { l.ClippingNorm = math.Inf(1) }, "ClippingNorm is +Inf"},
		{func(l *privacy.Literal) { l.NoiseMultiplier = 0 }, "NoiseMultiplier is 0"},
		{func(l *privacy.Literal) { l.NoiseMultiplier = nan }, "NoiseMultiplier is NaN"},
		{func(l *privacy.Literal) { l.NoiseMultiplier = 1e5 }, "NoiseMultiplier is 100000"},
		{func(l *privacy.Literal) { l.TrustModel = "central" }, `TrustModel is "central", want one of ["distributed" "local"]`},
		{func(l *privacy.Literal) { l.Mechanism = "skellam" }, `Mechanism is "skellam"`},
		{func(l *privacy.Literal) { l.Mechanism = privacy.Laplace }, "Mechanism is laplace, which needs TrustModel local"},
		{func(l *privacy.Literal) { l.Mechanism, l.TrustModel, l.Values = privacy.Gaussian, privacy.Local, 1001 }, "Values is 1001, want at most 1000"},
		{func(l *privacy.Literal) { l.Relation = privacy.AddRemove }, `Relation is "add_remove"`},
		{func(l *privacy.Literal) { l.MinBatchSize = 0 }, "MinBatchSize is 0"},
		{func(l *privacy.Literal) { l.MaxBatchSize = 9 }, "MaxBatchSize is 9, want 10 to"},
		{func(l *privacy.Literal) { l.MaxDishonest = 9 }, "MaxDishonest is 9, want 0 to MinBatchSize - 2 = 8"},
		{func(l *privacy.Literal) { l.MaxDishonest = -1 }, "MaxDishonest is -1"},
		{func(l *privacy.Literal) { l.MinBatchSize = 1 }, "MaxDishonest is 0, want 0 to MinBatchSize - 2 = -1"},
		{func(l *privacy.Literal) { l.Kappa = 1.1 }, "Kappa is 1.1"},
		{func(l *privacy.Literal) { l.KappaInf = -0.1 }, "KappaInf is -0.1"},
		{func(l *privacy.Literal) { l.MaxInf = -1 }, "MaxInf is -1"},
		{func(l *privacy.Literal) { l.MaxInf = 1 << 40 }, "MaxInf is 1099511627776, want 0 or 1 to D = "},
		{func(l *privacy.Literal) { l.Groups = []privacy.Group{{0, 50, 1}} }, "Groups end at 50, want Values = 100"},
		{func(l *privacy.Literal) { l.Groups = []privacy.Group{{0, 50, 1}, {51, 100, 1}} }, "Groups[1] is [51, 100)"},
		{func(l *privacy.Literal) { l.Groups = []privacy.Group{{0, 101, 1}} }, "Groups[0] is [0, 101)"},
		{func(l *privacy.Literal) { l.Groups = []privacy.Group{{0, 100, nan}} }, "ClippingNorm is NaN"},
		{func(l *privacy.Literal) { l.Groups = []privacy.Group{{0, 100, 2}} }, "ClippingNorm is 1, want 0 or the norm of Groups, 2"},
		{func(l *privacy.Literal) { l.NoiseMultiplier, l.MinBatchSize, l.MaxBatchSize = 1e-4, 2e6, 2e6 }, "NoiseMultiplier is 0.0001, which needs D"},
		{func(l *privacy.Literal) { l.NoiseMultiplier, l.Values, l.TrustModel = 1e4, 1e6, privacy.Local }, "which needs a LocalStdDev of"},
		{func(l *privacy.Literal) {
			l.NoiseMultiplier, l.Mechanism, l.TrustModel, l.Values = 1e4, privacy.Laplace, privacy.Local, 1000
		}, "which needs integers of"},
	} {
		l := base(100)
		c.change(&l)
		p, err := privacy.New(l)
		if !errors.Is(err, privacy.ErrParams) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
		if _, err := privacy.NewEncoder(p, [32]byte{}); err == nil && c.want != "" {
			t.Errorf("params refused with %q were usable", c.want)
		}
	}
}

// TestDerived works section 6 of the protocol by hand for a hundred thousand
// values, ten thousand vehicles, z = 1, C = 0.5.
func TestDerived(t *testing.T) {
	p, err := privacy.New(privacy.Literal{Values: 100_000, ClippingNorm: 0.5, NoiseMultiplier: 1, MinBatchSize: 10_000, MaxBatchSize: 12_000, MaxDishonest: 100})
	if err != nil {
		t.Fatal(err)
	}
	// 1/gamma = max(sqrt(100000/0.08), 6.4 sqrt(9900)) / 0.5 = 1118.03 / 0.5;
	// D = ceil(1.01 * 1118.03) = ceil(1129.2) = 1130; sigma_e = 1130/sqrt(9900).
	near(t, "Grid", p.Grid(), 2236.0680, 1e-3)
	near(t, "TotalStdDev", p.TotalStdDev(), 1130, 0)
	near(t, "LocalStdDev", p.LocalStdDev(), 11.3570, 1e-3)
	if p.Sensitivity() != 1130 || p.MaxInf() != 1130 || p.ValueBound() != 1130 || p.HonestMin() != 9900 || p.Values() != 100_000 {
		t.Errorf("D %d, M_inf %d, bound %d, h_min %d", p.Sensitivity(), p.MaxInf(), p.ValueBound(), p.HonestMin())
	}
	// W = 65536: 7.54 sqrt((12000*1130/256)^2 + 12000*11.357^2) = 7.54 * 52983.2
	near(t, "RequiredHalfModulus", p.RequiredHalfModulus(1024), 399_493, 5)
}

// TestCapacityOfFewValues: the term without rotation counts up to N/16 values.
func TestCapacityOfFewValues(t *testing.T) {
	l := base(64)
	l.MaxInf, l.KappaInf = 2, 0.5
	p, err := privacy.New(l)
	if err != nil {
		t.Fatal(err)
	}
	plain := 0.5*100*2 + 7.54*10*p.LocalStdDev()
	near(t, "at N = 1024", p.RequiredHalfModulus(1024), plain, 1e-9)
	if wide := p.RequiredHalfModulus(1008); wide <= plain {
		t.Errorf("below d*16 the capacity is %g, want more than %g", wide, plain)
	}
	if got := (privacy.Params{}).RequiredHalfModulus(1024); !math.IsInf(got, 1) {
		t.Errorf("zero params need %g, want +Inf", got)
	}
}

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

func TestLiteralRoundTrip(t *testing.T) {
	l := base(100)
	l.ClippingNorm = 0
	l.Groups = []privacy.Group{{0, 60, 3}, {60, 100, 4}}
	p, err := privacy.New(l)
	if err != nil {
		t.Fatal(err)
	}
	full := p.Literal()
	if full.TrustModel != privacy.Distributed || full.Mechanism != privacy.DiscreteGaussian || full.Relation != privacy.ZeroOut || full.Kappa != 1 || full.KappaInf != 1 || full.ClippingNorm != 5 {
		t.Errorf("defaults: %+v", full)
	}
	data, err := json.Marshal(full)
	if err != nil {
		t.Fatal(err)
	}
	var back privacy.Literal
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(full, back); diff != "" {
		t.Error(diff)
	}
	again, err := privacy.New(back)
	if err != nil || again.Grid() != p.Grid() || again.Sensitivity() != p.Sensitivity() || again.LocalStdDev() != p.LocalStdDev() {
		t.Errorf("a literal read back gives other params: %v", err)
	}
}

func TestParamsAreImmutable(t *testing.T) {
	l := base(100)
	l.ClippingNorm = 0
	l.Groups = []privacy.Group{{0, 100, 3}}
	p, err := privacy.New(l)
	if err != nil {
		t.Fatal(err)
	}
	l.Groups[0].ClippingNorm = 1000
	p.Literal().Groups[0].ClippingNorm = 1000
	if got := p.Literal().Groups[0].ClippingNorm; got != 3 {
		t.Errorf("a caller changed a group to %g", got)
	}
}

// TestRoundClippingNorm: another clipping norm moves the grid and nothing else.
func TestRoundClippingNorm(t *testing.T) {
	l := base(200)
	l.ClippingNorm = 0
	l.Groups = []privacy.Group{{0, 100, 3}, {100, 200, 4}}
	p, err := privacy.New(l)
	if err != nil {
		t.Fatal(err)
	}
	r, err := p.WithRoundClippingNorm(10)
	if err != nil {
		t.Fatal(err)
	}
	if r.Sensitivity() != p.Sensitivity() || r.LocalStdDev() != p.LocalStdDev() || r.ClippingNorm() != 10 {
		t.Errorf("D %d, sigma_e %g, C %g", r.Sensitivity(), r.LocalStdDev(), r.ClippingNorm())
	}
	near(t, "Grid", r.Grid(), float64(p.Sensitivity())/10.1, 1e-9)
	e, err := privacy.NewEncoder(r, [32]byte{})
	if err != nil {
		t.Fatal(err)
	}
	update := make([]float32, 200)
	update[0], update[150] = 5, 80 // bounds are now 6 and 8
	x, err := e.Encode(append([]float32(nil), update...), [32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	m := all(x, 200)
	checkBound(t, r, m)
	update[150] = 8
	checkDecoded(t, e, [][]int32{m}, update)
	for _, c := range []float64{0, -1, math.NaN(), math.Inf(1)} {
		if _, err := p.WithRoundClippingNorm(c); !errors.Is(err, privacy.ErrParams) {
			t.Errorf("clipping norm %g: %v", c, err)
		}
	}
	if _, err := (privacy.Params{}).WithRoundClippingNorm(1); !errors.Is(err, privacy.ErrParams) {
		t.Errorf("zero params: %v", err)
	}
}
