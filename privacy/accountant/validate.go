package accountant

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Bounds of an event that is accepted; they keep a hostile record harmless.
const (
	maxDepth     = 16
	maxNodes     = 1 << 20
	maxCount     = 1 << 40
	maxDimension = 1 << 32
	maxSigma     = 1 << 50
	minSigma     = 0.5 // the theorem's condition, Kairouz et al. 2021
	maxRatio     = 1e12
	maxUnits     = 1 << 50
	maxMixture   = 1 << 8
	maxTrees     = 1 << 16
	maxRate      = 700  // exp must not overflow
	minSampled   = 0.02 // least noise multiplier on a sample: the work grows as it falls
)

// fieldsOf lists the fields of each type: a record that says more than is
// judged would be read as a stronger claim.
var fieldsOf = map[EventType][]string{
	Gaussian:                    {"noise_multiplier"},
	Laplace:                     {"noise_multiplier"},
	DiscreteGaussian:            {"sensitivity", "sigma", "dimension"},
	DiscreteLaplace:             {"noise_parameter", "sensitivity"},
	DistributedDiscreteGaussian: {"sensitivity", "sigma", "contributors", "dimension", "reports"},
	Skellam:                     {"variance", "sensitivity", "l1_sensitivity", "dimension"},
	RandomizedResponse:          {"noise_parameter", "num_buckets"},
	Poisson:                     {"sampling_probability", "event"},
	TruncatedPoisson:            {"dataset_size", "sampling_probability", "truncated_batch_size", "noise_multiplier"},
	FixedSize:                   {"source_dataset_size", "sample_size", "event"},
	GaussianMixture:             {"standard_deviation", "sensitivities", "sampling_probs"},
	Tree:                        {"noise_multiplier", "step_counts"},
	Matrix:                      {"noise_multiplier", "strategy_sensitivity"},
	ZCDP:                        {"rho", "xi"},
	SelfComposed:                {"count", "event"},
	Composed:                    {"events"},
}

// present lists the fields that are not zero.
func (e *Event) present() (names []string) {
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"noise_multiplier", e.NoiseMultiplier != 0},
		{"sensitivity", e.Sensitivity != 0},
		{"l1_sensitivity", e.L1Sensitivity != 0},
		{"sigma", e.Sigma != 0},
		{"variance", e.Variance != 0},
		{"contributors", e.Contributors != 0},
		{"dimension", e.Dimension != 0},
		{"reports", e.Reports != 0},
		{"noise_parameter", e.NoiseParameter != 0},
		{"num_buckets", e.NumBuckets != 0},
		{"sampling_probability", e.SamplingProbability != 0},
		{"source_dataset_size", e.SourceDatasetSize != 0},
		{"sample_size", e.SampleSize != 0},
		{"dataset_size", e.DatasetSize != 0},
		{"truncated_batch_size", e.TruncatedBatchSize != 0},
		{"standard_deviation", e.StandardDeviation != 0},
		{"sensitivities", len(e.Sensitivities) != 0},
		{"sampling_probs", len(e.SamplingProbs) != 0},
		{"step_counts", len(e.StepCounts) != 0},
		{"strategy_sensitivity", e.StrategySensitivity != 0},
		{"rho", e.Rho != 0},
		{"xi", e.Xi != 0},
		{"count", e.Count != 0},
		{"event", e.Event != nil},
		{"events", len(e.Events) != 0},
	} {
		if f.set {
			names = append(names, f.name)
		}
	}
	return names
}

// Validate checks the whole tree. The error wraps [ErrEvent].
func (e Event) Validate() error {
	nodes := maxNodes
	return e.validate(0, &nodes)
}

func (e *Event) validate(depth int, nodes *int) error {
	if *nodes--; *nodes < 0 {
		return fmt.Errorf("%w: more than %d nodes", ErrEvent, maxNodes)
	}
	if depth > maxDepth {
		return fmt.Errorf("%w: nested deeper than %d", ErrEvent, maxDepth)
	}
	fields, ok := fieldsOf[e.Type]
	if !ok {
		return fmt.Errorf("%w: unknown type %.40q", ErrEvent, string(e.Type))
	}
	if err := e.ranges(); err != nil {
		return err
	}
	for _, name := range e.present() {
		if !slices.Contains(fields, name) {
			return fmt.Errorf("%w: %s with a field that does not belong to it: %s", ErrEvent, e.Type, name)
		}
	}
	return e.validateInside(depth, nodes)
}

// validateInside checks the children.
func (e *Event) validateInside(depth int, nodes *int) error {
	switch e.Type {
	case SelfComposed, Poisson, FixedSize:
		if e.Event == nil {
			return fmt.Errorf("%w: %s without event", ErrEvent, e.Type)
		}
		if err := e.Event.validate(depth+1, nodes); err != nil {
			return err
		}
		return e.validateSampled()
	case Composed:
		for i := range e.Events {
			if err := e.Events[i].validate(depth+1, nodes); err != nil {
				return err
			}
		}
	}
	return nil
}

// validateSampled refuses what is not known to be amplified by sampling.
func (e *Event) validateSampled() error {
	if e.Type == SelfComposed || e.Type == Poisson && e.Event.Type == Laplace {
		return nil
	}
	rho, ok := gaussianRho(e.Event)
	if !ok {
		return fmt.Errorf("%w: %s of %.40q", ErrEvent, e.Type, string(e.Event.Type))
	}
	// Beyond this the noise does not hide a single unit and floats do not hold
	// the densities' ratio; a record of it is a mistake.
	return inRange("noise_multiplier inside "+string(e.Type), 1/math.Sqrt(2*rho), minSampled, maxRatio)
}

