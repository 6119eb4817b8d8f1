package accountant

import (
	"errors"
	"fmt"
	"math"
)

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

// The types of events, with the fields that each one uses.
const (
	// Gaussian: NoiseMultiplier.
	Gaussian EventType = "gaussian"
	// DiscreteGaussian: one draw of N_Z(0, Sigma^2) per value; Sensitivity and
	// Sigma in integer units, any dimension.
	DiscreteGaussian EventType = "discrete_gaussian"
	// DistributedDiscreteGaussian: the sum of Contributors (at least) draws of
	// N_Z(0, Sigma^2) per value; also Sensitivity, Dimension and Reports.
	DistributedDiscreteGaussian EventType = "distributed_discrete_gaussian"
	// Laplace: NoiseMultiplier, scale over L1 sensitivity.
	Laplace EventType = "laplace"
	// ZCDP: Rho and Xi, a mechanism known only by its (xi, rho)-zCDP bound
	// (Bun and Steinke 2016) under the relation asked for.
	ZCDP EventType = "zcdp"
	// SelfComposed: Event, Count times.
	SelfComposed EventType = "self_composed"
	// Composed: Events, one after the other, each free to depend on what the
	// former released.
	Composed EventType = "composed"
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
)

// Event is one node of the tree that describes what was released. It is plain
// data and prints as JSON; [ParseEvent] reads it back strictly. Which fields
// belong to which type is said at the constants; others must be zero.
type Event struct {
	Type EventType `json:"type"`
	// NoiseMultiplier is noise standard deviation (Laplace: scale) over the
	// sensitivity to zeroing out one unit; > 0.
	NoiseMultiplier float64 `json:"noise_multiplier,omitempty"`
	// Sensitivity is the L2 bound D on one unit's integers; >= 1.
	Sensitivity int64 `json:"sensitivity,omitempty"`
	// Sigma is the parameter of each discrete Gaussian, in integer units.
	Sigma float64 `json:"sigma,omitempty"`
	// Contributors is h, the fewest honest noises in the sum; >= 1.
	Contributors int64 `json:"contributors,omitempty"`
	// Dimension is the number of values; >= 1.
	Dimension int64 `json:"dimension,omitempty"`
	// Reports is the number of noises drawn per value (not less than
	// Contributors); it enters the charge for the sampler's distance.
	Reports int64   `json:"reports,omitempty"`
	Rho     float64 `json:"rho,omitempty"`
	Xi      float64 `json:"xi,omitempty"`
	Count   int64   `json:"count,omitempty"`
	Event   *Event  `json:"event,omitempty"`
	Events  []Event `json:"events,omitempty"`
}

// Repeat is the event "e, count times"; [Account] checks both.
func Repeat(e Event, count int64) Event {
	return Event{Type: SelfComposed, Count: count, Event: &e}
}

// Compose is the event "these, one after the other".
func Compose(events ...Event) Event {
	return Event{Type: Composed, Events: append([]Event(nil), events...)}
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
	switch e.Type {
	case SelfComposed:
		return e.validateRepeat(depth, nodes)
	case Composed:
		return e.validateComposed(depth, nodes)
	default:
		return e.validateLeaf()
	}
}

func (e *Event) validateRepeat(depth int, nodes *int) error {
	if e.Event == nil {
		return fmt.Errorf("%w: %s without event", ErrEvent, e.Type)
	}
	if e.Count < 0 || e.Count > maxCount {
		return fmt.Errorf("%w: count is %d, want 0 to %d", ErrEvent, e.Count, int64(maxCount))
	}
	if err := e.onlyFields(Event{Count: e.Count, Event: e.Event}); err != nil {
		return err
	}
	return e.Event.validate(depth+1, nodes)
}

func (e *Event) validateComposed(depth int, nodes *int) error {
	if err := e.onlyFields(Event{Events: e.Events}); err != nil {
		return err
	}
	for i := range e.Events {
		if err := e.Events[i].validate(depth+1, nodes); err != nil {
			return err
		}
	}
	return nil
}

func (e *Event) validateLeaf() error {
	switch e.Type {
	case Gaussian, Laplace:
		if err := inRange("noise_multiplier", e.NoiseMultiplier, 1/maxRatio, maxRatio); err != nil {
			return err
		}
		return e.onlyFields(Event{NoiseMultiplier: e.NoiseMultiplier})
	case ZCDP:
		if err := errors.Join(inRange("rho", e.Rho, 0, maxRatio), inRange("xi", e.Xi, 0, maxRatio)); err != nil {
			return err
		}
		return e.onlyFields(Event{Rho: e.Rho, Xi: e.Xi})
	case DiscreteGaussian:
		if err := e.validateInteger(1 / maxRatio); err != nil {
			return err
		}
		return e.onlyFields(Event{Sensitivity: e.Sensitivity, Sigma: e.Sigma})
	case DistributedDiscreteGaussian:
		if err := errors.Join(e.validateInteger(minSigma), e.validateSum()); err != nil {
			return err
		}
		return e.onlyFields(Event{Sensitivity: e.Sensitivity, Sigma: e.Sigma, Contributors: e.Contributors, Dimension: e.Dimension, Reports: e.Reports})
	default:
		return fmt.Errorf("%w: unknown type %.40q", ErrEvent, string(e.Type))
	}
}

func (e *Event) validateInteger(least float64) error {
	if err := inRange("sigma", e.Sigma, least, maxSigma); err != nil {
		return err
	}
	return inRange("sensitivity", float64(e.Sensitivity), 1, 1<<40)
}

func (e *Event) validateSum() error {
	return errors.Join(
		inRange("dimension", float64(e.Dimension), 1, maxDimension),
		inRange("contributors", float64(e.Contributors), 1, 1<<32),
		inRange("reports", float64(e.Reports), float64(e.Contributors), 1<<32))
}

// onlyFields refuses fields that the type does not use: a record that says
// more than is judged would be read as a stronger claim.
func (e *Event) onlyFields(want Event) error {
	got := *e
	got.Type = ""
	same := got.NoiseMultiplier == want.NoiseMultiplier && got.Sensitivity == want.Sensitivity &&
		got.Sigma == want.Sigma && got.Contributors == want.Contributors && got.Dimension == want.Dimension &&
		got.Reports == want.Reports && got.Rho == want.Rho && got.Xi == want.Xi && got.Count == want.Count &&
		got.Event == want.Event && len(got.Events) == len(want.Events)
	if !same {
		return fmt.Errorf("%w: %s with a field that does not belong to it", ErrEvent, e.Type)
	}
	return nil
}

func inRange(field string, v, low, high float64) error {
	if math.IsNaN(v) || v < low || v > high {
		return fmt.Errorf("%w: %s is %g, want %g to %g", ErrEvent, field, v, low, high)
	}
	return nil
}
