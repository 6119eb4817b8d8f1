package accountant_test

import (
	"math"
	"strconv"
	"testing"

	"github.com/veilsum/veilsum/privacy/accountant"
)

// curveOf is the composed Rényi divergence of one event at the orders.
func curveOf(t *testing.T, e accountant.Event, relation accountant.NeighboringRelation, orders ...float64) []float64 {
	t.Helper()
	r, err := accountant.NewRDP(relation, orders...)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Compose(e, 1); err != nil {
		t.Fatal(err)
	}
	_, values := r.Orders()
	return values
}

// TestSharedDiscrete: bounds of the distributed noises at each order, never
// below the exact divergence of the true sum and equal to the formula; and the
// sampled Gaussian's divergence against quadrature at 30 digits.
func TestSharedDiscrete(t *testing.T) {
	for _, c := range readShared(t).Discrete {
		var e accountant.Event
		switch c["kind"] {
		case "ddgauss_1d_exact":
			n := int64(number(c, "n"))
			e = accountant.Event{
				Type: accountant.DistributedDiscreteGaussian, Sensitivity: int64(number(c, "shift")),
				Sigma: number(c, "sigma_local"), Contributors: n, Dimension: 1, Reports: n,
			}
		case "skellam_1d":
			e = accountant.Event{Type: accountant.Skellam, Variance: number(c, "mu_variance"), Sensitivity: int64(number(c, "shift")), L1Sensitivity: int64(number(c, "shift")), Dimension: 1}
		case "skellam_bound":
			e = accountant.Event{
				Type: accountant.Skellam, Variance: number(c, "mu_variance_total"), Sensitivity: int64(number(c, "l2_int")),
				L1Sensitivity: int64(number(c, "l1_int")), Dimension: int64(number(c, "dim")),
			}
		case "rdp_curve_poisson_gaussian":
			inner := gaussian(number(c, "noise_multiplier"))
			e = accountant.Event{Type: accountant.Poisson, SamplingProbability: number(c, "q"), Event: &inner}
		case "ddgauss_bound": // real norms: TestDistributedVectors
			continue
		default:
			t.Errorf("kind %v is not tested", c["kind"])
			continue
		}
		testDivergences(t, e, c)
		testHockeyStick(t, e, c)
	}
}

func testDivergences(t *testing.T, e accountant.Event, c map[string]any) {
	for _, r := range c["rdp"].([]any) {
		r := r.(map[string]any)
		order := number(r, "order")
		got := curveOf(t, e, relationFor(e), order)[0]
		exact, _ := r["rdp_exact"].(float64)
		if s, ok := r["rdp_exact"].(string); ok {
			exact, _ = strconv.ParseFloat(s, 64)
			near(t, "sampled divergence", got, exact, 1e-9)
		}
		if got < exact*(1-1e-9) {
			t.Errorf("%v order %g: %v is below the exact %v", c["kind"], order, got, exact)
		}
		for _, key := range []string{"rdp_bound", "rdp"} {
			if want, ok := r[key].(float64); ok {
				near(t, key, got, want, 1e-9)
			}
		}
	}
}

func testHockeyStick(t *testing.T, e accountant.Event, c map[string]any) {
	points, _ := c["hockey_stick"].([]any)
	for _, h := range points {
		h := h.(map[string]any)
		delta, err := strconv.ParseFloat(h["delta_exact"].(string), 64)
		if err != nil {
			t.Fatal(err)
		}
		if delta < 1e-22 || delta >= 1 {
			continue // of the size of the sampler's own distance
		}
		g, err := accountant.Account([]accountant.Event{e}, delta, relationFor(e))
		if err != nil || g.Epsilon < number(h, "epsilon") || math.IsInf(g.Epsilon, 1) {
			t.Errorf("%v delta %g: epsilon %v (%v) is below the exact %v", c["kind"], delta, g.Epsilon, err, number(h, "epsilon"))
		}
	}
}

func relationFor(e accountant.Event) accountant.NeighboringRelation {
	if e.Type == accountant.DistributedDiscreteGaussian {
		return accountant.ZeroOut
	}
	return accountant.AddRemove
}
