package ledger

import (
	"fmt"
	"math"

	"github.com/veilsum/veilsum/privacy/accountant"
)

// Scope is a BudgetScope: whose budget a log keeps. All tasks of a scope share
// one log, so what they spend adds up.
type Scope struct {
	ID ID // names the log; two scopes never share one
	// Epsilon (> 0, finite) at Delta (in (0,1)) is the most that may ever be spent.
	Epsilon, Delta float64
	// Relation is accountant.ZeroOut or accountant.ReplaceOne.
	Relation accountant.NeighboringRelation
	// Unit is the privacy unit, "vehicle".
	Unit string
}

// Validate checks every field's range. The error wraps [ErrEntry].
func (s Scope) Validate() error {
	switch {
	case s.ID.IsZero():
		return fmt.Errorf("%w: scope without identifier", ErrEntry)
	case !(s.Epsilon > 0) || math.IsInf(s.Epsilon, 1):
		return fmt.Errorf("%w: scope epsilon is %g, want more than 0", ErrEntry, s.Epsilon)
	case !(s.Delta > 0 && s.Delta < 1):
		return fmt.Errorf("%w: scope delta is %g, want more than 0 and less than 1", ErrEntry, s.Delta)
	case s.Relation != accountant.ZeroOut && s.Relation != accountant.ReplaceOne:
		return fmt.Errorf("%w: scope relation is %.40q", ErrEntry, string(s.Relation))
	case s.Unit != "vehicle":
		return fmt.Errorf("%w: scope unit is %.40q, want \"vehicle\"", ErrEntry, s.Unit)
	}
	return nil
}

// Origin is the name of the log in checkpoints (C2SP tlog-checkpoint).
func (s Scope) Origin() string { return "veilsum/ledger/" + s.ID.String() }

// Genesis is the first checkpoint of the log: that of its opening entry,
// which follows from the scope alone. A Task can name it before anything is stored.
func (s Scope) Genesis() Checkpoint {
	return Checkpoint{Origin: s.Origin(), Size: 1, Root: ID(leafHash(s.opening()))}
}

// opening is entry 0. Nobody signs it, since everybody can compute it: it says
// in the log itself what the budget is.
func (s Scope) opening() []byte {
	return fmt.Appendf(nil, `{"version":1,"kind":"open","scope":"%s","epsilon":"%s","delta":"%s","relation":"%s","unit":"%s"}`,
		s.ID, appendReal(nil, s.Epsilon), appendReal(nil, s.Delta), s.Relation, s.Unit)
}
