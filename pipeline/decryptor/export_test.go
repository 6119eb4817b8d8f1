package decryptor

import (
	"context"
	"fmt"
	"strings"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/secagg"
	"github.com/veilsum/veilsum/storage"
)

// DecodeRoundFile reads a round's state file and writes it again.
func DecodeRoundFile(p secagg.Params, b []byte) ([]byte, error) {
	f, err := decodeRoundFile(p, b)
	if err != nil {
		return nil, err
	}
	return (&Decryptor{}).encode(f)
}

// Judge writes down all that a decryptor learns from the scope's ledger for a round, with the ledgers that it keeps,
// or read anew: what is charged, what each vehicle may still do, and the decision on a manifest.
func (d *Decryptor) Judge(ctx context.Context, s storage.Store, r *pipeline.Round, id schema.ManifestID, vehicles []schema.VehicleID, anew bool) string {
	x := *d
	if anew {
		x.ledgers = nil
	}
	b := &strings.Builder{}
	c, err := x.charges(ctx, s, r)
	fmt.Fprintln(b, "charges", err)
	if err == nil {
		g, err := c.Guarantee()
		left, err2 := c.RoundsLeft(r.Plan)
		fmt.Fprintln(b, c.Epochs(), g, err, left, err2, c.CheckBudget())
		for _, v := range vehicles {
			fmt.Fprintln(b, c.CheckVehicle(r.Task.Participation, r.Name.Task, r.Name.Epoch+1, v))
		}
	}
	l, err := x.ownLedger(ctx, s, r)
	fmt.Fprintln(b, "ledger", err)
	res, err2 := pipeline.LoadReservation(ctx, s, r, id)
	signed, err3 := x.signed(r.Task.Scope.ID())
	if err == nil && err2 == nil && err3 == nil {
		checkpoint, err := l.CheckVote(ctx, signed, r, res)
		fmt.Fprintln(b, "vote", checkpoint, err)
	}
	return b.String()
}
