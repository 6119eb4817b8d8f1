package accountant_test

import (
	"math"
	"testing"

	"github.com/veilsum/veilsum/privacy/accountant"
)

// TestSharedExact: the formulas, to 1e-9 and not below; where the reference
// was computed on a grid, to its tolerance.
func TestSharedExact(t *testing.T) {
	checked := 0
	for _, c := range readShared(t).Accounting {
		x, err := accountant.NewExact(c.Relation)
		if err != nil {
			t.Fatal(err)
		}
		if err := x.Compose(c.event(t), 1); err != nil {
			if c.Expected.Exact != nil {
				t.Errorf("%s %s: %v", c.ID, c.Family, err)
			}
			continue
		}
		got, err := x.Epsilon(c.Delta)
		if err != nil {
			t.Errorf("%s %s: %v", c.ID, c.Family, err)
			continue
		}
		if want := c.Expected.Exact; want != nil {
			checked++
			if math.Abs(got-want.Epsilon) > 1e-9*want.Epsilon {
				t.Errorf("%s %s: %.15g, want %.15g", c.ID, c.Family, got, want.Epsilon)
			}
		}
		t.Logf("%s %s: %.15g %v %g", c.ID, c.Family, got, c.Expected.Exact, c.Expected.Reference)
	}
	if checked < 14 {
		t.Errorf("only %d exact cases", checked)
	}
}
