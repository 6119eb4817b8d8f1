package privacy

import (
	"errors"
	"fmt"
	"math"
)

// ErrNotFinite reports a NaN or an infinity in an update; the message names
// its index and never its neighbors.
var ErrNotFinite = errors.New("privacy: update is not finite")

// squaredNorm is ||x||^2 in float64. Squares of float32 neither overflow (below
// 2^256, and 2^28 of them below 2^284) nor vanish (2^-298 is a normal float64),
// so it is infinite or NaN exactly if a value is.
func squaredNorm(x []float32) float64 {
	var s [4]float64
	y := x
	for ; len(y) >= 4; y = y[4:] {
		a, b, c, d := float64(y[0]), float64(y[1]), float64(y[2]), float64(y[3])
		s[0] += float64(a * a) // the conversions forbid fusing: one result everywhere
		s[1] += float64(b * b)
		s[2] += float64(c * c)
		s[3] += float64(d * d)
	}
	for _, v := range y {
		s[0] += float64(float64(v) * float64(v))
	}
	return (s[0] + s[1]) + (s[2] + s[3])
}

// notFinite names the first value that is NaN or infinite.
func notFinite(x []float32) error {
	for i, v := range x {
		if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
			return fmt.Errorf("%w: value at index %d", ErrNotFinite, i)
		}
	}
	return nil
}

// measure returns the squared norms of the groups, or [ErrNotFinite].
func (e *Encoder) measure(x []float32) ([]float64, error) {
	squares := make([]float64, len(e.groups))
	var total float64
	for i, g := range e.groups {
		squares[i] = squaredNorm(x[g.From:g.To])
		total += squares[i]
	}
	if math.IsNaN(total) || math.IsInf(total, 0) {
		return nil, notFinite(x)
	}
	return squares, nil
}

// clipAndRotate clips every group to its norm, scales to grid steps and
// rotates, all in place.
func (e *Encoder) clipAndRotate(x []float32, squares []float64) (clipped bool) {
	for i, g := range e.groups {
		scale := e.params.inverseGrid
		if norm := math.Sqrt(squares[i]); norm > g.ClippingNorm {
			scale *= g.ClippingNorm / norm
			clipped = true
		}
		e.rotation.FirstSigns(x[g.From:g.To], g.From, scale)
	}
	e.rotation.Finish(x)
	return clipped
}

// clipAndCompress clips every group to its norm, maps the update, and clips what
// is sent to the clipping norm of the whole: a map keeps norms in the mean only, so what the
// bound rests on is the second clip (and in the end the check in integers). Whether the
// update was clipped is said of the first, so that adaptive clipping goes on following the
// updates' own norms. All of it in units of the clipping norm, so that float32 suffices.
func (e *Encoder) clipAndCompress(x []float32, squares []float64) (sent []float32, clipped bool) {
	for i, g := range e.groups {
		scale := 1 / e.params.clip
		if norm := math.Sqrt(squares[i]); norm > g.ClippingNorm {
			scale *= g.ClippingNorm / norm
			clipped = true
		}
		for j, v := range x[g.From:g.To] {
			x[g.From+j] = float32(float64(v) * scale)
		}
	}
	sent = e.compress.Apply(x)
	scale := e.params.inverseGrid * e.params.clip
	if norm := math.Sqrt(squaredNorm(sent)); norm > 1 {
		scale /= norm
	}
	e.rotation.FirstSigns(sent, 0, scale)
	e.rotation.Finish(sent)
	return sent, clipped
}
