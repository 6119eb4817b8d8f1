package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/veilsum/veilsum/privacy"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// Adaptive tells whether the task's clipping norm follows the updates' norms.
func (p *Plan) Adaptive() bool { return p.Task.Privacy.Adaptive != nil }

// adaptive hands a task's rule to privacy, which fills in what is 0.
func adaptive(t schema.Task) *privacy.Adaptive {
	a := t.Privacy.Adaptive
	if a == nil {
		return nil
	}
	return &privacy.Adaptive{
		TargetQuantile: float64(a.TargetQuantile), LearningRate: float64(a.LearningRate), CountStdDev: float64(a.CountStdDev),
		MinNorm: float64(a.MinNorm), MaxNorm: float64(a.MaxNorm),
	}
}

// statedAdaptive is the rule with its defaults, as a task states it.
func statedAdaptive(p privacy.Params) *schema.Adaptive {
	a := p.Literal().Adaptive
	if a == nil {
		return nil
	}
	return &schema.Adaptive{
		TargetQuantile: schema.Real(a.TargetQuantile), LearningRate: schema.Real(a.LearningRate), CountStdDev: schema.Real(a.CountStdDev),
		MinNorm: schema.Real(a.MinNorm), MaxNorm: schema.Real(a.MaxNorm),
	}
}

// atNorm returns the plan of a round with the clipping norm that its descriptor
// states: D, noise and modulus are the task's, only the grid moves. Privacy does not depend on the
// norm, so its range is all that roles check; that it follows from an
// opened round is the auditor's to recompute, from the receipts.
func (p *Plan) atNorm(d schema.Descriptor) (*Plan, error) {
	norm, task := float64(d.ClippingNorm), float64(p.Task.Privacy.ClippingNorm)
	switch {
	case !p.Adaptive() && (norm != 0 || !d.ClippingRound.IsZero()):
		return nil, errors.New("it states a clipping norm of its own, which this task does not adapt")
	case !p.Adaptive():
		return p, nil
	case d.ClippingRound.IsZero() && norm != task:
		return nil, fmt.Errorf("it states clipping norm %g and names no round that it follows from; the task's is %g", norm, task)
	}
	params, err := p.Privacy.WithRoundClippingNorm(norm)
	if err != nil {
		return nil, err
	}
	round := *p
	round.Privacy = params
	return &round, nil
}

// NextClippingNorm returns the clipping norm of a round that follows this one,
// whose receipt states the fraction of unclipped updates.
func (r *Round) NextClippingNorm(c schema.Receipt) (schema.Real, error) {
	if c.Unclipped == nil {
		return 0, fmt.Errorf("%w: receipt of %s states no fraction of unclipped updates", ErrUntrusted, r.Name)
	}
	next, err := r.Privacy.NextClippingNorm(r.Privacy.ClippingNorm(), float64(*c.Unclipped))
	return schema.Real(next), err
}

// ClippingNorm returns what the descriptor of a new round of an adaptive task must state: the
// norm that follows from the newest committed round of an earlier epoch (of its lanes the lowest), and that round's
// RoundID; the task's norm and zero if none is committed. Rounds that are void, still open or do not verify
// are passed over. It returns ErrTask if a later epoch of the lane is open
// already, whose norm must not follow from an older round than this one's. Without adaptive clipping both are zero.
func (p *Plan) ClippingNorm(ctx context.Context, s storage.Store, n RoundName) (schema.Real, schema.RoundID, error) {
	if !p.Adaptive() {
		return 0, schema.RoundID{}, nil
	}
	if err := p.newestOfLane(ctx, s, n); err != nil {
		return 0, schema.RoundID{}, err
	}
	names, err := p.reservedBefore(ctx, s, n)
	if err != nil {
		return 0, schema.RoundID{}, err
	}
	for _, name := range names {
		r, c, err := p.committed(ctx, s, name)
		if err != nil {
			return 0, schema.RoundID{}, err
		}
		if r != nil {
			norm, err := r.NextClippingNorm(c)
			return norm, r.ID, err
		}
	}
	return p.Task.Privacy.ClippingNorm, schema.RoundID{}, nil
}

// committed returns a round with its receipt, nil if it is not committed. What does not verify is passed over: one
// planted receipt must not stop the rounds after it.
func (p *Plan) committed(ctx context.Context, s storage.Store, n RoundName) (*Round, schema.Receipt, error) {
	r, err := LoadDescriptor(ctx, s, p, n)
	var c schema.Receipt
	if err == nil {
		c, err = LoadReceipt(ctx, s, r)
	}
	if errors.Is(err, storage.ErrNotExist) || errors.Is(err, ErrUntrusted) || err == nil && c.Status != schema.StatusCommitted {
		return nil, c, nil
	}
	return r, c, err
}

// reservedBefore returns the task's rounds of earlier epochs that the ledger charges, the newest
// epoch first and in it the lowest lane: whatever was committed is among them (FORMAT.md, I3).
func (p *Plan) reservedBefore(ctx context.Context, s storage.Store, n RoundName) ([]RoundName, error) {
	l, err := OpenLedger(ctx, s, p.Task.Scope, p.Task.Owner, nil)
	if err != nil {
		return nil, err
	}
	var names []RoundName
	for _, x := range l.log.Reservations() {
		if name := roundOf(x); name.Task == n.Task && name.Epoch < n.Epoch {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b RoundName) int {
		return cmp.Or(cmp.Compare(b.Epoch, a.Epoch), cmp.Compare(a.Lane, b.Lane))
	})
	return slices.Compact(names), nil
}

// newestOfLane refuses to open a round behind one of its lane.
func (p *Plan) newestOfLane(ctx context.Context, s storage.Store, n RoundName) error {
	for later, err := range rounds(ctx, s, n.Task, behind(n)) {
		if err != nil {
			return err
		}
		if later.Lane != n.Lane || later.Epoch <= n.Epoch {
			continue
		}
		_, err = LoadDescriptor(ctx, s, p, later)
		if errors.Is(err, storage.ErrNotExist) || errors.Is(err, ErrUntrusted) {
			continue // planted: it must not stop the rounds before it
		}
		if err == nil {
			err = fmt.Errorf("%w: round %s is open already: with adaptive clipping the rounds of a lane are opened in the order of their epochs", ErrTask, later)
		}
		return err
	}
	return nil
}
