package accountant

import (
	"fmt"
	"math"
)

// AdaptiveClip is the rule by which the clip norm of the next round follows
// the noisy fraction of updates that were within the present one (Andrew,
// Thakkar, McMahan and Ramaswamy 2021, arXiv 1905.03871, Algorithm 1). Only the
// noisy fraction enters it, so the norms are post-processing of a release that
// is charged: see [ValueNoiseMultiplier].
type AdaptiveClip struct {
	// Quantile of the norms that the clip norm moves to, in (0, 1); 0.5 if 0.
	Quantile float64
	// LearningRate is the step in the logarithm of the norm, in (0, 10]; 0.2 if 0.
	LearningRate float64
	// Least and Most bound the clip norm; no bound if 0.
	Least, Most float64
}

// Next returns the clip norm after one at which the noisy fraction of updates
// were not clipped: clip * exp(-rate (fraction - quantile)). Noise may take the
// fraction outside [0, 1]. The error wraps [ErrEvent].
func (a AdaptiveClip) Next(clip, fraction float64) (float64, error) {
	if a.Quantile == 0 {
		a.Quantile = 0.5
	}
	if a.LearningRate == 0 {
		a.LearningRate = 0.2
	}
	switch {
	case !(a.Quantile > 0 && a.Quantile < 1):
		return 0, fmt.Errorf("%w: quantile is %g, want between 0 and 1", ErrEvent, a.Quantile)
	case !(a.LearningRate > 0 && a.LearningRate <= 10):
		return 0, fmt.Errorf("%w: learning rate is %g, want more than 0 and at most 10", ErrEvent, a.LearningRate)
	case !(a.Least >= 0) || a.Most != 0 && !(a.Most >= a.Least) || math.IsInf(a.Least, 1):
		return 0, fmt.Errorf("%w: clip norm bounds are %g and %g", ErrEvent, a.Least, a.Most)
	case !(clip > 0) || math.IsInf(clip, 1):
		return 0, fmt.Errorf("%w: clip norm is %g, want more than 0", ErrEvent, clip)
	case math.IsNaN(fraction) || math.IsInf(fraction, 0):
		return 0, fmt.Errorf("%w: fraction is %g", ErrEvent, fraction)
	}
	next := math.Max(clip*math.Exp(-a.LearningRate*(fraction-a.Quantile)), a.Least)
	if a.Most != 0 {
		next = math.Min(next, a.Most)
	}
	if !(next > 0) || math.IsInf(next, 1) {
		return 0, fmt.Errorf("%w: the next clip norm would be %g", ErrEvent, next)
	}
	return next, nil
}

// ValueNoiseMultiplier is the noise multiplier that the values need so that
// values and count together cost as much as one Gaussian of noise multiplier z
// (Andrew et al. 2021, Theorem 1): (z^-2 - (2 countStdDev)^-2)^(-1/2). The
// count is of updates not clipped, each entered as +1/2 or -1/2, with noise of
// standard deviation countStdDev on the sum. The error wraps [ErrEvent] if
// the count alone costs too much.
func ValueNoiseMultiplier(z, countStdDev float64) (float64, error) {
	if !(z > 0) || math.IsInf(z, 1) || !(countStdDev > 0) {
		return 0, fmt.Errorf("%w: noise multiplier is %g and deviation of the count %g, want more than 0", ErrEvent, z, countStdDev)
	}
	ratio := z / (2 * countStdDev)
	if !(ratio < 1) {
		return 0, fmt.Errorf("%w: deviation of the count is %g, want more than half the noise multiplier %g", ErrEvent, countStdDev, z)
	}
	return z / math.Sqrt((1-ratio)*(1+ratio)), nil
}
