package pipeline

import (
	"context"
	"errors"
	"fmt"

	"github.com/veilsum/veilsum/privacy/accountant"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// Charges are all reservations of one BudgetScope's ledger that count: what its budget
// and its vehicles' participations have been charged, over all tasks of the scope.
// It charges one event per (TaskID, epoch) and one participation per (TaskID, epoch,
// vehicle), however many lanes and manifests were reserved: lanes are disjoint and one
// manifest per round can be certified.
type Charges struct {
	scope  schema.Scope
	epochs map[epochKey]*epochCharge
}

type epochKey struct {
	task  schema.TaskID
	epoch uint64
}

type epochCharge struct {
	event    schema.Event
	vehicles map[schema.VehicleID]struct{}
}

// NewCharges starts an empty account of a scope.
func NewCharges(scope schema.Scope) *Charges {
	return &Charges{scope: scope, epochs: map[epochKey]*epochCharge{}}
}

// Add counts a reservation. A second event for one (TaskID, epoch) must be the
// same: one task has one mechanism.
func (c *Charges) Add(r schema.Reservation) error {
	k := epochKey{r.TaskID, r.Epoch}
	e := c.epochs[k]
	if e == nil {
		e = &epochCharge{event: r.Event, vehicles: map[schema.VehicleID]struct{}{}}
		c.epochs[k] = e
	}
	if e.event != r.Event {
		return fmt.Errorf("%w: two reservations of task %s epoch %d charge different events", ErrUntrusted, r.TaskID.Short(), r.Epoch)
	}
	for _, v := range r.Vehicles {
		e.vehicles[v] = struct{}{}
	}
	return nil
}

// Epochs returns how many (TaskID, epoch) are charged.
func (c *Charges) Epochs() int { return len(c.epochs) }

// Guarantee returns what all charges give together at the scope's delta.
func (c *Charges) Guarantee() (accountant.Guarantee, error) {
	events := make([]accountant.Event, 0, len(c.epochs))
	for e, n := range c.distinct() {
		x, err := accountantEvent(e)
		if err != nil {
			return accountant.Guarantee{}, err
		}
		events = append(events, accountant.Repeat(x, n))
	}
	if len(events) == 0 {
		return accountant.Guarantee{Delta: float64(c.scope.Delta), Relation: accountant.NeighboringRelation(c.scope.Relation), Unit: c.scope.Unit}, nil
	}
	return accountant.Account(events, float64(c.scope.Delta), accountant.NeighboringRelation(c.scope.Relation))
}

func (c *Charges) distinct() map[schema.Event]int64 {
	count := map[schema.Event]int64{}
	for _, e := range c.epochs {
		count[e.event]++
	}
	return count
}

// CheckBudget returns ErrBudget if the charges exceed the scope's budget.
func (c *Charges) CheckBudget() error {
	g, err := c.Guarantee()
	if errors.Is(err, accountant.ErrNoGuarantee) {
		return fmt.Errorf("%w: %w", ErrBudget, err)
	}
	if err != nil {
		return err
	}
	if !(g.Epsilon <= float64(c.scope.Epsilon)) { // also refuses NaN
		return fmt.Errorf("%w: epsilon %.4g after this round, %.4g allowed at delta %.3g", ErrBudget, g.Epsilon, float64(c.scope.Epsilon), g.Delta)
	}
	return nil
}

// CheckVehicle returns ErrLimit if one more participation, in (task, epoch),
// would break the limits: too many in the scope, or too close in the task. A participation in
// (task, epoch) that is charged already is this one and counts once.
func (c *Charges) CheckVehicle(p schema.Participation, task schema.TaskID, epoch uint64, v schema.VehicleID) error {
	total := 1
	for k, e := range c.epochs {
		if _, ok := e.vehicles[v]; !ok || k == (epochKey{task, epoch}) {
			continue
		}
		total++
		if k.task == task && distance(k.epoch, epoch) < uint64(p.MinSeparation) {
			return fmt.Errorf("%w: vehicle %s: epochs %d and %d, at least %d apart", ErrLimit, v, k.epoch, epoch, p.MinSeparation)
		}
	}
	if p.Max > 0 && total > p.Max {
		return fmt.Errorf("%w: vehicle %s: participation %d, at most %d", ErrLimit, v, total, p.Max)
	}
	return nil
}

func distance(a, b uint64) uint64 {
	if a < b {
		return b - a
	}
	return a - b
}

// accountantEvent gives a recorded event to the accountant. Epsilon is never
// stored: any accountant may judge the same record.
func accountantEvent(e schema.Event) (accountant.Event, error) {
	switch e.Mechanism {
	case "gaussian":
		return accountant.Event{Type: accountant.Gaussian, NoiseMultiplier: float64(e.NoiseMultiplier)}, nil
	case "laplace":
		return accountant.Event{Type: accountant.Laplace, NoiseMultiplier: float64(e.NoiseMultiplier)}, nil
	case "discrete_gaussian":
		x := accountant.Event{
			Type: accountant.DistributedDiscreteGaussian, Sensitivity: e.Sensitivity, Sigma: float64(e.LocalStdDev),
			Contributors: int64(e.HonestMin), Dimension: int64(e.Values), Reports: int64(e.MaxBatch),
		}
		if e.TrustModel == "local" {
			x.Reports = 1 // only the vehicle's own noise is claimed
		}
		return x, nil
	}
	return accountant.Event{}, fmt.Errorf("%w: event of unknown mechanism %.20q", ErrUntrusted, e.Mechanism)
}

// EventGuarantee returns what one event gives alone.
func EventGuarantee(e schema.Event, scope schema.Scope) (accountant.Guarantee, error) {
	x, err := accountantEvent(e)
	if err != nil {
		return accountant.Guarantee{}, err
	}
	return accountant.Account([]accountant.Event{x}, float64(scope.Delta), accountant.NeighboringRelation(scope.Relation))
}

// LoadReservation reads and verifies the reservation of a manifest of round r.
func LoadReservation(ctx context.Context, s storage.Store, r *Round, id schema.ManifestID) (schema.Signed[schema.Reservation], error) {
	key := ReservationKey(r.Task.Scope.ID(), r.Name, id)
	x, err := load[schema.Reservation](ctx, s, key, r.Task.Collector)
	if err != nil {
		return x, err
	}
	b := x.Body
	if b.Scope != r.Task.Scope.ID() || b.TaskID != r.Name.Task || b.RoundID != r.ID || b.Epoch != r.Name.Epoch || b.Lane != r.Name.Lane || b.Manifest != id || b.Event != r.Event() {
		return x, Untrusted(key, errors.New("it charges another round, list or event"))
	}
	return x, nil
}

// Admit adds a reservation of round r and returns ErrBudget or ErrLimit if the
// scope's budget or a vehicle's limit would then be exceeded.
func (c *Charges) Admit(r *Round, res schema.Reservation) error {
	if err := c.Add(res); err != nil {
		return err
	}
	if err := c.checkVehicles(r, res); err != nil {
		return err
	}
	return c.CheckBudget()
}

func (c *Charges) checkVehicles(r *Round, res schema.Reservation) error {
	for _, v := range res.Vehicles {
		if err := c.CheckVehicle(r.Task.Participation, res.TaskID, res.Epoch, v); err != nil {
			return err
		}
	}
	return nil
}

// RoundsLeft returns how many more epochs of the plan's task the scope's budget affords.
func (c *Charges) RoundsLeft(p *Plan) (int64, error) {
	var spent []accountant.Event
	for e, n := range c.distinct() {
		x, err := accountantEvent(e)
		if err != nil {
			return 0, err
		}
		spent = append(spent, accountant.Repeat(x, n))
	}
	return p.Privacy.Rounds(spent, float64(c.scope.Epsilon), float64(c.scope.Delta))
}
