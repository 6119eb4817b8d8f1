package ledger

import "errors"

// Errors that decide what a caller does next.
var (
	// ErrBudget: with this reservation the scope would spend more than its budget.
	// Nothing was written.
	ErrBudget = errors.New("ledger: privacy budget would be exceeded")
	// ErrLimit: a vehicle would take part too often, or too soon again.
	ErrLimit = errors.New("ledger: participation limit would be exceeded")
	// ErrNotReserved: the log holds no such reservation.
	ErrNotReserved = errors.New("ledger: not reserved")
	// ErrEnded: the reservation is voided or settled in another way.
	ErrEnded = errors.New("ledger: reservation has ended")
	// ErrVoted: somebody voted for the reservation (or no rule can tell), so it is final.
	ErrVoted = errors.New("ledger: reservation is final, it has votes")
	// ErrFork: two checkpoints are not on one line, or the store shows less than
	// was signed. Somebody lies; sign nothing.
	ErrFork = errors.New("ledger: not on one line with what was signed")
	// ErrVoided: a fork of the worst kind for a voter, since it may be nobody's lie: the log
	// voids a reservation that it voted for.
	ErrVoided = errors.New("which has a vote")
	// ErrCorrupt: the store holds what no honest writer of this log wrote. The message
	// names the object.
	ErrCorrupt = errors.New("ledger: corrupt")
	// ErrEntry: an argument or a text that is no entry of any log.
	ErrEntry = errors.New("ledger: malformed entry")
)
