package ledger

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"fmt"
	"slices"

	"github.com/veilsum/veilsum/privacy/accountant"
	"golang.org/x/mod/sumdb/tlog"
)

// Writer is who may write the entries of a task, and what they may say.
type Writer struct {
	Key ed25519.PublicKey // the Collector's
	// Event, unless it is zero, is what every reservation of the task must charge.
	Event accountant.Event
}

// Rules is what a reader of the log knows beside it.
type Rules struct {
	// Writer returns the writer of a task. It returns an error if the task is
	// not known or verified, or is not of this scope: an entry that cannot be judged must
	// not be left out, since that could spend twice. It is asked once per task.
	Writer func(ctx context.Context, task ID) (Writer, error)
	// Voted tells whether a vote for a reservation is known: a Collector and an
	// auditor look for votes that anybody published, a decryptor for its own (see [Ledger.CheckVote]).
	// Without it no void frees anything.
	Voted func(ctx context.Context, r Reservation) (bool, error)
	// Final, unless nil, tells of a reservation that is voided that the void came too late: it counts,
	// whether a vote is known or not, but is no reason to refuse the log.
	Final func(ctx context.Context, r Reservation) (bool, error)
}

// Reservation is a charge in the log. It stands until it is voided.
type Reservation struct {
	Request
	Index   int64  // its entry
	Voided  int64  // the entry that voided it, 0 if none
	Settled int64  // the entry that settled it, 0 if none
	Receipt ID     // hash of the receipt, if settled
	Status  string // StatusCommitted or StatusVoid, if settled
}

// state is what the entries say, folded in order. It is a pure function of the
// entries and the writers: no time, no store.
type state struct {
	view
	tree tree

	writers     map[ID]int32     // task -> position in tasks
	eventOf     map[string]int32 // canonical bytes -> position in events
	byManifest  map[manifestKey]int32
	charges     map[chargeKey]int32 // (task, epoch) -> position in chargeEvent
	chargeEvent []int32

	keys  []signingKey
	keyOf map[string]int32 // public key -> position in keys
}

// view is what the lists of a state say. The lists grow only; of their elements
// only a reservation changes, when it ends.
type view struct {
	scope        Scope
	tasks        []writer
	events       []accountant.Event
	reservations []reservation // in the order of the log
}

type writer struct {
	id    ID
	key   int32  // position in keys
	event []byte // canonical, or nil
}

// signingKey is a Collector's key with its newest entry, unless that is checked.
type signingKey struct {
	key  ed25519.PublicKey
	last *unverified
}

type unverified struct {
	signature [ed25519.SignatureSize]byte
	index     int64
	body      []byte
}

// manifestKey holds the task, too: nobody can take the name of another task's manifest.
type manifestKey struct {
	task            int32
	round, manifest ID
}

type chargeKey struct {
	task  int32
	epoch uint64
}

// reservation is a Reservation in less memory.
type reservation struct {
	round, manifest, object, receipt ID
	epoch                            uint64
	index, voided, settled           int64
	task, event, charge              int32
	lane                             uint32
	reports                          int32
	committed                        bool
}

func newState(scope Scope) *state {
	return &state{
		view: view{scope: scope}, writers: map[ID]int32{}, eventOf: map[string]int32{}, byManifest: map[manifestKey]int32{},
		charges: map[chargeKey]int32{}, keyOf: map[string]int32{},
	}
}

// size returns the number of entries.
func (s *state) size() int64 { return s.tree.size }

// corrupt reports an entry that no honest writer wrote.
func corrupt(index int64, format string, args ...any) error {
	return fmt.Errorf("%w: entry %d: %w", ErrCorrupt, index, fmt.Errorf(format, args...))
}

// effect is what a checked entry will change.
type effect struct {
	entry       *raw
	leaf        tlog.Hash
	task, event int32
	reservation int32 // the one that is ended
	repeated    bool  // it says what an earlier entry said
	checked     bool  // so is its signature
}

