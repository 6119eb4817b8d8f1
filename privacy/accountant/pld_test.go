package accountant_test

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"testing"

	"github.com/veilsum/veilsum/privacy/accountant"
	"pgregory.net/rapid"
)

func poisson(q float64, inner accountant.Event) accountant.Event {
	return accountant.Event{Type: accountant.Poisson, SamplingProbability: q, Event: &inner}
}

func bounds(t interface{ Fatal(...any) }, relation accountant.NeighboringRelation, delta float64, events ...accountant.Event) (low, high float64) {
	p, err := accountant.NewPLD(relation)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if err := p.Compose(e, 1); err != nil {
			t.Fatal(err)
		}
	}
	low, high, err = p.Bounds(delta)
	if err != nil {
		t.Fatal(err)
	}
	if !(low >= 0 && low <= high) || math.IsInf(high, 1) {
		t.Fatal("bounds are", low, high)
	}
	return low, high
}

// few runs a slow property on some draws: 12, 3 with -short, 200 with
// VEILSUM_SLOW=1.
func few(t *testing.T, property func(t *testing.T, draw *rapid.T)) {
	t.Helper()
	n := 12
	if testing.Short() {
		n = 3
	}
	if os.Getenv("VEILSUM_SLOW") == "1" {
		n = 200
	}
	for i := range n {
		rapid.Custom(func(draw *rapid.T) int { property(t, draw); return 0 }).Example(i)
		if t.Failed() {
			return
		}
	}
}

// TestPLDGaussianFormula: the closed formula is between the bounds, within
// 1e-6, for delta down to 1e-15.
func TestPLDGaussianFormula(t *testing.T) {
	few(t, func(t *testing.T, draw *rapid.T) {
		z := math.Exp(rapid.Float64Range(math.Log(0.1), math.Log(100)).Draw(draw, "log z"))
		delta := math.Pow(10, rapid.Float64Range(-15, -2).Draw(draw, "log delta"))
		count := rapid.Int64Range(1, 1000).Draw(draw, "count")
		e := accountant.Repeat(gaussian(z), count)
		x, err := accountant.NewExact(accountant.ZeroOut)
		if err != nil {
			t.Fatal(err)
		}
		if err := x.Compose(e, 1); err != nil {
			t.Fatal(err)
		}
		want, err := x.Epsilon(delta)
		if err != nil {
			t.Fatal(err)
		}
		low, high := bounds(t, accountant.ZeroOut, delta, e)
		slack := 1e-6 * math.Max(want, 0.01)
		if low > want*(1+1e-12)+1e-15 || high < want*(1-1e-12)-1e-15 || low < want-slack || high > want+slack {
			t.Fatalf("z %v count %d delta %v: %v to %v, exact %v", z, count, delta, low, high, want)
		}
	})
}

// TestExactGaussianFormula checks the inversion against delta written out with
// the standard library, where that keeps its digits.
func TestExactGaussianFormula(t *testing.T) {
	phi := func(x float64) float64 { return math.Erfc(-x/math.Sqrt2) / 2 }
	rapid.Check(t, func(t *rapid.T) {
		mu := math.Exp(rapid.Float64Range(math.Log(0.05), math.Log(20)).Draw(t, "log mu"))
		delta := math.Pow(10, rapid.Float64Range(-12, -0.5).Draw(t, "log delta"))
		x, _ := accountant.NewExact(accountant.AddRemove)
		if err := x.Compose(gaussian(1/mu), 1); err != nil {
			t.Fatal(err)
		}
		eps, err := x.Epsilon(delta)
		if err != nil {
			t.Fatal(err)
		}
		first, second := phi(mu/2-eps/mu), math.Exp(eps)*phi(-mu/2-eps/mu)
		got := first - second
		if eps == 0 {
			if got > delta*(1+1e-9) {
				t.Fatalf("mu %v: epsilon 0 has delta %v, want at most %v", mu, got, delta)
			}
			return
		}
		if math.Abs(got-delta) > 1e-9*delta+4e-16*first*(1+eps) {
			t.Fatalf("mu %v: epsilon %v has delta %v, want %v", mu, eps, got, delta)
		}
	})
}

// TestOneSampledStep: the closed form of one step, at 30 digits, is between
// the bounds, for delta down to 1e-16.
func TestOneSampledStep(t *testing.T) {
	data, err := os.ReadFile("testdata/onestep.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Cases []struct{ Q, S, Delta, Eps float64 }
	}
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Cases) != 40 {
		t.Fatalf("%d cases, want 40", len(v.Cases))
	}
	for i, c := range v.Cases {
		if testing.Short() && i%8 != 0 {
			continue
		}
		low, high := bounds(t, accountant.AddRemove, c.Delta, poisson(c.Q, gaussian(c.S)))
		if low > c.Eps*(1+1e-9)+1e-12 || high < c.Eps*(1-1e-9)-1e-12 || high-low > 0.01*math.Max(c.Eps, 1e-3) {
			t.Errorf("%+v: %v to %v", c, low, high)
		}
	}
}

