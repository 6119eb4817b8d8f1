package privacy

import (
	"fmt"
	"math"

	"github.com/veilsum/veilsum/privacy/compress"
	"github.com/veilsum/veilsum/privacy/internal/rotate"
)

// derive computes grid, bounds and noise (protocol section 6). Only products,
// quotients, square roots and ceilings: no fused operation can make two
// machines differ.
func (p *Params) derive() error {
	l := &p.literal
	d, h, z, clip := float64(p.sent), float64(p.HonestMin()), l.NoiseMultiplier, l.ClippingNorm
	// The first term keeps the norm's growth by rounding, at most d/4 in the
	// square, below eps_norm; the second keeps sigma_e at the floor.
	p.inverseGrid = math.Max(math.Sqrt(d/(8*normInflation))/clip, minStdDev*math.Sqrt(h)/(z*clip))
	bound, indicator, err := p.makeRoom(math.Ceil((1 + normInflation) * clip * p.inverseGrid))
	if err != nil {
		return err
	}
	if !(bound <= maxBound) {
		return fmt.Errorf("%w: NoiseMultiplier is %g, which needs D = %g, want at most %d", ErrParams, z, bound, maxBound)
	}
	p.bound, p.indicator = int64(bound), int64(indicator)
	if p.maxInf = l.MaxInf; p.maxInf == 0 {
		p.maxInf = p.bound
	}
	if p.maxInf < 1 || p.maxInf > p.bound {
		return fmt.Errorf("%w: MaxInf is %d, want 0 or 1 to D = %d", ErrParams, l.MaxInf, p.bound)
	}
	return p.deriveNoise(bound, z, h)
}

func (p *Params) deriveNoise(bound, z, h float64) error {
	if p.literal.Mechanism != DiscreteGaussian {
		p.extra = newExtraNoise(p.literal.Mechanism, z, p.bound, p.sent)
		p.noise, p.local = p.extra.stdDev, minStdDev
		if b := p.ValueBound(); b > maxNoisyValue {
			return fmt.Errorf("%w: NoiseMultiplier is %g, which needs integers of %d, want at most %d", ErrParams, p.literal.NoiseMultiplier, b, maxNoisyValue)
		}
		return nil
	}
	p.noise = z * bound
	p.local = p.noise / math.Sqrt(h)
	if p.local < minStdDev || p.local > maxStdDev {
		return fmt.Errorf("%w: NoiseMultiplier is %g, which needs a LocalStdDev of %g, want %g to %d", ErrParams, z, p.local, minStdDev, maxStdDev)
	}
	return nil
}

// valid tells a Params made by New from the zero value.
func (p Params) valid() bool { return p.bound > 0 }

// Literal returns the literal with its defaults filled in. With
// [Params.WithRoundClippingNorm] it still holds the task's clipping norm.
func (p Params) Literal() Literal { return withDefaults(p.literal) }

// Values is d, the length of an update.
func (p Params) Values() int { return p.literal.Values }

// Sent is k, the numbers that are sent of an update: Values without compression.
func (p Params) Sent() int { return p.sent }

// Compression is a copy of the map that rounds draw anew, nil if there is none.
func (p Params) Compression() *compress.Spec { return withDefaults(p.literal).Compression }

// ClippingNorm is C, the L2 bound on an update, in the update's units.
func (p Params) ClippingNorm() float64 { return p.clip }

// Grid is 1/gamma: how many integer steps make one unit of the update.
func (p Params) Grid() float64 { return p.inverseGrid }

// Sensitivity is D, the enforced L2 bound on a client's integers: what zeroing
// one update can move the sum. Replacing one moves it 2D.
func (p Params) Sensitivity() int64 { return p.bound }

// MaxInf is M_inf, the enforced bound on one integer of the update before noise.
func (p Params) MaxInf() int64 { return p.maxInf }

// ValueBound is the largest magnitude that [Encoded.Values] yields: MaxInf or
// the indicator's, or the clamp of a noisy value under the Gaussian and Laplace
// mechanisms.
func (p Params) ValueBound() int64 { return max(p.maxInf, p.indicator) + p.extra.clamp }

// TotalStdDev is the standard deviation per value, in integer steps, of the
// noise that the guarantee counts: NoiseMultiplier * D for Gaussians.
func (p Params) TotalStdDev() float64 { return p.noise }

// LocalStdDev is sigma_e, the parameter of the discrete Gaussian that each
// client seals with, in integer steps; 6.4 to 2^20.
func (p Params) LocalStdDev() float64 { return p.local }

