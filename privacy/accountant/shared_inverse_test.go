package accountant_test

import (
	"math"
	"testing"

	"github.com/veilsum/veilsum/privacy/accountant"
)

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance*math.Abs(want)) {
		t.Errorf("%s: %.15g, want %.15g", what, got, want)
	}
}

func number(c map[string]any, key string) float64 {
	v, _ := c[key].(float64)
	return v
}

// TestSharedInverse: noise for a target, by formula, by RDP and by PLD (whose
// reference was computed on a coarse pessimistic grid), and the sensitivities
// of matrix mechanisms..
func TestSharedInverse(t *testing.T) {
	for _, c := range readShared(t).Inverse {
		eps, delta, count := number(c, "target_epsilon"), number(c, "delta"), int64(number(c, "count"))
		switch c["kind"] {
		case "gaussian_sigma":
			z, err := accountant.ExactGaussianNoiseMultiplier(count, eps, delta, accountant.AddRemove)
			if err != nil {
				t.Fatal(err)
			}
			near(t, "sigma", z, number(c, "sigma"), 1e-9)
		case "poisson_gaussian_noise_multiplier":
			testPoissonInverse(t, c, eps, delta, count)
		case "toeplitz_min_sep_sensitivity":
			testToeplitz(t, c)
		case "adaptive_clip_split", "adaptive_clip_geometric": // of package privacy: TestAdaptiveSplit, TestNextClippingNorm
		default:
			t.Errorf("kind %v is not tested", c["kind"])
		}
	}
}

func testPoissonInverse(t *testing.T, c map[string]any, eps, delta float64, count int64) {
	events := func(z float64) ([]accountant.Event, error) {
		e := gaussian(z)
		return []accountant.Event{accountant.Repeat(accountant.Event{Type: accountant.Poisson, SamplingProbability: number(c, "q"), Event: &e}, count)}, nil
	}
	z, err := accountant.Calibrate(events, eps, delta, accountant.AddRemove)
	if err != nil {
		t.Fatal(err)
	}
	want := number(c, "rdp_noise_multiplier")
	if z > want*(1+1e-4) || z < want*0.995 {
		t.Errorf("RDP noise multiplier %v, want %v", z, want)
	}
	if testing.Short() && count > 100 {
		return
	}
	tight, err := accountant.CalibrateTight(events, eps, delta, accountant.AddRemove)
	if err != nil {
		t.Fatal(err)
	}
	want = number(c, "pld_noise_multiplier_disc1e-3")
	t.Logf("tight %v want %v (rel %.2g)", tight, want, tight/want-1)
	if tight > want*(1+1e-3) || tight < want*0.98 {
		t.Errorf("tight noise multiplier %v, want %v", tight, want)
	}
	made, _ := events(tight)
	g, err := accountant.AccountTight(made, delta, accountant.AddRemove)
	if err != nil || g.Epsilon > eps || g.Epsilon < eps*(1-1e-5) {
		t.Errorf("at that noise epsilon is %v (%v), want %v or just below", g.Epsilon, err, eps)
	}
}

func testToeplitz(t *testing.T, c map[string]any) {
	n, count := int(number(c, "n")), int(number(c, "num_coef"))
	coef := []float64{1}
	if c["strategy"] != "identity" {
		var err error
		if coef, err = accountant.OptimalToeplitz(count); err != nil {
			t.Fatal(err)
		}
	}
	for i, v := range c["coef_head"].([]any) {
		near(t, "coefficient", coef[i], v.(float64), 1e-15)
	}
	sens, err := accountant.ToeplitzSensitivity(coef, n, int(number(c, "min_sep")), int(number(c, "max_participations")))
	if err != nil {
		t.Fatal(err)
	}
	near(t, "sensitivity", sens, number(c, "l2_sensitivity"), 1e-12)
	rms, largest, err := accountant.PrefixError(coef, n)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "rms error", rms*sens, number(c, "rms_prefix_error_unit_noise_times_sens"), 1e-9)
	near(t, "largest error", largest*sens, number(c, "max_prefix_error_times_sens"), 1e-9)
}
