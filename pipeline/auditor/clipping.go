package auditor

import (
	"math"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/schema"
)

// clipping recomputes the norm of a round whose task adapts it: the task's own if the descriptor names no
// round, else what follows from norm and fraction of the round that it names, which must be
// committed and of an earlier epoch. All these were audited before: rounds come in the order of their epochs.
func (r *roundAudit) clipping() error {
	r.out.ClippingNorm = schema.Real(r.Privacy.ClippingNorm())
	from := r.Descriptor.ClippingRound
	if from.IsZero() {
		return nil // LoadDescriptor compared it with the task's, or saw that there is none
	}
	key := pipeline.DescriptorKey(r.Name)
	base := r.task.round(from)
	if base == nil || base.receipt == nil || base.receipt.Status != schema.StatusCommitted || base.Epoch >= r.Name.Epoch {
		return flawf(key, "its clipping norm follows from %s, which is no committed round of an earlier epoch", from.Short())
	}
	next, err := base.round.NextClippingNorm(*base.receipt)
	if err != nil {
		return blame(key, "its clipping norm", err)
	}
	if next != r.Descriptor.ClippingNorm {
		return flawf(key, "it states clipping norm %g, but norm %g and fraction %g of round %s give %g",
			float64(r.Descriptor.ClippingNorm), float64(base.ClippingNorm), float64(*base.Unclipped), base.Name, float64(next))
	}
	r.out.Follows = base.Name
	return nil
}

// round finds an audited round.
func (t *Task) round(id schema.RoundID) *Round {
	for i := len(t.Rounds) - 1; i >= 0; i-- { // mostly one of the last
		if t.Rounds[i].ID == id {
			return t.Rounds[i]
		}
	}
	return nil
}

// unclipped compares the fraction that the receipt states with the opened one.
func (r *roundAudit) unclipped(opened *schema.Real) error {
	key, stated := pipeline.ReceiptKey(r.Name), r.receipt.Unclipped
	switch {
	case opened == nil && stated == nil:
		return nil
	case opened == nil:
		return flawf(key, "it states a fraction of unclipped updates, which this task does not ask for")
	case stated == nil:
		return flawf(key, "it states no fraction of unclipped updates, the opened sum gives %g", float64(*opened))
	case *stated != *opened:
		return flawf(key, "it states that a fraction of %g of the updates was not clipped, the opened sum gives %g", float64(*stated), float64(*opened))
	}
	r.out.Unclipped = opened
	return nil
}

func (r *Round) unclippedOrNaN() float64 {
	if r.Unclipped == nil {
		return math.NaN()
	}
	return float64(*r.Unclipped)
}
