package ledger

import (
	"context"
	"fmt"
	"iter"
)

// Unit is a privacy unit: a vehicle's pseudonym, one per vehicle and scope.
type Unit [16]byte

// Limits are a task's limits on one vehicle's participations.
type Limits struct {
	// Max is the most participations in the whole scope, over all its tasks; 0 means no limit.
	Max int
	// MinSeparation is the fewest epochs between two participations in one task.
	MinSeparation uint64
}

// Participations counts what each vehicle took part in over all tasks of a
// scope: once per (task, epoch), however many lanes and manifests name it. The zero
// value is empty. It is not safe for concurrent use while Add runs.
type Participations struct {
	of map[Unit][]participation
}

type participation struct {
	task  ID
	epoch uint64
}

// Participations counts the vehicles of all reservations that count. load
// returns the vehicles of a reservation, from the object that it names, verified.
func (c *Charges) Participations(ctx context.Context, load func(context.Context, Reservation) (iter.Seq[Unit], error)) (*Participations, error) {
	var p Participations
	for r := range c.Reservations() {
		units, err := load(ctx, r)
		if err != nil {
			return nil, fmt.Errorf("ledger: vehicles of entry %d: %w", r.Index, err)
		}
		for u := range units {
			p.Add(r.Task, r.Epoch, u)
		}
	}
	return &p, nil
}

// Add counts one participation, unless it is counted.
func (p *Participations) Add(task ID, epoch uint64, u Unit) {
	if p.of == nil {
		p.of = map[Unit][]participation{}
	}
	x := participation{task, epoch}
	for _, have := range p.of[u] {
		if have == x {
			return
		}
	}
	p.of[u] = append(p.of[u], x)
}

// Count returns how often a vehicle took part.
func (p *Participations) Count(u Unit) int { return len(p.of[u]) }

// Check returns [ErrLimit] if a participation in (task, epoch) would be one too
// many in the scope, or too close to another of the task. One that is counted already is this one.
func (p *Participations) Check(limits Limits, task ID, epoch uint64, u Unit) error {
	total := 1
	for _, x := range p.of[u] {
		if x == (participation{task, epoch}) {
			continue
		}
		total++
		if x.task == task && max(x.epoch, epoch)-min(x.epoch, epoch) < limits.MinSeparation {
			return fmt.Errorf("%w: vehicle %x: epochs %d and %d, at least %d apart", ErrLimit, u, x.epoch, epoch, limits.MinSeparation)
		}
	}
	if limits.Max > 0 && total > limits.Max {
		return fmt.Errorf("%w: vehicle %x: participation %d, at most %d", ErrLimit, u, total, limits.Max)
	}
	return nil
}
