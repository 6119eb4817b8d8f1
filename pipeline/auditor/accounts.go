package auditor

import (
	"errors"
	"fmt"
	"math"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/privacy/accountant"
	"github.com/veilsum/veilsum/schema"
)

// judge is one accountant: epsilon of the events at the scope's delta.
type judge struct {
	name string
	ask  func(events []accountant.Event, delta float64, relation accountant.NeighboringRelation) (Account, error)
	slow bool // asked at some charges only
	// ideal asks about the continuous Gaussian of the same width in place of sums of
	// discrete ones: what such an accountant says is no bound of the mechanism.
	ideal bool
}

// judges are the accountants. They are different methods, so that a defect of
// one shows: a bound of any must not lie below the lower bound of another. No
// privacy-loss distribution is known for sums of discrete Gaussians in many dimensions, so
// for these the composition of distributions serves as the yardstick only.
var judges = []judge{
	{name: "rdp", ask: byRDP},
	{name: "rdp_orders", ask: byOrders},
	{name: "pld", ask: byPLD, slow: true},
	{name: "pld_gaussian", ask: byIdealPLD, slow: true, ideal: true},
}

// byRDP is the accountant by which the roles admit rounds: Rényi divergence at the best real order.
func byRDP(events []accountant.Event, delta float64, relation accountant.NeighboringRelation) (Account, error) {
	g, err := accountant.Account(events, delta, relation)
	return Account{Epsilon: g.Epsilon}, err
}

// byOrders keeps the composed divergence at fixed orders only, the classic RDP
// accountant: never below byRDP, and close to it unless one of them is wrong.
func byOrders(events []accountant.Event, delta float64, relation accountant.NeighboringRelation) (Account, error) {
	r, err := accountant.NewRDP(relation)
	if err != nil {
		return Account{}, err
	}
	for _, e := range events {
		if err := r.Compose(e, 1); err != nil {
			return Account{}, err
		}
	}
	eps, err := r.Epsilon(delta)
	return Account{Epsilon: eps}, err
}

// byPLD composes privacy-loss distributions numerically, with a bound on either side.
func byPLD(events []accountant.Event, delta float64, relation accountant.NeighboringRelation) (Account, error) {
	p, err := accountant.NewPLD(relation)
	if err != nil {
		return Account{}, err
	}
	for _, e := range events {
		if err := p.Compose(e, 1); err != nil {
			return Account{}, err
		}
	}
	lower, upper, err := p.Bounds(delta)
	return Account{Epsilon: upper, Lower: &lower}, err
}

// byIdealPLD is byPLD of the Gaussians that sums of discrete ones come close to.
// Their Rényi divergence is that of these Gaussians and a little more, so that no
// bound of theirs may be below the Gaussians' lower bound.
func byIdealPLD(events []accountant.Event, delta float64, relation accountant.NeighboringRelation) (Account, error) {
	var ideal []accountant.Event
	for _, e := range events {
		x := e.Event // accounts.ask repeats every event
		if x == nil || x.Type != accountant.DistributedDiscreteGaussian {
			return Account{}, errNoIdeal
		}
		z := x.Sigma * math.Sqrt(float64(x.Contributors)) / float64(x.Sensitivity)
		ideal = append(ideal, accountant.Repeat(accountant.Event{Type: accountant.Gaussian, NoiseMultiplier: z}, e.Count))
	}
	return byPLD(ideal, delta, relation)
}

// errNoIdeal: all events have an accountant of their own, or there is no ideal.
var errNoIdeal = errors.New("not asked: for sums of discrete Gaussians only")

// accounts composes charges.
type accounts struct {
	scope  schema.Scope
	events []accountant.Event // one for each kind
	counts []int64
	kinds  map[schema.Event]int
	err    error
}

func newAccounts(scope schema.Scope) *accounts {
	return &accounts{scope: scope, kinds: map[schema.Event]int{}}
}

// add charges one epoch of the plan's task.
func (a *accounts) add(p *pipeline.Plan) {
	i, ok := a.kinds[p.Event()]
	if !ok {
		e, err := p.Privacy.Event()
		a.err = errors.Join(a.err, err)
		i = len(a.events)
		a.kinds[p.Event()] = i
		a.events, a.counts = append(a.events, e), append(a.counts, 0)
	}
	a.counts[i]++
}

// none is the account of no charges.
func (a *accounts) none() []Account {
	var all []Account
	for _, j := range judges {
		all = append(all, Account{Accountant: j.name})
	}
	return all
}

// every is how many charges lie between two questions to a slow accountant, at most about 16 in all.
func (a *accounts) every(charges int) int { return max(1, charges/16) }

// spent asks the accountants; the slow ones only if all is true. At least one must have a bound.
func (a *accounts) spent(all bool) ([]Account, error) {
	found, why := a.ask(all)
	if math.IsInf(least(found), 1) {
		return nil, errors.Join(why...)
	}
	return found, nil
}

// ask also returns why an accountant has no bound.
func (a *accounts) ask(all bool) (found []Account, why []error) {
	if a.err != nil {
		return nil, []error{a.err}
	}
	events := make([]accountant.Event, len(a.events))
	for i, e := range a.events {
		events[i] = accountant.Repeat(e, a.counts[i])
	}
	for _, j := range judges {
		if j.slow && !all {
			continue
		}
		x, err := j.ask(events, float64(a.scope.Delta), accountant.NeighboringRelation(a.scope.Relation))
		if errors.Is(err, errNoIdeal) {
			continue
		}
		if err != nil {
			why = append(why, fmt.Errorf("%s: %w", j.name, err))
			continue
		}
		x.Accountant, x.Ideal = j.name, j.ideal
		found = append(found, x)
	}
	return found, why
}

// least is the smallest upper bound, for each one alone proves its epsilon;
// infinity if there is none.
func least(all []Account) float64 {
	best := math.Inf(1)
	for _, x := range all {
		if !x.Ideal {
			best = min(best, x.Epsilon)
		}
	}
	return best
}

func errBeyond(eps float64, s schema.Scope) error {
	return fmt.Errorf("%w: epsilon %.6g, %g is allowed at delta %g", pipeline.ErrBudget, eps, float64(s.Epsilon), float64(s.Delta))
}

// agree compares the accountants with each other after every charge.
func agree(s *Scope) error {
	for _, c := range s.Charges {
		for _, x := range c.After {
			for _, y := range c.After {
				if y.Lower != nil && !x.Ideal && x.Epsilon < *y.Lower*(1-1e-9) {
					return &Flaw{Object: c.key, What: "the accountants contradict each other", Err: fmt.Errorf("%s proves epsilon %g, %s proves that it is at least %g", x.Accountant, x.Epsilon, y.Accountant, *y.Lower)}
				}
			}
		}
	}
	return nil
}
