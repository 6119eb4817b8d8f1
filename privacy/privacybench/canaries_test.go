package privacybench_test

import (
	"context"
	"errors"
	"math"
	"testing"

	"github.com/veilsum/veilsum/privacy"
	"github.com/veilsum/veilsum/privacy/privacybench"
)

func canaryParams(t *testing.T, l privacy.Literal) privacy.Params {
	t.Helper()
	p, err := privacy.New(l)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestCanaryRound: included canaries are 1 in the decoded sum, others 0, with the noise of
// all clients: mean and variance are within 6 standard errors, and at most 1.5 % are added to
// the deviation by rounding up D and by rounding updates. Wrong once in 10^8 runs.
func TestCanaryRound(t *testing.T) {
	const d, n, z = 8192, 100, 1.5
	p := canaryParams(t, privacy.Literal{Values: d, ClippingNorm: 3, NoiseMultiplier: z, MinBatchSize: 50, MaxBatchSize: n})
	included := make([]bool, n)
	for i := range included {
		included[i] = i < n/2
	}
	sum, err := privacybench.CanaryRound{Params: p, Included: included}.Play(t.Context())
	if err != nil || len(sum) != d {
		t.Fatalf("%d values, %v", len(sum), err)
	}
	deviation := z * math.Sqrt(2) // twice as many clients as are counted
	mean := func(x []float64) (m float64) {
		for _, v := range x {
			m += v / float64(len(x))
		}
		return m
	}
	in, out := mean(sum[:n/2]), mean(sum[n/2:n])
	if slack := 6 * deviation / math.Sqrt(n/2); math.Abs(in-1) > slack || math.Abs(out) > slack {
		t.Errorf("included canaries have mean %.3f, others %.3f", in, out)
	}
	var square float64
	for _, v := range sum[n:] {
		square += v * v / float64(d-n)
	}
	if r := math.Sqrt(square) / deviation; r < 1-6/math.Sqrt(2*d) || r > 1.015+6/math.Sqrt(2*d) {
		t.Errorf("the noise is %.3f of what it should be", r)
	}
	again, err := privacybench.CanaryRound{Params: p, Included: included}.Play(t.Context())
	if err != nil || again[0] == sum[0] && again[1] == sum[1] && again[2] == sum[2] {
		t.Errorf("two rounds drew the same noise (%v)", err)
	}
}

func TestCanaryRoundRefuses(t *testing.T) {
	good := privacy.Literal{Values: 30, ClippingNorm: 1, NoiseMultiplier: 1, MinBatchSize: 10, MaxBatchSize: 20}
	local := good
	local.TrustModel, local.Mechanism = privacy.Local, privacy.Laplace
	few := good
	few.Values = 15
	for name, c := range map[string]privacybench.CanaryRound{
		"nobody":           {Params: canaryParams(t, good)},
		"too few":          {Params: canaryParams(t, good), Included: make([]bool, 9)},
		"too many":         {Params: canaryParams(t, good), Included: make([]bool, 21)},
		"more than values": {Params: canaryParams(t, few), Included: make([]bool, 16)},
		"other mechanism":  {Params: canaryParams(t, local), Included: make([]bool, 10)},
		"zero params":      {Included: make([]bool, 1)},
	} {
		if _, err := c.Play(t.Context()); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (privacybench.CanaryRound{Params: canaryParams(t, good), Included: make([]bool, 10)}).Play(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}
