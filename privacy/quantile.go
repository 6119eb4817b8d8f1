package privacy

import (
	"fmt"
	"math"
	"math/big"
)

// Adaptive asks for a clipping norm that follows a quantile of the updates'
// norms (Andrew, Thakkar, McMahan and Ramaswamy 2021). Every report then carries
// one more integer inside the same bound D: +B if its update was within the
// round's clipping norm (with Groups: all of them), -B if not. The charge stays
// that of D. The zero value of every field means its default.
type Adaptive struct {
	// TargetQuantile is the fraction of updates to leave unclipped; inside
	// (0, 1), default 0.5.
	TargetQuantile float64 `json:"target_quantile,omitempty"`
	// LearningRate is eta in C <- C exp(-eta (fraction - TargetQuantile)); up
	// to 4, default 0.2.
	LearningRate float64 `json:"learning_rate,omitempty"`
	// CountStdDev is s_b, the most noise (standard deviation, in reports) in the
	// count of unclipped updates, at the noise that the guarantee counts (local
	// model: that of MinBatchSize reports); default MinBatchSize/20. At least
	// the noise multiplier (local model: times sqrt(MinBatchSize)), so that the
	// indicator takes at most half of D.
	CountStdDev float64 `json:"count_std_dev,omitempty"`
	// MinNorm and MaxNorm bound the clipping norm of every round; default
	// ClippingNorm/1024 and 1024 ClippingNorm.
	MinNorm float64 `json:"min_norm,omitempty"`
	MaxNorm float64 `json:"max_norm,omitempty"`
}

const (
	defaultQuantile     = 0.5
	defaultLearningRate = 0.2
	defaultCountShare   = 20
	defaultNormRange    = 1024
	maxLearningRate     = 4
	maxIndicatorShare   = 0.5 // of D
)

// withDefaults returns a filled copy; nil stays nil.
func (a *Adaptive) withDefaults(l *Literal) *Adaptive {
	if a == nil {
		return nil
	}
	b := *a
	setDefault(&b.TargetQuantile, defaultQuantile)
	setDefault(&b.LearningRate, defaultLearningRate)
	setDefault(&b.CountStdDev, float64(l.MinBatchSize)/defaultCountShare)
	setDefault(&b.MinNorm, math.Max(l.ClippingNorm/defaultNormRange, 1/maxClip))
	setDefault(&b.MaxNorm, math.Min(l.ClippingNorm*defaultNormRange, maxClip))
	return &b
}

func setDefault(field *float64, value float64) {
	if *field == 0 {
		*field = value
	}
}

