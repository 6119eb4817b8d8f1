// Package rotate is the public random rotation of a vector: signs and a
// normalized Hadamard transform. Start with [New].
package rotate

import (
	"math"
	"math/bits"

	"github.com/veilsum/veilsum/internal/sampler"
)

// Rotation is random signs and a normalized Hadamard transform on the first W
// values, W the largest power of two not above d, then, if W < d, with
// fresh signs on the last W. It spreads every vector, so that one coordinate
// of a vector of norm D is about D/sqrt(W) whatever the vector was. Orthogonal:
// norms stay, and so does Gaussian noise of equal width. It is immutable.
type Rotation struct {
	values, window int
	signs          []uint64 // 2W bits, least first; a set bit is a minus
}

// Window is W, the largest power of two not above values >= 1.
func Window(values int) int { return 1 << (bits.Len(uint(values)) - 1) }

// New draws the 2W signs of a rotation of values >= 1 numbers from s.
func New(values int, s *sampler.Stream) Rotation {
	w := Window(values)
	r := Rotation{values, w, make([]uint64, (2*w+63)/64)}
	s.Words(r.signs)
	return r
}

// Signs are the 2W sign bits, least first; nobody may change them.
func (r *Rotation) Signs() []uint64 { return r.signs }

// scale is the normalization of one transform.
func (r *Rotation) scale() float64 { return 1 / math.Sqrt(float64(r.window)) }

// second reports whether there is a second window.
func (r *Rotation) second() bool { return r.window < r.values }

// Finish ends the rotation of x, to which the first signs and both
// scales have been applied already (see [Rotation.FirstSigns]).
func (r *Rotation) Finish(x []float32) { finish(r, x) }

func finish[T Float](r *Rotation, x []T) {
	Hadamard(x[:r.window])
	if !r.second() {
		return
	}
	last := x[r.values-r.window:]
	applySigns(last, r.signs, r.window, T(r.scale()))
	Hadamard(last)
}

// Forward rotates x, d values.
func Forward[T Float](r *Rotation, x []T) {
	applySigns(x[:r.window], r.signs, 0, T(r.scale()))
	finish(r, x)
}

// Inverse undoes the rotation on x; the transposes in reverse order.
func Inverse[T Float](r *Rotation, x []T) {
	if r.second() {
		last := x[r.values-r.window:]
		Hadamard(last)
		applySigns(last, r.signs, r.window, T(r.scale()))
	}
	first := x[:r.window]
	Hadamard(first)
	applySigns(first, r.signs, 0, T(r.scale()))
}

// applySigns multiplies x[i] by scale, negated where bit from+i is set.
func applySigns[T Float](x []T, signs []uint64, from int, scale T) {
	both := [2]T{scale, -scale}
	for i := range x {
		k := from + i
		x[i] *= both[signs[k>>6]>>(uint(k)&63)&1]
	}
}

// FirstSigns multiplies x[i], which is value from+i of the vector, by scale in
// float64 (the product may leave the range of float32 halfway) and, inside the
// first window, by its sign and the transform's scale.
func (r *Rotation) FirstSigns(x []float32, from int, scale float64) {
	inside := min(max(r.window-from, 0), len(x))
	s := scale * r.scale()
	both := [2]float64{s, -s}
	for i := range x[:inside] {
		k := from + i
		x[i] = float32(float64(x[i]) * both[r.signs[k>>6]>>(uint(k)&63)&1])
	}
	for i, v := range x[inside:] {
		x[inside+i] = float32(float64(v) * scale)
	}
}
