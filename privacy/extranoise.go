package privacy

import (
	"fmt"
	"math"
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
