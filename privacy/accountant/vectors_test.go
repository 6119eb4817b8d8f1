package accountant_test

import (
	"encoding/json"
	"math"
	"os"
	"testing"

	"github.com/veilsum/veilsum/privacy/accountant"
)

// vectors are the known answers in testdata/vectors.json; its "source" field
// says who computed them.
type vectors struct {
	Accounting []struct {
		ID, Family string
		Event      accountant.Event
		Relation   accountant.NeighboringRelation
		Delta      float64
		Expected   struct {
			RDP, Exact *struct{ Epsilon, Order float64 }
			Continuous *struct{ Epsilon, Order float64 } `json:"rdp_continuous_order"`
			Reference  float64                           `json:"reference_epsilon"`
		}
	}
	Unsupported []json.RawMessage
	Inverse     []inverse
	InverseRDP  []inverse `json:"inverse_rdp"`
	Exact       []struct {
		Sigma    float64 `json:"sigma_local"`
		N, Shift int64
		Tau      float64 `json:",string"`
		RDP      []struct {
			Order float64
			Exact float64 `json:"rdp_exact"`
			Bound float64 `json:"rdp_bound"`
		}
		HockeyStick []struct {
			Epsilon float64
			Delta   float64 `json:"delta_exact,string"`
		} `json:"hockey_stick"`
	} `json:"ddgauss_exact"`
	Bound []struct {
		N     int64
		Sigma float64 `json:"sigma_local_int"`
		Dim   float64
		L2    float64 `json:"l2_rounded"`
		L1    float64 `json:"l1_rounded"`
		Tau   float64 `json:",string"`
		RDP   []struct{ Order, RDP float64 }
	} `json:"ddgauss_bound"`
}

type inverse struct {
	Target float64 `json:"target_epsilon"`
	Delta  float64
	Count  int64
	Sigma  float64
	RDP    float64 `json:"rdp_noise_multiplier"`
}

func readVectors(t *testing.T) vectors {
	t.Helper()
	data, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Accounting) < 15 || len(v.Exact) == 0 || len(v.Bound) == 0 || len(v.Inverse) == 0 || len(v.InverseRDP) == 0 || len(v.Unsupported) == 0 {
		t.Fatal("vectors are missing")
	}
	return v
}

