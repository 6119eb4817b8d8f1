package fleetsim

import (
	"math/rand/v2"
	"slices"
)

// Resample draws, for each of vehicles simulated vehicles, one of rows rows with replacement: a fleet of
// any size whose values are real. The same seed draws the same rows. It returns nil unless rows is positive.
func Resample(seed uint64, vehicles, rows int) []int {
	if rows < 1 {
		return nil
	}
	random, drawn := rand.New(rand.NewPCG(seed, 1<<41)), make([]int, max(vehicles, 0))
	for i := range drawn {
		drawn[i] = random.IntN(rows)
	}
	return drawn
}

// Predictions are what a model says of the test rows.
type Predictions struct {
	Labels        []int       // the true class of each row
	Probabilities [][]float64 // of each class, for each row
}

// Predict returns the current model's predictions of the test rows, which belong to no vehicle.
func (t *Trainer) Predict() Predictions {
	data, score := t.fleet.data, t.fleet.scorer(t.global)
	var out Predictions
	for _, r := range t.fleet.test {
		p := slices.Clone(score(data.row(r)))
		normalize(p)
		out.Labels, out.Probabilities = append(out.Labels, data.Labels[r]), append(out.Probabilities, p)
	}
	return out
}
