package privacy

import (
	"fmt"
	"math"

	"github.com/google/differential-privacy/go/v2/noise"
)

// extraNoise is a library mechanism of the local model. It is added to the
// bounded integers before sealing, in whole steps, and then clamped, which is
// post-processing. Beware of the library's manners: it reads crypto/rand behind
// one global lock, ends the process if that fails, and its logger (glog) adds
// flags to flag.CommandLine when imported.
type extraNoise struct {
	mechanism Mechanism // empty: none
	scale     float64   // sigma, or the Laplace scale b
	l1        int64     // L1 sensitivity; Laplace only
	epsilon   float64   // pure epsilon asked of the library; Laplace only
	stdDev    float64
	clamp     int64 // largest noise kept; 2^-40 of the mass lies beyond
}

// The library takes (epsilon, delta), not sigma. We ask for a fixed pair and
// scale the sensitivity: its sigma is linear in that.
const (
	askEpsilon = 1.0
	askDelta   = 1e-6
)

var tailLaplace = 41 * math.Ln2 // -ln of 2^-41 per side

func newExtraNoise(m Mechanism, z float64, bound int64, values int) extraNoise {
	if m == Gaussian {
		s := z * float64(bound)
		return extraNoise{mechanism: m, scale: s, stdDev: s, clamp: int64(math.Ceil(tail * s))}
	}
	// ||m||_1 <= sqrt(d) ||m||_2, and integers have |m| <= m^2.
	l1 := int64(math.Floor(math.Min(math.Sqrt(float64(values))*float64(bound), float64(bound)*float64(bound))))
	b := z * float64(l1)
	return extraNoise{mechanism: m, scale: b, l1: l1, epsilon: 1 / z, stdDev: math.Sqrt2 * b, clamp: int64(math.Ceil(tailLaplace * b))}
}

// capacity returns what n noises add to the sum: a Gaussian's variance, or a
// bound outside of which a sum of Laplace noises has a chance of 2^-40.
func (e *extraNoise) capacity(n float64) (variance, bound float64) {
	switch e.mechanism {
	case Gaussian:
		return float64(n * float64(e.scale*e.scale)), 0
	case Laplace: // Chernoff: P(sum > t) <= exp(-u t/b) (1-u^2)^-n for 0 < u < 1
		best := math.Inf(1)
		for u := 1.0 / 256; u < 1; u *= 1.02 {
			best = math.Min(best, (tailLaplace-n*math.Log1p(-u*u))/u)
		}
		return 0, best * e.scale
	default:
		return 0, 0
	}
}

// add draws the noise for every value of m and clamps to limit.
func (e *extraNoise) add(m []int32, limit int64) error {
	draw, err := e.sampler()
	if err != nil {
		return err
	}
	for i, v := range m {
		noisy, err := draw(int64(v))
		if err != nil {
			return fmt.Errorf("privacy: add %s noise: %w", e.mechanism, err)
		}
		m[i] = int32(min(max(noisy, -limit), limit))
	}
	return nil
}

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
