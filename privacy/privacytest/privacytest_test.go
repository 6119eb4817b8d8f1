package privacytest_test

import (
	"math"
	"testing"

	"github.com/veilsum/veilsum/privacy"
	"github.com/veilsum/veilsum/privacy/privacytest"
)

func TestRepeatable(t *testing.T) {
	a, again, b := privacytest.Seed("a"), privacytest.Seed("a"), privacytest.Seed("b")
	if a != again || a == b {
		t.Error("seeds are not a function of the name")
	}
	x, y := privacytest.Update("u", 10_000, 3), privacytest.Update("u", 10_000, 3)
	var square float64
	for i, v := range x {
		if v != y[i] {
			t.Fatal("two updates of one name differ")
		}
		square += float64(v) * float64(v)
	}
	if norm := math.Sqrt(square); math.Abs(norm-3) > 0.1 {
		t.Errorf("norm is %g, want about 3", norm)
	}
}

// TestAddNoise: the seed is fixed; over seeds the variance leaves 6.5 standard
// errors with probability below 10^-9.
func TestAddNoise(t *testing.T) {
	const n, stdDev = 20_000, 300.0
	sum := make([]int64, n)
	if err := privacytest.AddNoise("noise", sum, stdDev); err != nil {
		t.Fatal(err)
	}
	var square float64
	for _, v := range sum {
		square += float64(v) * float64(v)
	}
	if ratio := square / n / (stdDev * stdDev); math.Abs(ratio-1) > 6.5*math.Sqrt(2.0/n) {
		t.Errorf("variance is %.4f of the stated one", ratio)
	}
	if err := privacytest.AddNoise("noise", sum, -1); err == nil {
		t.Error("a negative standard deviation was accepted")
	}
}

func TestSimulateMean(t *testing.T) {
	p, err := privacy.New(privacy.Literal{Values: 2000, ClippingNorm: 1, NoiseMultiplier: 1, MinBatchSize: 20, MaxBatchSize: 20})
	if err != nil {
		t.Fatal(err)
	}
	a, errA := privacytest.SimulateMean("run", p, 20)
	b, errB := privacytest.SimulateMean("run", p, 20)
	if errA != nil || errB != nil || a != b || a.Wraps != 0 || a.Ratio > 1.2 {
		t.Errorf("%+v %v, %+v %v", a, errA, b, errB)
	}
}
