package delta

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// ErrRound is wrapped by every error about a model that cannot be rounded.
var ErrRound = errors.New("delta: model cannot be rounded")

// MaxBits is the most that [Round] keeps of an update: the precision of a float32.
const MaxBits = 24

// Round puts a model of little-endian float32 values on a grid, and returns it with the exponent of the
// grid's step. The step 2^e is the largest power of two that is at most r/2^(bits-1), where r is the root mean square
// of the update model-base: the error, at most half a step, has a root mean square of at most 0.58 r/2^bits. bits is 1 to
// 24; with 4 the error's variance is less than a 750th of the update's. A model that equals the base stays as it is.
func Round(base, model []byte, bits int) (rounded []byte, exponent int, err error) {
	if len(model)%4 != 0 || len(base) != len(model) {
		return nil, 0, fmt.Errorf("%w: %d bytes from %d: want float32 values, as many as before", ErrRound, len(model), len(base))
	}
	if bits < 1 || bits > MaxBits {
		return nil, 0, fmt.Errorf("%w: to %d bits: want 1 to %d", ErrRound, bits, MaxBits)
	}
	r, err := updateRMS(base, model)
	if err != nil || r == 0 {
		return model, NoGrid, err
	}
	_, exp := math.Frexp(r) // r is in [2^(exp-1), 2^exp)
	exponent = exp - bits
	if exponent < minExponent || exponent > maxExponent {
		return nil, 0, fmt.Errorf("%w: the root mean square of the update is %g", ErrRound, r)
	}
	rounded = make([]byte, len(model))
	for i := range len(model) / 4 {
		// A float32 too large for the grid's range is a multiple of its step already, and so is the rounded value a float32:
		// whatever is a multiple of 2^e below 2^(e+24) or of its own last place above.
		v := float64(math.Float32frombits(word(model, i, len(model))))
		k := math.RoundToEven(math.Ldexp(v, -exponent))
		w := math.Float32bits(float32(math.Ldexp(k, exponent)))
		if k == 0 {
			w = 0 // no -0: the grid has one zero
		}
		binary.LittleEndian.PutUint32(rounded[4*i:], w)
	}
	return rounded, exponent, nil
}

// updateRMS is the root mean square of model - base; both must be finite.
func updateRMS(base, model []byte) (float64, error) {
	n, sum := len(model)/4, 0.0
	for i := range n {
		m, b := float64(math.Float32frombits(word(model, i, len(model)))), float64(math.Float32frombits(word(base, i, len(model))))
		d := m - b
		if math.IsNaN(d) || math.IsInf(d, 0) {
			return 0, fmt.Errorf("%w: value %d is not finite", ErrRound, i)
		}
		sum += d * d
	}
	return math.Sqrt(sum / float64(max(n, 1))), nil
}
