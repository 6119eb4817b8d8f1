package accountant

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
)

// PLD is an accountant that composes privacy-loss distributions numerically
// and returns a lower and an upper bound of the true epsilon, of both
// directions of the relation. It is not safe for concurrent use.
//
// Error control. (1) Grid: the upper bound connects the dots, the lower one
// merges outcomes; both are bounds whatever the step, and come together as its
// square. (2) Tails of a density that are not represented are charged to delta
// by their Gaussian bound; losses above the window by Chernoff's bound of the
// composed masses. (3) Wrapping around the window only adds to the upper
// bound; the lower one pays the tilted mass outside, by Chernoff's bound. (4)
// Rounding of the transforms is bounded for every composed mass and added or
// taken off; the tilt makes it small beside the masses that matter. (5) The
// rounding and the quadrature of each event's masses are covered by a relative
// slack of 1e-12 per event.
type PLD struct {
	relation NeighboringRelation
	rho      float64 // of all Gaussians, which compose to one
	leaves   map[string]*leaf
	names    []string
	most     int // bits of the largest window
}

type leaf struct {
	event Event
	count float64
}

// Bounds of what is composed numerically.
const (
	maxLeaves   = 256     // 10 s on one core and 0.8 GB for sampled Gaussians; RDP takes 4096
	maxRho      = 1 << 19 // 5 s on one core, and an epsilon of as much; see [Exact]
	minLaplace  = 1e-3    // the grid would grow without bound, and the answer is near the pure epsilon
	maxComposed = 1 << 32
)

// NewPLD returns an empty accountant. The error wraps [ErrEvent].
func NewPLD(relation NeighboringRelation) (*PLD, error) {
	if _, err := newCurve(nil, relation); err != nil {
		return nil, err
	}
	return &PLD{relation: relation, leaves: make(map[string]*leaf), most: maxBits}, nil
}

// Relation is what the accountant protects against.
func (p *PLD) Relation() NeighboringRelation { return p.relation }

// Supports tells whether Compose takes e. The error wraps [ErrEvent], and
// [ErrUnsupported] if another accountant may judge e.
func (p *PLD) Supports(e Event) error {
	other, err := NewPLD(p.relation)
	if err != nil {
		return err
	}
	return other.Compose(e, 1)
}

// Compose adds e, count times. On an error, which wraps [ErrEvent], nothing is
// added.
func (p *PLD) Compose(e Event, count int64) error { return p.compose(e, count, maxRho) }

// compose is Compose with the largest sum of Gaussians' rho.
func (p *PLD) compose(e Event, count int64, limit float64) error {
	whole := Repeat(e, count)
	if err := whole.Validate(); err != nil {
		return err
	}
	next := p.clone()
	if err := next.add(&whole, 1); err != nil {
		return err
	}
	if !(next.rho <= limit) {
		return fmt.Errorf("%w: Gaussians of rho %g together", ErrUnsupported, next.rho)
	}
	*p = *next
	return nil
}

func (p *PLD) clone() *PLD {
	c := *p
	c.names = slices.Clone(p.names)
	c.leaves = make(map[string]*leaf, len(p.leaves))
	for name, l := range p.leaves {
		copied := *l
		c.leaves[name] = &copied
	}
	return &c
}

func (p *PLD) add(e *Event, times float64) error {
	switch e.Type {
	case SelfComposed:
		return p.add(e.Event, times*float64(e.Count))
	case Composed:
		for i := range e.Events {
			if err := p.add(&e.Events[i], times); err != nil {
				return err
			}
		}
		return nil
	}
	rho, ok, err := plainGaussian(e, p.relation)
	if err != nil {
		return err
	}
	if ok {
		p.rho += times * rho
		return nil
	}
	return p.addLeaf(e, times)
}

// plainGaussian is the zCDP parameter of an event that is one Gaussian.
func plainGaussian(e *Event, relation NeighboringRelation) (rho float64, ok bool, err error) {
	factor := 1.0
	if relation == ReplaceOne {
		factor = 4
	}
	switch e.Type {
	case Gaussian:
		return factor / (2 * e.NoiseMultiplier * e.NoiseMultiplier), true, nil
	case Tree, Matrix:
		rho, err = strategyRho(e, relation)
		return rho, true, err
	case Poisson:
		rho, ok = gaussianRho(e.Event)
		return factor * rho, ok && e.SamplingProbability == 1, nil
	case FixedSize:
		rho, ok = gaussianRho(e.Event)
		return rho, ok && e.SampleSize == e.SourceDatasetSize && relation == ReplaceOne, nil
	}
	return 0, false, nil
}

