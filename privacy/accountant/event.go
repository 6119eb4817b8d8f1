package accountant

import "errors"

// ErrEvent reports an event, or a question about events, that has no meaning
// or that this accountant cannot judge. The message names field and range.
var ErrEvent = errors.New("accountant: invalid event")

// NeighboringRelation says which two fleets the guarantee cannot tell apart.
type NeighboringRelation string

// The relations. The number of reports and the list of vehicles are public
// under ZeroOut and ReplaceOne.
const (
	// ZeroOut replaces one unit's contribution by zero.
	ZeroOut NeighboringRelation = "zero_out"
	// ReplaceOne replaces one unit's contribution by any other: twice the
	// sensitivity.
	ReplaceOne NeighboringRelation = "replace_one"
	// AddRemove adds or removes one unit. Secure sums do not offer it, because
	// the list is public; central mechanisms may.
	AddRemove NeighboringRelation = "add_remove"
)

// EventType names a mechanism or a composition in the record.
type EventType string

// The types of events, with the fields that each one uses. Sensitivities are
// to zeroing out (or adding) one unit, except where a type says otherwise.
const (
	// Gaussian: NoiseMultiplier.
	Gaussian EventType = "gaussian"
	// Laplace: NoiseMultiplier, scale over L1 sensitivity.
	Laplace EventType = "laplace"
	// DiscreteGaussian: one draw of N_Z(0, Sigma^2) per value; Sensitivity (L2)
	// and Sigma in integer units. Dimension is 1 if absent; more than 1 is
	// judged by zCDP only (Canonne, Kamath and Steinke 2020, Theorem 4).
	DiscreteGaussian EventType = "discrete_gaussian"
	// DiscreteLaplace: one draw per release with P(x) proportional to
	// exp(-NoiseParameter |x|), for a sum of integers of L1 Sensitivity.
	DiscreteLaplace EventType = "discrete_laplace"
	// DistributedDiscreteGaussian: the sum of Contributors (at least) draws of
	// N_Z(0, Sigma^2) per value; also Sensitivity, Dimension and Reports.
	DistributedDiscreteGaussian EventType = "distributed_discrete_gaussian"
	// Skellam: noise of total Variance per value, Sensitivity (L2), Dimension;
	// L1Sensitivity is bounded from these if absent.
	Skellam EventType = "skellam"
	// RandomizedResponse: with probability NoiseParameter the answer is uniform
	// over NumBuckets, else the truth. Relations: replace_one, and zero_out,
	// where the neighbor answers uniformly.
	RandomizedResponse EventType = "randomized_response"
	// Poisson: Event, a Gaussian composition or a Laplace, on a secret sample in
	// which each unit is with SamplingProbability, independently.
	Poisson EventType = "poisson"
	// TruncatedPoisson: a Gaussian of NoiseMultiplier on a Poisson sample of
	// SamplingProbability from DatasetSize, cut at random to TruncatedBatchSize.
	// Only under add_remove.
	TruncatedPoisson EventType = "truncated_poisson_gaussian"
	// FixedSize: Event, a Gaussian composition, on a secret sample of SampleSize
	// of SourceDatasetSize units without replacement. Only under replace_one;
	// the noise multipliers inside are to the sensitivity of replacing one.
	FixedSize EventType = "wor"
	// GaussianMixture: a Gaussian of StandardDeviation whose sensitivity is
	// Sensitivities[i] with probability SamplingProbs[i]. Not replace_one.
	GaussianMixture EventType = "mixture_gaussian"
	// Tree: binary-tree aggregation, each unit once in all: NoiseMultiplier per
	// node, StepCounts leaves per tree (Kairouz et al. 2021, Appendix D). Not
	// under add_remove.
	Tree EventType = "tree"
	// Matrix: a Gaussian matrix mechanism, noise of NoiseMultiplier times one
	// contribution's bound in each coordinate of the noise, and
	// StrategySensitivity, see [ToeplitzSensitivity]. Not under add_remove.
	Matrix EventType = "matrix"
	// ZCDP: Rho and Xi, a mechanism known only by its (xi, rho)-zCDP bound
	// (Bun and Steinke 2016) under the relation asked for.
	ZCDP EventType = "zcdp"
	// SelfComposed: Event, Count times.
	SelfComposed EventType = "self_composed"
	// Composed: Events, one after the other, each free to depend on what the
	// former released.
	Composed EventType = "composed"
)

