package privacy

import (
	"fmt"
	"math"

	"github.com/veilsum/veilsum/privacy/accountant"
)

// Guarantee is (epsilon, delta) with relation, unit and trust model.
type Guarantee = accountant.Guarantee

// Event describes one round for the record: integers and the noise parameter,
// no epsilon. It does not depend on a round's own clipping norm.
func (p Params) Event() (accountant.Event, error) {
	if !p.valid() {
		return accountant.Event{}, fmt.Errorf("%w: not made by New", ErrParams)
	}
	return p.event(), nil
}

func (p *Params) event() accountant.Event {
	switch p.literal.Mechanism {
	case Gaussian:
		return accountant.Event{Type: accountant.Gaussian, NoiseMultiplier: p.literal.NoiseMultiplier}
	case Laplace:
		return accountant.Event{Type: accountant.Laplace, NoiseMultiplier: p.literal.NoiseMultiplier}
	}
	e := accountant.Event{
		Type:         accountant.DistributedDiscreteGaussian,
		Sensitivity:  p.bound,
		Sigma:        p.local,
		Contributors: int64(p.HonestMin()),
		Dimension:    int64(p.EncodedValues()),
		Reports:      1, // local: only the client's own noise is claimed
	}
	if p.literal.TrustModel == Distributed {
		e.Reports = int64(p.literal.MaxBatchSize)
	}
	return e
}

// Guarantee is what rounds rounds give together to a vehicle that takes part
// in each. The error wraps [ErrParams] or one of package accountant.
func (p Params) Guarantee(rounds int64, delta float64) (Guarantee, error) {
	e, err := p.Event()
	if err != nil {
		return Guarantee{}, err
	}
	g, err := accountant.Account([]accountant.Event{accountant.Repeat(e, rounds)}, delta, p.literal.Relation)
	if err != nil {
		return Guarantee{}, err
	}
	g.TrustModel = string(p.literal.TrustModel)
	return g, nil
}

// NoiseMultiplierFor returns the smallest noise multiplier with which rounds
// rounds of l stay within (epsilon, delta); l.NoiseMultiplier is ignored. The
// error wraps [ErrParams] if l cannot have that noise, or one of package
// accountant.
func NoiseMultiplierFor(l Literal, rounds int64, epsilon, delta float64) (float64, error) {
	l = withDefaults(l)
	l.NoiseMultiplier = 1
	if err := l.validate(); err != nil {
		return 0, err
	}
	z, err := accountant.Calibrate(func(z float64) ([]accountant.Event, error) {
		return []accountant.Event{accountant.Repeat(idealEvent(&l, z), rounds)}, nil
	}, epsilon, delta, l.Relation)
	if err != nil {
		return 0, err
	}
	l.NoiseMultiplier = z * (1 + 1e-9) // above the rounding of D and sigma_e
	_, err = New(l)
	return l.NoiseMultiplier, err
}

// idealEvent is the event of l at noise multiplier z before D is known: only
// the ratio of noise and D counts where tau vanishes, so any large D serves.
func idealEvent(l *Literal, z float64) accountant.Event {
	const bound = 1 << 24
	p := Params{literal: *l, bound: bound, sent: l.sent()}
	if l.Adaptive != nil {
		p.indicator = 1 // only that there is one counts
	}
	p.literal.NoiseMultiplier = z
	p.local = z * bound / math.Sqrt(float64(p.HonestMin()))
	return p.event()
}

// Rounds returns how many rounds stay within (epsilon, delta) after spent.
func (p Params) Rounds(spent []accountant.Event, epsilon, delta float64) (int64, error) {
	e, err := p.Event()
	if err != nil {
		return 0, err
	}
	return accountant.Affordable(spent, e, epsilon, delta, p.literal.Relation)
}
