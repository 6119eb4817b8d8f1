package privacy

// For the external tests of what the package does not export.
var (
	Hadamard   = hadamard[float64]
	RoundFixed = roundFixed
	Squares    = squares
)

// Signs returns the sign bits of the round.
func (e *Encoder) Signs() []uint64 { return e.rotation.signs }

// Rotate32 and Rotate64 rotate in the two precisions, without scaling to the grid.
func (e *Encoder) Rotate32(x []float32) {
	e.rotation.firstSigns(x, 0, 1)
	e.rotation.forward(x)
}

func (e *Encoder) Rotate64(x []float64) {
	r := &e.rotation
	applySigns(x[:r.window], r.signs, 0, r.scale())
	hadamard(x[:r.window])
	if r.second() {
		applySigns(x[r.values-r.window:], r.signs, r.window, r.scale())
		hadamard(x[r.values-r.window:])
	}
}

// Tries returns how often the rounding was drawn and its final scale.
func (x *Encoded) Tries() (int, float64) { return int(x.rounding.try) + 1, x.rounding.scale }