// NoiseStdDev is [Encoder.NoiseStdDev] of a round with these parameters, for who
// plans one: the root mean square error per value of the decoded mean of n
// reports against the mean of the clipped updates, but for the rounding and for
// what compression loses ([Params.CompressionRMSE]).
func (p Params) NoiseStdDev(n int) float64 {
	if n < 1 || !p.valid() {
		return math.NaN()
	}
	variance := p.local * p.local
	if p.extra.mechanism != "" {
		variance += p.extra.stdDev * p.extra.stdDev
	}
	return math.Sqrt(variance/float64(n)) / p.inverseGrid
}

// CompressionRMSE is the root mean square error per value that compression adds to a decoded
// mean of the given norm, over the maps that a round may draw; 0 without it. That the
// mapped updates are clipped once more is left out.
func (p Params) CompressionRMSE(meanNorm float64) float64 {
	if p.literal.Compression == nil {
		return 0
	}
	return meanNorm * math.Sqrt(p.literal.Compression.ErrorFactor()/float64(p.literal.Values))
}

// SignalNorm estimates the norm of the mean of the clipped updates from what was decoded of count
// reports: E|decoded|^2 is (1 + v) |mean|^2 for the error factor v of the compression (0 without), and
// the noise's share. It is 0 where the noise drowns the signal.
func (p Params) SignalNorm(decoded []float64, count int) float64 {
	var square, factor float64
	for _, v := range decoded {
		square += float64(v * v) // the conversions forbid fusing: one result everywhere
	}
	if p.literal.Compression != nil {
		factor = p.literal.Compression.ErrorFactor()
	}
	noise := p.NoiseStdDev(count)
	square -= float64(float64(len(decoded)) * float64(noise*noise))
	return math.Sqrt(math.Max(0, square/(1+factor)))
}

// HonestMin is h_min, the number of clients whose noise is counted:
// MinBatchSize - MaxDishonest, or 1 in the local model.
func (p Params) HonestMin() int {
	if p.literal.TrustModel == Local {
		return 1
	}
	return p.literal.MinBatchSize - p.literal.MaxDishonest
}

// WithRoundClippingNorm returns the parameters of a round that states its own
// clipping norm (adaptive clipping). D and the noise stay as in the task, so
// the guarantee does too; only the grid moves: gamma = C_round (1+eps_norm)/D,
// where D is [Params.UpdateBound]. Groups keep their proportions. With Adaptive,
// c must lie in [MinNorm, MaxNorm].
func (p Params) WithRoundClippingNorm(c float64) (Params, error) {
	if !p.valid() {
		return Params{}, fmt.Errorf("%w: not made by New", ErrParams)
	}
	low, high := p.literal.Adaptive.normRange()
	if err := positive("round's ClippingNorm", c, low, high); err != nil {
		return Params{}, err
	}
	p.clip = c
	p.inverseGrid = p.UpdateBound() / (c * (1 + normInflation))
	return p, nil
}

// window is W, the largest power of two not above the numbers sent.
func (p Params) window() int { return rotate.Window(p.sent) }

// tail is how many standard deviations of a Gaussian, or of a sum of rotated
// bounded vectors, leave 2^-40 outside per value: sqrt(2 ln(2 * 2^40)).
const tail = 7.54

// declared are the bounds on the mean of what is sent. Kappa and KappaInf are said of the updates: a map can make
// their mean longer, up to what every report is clipped to, and of its largest number they say nothing.
func (p *Params) declared() (kappa, kappaInf float64) {
	if c := p.literal.Compression; c != nil {
		return math.Min(1, p.literal.Kappa*c.Growth()), 1
	}
	return p.literal.Kappa, p.literal.KappaInf
}

// RequiredHalfModulus is the least Q/2 that holds the sum of MaxBatchSize
// reports, but for a chance of 2^-40 per value (protocol section 6). The term
// that needs no rotation counts only where d <= ringDegree/16: else an honest
// block could look like garbage to the collector.
func (p Params) RequiredHalfModulus(ringDegree int) float64 {
	if !p.valid() {
		return math.Inf(1)
	}
	n := float64(p.literal.MaxBatchSize)
	variance := float64(n * float64(p.local*p.local))
	kappa, kappaInf := p.declared()
	mean := kappa * n * float64(p.bound) / math.Sqrt(float64(p.window()))
	gauss, extra := p.extra.capacity(n)
	variance += gauss // conversions of products keep machines from fusing them
	rotated := float64(tail*math.Sqrt(float64(mean*mean)+variance)) + extra
	if p.sent > ringDegree/16 {
		return math.Max(rotated, p.indicatorCapacity(n))
	}
	plain := float64(kappaInf*n*float64(p.maxInf)) + float64(tail*math.Sqrt(variance)) + extra
	return math.Max(math.Min(rotated, plain), p.indicatorCapacity(n))
}
