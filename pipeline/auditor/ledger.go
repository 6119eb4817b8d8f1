package auditor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/privacy/ledger"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// Ledger is what was verified of a scope's ledger: every entry in its place, its chain
// and signatures, every bundle, tile and checkpoint that the store shows.
type Ledger struct {
	Size int64         `json:"size"` // entries, with the opening one, which follows from the scope
	Root schema.Digest `json:"root"`
	// Checkpoint is the identity of the checkpoint of everything that was read, Text the
	// checkpoint itself: keep it for [Options].Remembered of the next audit.
	Checkpoint schema.Digest `json:"checkpoint"`
	Text       string        `json:"checkpoint_text"`
	// Remembered is the size of the checkpoint that the ledger was found to continue, 0 if none was given.
	Remembered   int64 `json:"remembered"`
	Signed       int64 `json:"signed"` // size of the newest checkpoint with a Collector's signature
	Reservations int   `json:"reservations"`
	Settled      int   `json:"settled"`
	Voided       int   `json:"voided"`
}

// scopeLedger is a scope's ledger, read and verified once.
type scopeLedger struct {
	*ledgerObjects
	log   *ledger.Ledger
	scope schema.Scope
	named map[string]ledger.Reservation // by the name of the object that the entry reserves
	out   *Ledger
}

// entryKey is the name of entry i.
func (l *scopeLedger) entryKey(i int64) string { return l.prefix + ledger.EntryKey(i) }

// ledger opens and verifies the ledger of a scope, once.
func (a *auditor) ledger(scope schema.Scope) (*scopeLedger, error) {
	id := scope.ID()
	if l, ok := a.ledgers[id]; ok {
		return l, nil
	}
	l := &scopeLedger{ledgerObjects: newLedgerObjects(a, id), scope: scope, named: map[string]ledger.Reservation{}, out: &Ledger{}}
	if err := l.list(); err != nil {
		return nil, err
	}
	var err error
	l.log, err = ledger.Open(a.ctx, pipeline.LedgerObjects(a.store, id), pipeline.LedgerScope(scope), ledger.Rules{Writer: a.writerOf(id), Voted: a.voted, Final: a.voidedLate})
	if err != nil {
		return nil, l.blame(err)
	}
	for _, step := range []func() error{l.remembered, l.tree, l.checkpoints, l.reservations} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	a.ledgers[id] = l
	return l, nil
}

// writerOf tells who may write a task's entries, and what the task costs.
func (a *auditor) writerOf(scope schema.ScopeID) func(context.Context, ledger.ID) (ledger.Writer, error) {
	return func(_ context.Context, task ledger.ID) (ledger.Writer, error) {
		p, err := a.loadTask(schema.TaskID{Digest: schema.Digest(task)})
		var f *Flaw
		switch {
		case errors.As(err, &f): // the entry that names it is to blame
			return ledger.Writer{}, fmt.Errorf("%w: %s", pipeline.ErrUntrusted, f.Error())
		case err != nil:
			return ledger.Writer{}, err
		case p == nil || p.Task.Scope.ID() != scope:
			return ledger.Writer{}, fmt.Errorf("%w: it is not a task of this scope and owner", pipeline.ErrUntrusted)
		}
		event, err := p.Privacy.Event()
		return ledger.Writer{Key: p.Task.Collector[:], Event: event}, err
	}
}

// roundOf names the round of a reservation.
func roundOf(x ledger.Reservation) pipeline.RoundName {
	return pipeline.RoundName{Task: schema.TaskID{Digest: schema.Digest(x.Task)}, Epoch: x.Epoch, Lane: x.Lane}
}

// voted looks for a vote for a reservation, or for an answer: nobody honest gives one without having voted, so the
// votes were taken away.
func (a *auditor) voted(ctx context.Context, x ledger.Reservation) (bool, error) {
	n, id := roundOf(x), schema.ManifestID{Digest: schema.Digest(x.Manifest)}
	r := &pipeline.Round{Plan: a.plans[n.Task], Name: n, ID: schema.RoundID{Digest: schema.Digest(x.Round)}}
	votes, err := pipeline.LoadVotes(ctx, a.store, r)
	if err != nil {
		return false, err
	}
	for _, v := range votes {
		if v.Body.Manifest == id {
			return true, nil
		}
	}
	answers, err := pipeline.LoadAnswers(ctx, a.store, r, id)
	return len(answers) > 0, err
}

// voidedLate tells whether a void frees nothing, since the committee had been replaced before it.
func (a *auditor) voidedLate(_ context.Context, x ledger.Reservation) (bool, error) {
	return pipeline.VoidedLate(maps.Values(a.plans), a.plans[roundOf(x).Task], x), nil
}

// Errors of the ledger say which object they blame: its name, or "entry 12".
var (
	namedObject = regexp.MustCompile(`(?:checkpoint|tile)/[0-9xp./a-z]*[0-9]`)
	namedEntry  = regexp.MustCompile(`entry (\d+)`)
)