// inside is the child, or an empty event.
func (e *Event) inside() *Event {
	if e.Event == nil {
		return &Event{}
	}
	return e.Event
}

// gaussianRho is the zCDP parameter of a composition of Gaussians, which is
// exactly one Gaussian of that parameter (Dong, Roth and Su 2022, Corollary
// 2); false for anything else, and for nothing.
func gaussianRho(e *Event) (rho float64, ok bool) {
	switch e.Type {
	case Gaussian:
		return 1 / (2 * e.NoiseMultiplier * e.NoiseMultiplier), true
	case SelfComposed:
		rho, ok = gaussianRho(e.Event)
		return rho * float64(e.Count), ok && e.Count > 0
	case Composed:
		for i := range e.Events {
			r, ok := gaussianRho(&e.Events[i])
			if !ok {
				return 0, false
			}
			rho += r
		}
		return rho, len(e.Events) > 0
	default:
		return 0, false
	}
}

// ranges checks the numbers of one node.
func (e *Event) ranges() error {
	switch e.Type {
	case Gaussian, Laplace:
		return e.multiplier()
	case ZCDP:
		return errors.Join(inRange("rho", e.Rho, 0, maxRatio), inRange("xi", e.Xi, 0, maxRatio))
	case DiscreteGaussian:
		return errors.Join(e.integer(1/maxRatio), whole("dimension", e.Dimension, 0, maxDimension))
	case DistributedDiscreteGaussian:
		return errors.Join(e.integer(minSigma), whole("dimension", e.Dimension, 1, maxDimension),
			whole("contributors", e.Contributors, 1, 1<<32), whole("reports", e.Reports, e.Contributors, 1<<32))
	case DiscreteLaplace:
		return errors.Join(inRange("noise_parameter", e.NoiseParameter, 1/maxRatio, maxRate), whole("sensitivity", e.Sensitivity, 1, 1<<14),
			inRange("noise_parameter times sensitivity", e.NoiseParameter*float64(e.Sensitivity), 0, maxRate))
	case Skellam:
		return e.skellamRanges()
	case RandomizedResponse:
		return errors.Join(inRange("noise_parameter", e.NoiseParameter, 1e-100, 1), whole("num_buckets", e.NumBuckets, 1, maxUnits))
	case SelfComposed:
		return whole("count", e.Count, 0, maxCount)
	default:
		return e.sampledRanges()
	}
}

func (e *Event) sampledRanges() error {
	switch e.Type {
	case Poisson:
		return e.probability()
	case TruncatedPoisson:
		return errors.Join(e.probability(), inRange("noise_multiplier", e.NoiseMultiplier, minSampled, maxRatio),
			whole("dataset_size", e.DatasetSize, 1, maxUnits), whole("truncated_batch_size", e.TruncatedBatchSize, 1, maxUnits))
	case FixedSize:
		return errors.Join(whole("source_dataset_size", e.SourceDatasetSize, 1, maxUnits), whole("sample_size", e.SampleSize, 1, e.SourceDatasetSize))
	case GaussianMixture:
		return e.mixtureRanges()
	case Tree:
		return errors.Join(e.multiplier(), e.StepCounts.validate())
	case Matrix:
		return errors.Join(e.multiplier(), inRange("strategy_sensitivity", e.StrategySensitivity, 1/maxRatio, maxRatio),
			inRange("noise_multiplier over strategy_sensitivity", e.NoiseMultiplier/e.StrategySensitivity, 1/maxRatio, maxRatio))
	}
	return nil
}

func (e *Event) multiplier() error {
	return inRange("noise_multiplier", e.NoiseMultiplier, 1/maxRatio, maxRatio)
}

func (e *Event) probability() error {
	return inRange("sampling_probability", e.SamplingProbability, 1e-12, 1)
}

func (e *Event) integer(least float64) error {
	return errors.Join(inRange("sigma", e.Sigma, least, maxSigma), whole("sensitivity", e.Sensitivity, 1, 1<<40))
}

func (e *Event) skellamRanges() error {
	err := errors.Join(inRange("variance", e.Variance, 1/maxRatio, maxSigma), whole("sensitivity", e.Sensitivity, 1, 1<<40),
		whole("dimension", e.Dimension, 1, maxDimension))
	if e.L1Sensitivity != 0 {
		err = errors.Join(err, whole("l1_sensitivity", e.L1Sensitivity, e.Sensitivity, 1<<50))
	}
	return err
}

func (e *Event) mixtureRanges() error {
	n := len(e.Sensitivities)
	if n == 0 || n > maxMixture || n != len(e.SamplingProbs) {
		return fmt.Errorf("%w: %d sensitivities and %d probabilities, want as many, 1 to %d", ErrEvent, n, len(e.SamplingProbs), maxMixture)
	}
	if err := inRange("standard_deviation", e.StandardDeviation, 1/maxRatio, maxRatio); err != nil {
		return err
	}
	sum := 0.0
	for i, s := range e.Sensitivities {
		if s != 0 {
			if err := inRange("a sensitivity over standard_deviation", s/e.StandardDeviation, 1/maxRatio, 1/minSampled); err != nil {
				return err
			}
		}
		if err := inRange("a sampling probability", e.SamplingProbs[i], 0, 1); err != nil {
			return err
		}
		sum += e.SamplingProbs[i]
	}
	return inRange("the sum of sampling_probs", sum, 1-1e-9, 1+1e-9)
}

func inRange(field string, v, low, high float64) error {
	if math.IsNaN(v) || v < low || v > high {
		return fmt.Errorf("%w: %s is %g, want %g to %g", ErrEvent, field, v, low, high)
	}
	return nil
}

func whole(field string, v, low, high int64) error {
	return inRange(field, float64(v), float64(low), float64(high))
}
