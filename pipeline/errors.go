package pipeline

import "errors"

// The decisions a caller may want to tell apart; errors of the roles wrap them.
var (
	// ErrUntrusted: an object in the store does not verify or contradicts the task.
	ErrUntrusted = errors.New("object refused")
	// ErrNotReady: something this step needs is not there yet; try later.
	ErrNotReady = errors.New("not ready")
	// ErrBudget: the privacy budget of the scope would be exceeded.
	ErrBudget = errors.New("privacy budget would be exceeded")
	// ErrDecryptors: not enough decryptors have checked, voted or answered.
	ErrDecryptors = errors.New("not enough decryptors")
	// ErrLimit: a participation limit is reached.
	ErrLimit = errors.New("participation limit reached")
	// ErrEnded: the round has a receipt; nothing more may happen in it.
	ErrEnded = errors.New("round has ended")
	// ErrFork: the ledger is not on one line with what was signed or kept. Somebody lies.
	ErrFork = errors.New("ledger forked")
	// ErrTooFew: a frozen list has too few reports that count. Waiting does not help: abort the round.
	ErrTooFew = errors.New("too few reports")
	// ErrOpened: the round is open already, with another model.
	ErrOpened = errors.New("round is open with another model")
	// ErrRegions: the round is open already, with other regions.
	ErrRegions = errors.New("round is open with other regions")
	// ErrKey: the key is not the one that the task names for this role.
	ErrKey = errors.New("wrong key")
	// ErrTask: a task's fields do not fit together.
	ErrTask = errors.New("task refused")
)
