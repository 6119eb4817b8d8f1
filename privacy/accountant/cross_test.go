package accountant_test

import (
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/veilsum/veilsum/privacy/accountant"
)

// drawnCase is a random case of testdata/crosscheck.py, judged by
// dp_accounting: RDP at its default orders, PLD pessimistic at 2e-4, or 5e-5
// where epsilon is small.
type drawnCase struct {
	Family   string
	Event    json.RawMessage
	Relation accountant.NeighboringRelation
	Delta    float64
	RDP      *float64
	Order    float64
	PLD      *float64
}

// TestCrossCheck compares random cases with dp_accounting where VEILSUM_ORACLES
// is a Python that has it; VEILSUM_SEED and VEILSUM_CASES choose others.
func TestCrossCheck(t *testing.T) {
	python := os.Getenv("VEILSUM_ORACLES")
	if python == "" {
		t.Skip("VEILSUM_ORACLES names no Python with dp_accounting")
	}
	or := func(name, other string) string {
		if v := os.Getenv(name); v != "" {
			return v
		}
		return other
	}
	cmd := exec.Command(python, "testdata/crosscheck.py", or("VEILSUM_SEED", "1"), or("VEILSUM_CASES", "60"))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var cases []drawnCase
	if err := json.Unmarshal(out, &cases); err != nil {
		t.Fatal(err)
	}
	worst := make(map[string]float64)
	count := make(map[string]int)
	for i := range cases {
		c := &cases[i]
		count[c.Family]++
		worst[c.Family] = math.Max(worst[c.Family], crossCheck(t, c))
	}
	for family, n := range count {
		t.Logf("%-20s %3d cases, upper bound at most %.3g above lower", family, n, worst[family])
	}
}

// crossCheck returns how far the bounds of PLD are apart, relative.
func crossCheck(t *testing.T, c *drawnCase) float64 {
	e, err := accountant.ParseEvent(c.Event)
	if err != nil {
		t.Errorf("%s: %v", c.Event, err)
		return 0
	}
	start := time.Now()
	r, err := accountant.Judge(e, c.Relation, c.Delta)
	if took := time.Since(start); took > time.Second {
		t.Logf("%s took %v", c.Event, took)
	}
	if err != nil {
		t.Errorf("%s: %v", c.Event, err)
		return 0
	}
	if c.RDP != nil {
		if r.RDP == nil || math.Abs(r.RDP.Epsilon-*c.RDP) > 1e-6*math.Max(1, *c.RDP) {
			t.Errorf("%s %s delta %g: RDP %+v, want %v at order %g", c.Relation, c.Event, c.Delta, r.RDP, *c.RDP, c.Order)
		}
	}
	if c.PLD != nil {
		want := *c.PLD
		// Theirs is pessimistic: ours may be lower by their grid's error.
		if r.PLD == nil || r.PLD.Upper < want*(1-5e-3)-5e-4 || r.PLD.Upper > want*1.01+1e-3 || r.PLD.Lower > want*(1+1e-9)+1e-9 {
			t.Errorf("%s %s delta %g: PLD %+v, want %v", c.Relation, c.Event, c.Delta, r.PLD, want)
		}
	}
	if r.PLD == nil {
		return 0
	}
	if r.Exact != nil && (*r.Exact < r.PLD.Lower*(1-1e-9)-1e-12 || *r.Exact > r.PLD.Upper*(1+1e-9)+1e-12) {
		t.Errorf("%s %s delta %g: PLD %+v misses the exact %v", c.Relation, c.Event, c.Delta, r.PLD, *r.Exact)
	}
	if r.RDP != nil && r.PLD.Lower > r.RDP.Epsilon*(1+1e-9) {
		t.Errorf("%s %s delta %g: PLD's lower bound %v above RDP's %v", c.Relation, c.Event, c.Delta, r.PLD.Lower, r.RDP.Epsilon)
	}
	return (r.PLD.Upper - r.PLD.Lower) / math.Max(r.PLD.Upper, 1e-3)
}
