package fleetsim

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
)

// ErrCanary reports a canary that the fleet has no room for.
var ErrCanary = errors.New("fleetsim: no such canary")

// canaryGroups is how many canaries share a feature: sign patterns of period 4 at most, which are
// orthogonal over any four rounds in a row.
const canaryGroups = 4

// Canaries returns how many canaries can be planted: numbers 0 to Canaries-1. A model with a hidden
// layer has no directions that training leaves alone, so there are none.
func (f *Fleet) Canaries() int {
	if f.config.Hidden > 0 {
		return 0
	}
	return canaryGroups * (f.data.Width + 1)
}

// Canary returns the update of a planted canary in a round, counted from 0:
// as long as the clipping norm, and the same for every class on one feature.
//
// Softmax regression does not change when the scores of all classes move
// alike, so canaries leave the training as it is; and the updates of vehicles sum to zero over
// the classes, so they leave the canaries as they are. Two canaries are
// orthogonal in a round if their features differ, else over every four rounds.
func (f *Fleet) Canary(index, round int) ([]float32, error) {
	if index < 0 || index >= f.Canaries() || round < 0 {
		return nil, fmt.Errorf("%w: %d of %d in round %d", ErrCanary, index, f.Canaries(), round)
	}
	width := f.data.Width + 1
	value := f.config.ClippingNorm / math.Sqrt(float64(f.data.Classes))
	if group := index / width; bits.OnesCount(uint(group&round))%2 == 1 { // a row of a Walsh matrix
		value = -value
	}
	update := make([]float32, f.Dimension())
	for class := range f.data.Classes {
		update[class*width+index%width] = float32(value)
	}
	return update, nil
}

// CanaryScore is the projection of a sum of updates on a canary's: 1 if it is in the
// sum, 0 if not, and noise of NoiseMultiplier or a little more.
func (f *Fleet) CanaryScore(sum []float64, index, round int) (float64, error) {
	update, err := f.Canary(index, round)
	if err != nil {
		return 0, err
	}
	if len(sum) != len(update) {
		return 0, fmt.Errorf("%w: sum has %d values, not %d", ErrDimension, len(sum), len(update))
	}
	score := 0.0
	for i, v := range update {
		score += float64(v) * sum[i]
	}
	return score / (f.config.ClippingNorm * f.config.ClippingNorm), nil
}
