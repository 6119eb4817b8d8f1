package canary_test

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"testing"

	"github.com/veilsum/veilsum/privacy/canary"
	"pgregory.net/rapid"
)

type auditCase struct {
	Kind                string
	M, Guesses, Correct int
	TP, FP              int
	In                  int `json:"n_in"`
	Out                 int `json:"n_out"`
	Delta, Confidence   float64
	Bound               float64  `json:"eps_lower_bound"`
	PAtOne              float64  `json:"p_value_at_eps1"`
	Tradeoff            *float64 `json:"eps_lower_bound_fdp_gaussian_jax_privacy_2.0.0"`
}

// TestVectors: the bounds of testdata/audit.json; its "source" field says who
// computed them. jax_privacy solves to 1e-6.
func TestVectors(t *testing.T) {
	data, err := os.ReadFile("testdata/audit.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct{ Audit []auditCase }
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Audit) != 12 {
		t.Fatalf("%d cases, want 12", len(v.Audit))
	}
	for _, c := range v.Audit {
		if c.Kind == "clopper_pearson_audit" {
			got, err := canary.ClopperPearson(c.TP, c.In, c.FP, c.Out, c.Delta, c.Confidence)
			if err != nil || math.Abs(got-c.Bound) > 1e-9 {
				t.Errorf("%+v: %v, %v", c, got, err)
			}
			continue
		}
		got, err := canary.EpsilonLowerBound(c.M, c.Guesses, c.Correct, c.Delta, c.Confidence)
		if err != nil || math.Abs(got-c.Bound) > 1e-9 {
			t.Errorf("%+v: %v, %v", c, got, err)
		}
		p, err := canary.PValue(c.M, c.Guesses, c.Correct, 1, c.Delta)
		if err != nil || math.Abs(p-c.PAtOne) > 1e-9*c.PAtOne {
			t.Errorf("%+v: p at epsilon 1 is %v, %v", c, p, err)
		}
		if c.Tradeoff == nil {
			continue
		}
		got, err = canary.GaussianTradeoffBound(c.M, c.Guesses, c.Correct, c.Delta, c.Confidence)
		if err != nil || math.Abs(got-*c.Tradeoff) > 3e-6 {
			t.Errorf("%+v: assuming a Gaussian trade-off %v, %v", c, got, err)
		}
	}
}

// TestPValueByEnumeration compares with sums over the whole distribution.
func TestPValueByEnumeration(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rapid.IntRange(1, 60).Draw(t, "guesses")
		v := rapid.IntRange(0, r).Draw(t, "correct")
		m := r + rapid.IntRange(0, 40).Draw(t, "abstained")
		eps, delta := rapid.Float64Range(0, 6).Draw(t, "eps"), rapid.SampledFrom([]float64{0, 1e-6, 1e-3, 0.1}).Draw(t, "delta")
		q := 1 / (1 + math.Exp(-eps))
		pmf := make([]float64, r+1)
		for k := range pmf {
			pmf[k] = 1
			for i := range r {
				if i < k {
					pmf[k] *= q * float64(r-i) / float64(k-i)
				} else {
					pmf[k] *= 1 - q
				}
			}
		}
		beta, alpha := 0.0, 0.0
		for k := v; k <= r; k++ {
			beta += pmf[k]
		}
		for i := 1; i <= v; i++ {
			sum := 0.0
			for k := v - i; k < v; k++ {
				sum += pmf[k]
			}
			alpha = math.Max(alpha, sum/float64(i))
		}
		want := math.Min(1, beta+2*float64(m)*delta*alpha)
		got, err := canary.PValue(m, r, v, eps, delta)
		if err != nil || math.Abs(got-want) > 1e-10 {
			t.Fatalf("m %d r %d v %d eps %v delta %v: %v (%v), want %v", m, r, v, eps, delta, got, err, want)
		}
	})
}

// TestMonotone: more correct guesses and less confidence never prove less.
func TestMonotone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rapid.IntRange(2, 300).Draw(t, "guesses")
		v := rapid.IntRange(1, r).Draw(t, "correct")
		for name, bound := range map[string]func(m, r, v int, delta, confidence float64) (float64, error){
			"one run": canary.EpsilonLowerBound, "tradeoff": canary.GaussianTradeoffBound,
		} {
			a, err1 := bound(2*r, r, v-1, 1e-5, 0.95)
			b, err2 := bound(2*r, r, v, 1e-5, 0.95)
			c, err3 := bound(2*r, r, v, 1e-5, 0.8)
			if err := errors.Join(err1, err2, err3); err != nil || a > b+1e-9 || b > c+1e-9 {
				t.Fatalf("%s: %v, %v, %v (%v)", name, a, b, c, err)
			}
		}
	})
}

func TestRefused(t *testing.T) {
	for _, c := range []struct {
		m, r, v           int
		delta, confidence float64
	}{
		{0, 0, 0, 0, 0.9},
		{1 << 25, 1, 1, 0, 0.9},
		{10, 11, 1, 0, 0.9},
		{10, 5, 6, 0, 0.9},
		{10, 5, -1, 0, 0.9},
		{10, 5, 5, -1, 0.9},
		{10, 5, 5, 1, 0.9},
		{10, 5, 5, math.NaN(), 0.9},
		{10, 5, 5, 0, 0},
		{10, 5, 5, 0, 1},
	} {
		if _, err := canary.EpsilonLowerBound(c.m, c.r, c.v, c.delta, c.confidence); !errors.Is(err, canary.ErrCounts) {
			t.Errorf("%+v: %v", c, err)
		}
		if _, err := canary.GaussianTradeoffBound(c.m, c.r, c.v, c.delta, c.confidence); !errors.Is(err, canary.ErrCounts) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if _, err := canary.GaussianTradeoffBound(10, 5, 5, 0, 0.9); !errors.Is(err, canary.ErrCounts) {
		t.Errorf("delta 0: %v", err)
	}
	for _, c := range [][4]int{{1, 0, 0, 1}, {2, 1, 0, 1}, {0, 1, 2, 1}, {-1, 1, 0, 1}} {
		if _, err := canary.ClopperPearson(c[0], c[1], c[2], c[3], 0, 0.9); !errors.Is(err, canary.ErrCounts) {
			t.Errorf("%v: %v", c, err)
		}
	}
	if _, err := canary.PValue(10, 5, 5, math.NaN(), 0); !errors.Is(err, canary.ErrCounts) {
		t.Errorf("epsilon NaN: %v", err)
	}
}