func (l *Literal) validateAdaptive() error {
	a := l.Adaptive
	if a == nil {
		return nil
	}
	if l.Mechanism != DiscreteGaussian {
		return fmt.Errorf("%w: Adaptive needs Mechanism %s, not %s", ErrParams, DiscreteGaussian, l.Mechanism)
	}
	if !(a.TargetQuantile > 0 && a.TargetQuantile < 1) {
		return fmt.Errorf("%w: Adaptive.TargetQuantile is %g, want between 0 and 1", ErrParams, a.TargetQuantile)
	}
	for _, err := range []error{
		positive("Adaptive.LearningRate", a.LearningRate, math.SmallestNonzeroFloat64, maxLearningRate),
		positive("Adaptive.CountStdDev", a.CountStdDev, 1/maxMultiplier, maxBatch),
		positive("Adaptive.MinNorm", a.MinNorm, 1/maxClip, l.ClippingNorm),
		positive("Adaptive.MaxNorm", a.MaxNorm, l.ClippingNorm, maxClip),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}

// normRange is what a round may state as its clipping norm.
func (a *Adaptive) normRange() (low, high float64) {
	if a == nil {
		return 1 / maxClip, maxClip
	}
	return a.MinNorm, a.MaxNorm
}

// indicatorShare is the least B/D: z/(2 s_b), as the count's noise is that of
// the sum over 2B. In the local model it is the sum of MinBatchSize noises.
func (l *Literal) indicatorShare() float64 {
	z := l.NoiseMultiplier
	if l.TrustModel == Local {
		z *= math.Sqrt(float64(l.MinBatchSize))
	}
	return z / (2 * l.Adaptive.CountStdDev)
}

// makeRoom returns the least D near update/sqrt(1-share^2), and B =
// ceil(share D) beside which the update keeps its own bound: D^2 - B^2 >=
// update^2. All squares are integers below 2^53. Without adaptive clipping D is
// update and B is 0.
func (p *Params) makeRoom(update float64) (bound, indicator float64, err error) {
	if p.literal.Adaptive == nil || !(update <= maxBound) {
		return update, 0, nil
	}
	share := p.literal.indicatorShare()
	if !(share <= maxIndicatorShare) {
		return 0, 0, fmt.Errorf("%w: Adaptive.CountStdDev is %g, want at least %g with this NoiseMultiplier",
			ErrParams, p.literal.Adaptive.CountStdDev, 2*share*p.literal.Adaptive.CountStdDev)
	}
	bound = math.Ceil(update / math.Sqrt(1-float64(share*share)))
	for ; ; bound++ {
		indicator = math.Ceil(share * bound)
		if float64(bound*bound)-float64(indicator*indicator) >= float64(update*update) {
			return bound, indicator, nil
		}
	}
}

// squareBound is what the update's integers keep below in square: D^2 - B^2.
func (p *Params) squareBound() int64 { return p.bound*p.bound - p.indicator*p.indicator }

// indicatorCapacity is the half modulus that n indicators need, all equal: no
// rotation spreads them.
func (p *Params) indicatorCapacity(n float64) float64 {
	if p.indicator == 0 {
		return 0
	}
	return float64(n*float64(p.indicator)) + float64(tail*math.Sqrt(n)*p.local)
}

// EncodedValues is the number of integers in a report: [Params.Sent], and one more with adaptive
// clipping.
func (p Params) EncodedValues() int {
	if p.indicator > 0 {
		return p.sent + 1
	}
	return p.sent
}

// Indicator is B, the magnitude of the indicator of adaptive clipping in integer
// steps; 0 without it.
func (p Params) Indicator() int64 { return p.indicator }

// UpdateBound is the enforced L2 bound on the integers of an update alone,
// sqrt(D^2 - B^2): D without adaptive clipping. TotalStdDev over it is z_delta.
func (p Params) UpdateBound() float64 { return math.Sqrt(float64(p.squareBound())) }

// NextClippingNorm is the clipping norm of the round after one of norm c in
// which the estimate of [Encoder.Fraction] was fraction (clamped to [0, 1]):
// c exp(-LearningRate (fraction - TargetQuantile)), clamped to [MinNorm,
// MaxNorm]. It is a function of public numbers, the same on every machine. The
// error wraps [ErrParams]: no adaptive clipping, c outside of its range or a
// fraction that is not finite.
func (p Params) NextClippingNorm(c, fraction float64) (float64, error) {
	a := p.literal.Adaptive
	if !p.valid() || a == nil {
		return 0, fmt.Errorf("%w: no Adaptive", ErrParams)
	}
	if err := positive("round's ClippingNorm", c, a.MinNorm, a.MaxNorm); err != nil {
		return 0, err
	}
	if math.IsNaN(fraction) || math.IsInf(fraction, 0) {
		return 0, fmt.Errorf("%w: fraction is %g", ErrParams, fraction)
	}
	fraction = math.Min(1, math.Max(0, fraction))
	next := timesExp(c, -float64(a.LearningRate*float64(fraction-a.TargetQuantile)))
	return math.Min(a.MaxNorm, math.Max(a.MinNorm, next)), nil
}

// timesExp is c e^x for |x| <= 4, by Taylor in big floats: math.Exp may differ
// in the last bit from machine to machine, and an auditor computes it again.
func timesExp(c, x float64) float64 {
	const prec, terms = 192, 80 // 4^80/80! < 2^-230
	sum := new(big.Float).SetPrec(prec).SetInt64(1)
	term := new(big.Float).SetPrec(prec).SetInt64(1)
	arg := new(big.Float).SetPrec(prec).SetFloat64(x)
	for i := int64(1); i <= terms; i++ {
		term.Mul(term, arg)
		term.Quo(term, new(big.Float).SetPrec(prec).SetInt64(i))
		sum.Add(sum, term)
	}
	out, _ := sum.Mul(sum, new(big.Float).SetPrec(prec).SetFloat64(c)).Float64()
	return out
}

// indicate appends the indicator of an update whose clipping is done.
func (x *Encoded) indicate(indicator int64) {
	switch {
	case indicator == 0:
	case x.clipped:
		x.last = []int32{-int32(indicator)}
	default:
		x.last = []int32{int32(indicator)}
	}
}

// Fraction estimates, from the opened sum of count reports, the fraction of them
// whose update was within the clipping norm: unbiased, with noise of
// [Encoder.FractionStdDev], so it may lie outside [0, 1]. The error wraps
// [ErrLength], or [ErrParams] without adaptive clipping.
func (e *Encoder) Fraction(sum []int64, count int) (float64, error) {
	return fraction(e, sum, count)
}

// FractionInt32 is [Encoder.Fraction] for sums that are kept in 32 bits.
func (e *Encoder) FractionInt32(sum []int32, count int) (float64, error) {
	return fraction(e, sum, count)
}

func fraction[T int32 | int64](e *Encoder, sum []T, count int) (float64, error) {
	if e.params.indicator == 0 {
		return 0, fmt.Errorf("%w: no Adaptive", ErrParams)
	}
	if err := e.params.checkSum(len(sum), count); err != nil {
		return 0, err
	}
	most := float64(2 * e.params.indicator * int64(count))
	return float64(float64(sum[len(sum)-1])/most) + 0.5, nil
}

// FractionStdDev is the standard deviation of the noise in [Encoder.Fraction] of
// n reports, all n noises; NaN without adaptive clipping or for n < 1.
func (e *Encoder) FractionStdDev(n int) float64 {
	if e.params.indicator == 0 || n < 1 {
		return math.NaN()
	}
	return e.params.local / (2 * float64(e.params.indicator) * math.Sqrt(float64(n)))
}
