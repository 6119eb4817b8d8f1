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

// TestExactOfHopelessNoise: the formula also judges settings far beyond any
// protection. References: the formula in 60 digits (mpmath), by halving.
func TestExactOfHopelessNoise(t *testing.T) {
	for _, c := range []struct {
		z        float64
		relation accountant.NeighboringRelation
		want     float64
	}{
		{7.2e-6, accountant.ZeroOut, 9645654073.3386775},
		{7.2e-6, accountant.ReplaceOne, 38581431604.467455},
		{4.845e-5, accountant.ZeroOut, 213089417.60597322},
		{4.845e-5, accountant.ReplaceOne, 852181620.13998446},
		{1e-3, accountant.ZeroOut, 504263.89292065408},
	} {
		x, err := accountant.NewExact(c.relation)
		if err != nil {
			t.Fatal(err)
		}
		if err := x.Compose(gaussian(c.z), 1); err != nil {
			t.Fatal(err)
		}
		got, err := x.Epsilon(1e-5)
		if err != nil || math.Abs(got-c.want) > 1e-13*c.want {
			t.Errorf("noise multiplier %g, %s: %.17g %v, want %.17g", c.z, c.relation, got, err, c.want)
		}
	}
	x, err := accountant.NewExact(accountant.ZeroOut)
	if err != nil {
		t.Fatal(err)
	}
	if err := x.Compose(gaussian(1e-7), 1); err == nil {
		t.Error("rho 5e13 was composed")
	}
}