// account is Account or the end of the test.
func account(t *testing.T, delta float64, relation accountant.NeighboringRelation, events ...accountant.Event) accountant.Guarantee {
	t.Helper()
	g, err := accountant.Account(events, delta, relation)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// TestAccountingVectors: never below the truth, never above the RDP of
// dp_accounting at its fixed orders (ours are real), and equal to the
// continuous optimum where that was computed.
func TestAccountingVectors(t *testing.T) {
	for _, c := range readVectors(t).Accounting {
		got := account(t, c.Delta, c.Relation, c.Event).Epsilon
		e := c.Expected
		if e.Exact != nil && got < e.Exact.Epsilon*(1-1e-9) {
			t.Errorf("%s %s: epsilon %v is below the exact %v", c.ID, c.Family, got, e.Exact.Epsilon)
		}
		if got < e.Reference*(1-1e-9) {
			t.Errorf("%s %s: epsilon %v is below the reference %v", c.ID, c.Family, got, e.Reference)
		}
		if e.RDP != nil && (got > e.RDP.Epsilon*(1+1e-9) || got < e.RDP.Epsilon*0.98) {
			t.Errorf("%s %s: epsilon %v, want at most 2%% below RDP's %v and never above", c.ID, c.Family, got, e.RDP.Epsilon)
		}
		if e.Continuous != nil && math.Abs(got-e.Continuous.Epsilon) > 1e-9*e.Continuous.Epsilon {
			t.Errorf("%s %s: epsilon %v, want %v", c.ID, c.Family, got, e.Continuous.Epsilon)
		}
	}
}

// TestOldRecordsAreRead: events that the first version refused are now judged.
func TestOldRecordsAreRead(t *testing.T) {
	for _, raw := range readVectors(t).Unsupported {
		e, err := accountant.ParseEvent(raw)
		if err != nil {
			t.Fatal(err)
		}
		account(t, 1e-6, accountant.AddRemove, e)
	}
}

// TestInverseVectors: RDP needs more noise than the exact optimum and, on
// these cases, at most 10 percent more; and no more than dp_accounting's RDP.
func TestInverseVectors(t *testing.T) {
	v := readVectors(t)
	for _, c := range v.Inverse {
		z, err := accountant.GaussianNoiseMultiplier(c.Count, c.Target, c.Delta, accountant.ZeroOut)
		if err != nil {
			t.Fatal(err)
		}
		if z < c.Sigma || z > c.Sigma*1.10 {
			t.Errorf("(%g, %g) x %d: %v, want %v or up to 10 %% more", c.Target, c.Delta, c.Count, z, c.Sigma)
		}
	}
	for _, c := range v.InverseRDP {
		z, err := accountant.GaussianNoiseMultiplier(c.Count, c.Target, c.Delta, accountant.AddRemove)
		if err != nil {
			t.Fatal(err)
		}
		if z > c.RDP*(1+1e-4) || z < c.RDP*0.999 {
			t.Errorf("(%g, %g) x %d: %v, want %v", c.Target, c.Delta, c.Count, z, c.RDP)
		}
	}
}

// TestDistributedVectors: tau, the bound at each order, and epsilon against
// the exact hockey-stick divergence of the true sum (mpmath).
func TestDistributedVectors(t *testing.T) {
	v := readVectors(t)
	checked := 0
	for _, c := range v.Exact {
		tau := accountant.Tau(c.Sigma, c.N)
		if math.Abs(tau-c.Tau) > 1e-9*c.Tau {
			t.Errorf("tau(%g, %d) is %v, want %v", c.Sigma, c.N, tau, c.Tau)
		}
		shift := float64(c.Shift)
		for _, r := range c.RDP {
			got := accountant.SumRDP(r.Order, shift, shift, c.Sigma*math.Sqrt(float64(c.N)), tau, 1)
			if got < r.Exact || math.Abs(got-r.Bound) > 1e-9*r.Bound {
				t.Errorf("sigma %g, n %d, order %g: %v, want %v (exact %v)", c.Sigma, c.N, r.Order, got, r.Bound, r.Exact)
			}
		}
		event := accountant.Event{Type: accountant.DistributedDiscreteGaussian, Sensitivity: c.Shift, Sigma: c.Sigma, Contributors: c.N, Dimension: 1, Reports: c.N}
		for _, h := range c.HockeyStick {
			if h.Delta < 1e-25 || h.Delta >= 1 {
				continue // the sampler's own distance is of that size
			}
			checked++
			if got := account(t, h.Delta, accountant.ZeroOut, event).Epsilon; got < h.Epsilon {
				t.Errorf("sigma %g, n %d, delta %g: epsilon %v is below the exact %v", c.Sigma, c.N, h.Delta, got, h.Epsilon)
			}
		}
	}
	if checked == 0 {
		t.Error("no hockey-stick case was checked")
	}
	for _, c := range v.Bound {
		tau := accountant.Tau(c.Sigma, c.N)
		if math.Abs(tau-c.Tau) > 1e-6*c.Tau || tau < c.Tau*(1-1e-12) {
			t.Errorf("tau(%g, %d) is %v, want %v", c.Sigma, c.N, tau, c.Tau)
		}
		for _, r := range c.RDP {
			got := accountant.SumRDP(r.Order, c.L1, c.L2, c.Sigma*math.Sqrt(float64(c.N)), tau, c.Dim)
			if math.Abs(got-r.RDP) > 1e-9*r.RDP {
				t.Errorf("d %g, order %g: %v, want %v", c.Dim, r.Order, got, r.RDP)
			}
		}
	}
}
