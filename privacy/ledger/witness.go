package ledger

import (
	"context"
	"fmt"
)

// CheckVote decides for a decryptor whether it may vote for a manifest, and
// returns the checkpoint that its vote names: the one that ends with the
// reservation. It reads what is new first. signed is the largest checkpoint that this
// decryptor ever voted for in the scope (zero if none); the caller keeps [Later] of it and the
// result durably before the vote leaves. [Rules].Voted must tell this decryptor's own
// votes, also those that were never published, and no others': then one
// dishonest decryptor cannot block the scope by voting for what is void. admit may be nil.
//
// It returns [ErrFork] if the log is not on one line with signed, or voids a
// reservation that this decryptor voted for, [ErrNotReserved], [ErrEnded] if the
// reservation is voided anywhere in the log, and [ErrBudget] if the scope's budget did not
// afford it where it stands: with all that is charged before it. What comes after it
// does not matter, nor do voids that come after it free anything. So all honest
// voters for one checkpoint judge the same entries.
func (l *Ledger) CheckVote(ctx context.Context, signed Checkpoint, task, round, manifest ID, admit Admit) (Reservation, Checkpoint, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r, c, err := l.checkVote(ctx, signed, task, round, manifest, admit)
	if err != nil {
		return Reservation{}, Checkpoint{}, err
	}
	return r, c, nil
}

func (l *Ledger) checkVote(ctx context.Context, signed Checkpoint, task, round, manifest ID, admit Admit) (r Reservation, c Checkpoint, err error) {
	if l.rules.Voted == nil {
		return r, c, fmt.Errorf("%w: a voter needs to know its votes", ErrEntry)
	}
	if err := l.sync(ctx); err != nil {
		return r, c, err
	}
	if err := l.online(signed); err != nil {
		return r, c, err
	}
	if err := l.refuseVoided(ctx); err != nil {
		return r, c, err
	}
	i, ok := l.state.find(task, round, manifest)
	if !ok {
		return r, c, fmt.Errorf("%w: round %.8s manifest %.8s", ErrNotReserved, round, manifest)
	}
	if r = l.state.reservation(i); r.Voided > 0 {
		return r, c, fmt.Errorf("%w: voided by entry %d", ErrEnded, r.Voided)
	}
	if err := l.affordable(ctx, r, admit); err != nil {
		return r, c, err
	}
	c, err = l.at(r.Index + 1)
	return r, c, err
}

// CheckHandover decides for a decryptor that hands over its seat whether it may name the checkpoint of that
// size, and returns it: the log continues what the decryptor signed, which the checkpoint
// holds, and voids nothing that it voted for (LEDGER.md section 8). signed and [Rules].Voted are as for [Ledger.CheckVote]. The
// errors wrap [ErrFork].
func (l *Ledger) CheckHandover(ctx context.Context, signed Checkpoint, size int64) (Checkpoint, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rules.Voted == nil {
		return Checkpoint{}, fmt.Errorf("%w: a voter needs to know its votes", ErrEntry)
	}
	if err := l.sync(ctx); err != nil {
		return Checkpoint{}, err
	}
	if err := l.online(signed); err != nil {
		return Checkpoint{}, err
	}
	if err := l.refuseVoided(ctx); err != nil {
		return Checkpoint{}, err
	}
	if size < signed.Size {
		return Checkpoint{}, fmt.Errorf("%w: size %d is less than the %d entries that were signed", ErrFork, size, signed.Size)
	}
	return l.at(size)
}

// online checks that what was signed is a prefix of this log.
func (l *Ledger) online(signed Checkpoint) error {
	if signed.IsZero() {
		return nil
	}
	c, err := l.at(signed.Size)
	if err != nil {
		return err
	}
	if c != signed {
		return fmt.Errorf("%w: at size %d the log has root %.8s, signed was %.8s of %.100q", ErrFork, c.Size, c.Root, signed.Root, signed.Origin)
	}
	return nil
}

// refuseVoided refuses a log that voids what this decryptor voted for.
func (l *Ledger) refuseVoided(ctx context.Context) error {
	for i := range l.state.reservations {
		if l.state.reservations[i].voided == 0 {
			continue
		}
		voted, err := l.state.voted(ctx, &l.rules, int32(i))
		if err != nil {
			return err
		}
		if x := &l.state.reservations[i]; voted {
			return fmt.Errorf("%w: entry %d voids entry %d, %w", ErrFork, x.voided, x.index, ErrVoided)
		}
	}
	return nil
}

// affordable judges a reservation at its place in the log.
func (l *Ledger) affordable(ctx context.Context, r Reservation, admit Admit) error {
	if admit != nil {
		before, err := l.state.chargesAt(ctx, &l.rules, r.Index)
		if err != nil {
			return err
		}
		if err := admit(ctx, before); err != nil {
			return err
		}
	}
	c, err := l.state.chargesAt(ctx, &l.rules, r.Index+1)
	if err != nil {
		return err
	}
	return c.CheckBudget()
}

// Later returns the larger of two checkpoints that are on one line.
func Later(a, b Checkpoint) Checkpoint {
	if a.Size < b.Size {
		return b
	}
	return a
}
