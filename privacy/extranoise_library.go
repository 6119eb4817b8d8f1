//go:build !(386 || arm || mips || mipsle || nolibrarynoise)

package privacy

import (
	"fmt"
	"math"

	"github.com/google/differential-privacy/go/v2/noise"
)

// The library takes (epsilon, delta), not sigma. We ask for a fixed pair and
// scale the sensitivity: its sigma is linear in that.
const (
	askEpsilon = 1.0
	askDelta   = 1e-6
)

// sampler returns the function that adds one noise to an integer.
func (e *extraNoise) sampler() (func(int64) (int64, error), error) {
	switch e.mechanism {
	case Gaussian:
		// Noise on zero, rounded, then added: a rounded Gaussian added to an
		// integer is the rounding of the noisy integer, post-processing again.
		// The float64 entry keeps sigma exact; the integer one takes only
		// whole sensitivities.
		g := noise.Gaussian()
		sensitivity := e.scale / noise.SigmaForGaussian(1, 1, askEpsilon, askDelta)
		return func(v int64) (int64, error) {
			x, err := g.AddNoiseFloat64(0, 1, sensitivity, askEpsilon, askDelta)
			return v + int64(math.Round(x)), err
		}, nil
	case Laplace:
		l := noise.Laplace()
		return func(v int64) (int64, error) { return l.AddNoiseInt64(v, 1, e.l1, e.epsilon, 0) }, nil
	default:
		return nil, fmt.Errorf("%w: no extra noise for %q", ErrParams, e.mechanism)
	}
}
