package privacybench_test

import (
	"math"
	"testing"

	"github.com/veilsum/veilsum/privacy/privacybench"
)

// The variance of a million draws is within 4.9 standard errors of sigma^2: the test fails by chance once in a million,
// and here never, as the key is fixed.
func TestDraws(t *testing.T) {
	d, err := privacybench.NewDraws(10)
	if err != nil {
		t.Fatal(err)
	}
	const n = 1_000_000
	if got := d.Take(n) / n; math.Abs(got-100) > 4.9*100*math.Sqrt(2.0/n) {
		t.Errorf("variance %g, want 100", got)
	}
	if _, err := privacybench.NewDraws(0.1); err == nil {
		t.Error("a width without a sampler was taken")
	}
}
