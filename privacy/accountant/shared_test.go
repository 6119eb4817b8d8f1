package accountant_test

import (
	"encoding/json"
	"math"
	"os"
	"testing"

	"github.com/veilsum/veilsum/privacy/accountant"
)

// shared is testdata/accounting.json: 108 known answers of dp_accounting
// 0.6.0, prv_accountant 0.2.0, jax_privacy 2.0.0 and mpmath at 60 digits, with
// the rule of acceptance in meta.acceptance.
type shared struct {
	Accounting []sharedCase
	Inverse    []map[string]any `json:"inverse_and_clipping"`
	Discrete   []map[string]any `json:"discrete_mechanisms"`
	Audit      []map[string]any
}

type sharedCase struct {
	ID, Family string
	Event      json.RawMessage
	Relation   accountant.NeighboringRelation
	Delta      float64
	Expected   struct {
		RDP, Exact *struct{ Epsilon, Order float64 }
		Reference  float64 `json:"reference_epsilon"`
	}
}

func readShared(t testing.TB) shared {
	t.Helper()
	data, err := os.ReadFile("testdata/accounting.json")
	if err != nil {
		t.Fatal(err)
	}
	var s shared
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	if len(s.Accounting)+len(s.Inverse)+len(s.Discrete)+len(s.Audit) != 108 {
		t.Fatal("cases are missing")
	}
	return s
}

func (c *sharedCase) event(t testing.TB) accountant.Event {
	t.Helper()
	e, err := accountant.ParseEvent(c.Event)
	if err != nil {
		t.Fatalf("%s: %v", c.ID, err)
	}
	return e
}

// TestSharedRDP: equal at whole orders; at fractional ones the series of
// dp_accounting drops its signs and may be up to 1 % larger.
func TestSharedRDP(t *testing.T) {
	for _, c := range readShared(t).Accounting {
		r, err := accountant.NewRDP(c.Relation)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Compose(c.event(t), 1); err != nil {
			t.Errorf("%s %s: %v", c.ID, c.Family, err)
			continue
		}
		got, order, err := r.EpsilonOrder(c.Delta)
		if err != nil {
			t.Errorf("%s %s: %v", c.ID, c.Family, err)
			continue
		}
		if got < c.Expected.Reference*(1-1e-3)-2e-4 {
			t.Errorf("%s %s: epsilon %v at order %g is below the reference %v", c.ID, c.Family, got, order, c.Expected.Reference)
		}
		if c.Expected.Exact != nil && got < c.Expected.Exact.Epsilon*(1-1e-9) {
			t.Errorf("%s %s: epsilon %v is below the exact %v", c.ID, c.Family, got, c.Expected.Exact.Epsilon)
		}
		want := c.Expected.RDP
		if want == nil {
			continue
		}
		slack := 1e-6 * math.Max(1, want.Epsilon)
		low := want.Epsilon - slack
		if want.Order != math.Trunc(want.Order) {
			low = want.Epsilon * 0.99
		}
		if got < low || got > want.Epsilon+slack {
			t.Errorf("%s %s: epsilon %v at order %g, want %v at order %g", c.ID, c.Family, got, order, want.Epsilon, want.Order)
		}
	}
}

// TestSharedReports: what Judge says. RDP is that of dp_accounting at all
// orders; the truth is between the bounds of PLD, and they are close.
func TestSharedReports(t *testing.T) {
	for i, c := range readShared(t).Accounting {
		if testing.Short() && i%4 != 0 {
			continue
		}
		r, err := accountant.Judge(c.event(t), c.Relation, c.Delta)
		if err != nil {
			t.Errorf("%s %s: %v", c.ID, c.Family, err)
			continue
		}
		if want := c.Expected.RDP; want != nil && (r.RDP == nil || math.Abs(r.RDP.Epsilon-want.Epsilon) > 1e-7*math.Max(1, want.Epsilon)) {
			t.Errorf("%s %s: %+v, want %+v", c.ID, c.Family, r.RDP, *want)
		}
		if r.PLD == nil {
			if c.Family != "zcdp" {
				t.Errorf("%s %s: no PLD", c.ID, c.Family)
			}
			continue
		}
		low, high := r.PLD.Lower, r.PLD.Upper
		ref := c.Expected.Reference
		t.Logf("%s %-24s %.12g .. %.12g, reference %.12g", c.ID, c.Family, low, high, ref)
		if c.Expected.RDP != nil && high > c.Expected.RDP.Epsilon*(1+1e-9) {
			t.Errorf("%s %s: epsilon %v above RDP's %v", c.ID, c.Family, high, c.Expected.RDP.Epsilon)
		}
		if ref == 0 {
			continue
		}
		if high < ref*(1-1e-3)-2e-4 || high > ref*1.01+1e-3 {
			t.Errorf("%s %s: upper bound %v, want %v", c.ID, c.Family, high, ref)
		}
		if low > ref*(1+1e-9)+1e-9 {
			t.Errorf("%s %s: lower bound %v above the reference %v", c.ID, c.Family, low, ref)
		}
		if x := c.Expected.Exact; x != nil && (high < x.Epsilon*(1-1e-9) || low > x.Epsilon*(1+1e-9)) {
			t.Errorf("%s %s: %v to %v misses the exact %v", c.ID, c.Family, low, high, x.Epsilon)
		}
	}
}
