package fleetsim_test

import (
	"errors"
	"math"
	"testing"

	"github.com/veilsum/veilsum/pipeline/fleetsim"
)

func dot(a, b []float32) float64 {
	sum := 0.0
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}

// TestCanariesStandApart: canaries are as long as the clipping norm, orthogonal to each
// other over four rounds and to what vehicles send, and leave the training alone.
func TestCanariesStandApart(t *testing.T) {
	fleet := newFleet(t, config())
	c := fleet.Config().ClippingNorm
	model := fleet.Trainer().Model()
	canary := func(i, round int) []float32 {
		u, err := fleet.Canary(i, round)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	for i := range fleet.Canaries() {
		if n := math.Sqrt(dot(canary(i, i), canary(i, i))); math.Abs(n-c) > 1e-6*c {
			t.Fatalf("canary %d has norm %g, want %g", i, n, c)
		}
		for j := range i {
			for _, first := range []int{0, 3} {
				over := 0.0
				for r := first; r < first+4; r++ {
					over += dot(canary(i, r), canary(j, r))
				}
				if math.Abs(over) > 1e-6*c*c {
					t.Fatalf("canaries %d and %d: product %g", i, j, over)
				}
			}
		}
	}
	for i, v := range canary(1, 0) { // a model that has seen canaries
		model[i] += 5 * v
	}
	fresh := fleet.Trainer()
	plain, err1 := fresh.Update(3)
	same, err2 := fleet.LocalUpdate(model, 3)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	for i := range plain {
		if math.Abs(float64(plain[i]-same[i])) > 1e-4*c {
			t.Fatalf("value %d of the update is %g after a canary, was %g", i, same[i], plain[i])
		}
	}
	for i := range fleet.Canaries() {
		if p := dot(plain, canary(i, 1)); math.Abs(p) > 1e-5*c*c {
			t.Fatalf("a vehicle's update moves canary %d by %g", i, p)
		}
	}
}

func TestCanaryScore(t *testing.T) {
	fleet := newFleet(t, config())
	sum := make([]float64, fleet.Dimension())
	u, err := fleet.Canary(2, 1)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range u {
		sum[i] = float64(v)
	}
	in, err1 := fleet.CanaryScore(sum, 2, 1)
	out, err2 := fleet.CanaryScore(sum, 1, 1)
	if err := errors.Join(err1, err2); err != nil || math.Abs(in-1) > 1e-6 || math.Abs(out) > 1e-6 {
		t.Errorf("scores %g and %g, %v; want 1 and 0", in, out, err)
	}
	for _, bad := range [][2]int{{-1, 0}, {fleet.Canaries(), 0}, {0, -1}} {
		if _, err := fleet.Canary(bad[0], bad[1]); !errors.Is(err, fleetsim.ErrCanary) {
			t.Errorf("%v: %v", bad, err)
		}
	}
	if _, err := fleet.CanaryScore(sum[1:], 0, 0); !errors.Is(err, fleetsim.ErrDimension) {
		t.Errorf("short sum: %v", err)
	}
}