// TestRandomizedResponseByEnumeration: all outcomes of a composition.
func TestRandomizedResponseByEnumeration(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, k := rapid.Float64Range(0.05, 0.95).Draw(t, "p"), rapid.IntRange(2, 9).Draw(t, "k")
		n := rapid.IntRange(1, 12).Draw(t, "n")
		delta := math.Pow(10, rapid.Float64Range(-9, -2).Draw(t, "log delta"))
		b := p / float64(k)
		a, rest := 1-p+b, float64(k-2)*b
		gap := math.Log(a / b)
		lose := func(eps float64) (sum float64) { // trinomial
			for i := 0; i <= n; i++ {
				for j := 0; i+j <= n; j++ {
					c, _ := math.Lgamma(float64(n + 1))
					for _, m := range []int{i, j, n - i - j} {
						l, _ := math.Lgamma(float64(m + 1))
						c -= l
					}
					mass := math.Exp(c) * math.Pow(a, float64(i)) * math.Pow(b, float64(j)) * math.Pow(rest, float64(n-i-j))
					sum += mass * math.Max(0, -math.Expm1(eps-float64(i-j)*gap))
				}
			}
			return sum
		}
		e := accountant.Repeat(accountant.Event{Type: accountant.RandomizedResponse, NoiseParameter: p, NumBuckets: int64(k)}, int64(n))
		low, high := bounds(t, accountant.ReplaceOne, delta, e)
		if lose(high) > delta*(1+1e-9) || low > 0 && lose(low) < delta*(1-1e-6) {
			t.Fatalf("p %v k %d n %d: %v to %v have delta %v and %v, want %v", p, k, n, low, high, lose(low), lose(high), delta)
		}
	})
}

// TestSameMechanismsWrittenDifferently.
func TestSameMechanismsWrittenDifferently(t *testing.T) {
	mixture := accountant.Event{Type: accountant.GaussianMixture, StandardDeviation: 3, Sensitivities: []float64{0, 2}, SamplingProbs: []float64{0.97, 0.03}}
	truncated := accountant.Event{Type: accountant.TruncatedPoisson, DatasetSize: 1000, SamplingProbability: 0.03, TruncatedBatchSize: 1000, NoiseMultiplier: 1.5}
	half := gaussian(1.5 * math.Sqrt2)
	matrix := accountant.Event{Type: accountant.Matrix, NoiseMultiplier: 6, StrategySensitivity: 4}
	for name, c := range map[string]struct {
		relation accountant.NeighboringRelation
		a, b     accountant.Event
	}{
		"mixture":       {accountant.AddRemove, poisson(0.03, gaussian(1.5)), mixture},
		"truncated":     {accountant.AddRemove, poisson(0.03, gaussian(1.5)), truncated},
		"inside":        {accountant.ZeroOut, poisson(0.03, gaussian(1.5)), poisson(0.03, accountant.Repeat(half, 2))},
		"not sampled":   {accountant.ZeroOut, gaussian(1.5), poisson(1, gaussian(1.5))},
		"replaced":      {accountant.ReplaceOne, gaussian(3), poisson(1, gaussian(3))},
		"whole data":    {accountant.ReplaceOne, gaussian(3), accountant.Event{Type: accountant.FixedSize, SourceDatasetSize: 9, SampleSize: 9, Event: &accountant.Event{Type: accountant.Gaussian, NoiseMultiplier: 1.5}}},
		"matrix":        {accountant.ZeroOut, gaussian(1.5), matrix},
		"replaced by Q": {accountant.ReplaceOne, laplace(2), accountant.Repeat(laplace(2), 1)},
	} {
		for _, n := range []int64{1, 30} {
			_, a := bounds(t, c.relation, 1e-6, accountant.Repeat(c.a, n))
			_, b := bounds(t, c.relation, 1e-6, accountant.Repeat(c.b, n))
			if math.Abs(a-b) > 1e-6*a {
				t.Errorf("%s, %d times: %v and %v", name, n, a, b)
			}
		}
	}
}

// TestPLDBelowRDP: the lower bound is below every other proof, and the tight
// guarantee is not above any.
func TestPLDBelowRDP(t *testing.T) {
	few(t, func(t *testing.T, draw *rapid.T) {
		q := math.Exp(rapid.Float64Range(math.Log(1e-4), math.Log(0.9)).Draw(draw, "log q"))
		z := rapid.Float64Range(0.6, 8).Draw(draw, "z")
		count := rapid.Int64Range(1, 2000).Draw(draw, "count")
		relation := rapid.SampledFrom([]accountant.NeighboringRelation{accountant.AddRemove, accountant.ReplaceOne}).Draw(draw, "relation")
		delta := math.Pow(10, rapid.Float64Range(-12, -3).Draw(draw, "log delta"))
		events := []accountant.Event{accountant.Repeat(poisson(q, gaussian(z)), count), laplace(30)}
		low, high := bounds(t, relation, delta, events...)
		rdp, err := accountant.Account(events, delta, relation)
		if err != nil {
			t.Fatal(err)
		}
		if low > rdp.Epsilon*(1+1e-9) || high > rdp.Epsilon*(1+1e-3)+1e-3 {
			t.Fatalf("%v to %v, RDP %v", low, high, rdp.Epsilon)
		}
		tight, err := accountant.AccountTight(events, delta, relation)
		if err != nil || tight.Epsilon > math.Min(high, rdp.Epsilon)*(1+1e-12) || tight.Epsilon < low {
			t.Fatalf("tight %v (%v), %v to %v, RDP %v", tight.Epsilon, err, low, high, rdp.Epsilon)
		}
	})
}