// Event is one node of the tree that describes what was released. It is plain
// data and prints as JSON; [ParseEvent] reads it back strictly. Which fields
// belong to which type is said at the constants; others must be zero. Nothing
// in this package changes an event that it was given.
type Event struct {
	Type EventType `json:"type"`
	// NoiseMultiplier is noise standard deviation (Laplace: scale) over the
	// sensitivity to zeroing out one unit; > 0.
	NoiseMultiplier float64 `json:"noise_multiplier,omitempty"`
	// Sensitivity is the L2 bound D on one unit's integers (discrete Laplace:
	// the L1 bound); >= 1.
	Sensitivity int64 `json:"sensitivity,omitempty"`
	// L1Sensitivity is the L1 bound on one unit's integers; >= Sensitivity.
	L1Sensitivity int64 `json:"l1_sensitivity,omitempty"`
	// Sigma is the parameter of each discrete Gaussian, in integer units.
	Sigma float64 `json:"sigma,omitempty"`
	// Variance is the total variance of the Skellam noise, in integer units.
	Variance float64 `json:"variance,omitempty"`
	// Contributors is h, the fewest honest noises in the sum; >= 1.
	Contributors int64 `json:"contributors,omitempty"`
	// Dimension is the number of values; >= 1.
	Dimension int64 `json:"dimension,omitempty"`
	// Reports is the number of noises drawn per value (not less than
	// Contributors); it enters the charge for the sampler's distance.
	Reports int64 `json:"reports,omitempty"`
	// NoiseParameter is the rate a of a discrete Laplace, in (0, 700], or the
	// probability p of a random answer, in (0, 1].
	NoiseParameter float64 `json:"noise_parameter,omitempty"`
	// NumBuckets is the number of answers; >= 1.
	NumBuckets int64 `json:"num_buckets,omitempty"`
	// SamplingProbability is in (0, 1].
	SamplingProbability float64 `json:"sampling_probability,omitempty"`
	// SampleSize of SourceDatasetSize units are drawn.
	SourceDatasetSize int64 `json:"source_dataset_size,omitempty"`
	SampleSize        int64 `json:"sample_size,omitempty"`
	// DatasetSize and TruncatedBatchSize are numbers of units; >= 1.
	DatasetSize        int64 `json:"dataset_size,omitempty"`
	TruncatedBatchSize int64 `json:"truncated_batch_size,omitempty"`
	// StandardDeviation is that of the noise of a mixture, in the units of
	// Sensitivities; > 0.
	StandardDeviation float64   `json:"standard_deviation,omitempty"`
	Sensitivities     []float64 `json:"sensitivities,omitempty"`
	SamplingProbs     []float64 `json:"sampling_probs,omitempty"`
	// StepCounts are the leaves of each tree.
	StepCounts StepCounts `json:"step_counts,omitempty"`
	// StrategySensitivity is the largest L2 norm of C times one unit's pattern
	// of participation; > 0.
	StrategySensitivity float64 `json:"strategy_sensitivity,omitempty"`
	Rho                 float64 `json:"rho,omitempty"`
	Xi                  float64 `json:"xi,omitempty"`
	Count               int64   `json:"count,omitempty"`
	Event               *Event  `json:"event,omitempty"`
	Events              []Event `json:"events,omitempty"`
}

// Repeat is the event "e, count times"; [Account] checks both.
func Repeat(e Event, count int64) Event {
	return Event{Type: SelfComposed, Count: count, Event: &e}
}

// Compose is the event "these, one after the other".
func Compose(events ...Event) Event {
	return Event{Type: Composed, Events: append([]Event(nil), events...)}
}
