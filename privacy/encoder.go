package privacy

import (
	"errors"
	"fmt"
	"math"

	"github.com/veilsum/veilsum/internal/sampler"
	"github.com/veilsum/veilsum/privacy/compress"
	"github.com/veilsum/veilsum/privacy/internal/rotate"
)

// ErrLength reports a vector or a count that does not fit the parameters.
var ErrLength = errors.New("privacy: wrong length")

// Encoder maps updates to integers for one round, and opened sums back. It
// holds the round's rotation (2W bits), is immutable and safe for concurrent use.
type Encoder struct {
	params   Params
	groups   []Group // at least one; norms of this round
	rotation rotate.Rotation
	compress *compress.Map // nil: none
}

// NewEncoder prepares the public rotation of the round, and its map if updates are compressed.
func NewEncoder(p Params, roundID [32]byte) (*Encoder, error) {
	if !p.valid() {
		return nil, fmt.Errorf("%w: not made by New", ErrParams)
	}
	signs := sampler.NewKey(sampler.Derive(roundID[:], "rot")).Stream(0)
	e := &Encoder{params: p, groups: p.roundGroups(), rotation: rotate.New(p.Sent(), signs)}
	if c := p.literal.Compression; c != nil {
		var err error
		if e.compress, err = compress.New(*c, roundID); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrParams, err)
		}
	}
	return e, nil
}

// roundGroups are the groups with the norms of this round.
func (p Params) roundGroups() []Group {
	l := p.Literal()
	if len(l.Groups) == 0 {
		return []Group{{To: l.Values, ClippingNorm: p.clip}}
	}
	if p.clip != l.ClippingNorm {
		for i := range l.Groups {
			l.Groups[i].ClippingNorm *= p.clip / l.ClippingNorm
		}
	}
	return l.Groups
}

// Params returns the parameters of the round.
func (e *Encoder) Params() Params { return e.params }

// Encode clips update (norms in float64), compresses and clips it again if the task says so, rotates it and
// fixes its rounding.
// It takes the slice over: update is overwritten, and the [Encoded] reads it
// until the last call of Values. seed must be 32 secret, uniform, fresh bytes;
// equal inputs give equal integers, but for the noise of the Gaussian and
// Laplace mechanisms, which comes from crypto/rand.
//
// The error wraps [ErrLength] or [ErrNotFinite] (update is then untouched).
func (e *Encoder) Encode(update []float32, seed [32]byte) (*Encoded, error) {
	if len(update) != e.params.Values() {
		return nil, fmt.Errorf("%w: update has %d values, want %d", ErrLength, len(update), e.params.Values())
	}
	squares, err := e.measure(update)
	if err != nil {
		return nil, err
	}
	x := &Encoded{norm: totalNorm(squares)}
	if e.compress == nil {
		x.values, x.clipped = update, e.clipAndRotate(update, squares)
	} else {
		x.values, x.clipped = e.clipAndCompress(update, squares)
	}
	key := sampler.NewKey(sampler.Derive(seed[:], "round"))
	x.rounding = choose(key, x.values, e.params.squareBound(), e.params.maxInf)
	x.indicate(e.params.indicator)
	if e.params.extra.mechanism != "" {
		if err := x.addNoise(&e.params); err != nil {
			return nil, err // never integers without the promised noise
		}
	}
	return x, nil
}

func totalNorm(squares []float64) float64 {
	var sum float64
	for _, s := range squares {
		sum += s
	}
	return math.Sqrt(sum)
}

// Decode turns the opened sum of count reports into their mean, d values in the
// update's units: len(sum) is [Params.EncodedValues], and the sum is centered
// (signed). The mean carries noise of [Encoder.NoiseStdDev], and with compression an
// error of [Params.CompressionRMSE]. With adaptive clipping, [Encoder.Fraction] reads the last value.
func (e *Encoder) Decode(sum []int64, count int) ([]float64, error) {
	return decode(e, sum, count)
}

// DecodeInt32 is [Encoder.Decode] for sums that are kept in 32 bits.
func (e *Encoder) DecodeInt32(sum []int32, count int) ([]float64, error) {
	return decode(e, sum, count)
}

func decode[T int32 | int64](e *Encoder, sum []T, count int) ([]float64, error) {
	if err := e.params.checkSum(len(sum), count); err != nil {
		return nil, err
	}
	mean := make([]float64, e.params.Sent())
	step := 1 / e.params.inverseGrid / float64(count)
	for i, v := range sum[:len(mean)] {
		mean[i] = float64(v) * step
	}
	rotate.Inverse(&e.rotation, mean)
	if e.compress != nil {
		return e.compress.Expand(mean), nil
	}
	return mean, nil
}

// checkSum refuses sums and counts that no round of p can have.
func (p *Params) checkSum(values, count int) error {
	if values != p.EncodedValues() {
		return fmt.Errorf("%w: sum has %d values, want %d", ErrLength, values, p.EncodedValues())
	}
	if count < 1 || count > p.literal.MaxBatchSize {
		return fmt.Errorf("%w: %d reports, want 1 to %d", ErrLength, count, p.literal.MaxBatchSize)
	}
	return nil
}

// NoiseStdDev is the standard deviation per value of the noise in the decoded
// mean of n reports, in the update's units: all n noises, not only the
// HonestMin that the guarantee counts. Rounding adds at most 1/4 to a variance
// that is at least 6.4^2 and is left out. With compression it is the root mean square over the values. The value for n < 1 is NaN.
func (e *Encoder) NoiseStdDev(n int) float64 { return e.params.NoiseStdDev(n) }