// TestUnsupported: refused, not guessed.
func TestUnsupported(t *testing.T) {
	rr := accountant.Event{Type: accountant.RandomizedResponse, NoiseParameter: 0.5, NumBuckets: 2}
	fixed := accountant.Event{Type: accountant.FixedSize, SourceDatasetSize: 10, SampleSize: 1, Event: &accountant.Event{Type: accountant.Gaussian, NoiseMultiplier: 1}}
	mixture := accountant.Event{Type: accountant.GaussianMixture, StandardDeviation: 3, Sensitivities: []float64{1}, SamplingProbs: []float64{1}}
	truncated := accountant.Event{Type: accountant.TruncatedPoisson, DatasetSize: 10, SamplingProbability: 0.5, TruncatedBatchSize: 5, NoiseMultiplier: 1}
	tree := accountant.Event{Type: accountant.Tree, NoiseMultiplier: 1, StepCounts: accountant.StepCounts{4}}
	zcdp := accountant.Event{Type: accountant.ZCDP, Rho: 1}
	wide := accountant.Event{Type: accountant.DiscreteGaussian, Sensitivity: 1, Sigma: 2, Dimension: 3}
	for _, c := range []struct {
		relation accountant.NeighboringRelation
		event    accountant.Event
		rdp, pld bool
	}{
		{accountant.AddRemove, rr, false, false},
		{accountant.AddRemove, fixed, false, false},
		{accountant.ZeroOut, fixed, false, false},
		{accountant.ReplaceOne, mixture, false, false},
		{accountant.ZeroOut, truncated, false, false},
		{accountant.AddRemove, tree, false, false},
		{accountant.AddRemove, accountant.Event{Type: accountant.Matrix, NoiseMultiplier: 1, StrategySensitivity: 1}, false, false},
		{accountant.ReplaceOne, poisson(0.1, laplace(1)), false, false},
		{accountant.ReplaceOne, zcdp, false, false},
		{accountant.AddRemove, zcdp, true, false},
		{accountant.AddRemove, wide, true, false},
		{accountant.ZeroOut, round, true, false},
	} {
		p, _ := accountant.NewPLD(c.relation)
		r, _ := accountant.NewRDP(c.relation)
		for name, got := range map[string]struct {
			err  error
			want bool
		}{"RDP": {r.Supports(c.event), c.rdp}, "PLD": {p.Supports(c.event), c.pld}} {
			if (got.err == nil) != got.want || got.err != nil && !(errors.Is(got.err, accountant.ErrUnsupported) && errors.Is(got.err, accountant.ErrEvent)) {
				t.Errorf("%s of %s under %s: %v", name, c.event.Type, c.relation, got.err)
			}
		}
		report, err := accountant.Judge(c.event, c.relation, 1e-6)
		if (err == nil) != (c.rdp || c.pld) || (report.PLD != nil) != c.pld || (report.RDP != nil) != c.rdp {
			t.Errorf("%s under %s: %+v, %v", c.event.Type, c.relation, report, err)
		}
		if _, err := accountant.AccountTight([]accountant.Event{c.event}, 1e-6, c.relation); (err == nil) != c.rdp {
			t.Errorf("tight %s under %s: %v", c.event.Type, c.relation, err)
		}
	}
	if _, err := accountant.Judge(gaussian(0), accountant.ZeroOut, 1e-6); !errors.Is(err, accountant.ErrEvent) {
		t.Errorf("invalid event: %v", err)
	}
	if _, err := accountant.Judge(gaussian(1), "other", 1e-6); !errors.Is(err, accountant.ErrEvent) {
		t.Errorf("unknown relation: %v", err)
	}
}

// TestPLDOfHopelessLaplace: noise so small that a grid would take minutes is
// refused at once; the pure epsilon, which it is near, still has a formula.
func TestPLDOfHopelessLaplace(t *testing.T) {
	e := accountant.Repeat(accountant.Event{Type: accountant.Laplace, NoiseMultiplier: 2e-6}, 1000)
	p, err := accountant.NewPLD(accountant.ReplaceOne)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Compose(e, 1); err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.Bounds(1e-6); !errors.Is(err, accountant.ErrUnsupported) {
		t.Errorf("bounds: %v", err)
	}
	g, err := accountant.AccountTight([]accountant.Event{e}, 1e-6, accountant.ReplaceOne)
	if err != nil || math.Abs(g.Epsilon-1e9) > 1e3 {
		t.Errorf("%+v %v, want nearly 1e9", g, err)
	}
}
