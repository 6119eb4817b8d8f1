package ledger

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/note"
)

// Admit is a further condition on a reservation: what is charged before it is
// given, for use until Admit returns. Participation limits are checked here (see
// [Participations]). It must not call the Ledger, which waits for it.
type Admit func(ctx context.Context, before *Charges) error

// Reserve charges a manifest, or finds that it is charged, and returns the
// reservation with the checkpoint that ends with it, the one to propose and to vote for: it is the
// same whenever Reserve is called again. key is the Collector's of the task. admit may
// be nil.
//
// It returns [ErrBudget], or what admit returns, before anything is written, and
// [ErrEnded] if the reservation was voided. Any number of Collectors and processes
// may call it at the same time: an entry is judged on exactly the entries before it, and on
// all of them. After any other error call it again: what was written is found.
func (l *Ledger) Reserve(ctx context.Context, key ed25519.PrivateKey, req Request, admit Admit) (Reservation, Checkpoint, error) {
	if err := req.validate(); err != nil {
		return Reservation{}, Checkpoint{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.append(ctx, key, func() (*Entry, error) { return l.reserve(ctx, req, admit) })
	if err != nil {
		return Reservation{}, Checkpoint{}, err
	}
	i, _ := l.state.find(req.Task, req.Round, req.Manifest)
	r := l.state.reservation(i)
	c, err := l.signed(ctx, key, r.Index+1)
	return r, c, err
}

// reserve returns the entry to append, nil if it is there.
func (l *Ledger) reserve(ctx context.Context, req Request, admit Admit) (*Entry, error) {
	if i, ok := l.state.find(req.Task, req.Round, req.Manifest); ok {
		r := l.state.reservation(i)
		if !r.same(req) {
			return nil, fmt.Errorf("%w: entry %d reserves this manifest otherwise", ErrEnded, r.Index)
		}
		if r.Voided > 0 {
			return nil, fmt.Errorf("%w: voided by entry %d", ErrEnded, r.Voided)
		}
		return nil, nil
	}
	c, err := l.state.chargesAt(ctx, &l.rules, l.state.size())
	if err != nil {
		return nil, err
	}
	if admit != nil {
		if err := admit(ctx, c); err != nil {
			return nil, err
		}
	}
	c.add(req)
	return &Entry{Kind: KindReserve, Request: req}, c.CheckBudget()
}

// Settle ends a reservation with the receipt of its round. The charge stays,
// also if status is [StatusVoid]. It returns [ErrNotReserved], or [ErrEnded] if the
// reservation was voided or settled by another receipt.
func (l *Ledger) Settle(ctx context.Context, key ed25519.PrivateKey, task, round, manifest, receipt ID, status string) error {
	if status != StatusCommitted && status != StatusVoid || receipt.IsZero() {
		return fmt.Errorf("%w: settle with receipt %.8s, status %.20q", ErrEntry, receipt, status)
	}
	return l.end(ctx, key, task, round, manifest, func(r Reservation) (*Entry, error) {
		switch {
		case r.Voided > 0:
			return nil, fmt.Errorf("%w: voided by entry %d", ErrEnded, r.Voided)
		case r.Settled > 0 && (r.Receipt != receipt || r.Status != status):
			return nil, fmt.Errorf("%w: settled otherwise by entry %d", ErrEnded, r.Settled)
		case r.Settled > 0:
			return nil, nil
		}
		return &Entry{Kind: KindSettle, Reserve: r.Index, Receipt: receipt, Status: status}, nil
	})
}

// Void ends a reservation that nobody voted for. evidence is the hash of
// what shows that (a void receipt), or zero; reason is for people, 1 to 200 printable ASCII
// characters but '"' and '\'. It returns [ErrVoted] if [Rules].Voted finds a vote or is
// absent, [ErrNotReserved], or [ErrEnded] if the reservation was settled. The charge
// ends with the last standing reservation of its (task, epoch).
//
// A vote that is durable but not yet published is not found. Its decryptor refuses every
// later checkpoint of the scope, so void only when the round has ended for all.
func (l *Ledger) Void(ctx context.Context, key ed25519.PrivateKey, task, round, manifest, evidence ID, reason string) error {
	if !validReason(reason) {
		return fmt.Errorf("%w: reason is not 1 to %d printable ASCII characters", ErrEntry, maxReason)
	}
	return l.end(ctx, key, task, round, manifest, func(r Reservation) (*Entry, error) {
		switch {
		case r.Settled > 0:
			return nil, fmt.Errorf("%w: settled by entry %d", ErrEnded, r.Settled)
		case r.Voided > 0:
			return nil, nil
		}
		i, _ := l.state.at(r.Index)
		voted, err := l.state.final(ctx, &l.rules, i)
		if err != nil {
			return nil, err // no answer is no vote: who takes this for ErrVoted settles a charge for good
		}
		if voted {
			return nil, ErrVoted
		}
		return &Entry{Kind: KindVoid, Reserve: r.Index, Evidence: evidence, Reason: reason}, nil
	})
}

func (l *Ledger) end(ctx context.Context, key ed25519.PrivateKey, task, round, manifest ID, make func(Reservation) (*Entry, error)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.append(ctx, key, func() (*Entry, error) {
		i, ok := l.state.find(task, round, manifest)
		if !ok {
			return nil, fmt.Errorf("%w: round %.8s manifest %.8s", ErrNotReserved, round, manifest)
		}
		return make(l.state.reservation(i))
	})
	if err != nil {
		return err
	}
	_, err = l.signed(ctx, key, l.state.size())
	return err
}

// append reads what is new, makes the entry on top of it and creates the next
// object, until that succeeds or make finds the work done. Whoever loses a race judges
// again: no entry is written on a history other than the one it was judged on.
func (l *Ledger) append(ctx context.Context, key ed25519.PrivateKey, make func() (*Entry, error)) error {
	for tried := int64(-1); ; {
		if err := l.sync(ctx); err != nil {
			return err
		}
		n := l.state.size()
		if n == tried {
			return fmt.Errorf("ledger: entry %d is taken but does not show; try again", n)
		}
		e, err := make()
		if err != nil || e == nil {
			return err
		}
		if won, err := l.put(ctx, key, e); won || err != nil {
			return err
		}
		tried = n
	}
}

// put appends one entry unless somebody else has taken its place.
func (l *Ledger) put(ctx context.Context, key ed25519.PrivateKey, e *Entry) (won bool, err error) {
	if len(key) != ed25519.PrivateKeySize {
		return false, fmt.Errorf("%w: signing key of %d bytes", ErrEntry, len(key))
	}
	n := l.state.size()
	if n > maxIndex {
		return false, fmt.Errorf("%w: the log is full", ErrEntry)
	}
	e.Index, e.Prev = n, ID(l.state.tree.leaf(n-1))
	data := e.sign(l.state.scope.ID, key)
	// What others would refuse must not be written: it would block the log.
	x, err := l.check(ctx, data)
	if errors.Is(err, ErrCorrupt) { // it is the caller's, not the store's
		return false, fmt.Errorf("%w: not appended: %v", ErrEntry, err)
	}
	if err != nil {
		return false, err
	}
	if !l.opened {
		if err := putSame(ctx, l.objects, EntryKey(0), l.state.scope.opening()); err != nil {
			return false, err
		}
		l.opened = true
	}
	outcome, err := l.objects.PutOnce(ctx, EntryKey(n), data)
	if err != nil || outcome == Conflict {
		return false, err
	}
	return true, l.commit(x, data)
}

// signed publishes bundles and the signed checkpoint of a size. Another
// Collector may have signed it first: who did does not matter, what it says does.
func (l *Ledger) signed(ctx context.Context, key ed25519.PrivateKey, size int64) (Checkpoint, error) {
	if err := l.publish(ctx); err != nil {
		return Checkpoint{}, err
	}
	c, err := l.at(size)
	if err != nil {
		return c, err
	}
	data, err := c.Sign(key)
	if err != nil {
		return c, err
	}
	outcome, err := l.objects.PutOnce(ctx, CheckpointKey(size), data)
	if err != nil || outcome != Conflict {
		return c, err
	}
	have, err := l.objects.Get(ctx, CheckpointKey(size), maxNote)
	if err != nil {
		return c, err
	}
	if text := noteText(have); text != c.Text() {
		return c, fmt.Errorf("%w: %s says %.200q", ErrFork, CheckpointKey(size), text)
	}
	return c, nil
}

// noteText returns the text of a note without checking who signed it.
func noteText(data []byte) string {
	_, err := note.Open(data, note.VerifierList())
	var n *note.UnverifiedNoteError
	if !errors.As(err, &n) {
		return ""
	}
	return n.Note.Text
}