// check judges the next entry, whose leaf hash is leaf, and changes nothing
// that counts. The signature is checked now, or else left to [state.verifyLast].
func (s *state) check(ctx context.Context, rules *Rules, r *raw, leaf tlog.Hash, now bool) (effect, error) {
	if n := s.size(); r.Index != n || tlog.Hash(r.Prev) != s.tree.leaf(n-1) {
		return effect{}, corrupt(n, "it continues another history")
	}
	task, err := s.taskOf(ctx, rules, r)
	if err != nil {
		return effect{}, err
	}
	x := effect{entry: r, leaf: leaf, task: task, checked: now}
	if k := &s.keys[s.tasks[task].key]; now && !k.signed(s.scope.ID, &unverified{r.Signature, r.Index, r.body}) {
		return effect{}, unsigned(r.Index)
	}
	if r.Kind == KindReserve {
		return x, s.checkReserve(&x)
	}
	return x, s.checkEnd(&x)
}

// commit applies a checked entry.
func (s *state) commit(x effect) error {
	k := &s.keys[s.tasks[x.task].key]
	k.last = nil
	if !x.checked {
		k.last = &unverified{x.entry.Signature, x.entry.Index, x.entry.body}
	}
	switch {
	case x.repeated:
	case x.entry.Kind == KindReserve:
		s.reserve(x)
	case x.entry.Kind == KindVoid:
		s.reservations[x.reservation].voided = x.entry.Index
	case x.entry.Kind == KindSettle:
		r := &s.reservations[x.reservation]
		r.settled, r.receipt, r.committed = x.entry.Index, x.entry.Receipt, x.entry.Status == StatusCommitted
	}
	return s.tree.add(x.leaf)
}

func unsigned(index int64) error {
	return corrupt(index, "it is not signed by the Collector of its task")
}

func (k *signingKey) signed(scope ID, u *unverified) bool {
	return ed25519.Verify(k.key, signedHash(scope, u.body), u.signature[:])
}

// taskOf returns the task whose Collector must have signed the entry.
func (s *state) taskOf(ctx context.Context, rules *Rules, r *raw) (int32, error) {
	if r.Kind != KindReserve {
		i, ok := s.at(r.Reserve)
		if !ok {
			return 0, corrupt(r.Index, "it ends entry %d, which is no reservation", r.Reserve)
		}
		return s.reservations[i].task, nil
	}
	if t, ok := s.writers[r.Task]; ok {
		return t, nil
	}
	w, err := rules.Writer(ctx, r.Task)
	if err != nil {
		return 0, fmt.Errorf("ledger: writer of entry %d, task %s: %w", r.Index, r.Task, err)
	}
	if len(w.Key) != ed25519.PublicKeySize {
		return 0, fmt.Errorf("%w: writer of task %s without key", ErrEntry, r.Task)
	}
	t := writer{id: r.Task, key: s.keyIndex(w.Key)}
	if w.Event.Type != "" {
		if t.event, err = encodeEvent(w.Event); err != nil {
			return 0, err
		}
	}
	s.tasks = append(s.tasks, t)
	s.writers[r.Task] = int32(len(s.tasks) - 1)
	return int32(len(s.tasks) - 1), nil
}

func (s *state) keyIndex(key ed25519.PublicKey) int32 {
	if i, ok := s.keyOf[string(key)]; ok {
		return i
	}
	s.keys = append(s.keys, signingKey{key: slices.Clone(key)})
	s.keyOf[string(key)] = int32(len(s.keys) - 1)
	return int32(len(s.keys) - 1)
}

// at finds the reservation with that entry index.
func (s *state) at(index int64) (int32, bool) {
	i, ok := slices.BinarySearchFunc(s.reservations, index, func(r reservation, index int64) int { return cmp.Compare(r.index, index) })
	return int32(i), ok
}

