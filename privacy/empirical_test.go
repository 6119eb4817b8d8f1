package privacy_test

import (
	"math"
	"testing"

	"github.com/veilsum/veilsum/internal/sampler"
	"github.com/veilsum/veilsum/privacy"
	"github.com/veilsum/veilsum/privacy/privacytest"
)

// empiricalEpsilon attacks the sum of h_min honest noises, with the victim at
// zero or at shift, by the best of many thresholds, and returns a lower bound on
// epsilon at delta. Both tail frequencies are moved by 7 standard errors (and
// the small one by a further 7 counts) against the bound, so that over a
// hundred thresholds it exceeds the truth with probability below 10^-9.
func empiricalEpsilon(t *testing.T, p privacy.Params, shift int32, delta float64, draws int) float64 {
	t.Helper()
	g, err := sampler.NewGaussian(p.LocalStdDev())
	if err != nil {
		t.Fatal(err)
	}
	seed := privacytest.Seed("empirical epsilon")
	stream := sampler.NewKey(seed).Stream(0)
	sums := [2][]int32{make([]int32, draws), make([]int32, draws)}
	noise := make([]int32, draws)
	for world := range sums {
		for range p.HonestMin() {
			g.Sample(noise, stream)
			for i, v := range noise {
				sums[world][i] += v
			}
		}
	}
	best := 0.0
	for k := range 100 {
		threshold := shift * int32(k-20) / 15
		var with, without float64
		for i := range noise {
			if sums[0][i]+shift >= threshold {
				with++
			}
			if sums[1][i] >= threshold {
				without++
			}
		}
		n := float64(draws)
		low := (with - 7*math.Sqrt(with)) / n
		high := (without + 7*math.Sqrt(without) + 7) / n
		if low > delta {
			best = math.Max(best, math.Log((low-delta)/high))
		}
	}
	return best
}

// TestEmpiricalEpsilon: an attacker who knows everything but h_min honest
// noises does not beat the guarantee, whoever computed D, sigma_e and epsilon;
// where one vehicle moves the sum by 3D it does, so the test can fail.
func TestEmpiricalEpsilon(t *testing.T) {
	draws := 1_000_000
	if testing.Short() {
		draws = 200_000
	}
	for _, z := range []float64{0.8, 1.5} {
		p, err := privacy.New(privacy.Literal{Values: 1, ClippingNorm: 2, NoiseMultiplier: z, MinBatchSize: 30, MaxBatchSize: 30, MaxDishonest: 27})
		if err != nil {
			t.Fatal(err)
		}
		g, err := p.Guarantee(1, 1e-5)
		if err != nil {
			t.Fatal(err)
		}
		lower := empiricalEpsilon(t, p, int32(p.Sensitivity()), g.Delta, draws)
		t.Logf("z = %g: epsilon between %.2f (attack) and %.2f (claim)", z, lower, g.Epsilon)
		if lower > g.Epsilon || lower < g.Epsilon/4 {
			t.Errorf("z = %g: the attack shows epsilon >= %.3f, claimed is %.3f", z, lower, g.Epsilon)
		}
		if broken := empiricalEpsilon(t, p, 3*int32(p.Sensitivity()), g.Delta, draws); broken <= g.Epsilon {
			t.Errorf("z = %g: three times D went unnoticed, %.3f against %.3f", z, broken, g.Epsilon)
		}
	}
}