// blame finds the object that an error of the ledger is about.
func (l *scopeLedger) blame(err error) error {
	object, text := l.prefix, err.Error()
	if key := namedObject.FindString(text); key != "" {
		object += key
	} else if m := namedEntry.FindStringSubmatch(text); m != nil {
		i, _ := strconv.ParseInt(m[1], 10, 64)
		object = l.holder(i)
	}
	return blame(object, "the ledger", err)
}

// remembered checks that the ledger continues what an earlier audit saw.
func (l *scopeLedger) remembered() error {
	head, err := l.log.Head()
	if err != nil {
		return l.blame(err)
	}
	l.out.Size, l.out.Root = head.Size, schema.Digest(head.Root)
	l.out.Checkpoint, l.out.Text = schema.Digest(head.ID()), head.Text()
	for _, c := range l.opt.Remembered {
		if c.Origin != head.Origin {
			continue
		}
		if c.Size > head.Size {
			return &Flaw{Object: l.entryKey(head.Size), What: fmt.Sprintf("missing: an earlier audit saw %d entries", c.Size), Err: pipeline.ErrFork}
		}
		if now, err := l.log.At(c.Size); err != nil || now != c {
			return &Flaw{Object: l.prefix, What: fmt.Sprintf("its first %d entries are not those that an earlier audit saw", c.Size), Err: errors.Join(pipeline.ErrFork, err)}
		}
		l.out.Remembered = max(l.out.Remembered, c.Size)
	}
	return nil
}

// strangers finds remembered checkpoints of scopes that the store does not show. With
// one task only, other scopes are not looked at.
func (a *auditor) strangers() error {
	for _, c := range a.opt.Remembered {
		known := slices.ContainsFunc(a.report.Scopes, func(s *Scope) bool { return pipeline.LedgerScope(s.Scope).Origin() == c.Origin })
		if !known && a.opt.Task == nil {
			return &Flaw{Object: c.Origin, What: "an earlier audit saw this ledger, and now the store has no task of its scope", Err: pipeline.ErrFork}
		}
	}
	return nil
}

// reservations indexes the entries by the objects that they name.
func (l *scopeLedger) reservations() error {
	for _, x := range l.log.Reservations() {
		key := pipeline.ReservationKey(l.scope.ID(), roundOf(x), schema.ManifestID{Digest: schema.Digest(x.Manifest)})
		if y, ok := l.named[key]; ok {
			return flawf(l.entryKey(x.Index), "it reserves the list of entry %d again, for another round", y.Index)
		}
		l.named[key] = x
		l.out.Reservations++
		if x.Settled > 0 {
			l.out.Settled++
		}
		if x.Voided > 0 {
			l.out.Voided++
		}
	}
	return nil
}

// paid returns what the ledger reserves for a list, and the checkpoint that a vote for it must name.
func (l *scopeLedger) paid(r *pipeline.Round, id schema.ManifestID) (ledger.Reservation, schema.Digest, error) {
	x, err := l.log.Find(ledger.ID(r.Name.Task.Digest), ledger.ID(r.ID.Digest), ledger.ID(id.Digest))
	if err != nil {
		return x, schema.Digest{}, err
	}
	c, err := l.log.At(x.Index + 1)
	return x, schema.Digest(c.ID()), err
}

// Checkpoints returns the newest checkpoint of each ledger that was verified, for
// [Options].Remembered of the next audit.
func (r *Report) Checkpoints() []ledger.Checkpoint {
	var all []ledger.Checkpoint
	for _, s := range r.Scopes {
		if s.Ledger == nil {
			continue
		}
		if c, err := ledger.ParseCheckpoint(s.Ledger.Text); err == nil {
			all = append(all, c)
		}
	}
	return all
}

// ended checks that the entry that ends a reservation and the round's receipt agree.
func (s *scopeAudit) ended(x ledger.Reservation) error {
	at := max(x.Settled, x.Voided)
	if at == 0 {
		return nil // the round goes on, or the Collector died: the charge stays
	}
	n := roundOf(x)
	entry, key := s.ledger.holder(at), pipeline.ReceiptKey(n)
	c, err := load[schema.Receipt](s.auditor, key, s.plans[n.Task].Task.Collector)
	switch {
	case errors.Is(err, storage.ErrNotExist):
		return flawf(entry, "entry %d ends a round by a receipt that is not in the store: %s", at, key)
	case err != nil:
		return blame(key, "the receipt", err)
	case ledger.ID(c.Body.RoundID.Digest) != x.Round:
		return flawf(key, "it belongs to another round than entry %d, which it ends", x.Index)
	}
	named := x.Receipt
	if x.Voided > 0 {
		if named, err = s.ledger.evidence(x.Voided); err != nil {
			return err
		}
	}
	b := c.Body
	switch {
	case named != ledger.ID(c.ID()):
		return flawf(entry, "entry %d ends a round by another receipt than %s", at, key)
	case x.Voided > 0 && (b.Status != schema.StatusVoid || !b.Checkpoint.IsZero()):
		return flawf(entry, "entry %d gives back what the receipt %s charges", at, key)
	case x.Settled > 0 && (x.Status != b.Status || !b.Checkpoint.IsZero() && ledger.ID(b.Manifest.Digest) != x.Manifest):
		return flawf(entry, "entry %d settles another list or end than the receipt %s", at, key)
	}
	return nil
}