// checkReserve judges a reservation. The same round and manifest again (a
// retry that did not see its own entry) changes nothing, nor does it revive a voided one.
func (s *state) checkReserve(x *effect) (err error) {
	r := x.entry
	if x.event, err = s.eventIndex(r); err != nil {
		return err
	}
	if want := s.tasks[x.task].event; want != nil && !bytes.Equal(want, r.event) {
		return corrupt(r.Index, "it charges another event than its task costs")
	}
	if charge, ok := s.charges[chargeKey{x.task, r.Epoch}]; ok && s.chargeEvent[charge] != x.event {
		return corrupt(r.Index, "task %s epoch %d was charged another event", r.Task, r.Epoch)
	}
	old, ok := s.byManifest[manifestKey{x.task, r.Round, r.Manifest}]
	if x.repeated = ok; !ok {
		return nil
	}
	if x := &s.reservations[old]; x.epoch != r.Epoch || x.lane != r.Lane || x.object != r.Reservation || int(x.reports) != r.Reports {
		return corrupt(r.Index, "entry %d reserves the same manifest otherwise", x.index)
	}
	return nil
}

func (s *state) reserve(x effect) {
	r := x.entry
	charge, ok := s.charges[chargeKey{x.task, r.Epoch}]
	if !ok {
		charge = int32(len(s.chargeEvent))
		s.chargeEvent = append(s.chargeEvent, x.event)
		s.charges[chargeKey{x.task, r.Epoch}] = charge
	}
	s.byManifest[manifestKey{x.task, r.Round, r.Manifest}] = int32(len(s.reservations))
	s.reservations = append(s.reservations, reservation{
		round: r.Round, manifest: r.Manifest, object: r.Reservation, epoch: r.Epoch, index: r.Index,
		task: x.task, event: x.event, charge: charge, lane: r.Lane, reports: int32(r.Reports),
	})
}

// eventIndex decodes each distinct event once.
func (s *state) eventIndex(r *raw) (int32, error) {
	if i, ok := s.eventOf[string(r.event)]; ok {
		return i, nil
	}
	e, ok := parseEvent(r.event)
	if !ok {
		return 0, corrupt(r.Index, "unknown event")
	}
	s.events = append(s.events, e)
	s.eventOf[string(r.event)] = int32(len(s.events) - 1)
	return int32(len(s.events) - 1), nil
}

// checkEnd judges a settlement or a void. Either is final and excludes the other.
func (s *state) checkEnd(x *effect) error {
	r := x.entry
	x.reservation, _ = s.at(r.Reserve) // taskOf found it
	old := &s.reservations[x.reservation]
	switch {
	case r.Kind == KindVoid && old.settled > 0:
		return corrupt(r.Index, "it voids entry %d, which is settled", old.index)
	case r.Kind == KindSettle && old.voided > 0:
		return corrupt(r.Index, "it settles entry %d, which is void", old.index)
	case r.Kind == KindSettle && old.settled > 0 && (old.receipt != r.Receipt || old.committed != (r.Status == StatusCommitted)):
		return corrupt(r.Index, "entry %d was settled by another receipt", old.index)
	}
	x.repeated = old.settled > 0 || old.voided > 0
	return nil
}

// verifyLast checks the newest entry of each writer since the last call. That
// is enough for all before it: an entry names its predecessor's hash, and an honest
// Collector signs none on top of an entry in its name that it did not write (it checks
// here, too). A dishonest one can write what it likes in its own name anyway.
func (s *state) verifyLast() error {
	for i := range s.keys {
		k := &s.keys[i]
		if k.last != nil && !k.signed(s.scope.ID, k.last) {
			return unsigned(k.last.index)
		}
		k.last = nil
	}
	return nil
}

// reservation returns the i'th reservation.
func (v *view) reservation(i int32) Reservation {
	x := &v.reservations[i]
	r := Reservation{
		Request: Request{
			Task: v.tasks[x.task].id, Round: x.round, Epoch: x.epoch, Lane: x.lane, Manifest: x.manifest,
			Reports: int(x.reports), Reservation: x.object, Event: v.events[x.event],
		},
		Index: x.index, Voided: x.voided, Settled: x.settled, Receipt: x.receipt,
	}
	if x.settled > 0 {
		r.Status = StatusVoid
		if x.committed {
			r.Status = StatusCommitted
		}
	}
	return r
}

// find returns the reservation of a task's round and manifest.
func (s *state) find(task, round, manifest ID) (int32, bool) {
	t, ok := s.writers[task]
	if !ok {
		return 0, false
	}
	i, ok := s.byManifest[manifestKey{t, round, manifest}]
	return i, ok
}
