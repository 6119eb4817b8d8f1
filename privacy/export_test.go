package privacy

import "github.com/veilsum/veilsum/privacy/internal/rotate"

// For the external tests of what the package does not export.
var (
	Hadamard   = rotate.Hadamard[float64]
	RoundFixed = roundFixed
	Squares    = squares
)

// Signs returns the sign bits of the round.
func (e *Encoder) Signs() []uint64 { return e.rotation.Signs() }

// Rotate32 and Rotate64 rotate in the two precisions, without scaling to the grid.
func (e *Encoder) Rotate32(x []float32) {
	e.rotation.FirstSigns(x, 0, 1)
	e.rotation.Finish(x)
}

func (e *Encoder) Rotate64(x []float64) { rotate.Forward(&e.rotation, x) }

// Tries returns how often the rounding was drawn and its final scale.
func (x *Encoded) Tries() (int, float64) { return int(x.rounding.try) + 1, x.rounding.scale }
