package fleetsim

import (
	"fmt"
	"slices"
)

// Trainer holds the model of one training run; get one from [Fleet.Trainer]. Update
// calls may run concurrently with each other but not with Apply.
type Trainer struct {
	fleet    *Fleet
	global   []float32
	velocity []float64
}

// Trainer returns a new run. It starts from the zero model, with a hidden layer from a random one that is always the same.
func (f *Fleet) Trainer() *Trainer {
	t := &Trainer{fleet: f, global: make([]float32, f.Dimension()), velocity: make([]float64, f.Dimension())}
	if f.config.Hidden > 0 {
		t.global = f.mlp().start()
	}
	return t
}

// Model returns a copy of the current model, Dimension values.
func (t *Trainer) Model() []float32 { return slices.Clone(t.global) }

// Load replaces the current model by a released one of Dimension values; what Momentum remembers stays.
func (t *Trainer) Load(model []float32) error {
	if len(model) != len(t.global) {
		return fmt.Errorf("%w: model has %d values, not %d", ErrDimension, len(model), len(t.global))
	}
	copy(t.global, model)
	return nil
}

// Update returns the unclipped update of one vehicle on the current model.
func (t *Trainer) Update(vehicle int) ([]float32, error) {
	return t.fleet.LocalUpdate(t.global, vehicle)
}

// Apply moves the model by the mean update of a round: the opened sum divided by the
// number of reports. A round that could not be opened is simply not applied. Apply
// sees the noisy mean only, so whatever it does is post-processing.
func (t *Trainer) Apply(mean []float64) error {
	if len(mean) != len(t.global) {
		return fmt.Errorf("%w: model has %d values, mean %d", ErrDimension, len(t.global), len(mean))
	}
	for i, value := range mean {
		t.velocity[i] = t.fleet.config.Momentum*t.velocity[i] + value
		t.global[i] += float32(t.fleet.config.ServerRate * t.velocity[i])
	}
	return nil
}

// Accuracy returns the share of test rows the current model gets right, 0 to 1. Test
// rows belong to no vehicle, so the figure spends nothing of the vehicles' budget.
func (t *Trainer) Accuracy() float64 {
	share, _ := t.fleet.Accuracy(t.global) // of the right dimension
	return share
}
