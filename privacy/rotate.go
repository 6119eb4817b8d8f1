package privacy

import (
	"math"

	"github.com/veilsum/veilsum/internal/sampler"
)

// rotation is the public random rotation of a round: random signs and a
// normalized Hadamard transform on the first W values, then, if W < d, with
// fresh signs on the last W. It spreads every vector, so that one coordinate
// of a clipped update is about D/sqrt(W) whatever the update was. Orthogonal:
// norms stay, and so does Gaussian noise of equal width.
type rotation struct {
	values, window int
	signs          []uint64 // 2W bits, least first; a set bit is a minus
}

// newRotation draws the signs from stream 0 of KDF(RoundID, "rot").
func newRotation(values, window int, roundID [32]byte) rotation {
	r := rotation{values, window, make([]uint64, (2*window+63)/64)}
	sampler.NewKey(sampler.Derive(roundID[:], "rot")).Stream(0).Words(r.signs)
	return r
}

// scale is the normalization of one transform.
func (r *rotation) scale() float64 { return 1 / math.Sqrt(float64(r.window)) }

// second reports whether there is a second window.
func (r *rotation) second() bool { return r.window < r.values }

// forward finishes the rotation of x, to which the first signs and both
// scales have been applied already (see [rotation.firstSigns]).
func (r *rotation) forward(x []float32) {
	hadamard(x[:r.window])
	if !r.second() {
		return
	}
	last := x[r.values-r.window:]
	applySigns(last, r.signs, r.window, float32(r.scale()))
	hadamard(last)
}

// inverse undoes the rotation on x; the transposes in reverse order.
func (r *rotation) inverse(x []float64) {
	if r.second() {
		last := x[r.values-r.window:]
		hadamard(last)
		applySigns(last, r.signs, r.window, r.scale())
	}
	first := x[:r.window]
	hadamard(first)
	applySigns(first, r.signs, 0, r.scale())
}

// applySigns multiplies x[i] by scale, negated where bit from+i is set.
func applySigns[T float](x []T, signs []uint64, from int, scale T) {
	both := [2]T{scale, -scale}
	for i := range x {
		k := from + i
		x[i] *= both[signs[k>>6]>>(uint(k)&63)&1]
	}
}

// firstSigns multiplies x[i], which is value from+i of the update, by scale in
// float64 (the product may leave the range of float32 halfway) and, inside the
// first window, by its sign and the transform's scale.
func (r *rotation) firstSigns(x []float32, from int, scale float64) {
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
