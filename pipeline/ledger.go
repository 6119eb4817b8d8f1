package pipeline

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/veilsum/veilsum/privacy/ledger"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// Voted tells whether a vote for a reservation is known: then no void frees its cost.
type Voted func(ctx context.Context, x ledger.Reservation) (bool, error)

// Ledger is the verified ledger of one BudgetScope, together with the tasks that
// it names and the vehicles of its reservations. It is not safe for concurrent use.
type Ledger struct {
	log      *ledger.Ledger
	store    storage.Store
	scope    schema.Scope
	owner    schema.PublicKey
	plans    map[schema.TaskID]*Plan
	vehicles map[ledger.ID][]schema.VehicleID // by the identity of the reservation
}

// OpenLedger reads and verifies a scope's whole ledger; it writes nothing. The
// tasks that it names must be signed by the privacy owner, and charge what they cost. voted
// is nil for those who count every valid vote that was published; a decryptor gives its own.
// Errors wrap ErrUntrusted or ErrFork where the store is to blame.
func OpenLedger(ctx context.Context, s storage.Store, scope schema.Scope, owner schema.PublicKey, voted Voted) (*Ledger, error) {
	return openLedger(ctx, s, scope, owner, voted, map[schema.TaskID]*Plan{})
}

// OpenLedger opens the ledger that pays for the round.
func (r *Round) OpenLedger(ctx context.Context, s storage.Store, voted Voted) (*Ledger, error) {
	return openLedger(ctx, s, r.Task.Scope, r.Task.Owner, voted, map[schema.TaskID]*Plan{r.Name.Task: r.Plan})
}

func openLedger(ctx context.Context, s storage.Store, scope schema.Scope, owner schema.PublicKey, voted Voted, plans map[schema.TaskID]*Plan) (*Ledger, error) {
	l := &Ledger{store: s, scope: scope, owner: owner, plans: plans, vehicles: map[ledger.ID][]schema.VehicleID{}}
	if voted == nil {
		voted = l.published
	}
	log, err := ledger.Open(ctx, LedgerObjects(s, scope.ID()), LedgerScope(scope), ledger.Rules{Writer: l.writer, Voted: voted, Final: l.final})
	if err != nil {
		return nil, ledgerError(err)
	}
	l.log = log
	return l, l.checkRenewals()
}

// Sync reads and verifies what was appended since; what was read before stays as it was.
func (l *Ledger) Sync(ctx context.Context) error {
	if err := l.log.Sync(ctx); err != nil {
		return ledgerError(err)
	}
	return l.checkRenewals()
}

// Tasks returns the tasks that have an entry in the ledger, or that it was opened for, in no order.
func (l *Ledger) Tasks() []schema.TaskID {
	return slices.Collect(maps.Keys(l.plans))
}

// plan returns a task of this scope.
func (l *Ledger) plan(ctx context.Context, task ledger.ID) (*Plan, error) {
	id := schema.TaskID{Digest: schema.Digest(task)}
	if p, ok := l.plans[id]; ok {
		return p, nil
	}
	p, err := LoadTask(ctx, l.store, id, l.owner)
	if err != nil {
		return nil, err
	}
	if p.Task.Scope != l.scope {
		return nil, Untrusted(TaskKey(id), errors.New("it is not a task of this scope"))
	}
	l.plans[id] = p
	return p, nil
}

func (l *Ledger) writer(ctx context.Context, task ledger.ID) (ledger.Writer, error) {
	p, err := l.plan(ctx, task)
	if err != nil {
		return ledger.Writer{}, err
	}
	event, err := accountantEvent(p.Event())
	return ledger.Writer{Key: p.Task.Collector[:], Event: event}, err
}

// published looks for a vote in the store.
func (l *Ledger) published(ctx context.Context, x ledger.Reservation) (bool, error) {
	p, err := l.plan(ctx, x.Task)
	if err != nil {
		return false, err
	}
	votes, err := LoadVotes(ctx, l.store, &Round{Plan: p, Name: roundOf(x), ID: schema.RoundID{Digest: schema.Digest(x.Round)}})
	for _, v := range votes {
		if v.Body.Manifest.Digest == schema.Digest(x.Manifest) {
			return true, nil
		}
	}
	return false, err
}

func roundOf(x ledger.Reservation) RoundName {
	return RoundName{Task: schema.TaskID{Digest: schema.Digest(x.Task)}, Epoch: x.Epoch, Lane: x.Lane}
}

// Audit checks the ledger against the checkpoint that was signed last and one that
// the caller kept (zero if none), and computes what it spends.
func (l *Ledger) Audit(ctx context.Context, kept ledger.Checkpoint) (*ledger.Report, error) {
	r, err := l.log.Audit(ctx, kept)
	return r, ledgerError(err)
}

// Reservations returns all reservations that the ledger's entries made, in their order.
func (l *Ledger) Reservations() []ledger.Reservation { return l.log.Reservations() }

// Find returns the ledger's reservation of a manifest of the round, or ErrNotReady.
func (l *Ledger) Find(r *Round, id schema.ManifestID) (ledger.Reservation, error) {
	x, err := l.log.Find(ledger.ID(r.Name.Task.Digest), ledger.ID(r.ID.Digest), ledger.ID(id.Digest))
	return x, ledgerError(err)
}

