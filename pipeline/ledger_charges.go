package pipeline

import (
	"context"
	"errors"
	"fmt"

	"github.com/veilsum/veilsum/privacy/ledger"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// LoadCharges counts what the scope's ledger charges, and the vehicles that the reservations
// name: every reservation but those that were voided before anybody voted. An entry
// or reservation that does not verify, or is missing, is an error, not a smaller sum: leaving it out could spend twice.
func LoadCharges(ctx context.Context, s storage.Store, scope schema.Scope, owner schema.PublicKey) (*Charges, error) {
	l, err := OpenLedger(ctx, s, scope, owner, nil)
	if err != nil {
		return nil, err
	}
	return l.Charges(ctx)
}

// Charges counts what the ledger charges, with all vehicles; see [LoadCharges].
func (l *Ledger) Charges(ctx context.Context) (*Charges, error) { return l.charges(ctx, true) }

// ChargesFor is Charges for the eyes of one task: if it does not limit its vehicles' participations, they are
// left out, and no reservation is read.
func (l *Ledger) ChargesFor(ctx context.Context, p *Plan) (*Charges, error) {
	return l.charges(ctx, p.limitsVehicles())
}

func (l *Ledger) charges(ctx context.Context, vehicles bool) (*Charges, error) {
	c, err := l.log.Charges(ctx)
	if err != nil {
		return nil, ledgerError(err)
	}
	return l.count(ctx, c, vehicles)
}

// limitsVehicles tells whether a vehicle may ever be refused for what it gave before.
func (p *Plan) limitsVehicles() bool {
	return p.Task.Participation.Max > 0 || p.Task.Participation.MinSeparation > 1
}

func (l *Ledger) count(ctx context.Context, all *ledger.Charges, vehicles bool) (*Charges, error) {
	c := NewCharges(l.scope)
	for x := range all.Reservations() {
		p, err := l.plan(ctx, x.Task)
		if err != nil {
			return nil, err
		}
		r := schema.Reservation{TaskID: roundOf(x).Task, Epoch: x.Epoch, Event: p.Event()} // the ledger charges no other
		if vehicles {
			if r.Vehicles, err = l.vehiclesOf(ctx, p, x); err != nil {
				return nil, err
			}
		}
		if err := c.Add(r); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// vehiclesOf reads the object that an entry names.
func (l *Ledger) vehiclesOf(ctx context.Context, p *Plan, x ledger.Reservation) ([]schema.VehicleID, error) {
	if v, ok := l.vehicles[x.Reservation]; ok {
		return v, nil
	}
	r := &Round{Plan: p, Name: roundOf(x), ID: schema.RoundID{Digest: schema.Digest(x.Round)}}
	id := schema.ManifestID{Digest: schema.Digest(x.Manifest)}
	key := ReservationKey(l.scope.ID(), r.Name, id)
	res, err := LoadReservation(ctx, l.store, r, id)
	switch {
	case errors.Is(err, storage.ErrNotExist):
		return nil, Untrusted(key, fmt.Errorf("entry %d of the ledger names it: %w", x.Index, err))
	case err != nil:
		return nil, err
	case ledger.ID(res.ID()) != x.Reservation || len(res.Body.Vehicles) != x.Reports:
		return nil, Untrusted(key, fmt.Errorf("entry %d of the ledger names another one", x.Index))
	}
	l.vehicles[x.Reservation] = res.Body.Vehicles
	return res.Body.Vehicles, nil
}
