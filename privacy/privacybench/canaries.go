package privacybench

import (
	"context"
	"fmt"

	"github.com/veilsum/veilsum/privacy"
)

// CanaryRound is one round of planted canaries to play in the clear.
type CanaryRound struct {
	// Params: mechanism discrete_gaussian. Client i's update is the clipping norm on value i,
	// so at most Values clients.
	Params privacy.Params
	// Included says of each client whether its update is that or zero.
	Included []bool
	// Progress, if not nil, is told how many clients are done.
	Progress func(done, total int)
}

// Play returns the decoded sum, Values values in units of the clipping norm:
// value i is 1 or 0 for client i, and noise. Every client, also one that
// is not included, draws noise of its own; what else is real, and what is left out, [ClearRound.Mean] says.
func (c CanaryRound) Play(ctx context.Context) ([]float64, error) {
	n := len(c.Included)
	if n > c.Params.Values() {
		return nil, fmt.Errorf("privacybench: %d canaries on %d values, want as many values", n, c.Params.Values())
	}
	released, err := ClearRound{Params: c.Params, Clients: n, Progress: c.Progress, Update: func(i int, x []float32) error {
		if c.Included[i] {
			x[i] = float32(c.Params.ClippingNorm())
		}
		return nil
	}}.Mean(ctx)
	for j := range released {
		released[j] *= float64(n) / c.Params.ClippingNorm()
	}
	return released, err
}
