package fleetsim

import (
	"fmt"
	"math"
)

// Fleet is the vehicles of one data set under one configuration. It is immutable and
// safe for concurrent use.
type Fleet struct {
	config   Config
	data     *Dataset
	vehicles [][]int
	test     []int
}

// New cuts the data set into vehicles. It returns [ErrConfig] for a value outside its
// range or a fleet too small for its MinBatchSize, and [ErrData] for a broken data
// set or one without test rows. The data must not change afterwards.
func New(config Config, data *Dataset) (*Fleet, error) {
	if err := config.validate(); err != nil {
		return nil, err
	}
	if data == nil {
		return nil, fmt.Errorf("%w: none given", ErrData)
	}
	if err := data.validate(); err != nil {
		return nil, err
	}
	vehicles, err := config.cut(data)
	if err != nil {
		return nil, err
	}
	_, test := data.split()
	if len(test) == 0 {
		return nil, fmt.Errorf("%w: no test rows", ErrData)
	}
	f := &Fleet{config: config, data: data, vehicles: vehicles, test: test}
	if f.MinBatchSize()-config.MaxDishonest < 2 || f.MinBatchSize() > f.Vehicles()-f.lost() {
		return nil, fmt.Errorf("%w: %d vehicles give a MinBatchSize of %d with %d dishonest and %d lost",
			ErrConfig, f.Vehicles(), f.MinBatchSize(), config.MaxDishonest, f.lost())
	}
	return f, nil
}

// Config returns the configuration.
func (f *Fleet) Config() Config { return f.config }

// Vehicles returns the number of vehicles; they are numbered from 0.
func (f *Fleet) Vehicles() int { return len(f.vehicles) }

// MinBatchSize returns the fewest reports a round may open.
func (f *Fleet) MinBatchSize() int {
	return int(f.config.MinBatchShare * float64(f.Vehicles()))
}

// LocalStdDev returns the noise that each vehicle adds to each value, in the units of
// the update, when any MinBatchSize-MaxDishonest of them must reach the noise that
// (Epsilon, Delta) asks for. n reports carry LocalStdDev*sqrt(n) in their sum.
func (f *Fleet) LocalStdDev() float64 {
	honest := float64(f.MinBatchSize() - f.config.MaxDishonest)
	return f.config.NoiseMultiplier() * f.config.ClippingNorm / math.Sqrt(honest)
}

// Dimension returns the number of model values: Classes*(Width+1) without a hidden layer.
func (f *Fleet) Dimension() int {
	if f.config.Hidden > 0 {
		return f.mlp().dimension()
	}
	return f.data.Classes * (f.data.Width + 1)
}

// Shapes returns the model's tensors. Without a hidden layer that is one: Classes rows of Width weights
// and one bias. Else hidden kernel (Width by Hidden), hidden bias, output kernel (Hidden by Classes) and output bias.
func (f *Fleet) Shapes() [][]int {
	if f.config.Hidden > 0 {
		return f.mlp().shapes()
	}
	return [][]int{{f.data.Classes, f.data.Width + 1}}
}

// Shape returns the first of Shapes: the whole model without a hidden layer.
func (f *Fleet) Shape() []int { return f.Shapes()[0] }

func (f *Fleet) mlp() mlp { return mlp{f.data.Width, f.config.Hidden, f.data.Classes} }

// RowsOf returns how many rows a vehicle holds, 0 for a vehicle outside the fleet.
func (f *Fleet) RowsOf(vehicle int) int {
	if vehicle < 0 || vehicle >= f.Vehicles() {
		return 0
	}
	return len(f.vehicles[vehicle])
}

// TestRows returns how many rows the accuracy is measured on.
func (f *Fleet) TestRows() int { return len(f.test) }

// LocalUpdate returns what a vehicle adds to the model: its weights after LocalSteps
// full-batch gradient steps on its own rows, minus global.
// Unclipped; deterministic. It returns [ErrVehicle] or [ErrDimension].
func (f *Fleet) LocalUpdate(global []float32, vehicle int) ([]float32, error) {
	if vehicle < 0 || vehicle >= f.Vehicles() {
		return nil, fmt.Errorf("%w: %d of %d", ErrVehicle, vehicle, f.Vehicles())
	}
	if len(global) != f.Dimension() {
		return nil, fmt.Errorf("%w: model has %d values, not %d", ErrDimension, f.Dimension(), len(global))
	}
	if f.config.Hidden > 0 {
		return f.mlp().update(global, f.data, f.vehicles[vehicle], f.config.LocalSteps, f.config.LocalRate), nil
	}
	m := softmax{width: f.data.Width, classes: f.data.Classes, weights: append([]float32(nil), global...)}
	for range f.config.LocalSteps {
		m.step(f.data, f.vehicles[vehicle], float32(f.config.LocalRate))
	}
	for i := range m.weights {
		m.weights[i] -= global[i]
	}
	return m.weights, nil
}

// Accuracy returns the share of test rows that a model gets right, 0 to 1, or [ErrDimension].
func (f *Fleet) Accuracy(model []float32) (float64, error) { return f.accuracyOn(model, f.test) }

// AccuracyOf returns the share of its own rows that a vehicle gets right with a model: what it sees when it runs
// one. It returns [ErrVehicle] or [ErrDimension].
func (f *Fleet) AccuracyOf(vehicle int, model []float32) (float64, error) {
	if vehicle < 0 || vehicle >= f.Vehicles() {
		return 0, fmt.Errorf("%w: %d of %d", ErrVehicle, vehicle, f.Vehicles())
	}
	return f.accuracyOn(model, f.vehicles[vehicle])
}

func (f *Fleet) accuracyOn(model []float32, rows []int) (float64, error) {
	if len(model) != f.Dimension() {
		return 0, fmt.Errorf("%w: model has %d values, not %d", ErrDimension, len(model), f.Dimension())
	}
	score, right := f.scorer(model), 0
	for _, r := range rows {
		if largest(score(f.data.row(r))) == f.data.Labels[r] {
			right++
		}
	}
	return float64(right) / float64(len(rows)), nil
}

// scorer returns what gives the class scores of a row under a model of Dimension values; the next call overwrites them.
func (f *Fleet) scorer(model []float32) func(x []float32) []float64 {
	if f.config.Hidden > 0 {
		m := f.mlp()
		s := m.scratch()
		return func(x []float32) []float64 { m.forward(model, x, s); return s.scores }
	}
	m, scores := softmax{width: f.data.Width, classes: f.data.Classes, weights: model}, make([]float64, f.data.Classes)
	return func(x []float32) []float64 { m.scores(scores, x); return scores }
}