// Paid returns the ledger's reservation of a manifest of the round with the checkpoint that votes for it must
// name, or ErrNotReady.
func (l *Ledger) Paid(r *Round, id schema.ManifestID) (ledger.Reservation, ledger.Checkpoint, error) {
	x, err := l.Find(r, id)
	if err != nil {
		return x, ledger.Checkpoint{}, err
	}
	c, err := l.log.At(x.Index + 1)
	return x, c, ledgerError(err)
}

// Reserve charges the manifest of a reservation whose object is in the store, or finds that it is charged:
// if so, budget and limits are not asked again. The checkpoint is what the votes name.
func (l *Ledger) Reserve(ctx context.Context, key ed25519.PrivateKey, r *Round, res schema.Signed[schema.Reservation]) (ledger.Checkpoint, error) {
	event, err := accountantEvent(res.Body.Event)
	if err != nil {
		return ledger.Checkpoint{}, err
	}
	b := res.Body
	_, c, err := l.log.Reserve(ctx, key, ledger.Request{
		Task: ledger.ID(b.TaskID.Digest), Round: ledger.ID(b.RoundID.Digest), Epoch: b.Epoch, Lane: b.Lane,
		Manifest: ledger.ID(b.Manifest.Digest), Reports: len(b.Vehicles), Reservation: ledger.ID(res.ID()), Event: event,
	}, l.admit(r, b))
	return c, ledgerError(err)
}

// admit checks the vehicles' limits against what is charged before the reservation.
func (l *Ledger) admit(r *Round, res schema.Reservation) ledger.Admit {
	return func(ctx context.Context, before *ledger.Charges) error {
		if !r.limitsVehicles() {
			return nil
		}
		c, err := l.count(ctx, before, true)
		if err != nil {
			return err
		}
		return c.checkVehicles(r, res)
	}
}

// CheckVote applies PROTOCOL.md section 7 to the cost of a manifest and returns the checkpoint that a vote for it
// names. signed is the largest checkpoint that the voter ever named in the scope (zero if
// none); the ledger must have been opened with the voter's own votes. It returns ErrNotReady if nothing is reserved,
// ErrEnded if the reservation was voided, ErrBudget or ErrLimit if it was not affordable where
// it stands, and ErrFork if the ledger is another one than that of the earlier votes.
func (l *Ledger) CheckVote(ctx context.Context, signed ledger.Checkpoint, r *Round, res schema.Signed[schema.Reservation]) (ledger.Checkpoint, error) {
	b := res.Body
	x, c, err := l.log.CheckVote(ctx, signed, ledger.ID(b.TaskID.Digest), ledger.ID(b.RoundID.Digest), ledger.ID(b.Manifest.Digest), l.admit(r, b))
	if err != nil {
		return ledger.Checkpoint{}, ledgerError(err)
	}
	if roundOf(x) != r.Name || x.Reservation != ledger.ID(res.ID()) || x.Reports != len(b.Vehicles) {
		return ledger.Checkpoint{}, fmt.Errorf("%w: entry %d of the ledger charges another round or reservation", ErrUntrusted, x.Index)
	}
	if err := l.checkRenewals(); err != nil { // also of tasks that came meanwhile
		return ledger.Checkpoint{}, err
	}
	return c, l.oneCommittee(r)
}

// End records how a round ended, as its receipt says: the reservation of the opened list is settled,
// and of a round that was aborted before any vote all reservations are voided, unless a vote shows. Again
// it changes nothing; it also finishes what a Collector left behind that died after the receipt.
func (l *Ledger) End(ctx context.Context, key ed25519.PrivateKey, r *Round) error {
	receipt, err := loadReceipt(ctx, l.store, r)
	if err != nil {
		return err
	}
	id := ledger.ID(receipt.ID())
	for _, x := range l.log.Reservations() {
		if x.Round != ledger.ID(r.ID.Digest) || x.Task != ledger.ID(r.Name.Task.Digest) {
			continue
		}
		switch { // what is in the ledger already is not written again, but signed if it was not
		case receipt.Body.Checkpoint.IsZero() && x.Settled > 0:
			err = l.log.Settle(ctx, key, x.Task, x.Round, x.Manifest, id, ledger.StatusVoid)
		case receipt.Body.Checkpoint.IsZero():
			err = l.void(ctx, key, x, id)
		case x.Manifest == ledger.ID(receipt.Body.Manifest.Digest):
			err = l.log.Settle(ctx, key, x.Task, x.Round, x.Manifest, id, receipt.Body.Status)
		}
		if err != nil {
			return ledgerError(err)
		}
	}
	return nil
}

func (l *Ledger) void(ctx context.Context, key ed25519.PrivateKey, x ledger.Reservation, receipt ledger.ID) error {
	err := l.log.Void(ctx, key, x.Task, x.Round, x.Manifest, receipt, "the round was aborted before any vote")
	if errors.Is(err, ledger.ErrVoted) { // it showed after the receipt: the charge stays
		return l.log.Settle(ctx, key, x.Task, x.Round, x.Manifest, receipt, ledger.StatusVoid)
	}
	return err
}
