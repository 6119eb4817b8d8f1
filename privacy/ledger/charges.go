package ledger

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/veilsum/veilsum/privacy/accountant"
)

// Charges is what a log has charged to its scope up to some size: one event per
// (task, epoch) with a reservation that counts, however many lanes and manifests
// were reserved. A voided reservation counts as long as [Rules].Voted finds a vote or [Rules].Final says so.
type Charges struct {
	view    view
	state   *state  // for [Charges.add]
	counted []int32 // positions of the reservations that count, in the order of the log
	counts  []int64 // per distinct event
	charged []bool  // per (task, epoch)
	extra   []accountant.Event
}

// chargesAt counts the first size entries. The result is for use before the state
// changes; [Charges.detach] lets it live on.
func (s *state) chargesAt(ctx context.Context, rules *Rules, size int64) (*Charges, error) {
	c := &Charges{view: s.view, state: s, counts: make([]int64, len(s.events)), charged: make([]bool, len(s.chargeEvent))}
	for i := range s.reservations {
		r := &s.reservations[i]
		if r.index >= size {
			break
		}
		if void := r.voided > 0 && r.voided < size; void {
			counts, err := s.final(ctx, rules, int32(i))
			if err != nil {
				return nil, err
			}
			if !counts {
				continue
			}
		}
		c.counted = append(c.counted, int32(i))
		if !c.charged[r.charge] {
			c.charged[r.charge] = true
			c.counts[r.event]++
		}
	}
	return c, nil
}

// detach makes the charges independent of the state.
func (c *Charges) detach() *Charges {
	c.view.reservations, c.state = slices.Clone(c.view.reservations), nil
	return c
}

// final tells whether a void frees nothing: it came too late, or a vote is known.
func (s *state) final(ctx context.Context, rules *Rules, i int32) (bool, error) {
	if rules.Final != nil {
		if late, err := rules.Final(ctx, s.reservation(i)); err != nil || late {
			return late, err
		}
	}
	return s.voted(ctx, rules, i)
}

// voted tells whether a vote for a reservation is known. Where nobody can tell, one is.
func (s *state) voted(ctx context.Context, rules *Rules, i int32) (bool, error) {
	if rules.Voted == nil {
		return true, nil
	}
	voted, err := rules.Voted(ctx, s.reservation(i))
	if err != nil {
		return false, fmt.Errorf("ledger: votes for entry %d: %w", s.reservations[i].index, err)
	}
	return voted, nil
}

// add charges a further reservation.
func (c *Charges) add(r Request) {
	if t, ok := c.state.writers[r.Task]; ok {
		if i, ok := c.state.charges[chargeKey{t, r.Epoch}]; ok && c.charged[i] {
			return
		}
	}
	c.extra = append(c.extra, r.Event)
}

// Events returns the events with their counts, to be judged by any accountant.
func (c *Charges) Events() []accountant.Event {
	var all []accountant.Event
	for i, n := range c.counts {
		if n > 0 {
			all = append(all, accountant.Repeat(c.view.events[i], n))
		}
	}
	return append(all, c.extra...)
}

// Epochs returns how many (task, epoch) are charged.
func (c *Charges) Epochs() int64 {
	n := int64(len(c.extra))
	for _, k := range c.counts {
		n += k
	}
	return n
}

// Reservations yields the reservations that count, in the order of the log:
// those whose vehicles took part.
func (c *Charges) Reservations() iter.Seq[Reservation] {
	return func(yield func(Reservation) bool) {
		for _, i := range c.counted {
			if !yield(c.view.reservation(i)) {
				return
			}
		}
	}
}

// Guarantee returns what the charges give together at the scope's delta. The
// error wraps accountant.ErrNoGuarantee if that is nothing.
func (c *Charges) Guarantee() (accountant.Guarantee, error) {
	return accountant.Account(c.Events(), c.view.scope.Delta, c.view.scope.Relation)
}

// CheckBudget returns [ErrBudget] if the charges exceed the scope's budget.
func (c *Charges) CheckBudget() error {
	g, err := c.Guarantee()
	if errors.Is(err, accountant.ErrNoGuarantee) {
		return fmt.Errorf("%w: %w", ErrBudget, err)
	}
	if err != nil {
		return err
	}
	if most := c.view.scope.Epsilon; !(g.Epsilon <= most) { // also refuses NaN
		return fmt.Errorf("%w: epsilon %.4g after this round, %.4g allowed at delta %.3g", ErrBudget, g.Epsilon, most, g.Delta)
	}
	return nil
}