func (p *PLD) addLeaf(e *Event, times float64) error {
	key, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("%w: %v", ErrEvent, err)
	}
	l := p.leaves[string(key)]
	if l == nil {
		if _, err := pairsOf(e, p.relation, span{sigmas: 8, alpha: 1}); err != nil {
			return err
		}
		if len(p.leaves) == maxLeaves {
			return fmt.Errorf("%w: more than %d different events", ErrUnsupported, maxLeaves)
		}
		l = &leaf{event: *e}
		p.leaves[string(key)], p.names = l, append(p.names, string(key))
	}
	if l.count += times; !(l.count <= maxComposed) {
		return fmt.Errorf("%w: an event composed more than %d times", ErrUnsupported, int64(maxComposed))
	}
	return nil
}

// directions returns the pairs of all events for losses of one direction of
// the relation, and of the other if any event distinguishes them.
func (p *PLD) directions(delta float64) (both [2]direction, distinct bool, err error) {
	total := 1.0
	for _, l := range p.leaves {
		total += l.count
	}
	// What is beyond the tail counts as delta: a part of 1e-11 of it in all.
	sp := span{sigmas: math.Sqrt(2 * (math.Log(total) + 16*math.Ln10 - math.Log(delta))), alpha: 1, tail: 1e-11 * delta / total}
	put := func(pairs []pair, count float64) {
		if len(pairs) == 2 {
			distinct = true
		}
		for i := range both {
			if count > 0 && len(pairs) > 0 {
				both[i] = append(both[i], counted{pairs[min(i, len(pairs)-1)], count})
			}
		}
	}
	if p.rho > 0 {
		m := poissonShift(1, 1, 1/math.Sqrt(2*p.rho))
		put([]pair{m.remove(sp)}, 1)
	}
	for _, name := range p.names {
		l := p.leaves[name]
		pairs, err := pairsOf(&l.event, p.relation, sp)
		if err != nil {
			return both, false, err
		}
		put(pairs, l.count)
	}
	return both, distinct, nil
}

// Epsilon returns the upper bound at delta.
func (p *PLD) Epsilon(delta float64) (float64, error) {
	_, upper, err := p.bounds(delta, false)
	return upper, err
}

// Bounds returns a lower and an upper bound of the least epsilon such that
// the composed mechanism is (epsilon, delta)-DP; delta in [1e-200, 1). The
// error wraps [ErrEvent] or [ErrNoGuarantee].
func (p *PLD) Bounds(delta float64) (lower, upper float64, err error) {
	return p.bounds(delta, true)
}

func (p *PLD) bounds(delta float64, both bool) (lower, upper float64, err error) {
	if err := checkDelta(delta); err != nil {
		return 0, 0, err
	}
	if delta < 1e-200 {
		return 0, 0, fmt.Errorf("%w: delta is %g, want at least 1e-200 here", ErrUnsupported, delta)
	}
	for _, l := range p.leaves {
		if l.event.Type == Laplace && l.event.NoiseMultiplier < minLaplace {
			return 0, 0, fmt.Errorf("%w: a laplace of noise_multiplier %g, want at least %g here", ErrUnsupported, l.event.NoiseMultiplier, minLaplace)
		}
	}
	dirs, distinct, err := p.directions(delta)
	if err != nil {
		return 0, 0, err
	}
	var low, high [2]float64
	var errs [2]error
	var wait sync.WaitGroup
	for i, d := range dirs {
		if len(d) > 0 && (i == 0 || distinct) {
			wait.Go(func() { low[i], high[i], errs[i] = d.bounds(delta, p.most, both) })
		}
	}
	wait.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		return 0, 0, err
	}
	lower, upper = max(low[0], low[1]), max(high[0], high[1])
	if math.IsInf(upper, 1) || math.IsNaN(upper) {
		return 0, 0, fmt.Errorf("%w: the window does not hold the losses", ErrNoGuarantee)
	}
	return lower, upper, nil
}
