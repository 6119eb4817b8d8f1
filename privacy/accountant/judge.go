package accountant

import "errors"

// Accountant composes events and proves an epsilon for a delta. [RDP], [PLD]
// and [Exact] are accountants; they differ in what they support and in how
// much more than the truth they prove.
type Accountant interface {
	// Supports tells whether Compose takes the event.
	Supports(Event) error
	// Compose adds the event, count times, or nothing if there is an error.
	Compose(e Event, count int64) error
	// Epsilon is proved for all that was composed, at delta in (0, 1).
	Epsilon(delta float64) (float64, error)
	// Relation is what the accountant protects against.
	Relation() NeighboringRelation
}

// Report is what the accountants say about one event; nil where one of them
// has no bound for it.
type Report struct {
	RDP *RDPReport `json:"rdp"`
	PLD *PLDReport `json:"pld"`
	// Exact is the least epsilon, where there is a formula.
	Exact *float64 `json:"exact"`
}

// RDPReport is an upper bound and the order that proves it: what dp_accounting
// 0.6.0 reports where both support the event, so that a report can be compared
// with it. [RDP] and [Account] may prove up to a few percent less for sampled
// Gaussians.
type RDPReport struct {
	Epsilon float64 `json:"epsilon"`
	Order   float64 `json:"order"`
}

// PLDReport encloses the least epsilon.
type PLDReport struct {
	Lower float64 `json:"lower"`
	Upper float64 `json:"upper"`
}

// Judge asks all accountants about one event. An accountant that has no bound
// is nil in the report; if none has, the error wraps [ErrUnsupported]. An
// invalid event, relation or delta gives an error that wraps [ErrEvent].
func Judge(e Event, relation NeighboringRelation, delta float64) (Report, error) {
	if err := errors.Join(e.Validate(), checkDelta(delta)); err != nil {
		return Report{}, err
	}
	var r Report
	if _, err := newCurve(nil, relation); err != nil {
		return Report{}, err
	}
	var why []error
	if c, err := newCurve([]Event{e}, relation); err != nil {
		why = append(why, err)
	} else if eps, order, err := fixedPoint(delta, c.distance, c.comparable); err != nil {
		why = append(why, err)
	} else {
		r.RDP = &RDPReport{eps, order}
	}
	pld, err := NewPLD(relation)
	if err != nil {
		return Report{}, err
	}
	if err := pld.Compose(e, 1); err != nil {
		why = append(why, err)
	} else if lower, upper, err := pld.Bounds(delta); err != nil {
		why = append(why, err)
	} else {
		r.PLD = &PLDReport{lower, upper}
	}
	exact, err := NewExact(relation)
	if err != nil {
		return Report{}, err
	}
	if err := exact.Compose(e, 1); err != nil {
		why = append(why, err)
	} else if eps, err := exact.Epsilon(delta); err != nil {
		why = append(why, err)
	} else {
		r.Exact = &eps
	}
	if r.RDP == nil && r.PLD == nil && r.Exact == nil {
		return Report{}, errors.Join(why...)
	}
	return r, nil
}
