package privacybench_test

import (
	"math"
	"os"
	"testing"

	"github.com/veilsum/veilsum/privacy"
	"github.com/veilsum/veilsum/privacy/privacybench"
)

// simulate plays n clients of d values at noise multiplier 1, all counted honest.
func simulate(t *testing.T, n, d int, halfModulus int64) privacybench.Result {
	t.Helper()
	p, err := privacy.New(privacy.Literal{Values: d, ClippingNorm: 0.3, NoiseMultiplier: 1, MinBatchSize: n, MaxBatchSize: n})
	if err != nil {
		t.Fatal(err)
	}
	r, err := privacybench.SimulateMean(privacybench.Simulation{Params: p, Clients: n, HalfModulus: halfModulus, Seed: [32]byte{1}})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("n=%d d=%d: %+v", n, d, r)
	return r
}

// TestAgainstCentralGaussian: the ratio to the central mechanism is
// D/(C/gamma), at most 1 % above 1 and the ceiling of D, and the rounding's
// variance, at most 1/(4*6.4^2) in the square. The seed is fixed; over seeds
// the slack of 6 standard errors fails with probability 2*10^-9.
func TestAgainstCentralGaussian(t *testing.T) {
	for _, size := range []struct{ n, d int }{{10, 1000}, {100, 3000}, {50, 40_000}, {300, 4096}} {
		r := simulate(t, size.n, size.d, 0)
		if low, high := 1-6*r.RatioStdErr, 1.025+6*r.RatioStdErr; r.Ratio < low || r.Ratio > high {
			t.Errorf("ratio is %.4f, want %.4f to %.4f", r.Ratio, low, high)
		}
		if r.Wraps != 0 || r.LargestSum >= 1 {
			t.Errorf("%d wraps, largest sum %.3f of the half modulus", r.Wraps, r.LargestSum)
		}
		if r.Clipped == 0 || r.Clipped == size.n {
			t.Errorf("%d of %d clipped: the simulation should have both kinds", r.Clipped, size.n)
		}
	}
}

// TestWrapsAreSeen: a modulus below the capacity must wrap and spoil the
// result, else the simulation could not notice a capacity that is too small.
func TestWrapsAreSeen(t *testing.T) {
	r := simulate(t, 100, 3000, 400)
	if r.Wraps == 0 || r.Ratio < 1.5 || r.LargestSum <= 1 {
		t.Errorf("%d wraps, ratio %.3f, largest %.3f: want a spoiled result", r.Wraps, r.Ratio, r.LargestSum)
	}
}

func TestRefusals(t *testing.T) {
	p, err := privacy.New(privacy.Literal{Values: 10, ClippingNorm: 1, NoiseMultiplier: 1, MinBatchSize: 10, MaxBatchSize: 20})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 9, 21} {
		if _, err := privacybench.SimulateMean(privacybench.Simulation{Params: p, Clients: n}); err == nil {
			t.Errorf("%d clients accepted", n)
		}
	}
	if _, err := privacybench.SimulateMean(privacybench.Simulation{Clients: 1}); err == nil {
		t.Error("zero params accepted")
	}
}

// TestFullSize is the figure in the README: ten thousand clients of 100,000
// values, each encoded. About 20 seconds on one quiet core.
func TestFullSize(t *testing.T) {
	if os.Getenv("VEILSUM_SLOW") != "1" {
		t.Skip("encodes 10^9 values: set VEILSUM_SLOW=1")
	}
	r := simulate(t, 10_000, 100_000, 0)
	if math.Abs(r.Ratio-1.01) > 0.015 || r.Wraps != 0 {
		t.Errorf("ratio %.4f with %d wraps, want 0.995 to 1.025 with none", r.Ratio, r.Wraps)
	}
}
