package main

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/veilsum/veilsum/privacy/accountant"
	"github.com/veilsum/veilsum/schema"
)

// planned answers for numbers alone.
func planned(t interface{ Fatal(...any) }, epsilon, delta, noise float64, rounds int64, trust string) *planAnswer {
	task := schema.Task{
		Name: "x", Scope: schema.Scope{Name: "x", Population: "x", Unit: "vehicle", Relation: "zero_out", Epsilon: schema.Real(epsilon), Delta: schema.Real(delta)},
		Tensors: []schema.Tensor{{Name: "u", DType: "float32", Shape: []int{500}}},
		Privacy: schema.Privacy{TrustModel: trust, Mechanism: "discrete_gaussian", ClippingNorm: 2, Kappa: 1, KappaInf: 1, NoiseMultiplier: schema.Real(noise)},
		Batch:   schema.Batch{Min: 100, Max: 150, MaxDishonest: 4, Lanes: 1}, Participation: schema.Participation{MinSeparation: 1},
		Committee: schema.Committee{Size: 4, Threshold: 3, Malicious: 1}, Suite: 1,
	}
	sketchKeys(&task)
	r, err := newPlanAnswer(task, rounds)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// What is affordable is within the budget and one round more is not; the noise
// said to be needed affords the rounds, and a little less does not.
func TestPlanIsConsistent(t *testing.T) {
	for _, c := range []struct {
		eps, delta float64
		rounds     int64
		trust      string
	}{
		{0.4, 1e-5, 1, "distributed"},
		{0.7, 1e-9, 250, "distributed"},
		{3, 1e-6, 17, "local"},
		{4.48, 1e-4, 1, "distributed"},
		{8, 1e-7, 100, "distributed"},
		{9, 1e-5, 3, "local"},
		{25, 1e-8, 40, "distributed"},
	} {
		r := planned(t, c.eps, c.delta, 0, c.rounds, c.trust)
		if r.Rounds.RDP != c.rounds || r.Inputs.NoiseMultiplier != r.Needed.RDP {
			t.Errorf("%+v: %d rounds need %g, which affords %d", c, c.rounds, r.Needed.RDP, r.Rounds.RDP)
		}
		if less := planned(t, c.eps, c.delta, r.Needed.RDP*(1-1e-4), 0, c.trust); less.Rounds.RDP >= c.rounds {
			t.Errorf("%+v: less noise than needed affords %d", c, less.Rounds.RDP)
		}
		if up := upward(r.Needed.RDP); up < r.Needed.RDP || up > r.Needed.RDP*(1+1e-5) {
			t.Errorf("%g is rounded to %g", r.Needed.RDP, up)
		}
		if r.Needed.Gaussian > r.Needed.RDP || r.Rounds.Tight < r.Rounds.RDP {
			t.Errorf("%+v: %+v %+v", c, r.Needed, r.Rounds)
		}
		checkCurves(t, r)
	}
}

func checkCurves(t *testing.T, r *planAnswer) {
	if r.Curves[r.chosen].NoiseMultiplier != r.Inputs.NoiseMultiplier {
		t.Fatalf("curve %d is of %g", r.chosen, r.Curves[r.chosen].NoiseMultiplier)
	}
	for i, c := range r.Curves {
		for j, n := range c.Rounds {
			if c.RDP[j] == nil { // the distance of the sampler alone exceeds delta
				continue
			}
			if j > 0 && (n <= c.Rounds[j-1] || *c.RDP[j] <= *c.RDP[j-1]) {
				t.Errorf("curve %d does not rise at %d rounds", i, n)
			}
			if *c.Tight[j] > *c.RDP[j] || *c.Gaussian[j] > *c.Tight[j] {
				t.Errorf("%d rounds: %g by rdp, %g by tight, %g by the yardstick", n, *c.RDP[j], *c.Tight[j], *c.Gaussian[j])
			}
			if i == r.chosen && (n <= r.Rounds.RDP) != (*c.RDP[j] <= r.Inputs.Epsilon) {
				t.Errorf("%d rounds cost %g, %d are affordable within %g", n, *c.RDP[j], r.Rounds.RDP, r.Inputs.Epsilon)
			}
		}
	}
}

// In the distributed model the noise of the mean falls with 1/n, in the local
// one with its root: there everybody adds all of it.
func TestPlanBatches(t *testing.T) {
	for trust, power := range map[string]float64{"distributed": -1, "local": -0.5} {
		r := planned(t, 8, 1e-6, 3, 0, trust)
		first, last := r.Batches[0], r.Batches[len(r.Batches)-1]
		want := math.Pow(float64(last.MinBatch)/float64(first.MinBatch), power)
		if got := last.NoiseStdDev / first.NoiseStdDev; math.Abs(got/want-1) > 0.05 {
			t.Errorf("%s: from %d to %d reports the noise falls to %g, want %g", trust, first.MinBatch, last.MinBatch, got, want)
		}
		if last.Bits <= first.Bits || last.ReportBytes <= first.ReportBytes {
			t.Errorf("%s: a report of %d costs as much as one of %d", trust, last.MinBatch, first.MinBatch)
		}
		for _, b := range r.Batches {
			if signal := 2 / math.Sqrt(500); math.Abs(b.SNR*b.NoiseStdDev/signal-1) > 1e-9 {
				t.Errorf("%s: signal over noise is %g at noise %g", trust, b.SNR, b.NoiseStdDev)
			}
		}
	}
}

// The tight accountant affords more where it proves more, and never less than known.
func TestAffordableTight(t *testing.T) {
	e := accountant.Event{Type: accountant.Gaussian, NoiseMultiplier: 5}
	rdp, err := accountant.Affordable(nil, e, 8, 1e-6, accountant.ZeroOut)
	if err != nil {
		t.Fatal(err)
	}
	tight, err := affordableTight(e, rdp, 8, 1e-6, accountant.ZeroOut)
	if err != nil {
		t.Fatal(err)
	}
	for n, within := range map[int64]bool{tight: true, tight + 1: false} {
		g, err := accountant.AccountTight([]accountant.Event{accountant.Repeat(e, n)}, 1e-6, accountant.ZeroOut)
		if err != nil || (g.Epsilon <= 8) != within {
			t.Errorf("%d rounds cost %g %v", n, g.Epsilon, err)
		}
	}
	if tight <= rdp {
		t.Errorf("%d by tight, %d by rdp", tight, rdp)
	}
}

func TestPlanJSON(t *testing.T) {
	r := planned(t, 100, 1e-6, 0.3, 0, "local") // half of that noise has no finite bound at many rounds
	if c := r.Curves[0]; c.RDP[len(c.RDP)-1] != nil {
		t.Errorf("epsilon %g is proved where there is no bound", *c.RDP[len(c.RDP)-1])
	}
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"inputs", "guarantee_one_round", "rounds", "needed", "scope", "curves", "batches", "warnings"} {
		if _, ok := all[name]; !ok {
			t.Errorf("no %s", name)
		}
	}
}
