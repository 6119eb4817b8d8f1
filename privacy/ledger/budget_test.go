package ledger_test

import (
	"context"
	"errors"
	"iter"
	"testing"

	"github.com/veilsum/veilsum/privacy/ledger"
)

// exhaust reserves epochs of a task until the budget refuses, and returns how many fitted.
func exhaust(t testing.TB, l *ledger.Ledger, task ledger.ID, from uint64) uint64 {
	t.Helper()
	for n := uint64(0); ; n++ {
		_, _, err := l.Reserve(t.Context(), keyOf(collectorOf(task)), request(task, from+n, 0), nil)
		if errors.Is(err, ledger.ErrBudget) {
			return n
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestSecondTask: a second task over the same scope, with another Collector, gets
// only what the first has left.
func TestSecondTask(t *testing.T) {
	alone := exhaust(t, open(t, newMemory(), unvoted), truck, 1)
	m := newMemory()
	l := open(t, m, unvoted)
	for epoch := range uint64(20) {
		reserve(t, l, request(taxi, epoch, 0))
	}
	left := exhaust(t, open(t, m, unvoted), truck, 1)
	cheap := exhaust(t, l, bus, 1) // a bus costs less than a truck
	if left == 0 || left >= alone {
		t.Errorf("truck affords %d epochs alone, %d after taxi's", alone, left)
	}
	entries := len(m.keys("entry/"))
	if n := exhaust(t, l, bus, 50) + exhaust(t, l, truck, 50); n != 0 {
		t.Errorf("%d epochs more after ErrBudget", n)
	}
	if n := len(m.keys("entry/")); n != entries {
		t.Errorf("a refused reservation wrote %d entries", n-entries)
	}
	if r := audit(t, m, head(t, l)); r.OverBudget || r.Epochs != int64(20+left+cheap) || r.Tasks != 3 {
		t.Errorf("%+v", r)
	}
}

// TestSpam: however many lists and lanes are reserved for one (task, epoch), it costs once.
func TestSpam(t *testing.T) {
	m := newMemory()
	l := open(t, m, unvoted)
	reserve(t, l, request(taxi, 1, 0))
	c, err := l.Charges(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	before, _ := c.Guarantee()
	for n := range 400 {
		req := request(taxi, 1, n)
		req.Lane = uint32(n % 3)
		if n == 0 {
			continue
		}
		reserve(t, l, req)
	}
	if r := audit(t, m, head(t, l)); r.Guarantee != before || r.Epochs != 1 || r.Reservations != 400 {
		t.Errorf("400 reservations of one epoch: %v, one: %v", r.Guarantee, before)
	}
	// A full budget still admits a further list of a charged epoch.
	exhaust(t, l, taxi, 2)
	reserve(t, l, request(taxi, 1, 1000))
}

// TestVoid: a void frees the charge with the last standing reservation of the
// epoch, is final, and is refused after a vote or a settlement.
func TestVoid(t *testing.T) {
	m := newMemory()
	l := open(t, m, unvoted)
	a, b := request(taxi, 1, 0), request(taxi, 1, 1)
	reserve(t, l, a)
	reserve(t, l, b)
	for _, step := range []struct {
		req  ledger.Request
		want int64
	}{{a, 1}, {a, 1}, {b, 0}} {
		if err := void(l, step.req); err != nil {
			t.Fatal(err)
		}
		if n := epochs(t, l); n != step.want {
			t.Fatalf("%d epochs are charged, want %d", n, step.want)
		}
	}
	_, _, err := l.Reserve(t.Context(), keyOf("anna"), a, nil)
	wants(t, err, ledger.ErrEnded)
	wants(t, l.Settle(t.Context(), keyOf("anna"), a.Task, a.Round, a.Manifest, id("receipt"), ledger.StatusVoid), ledger.ErrEnded)
	refuse(t, newDecryptor(), m, a, ledger.ErrEnded)
	reserve(t, l, request(taxi, 1, 2))
	if n := epochs(t, l); n != 1 {
		t.Fatalf("%d epochs", n)
	}
	settle(t, l, request(taxi, 1, 2))
	settle(t, l, request(taxi, 1, 2))
	wants(t, void(l, request(taxi, 1, 2)), ledger.ErrEnded)
	wants(t, void(l, request(taxi, 9, 0)), ledger.ErrNotReserved)
	err = l.Settle(t.Context(), keyOf("anna"), taxi, request(taxi, 1, 2).Round, request(taxi, 1, 2).Manifest, id("other"), ledger.StatusCommitted)
	wants(t, err, ledger.ErrEnded)
	// Without a way to know, nothing is voided and no void frees.
	blind := open(t, m, ledger.Rules{Writer: writer})
	wants(t, void(blind, request(taxi, 1, 2)), ledger.ErrEnded)
	reserve(t, blind, request(taxi, 3, 0))
	wants(t, void(blind, request(taxi, 3, 0)), ledger.ErrVoted)
	if r := audit(t, m, ledger.Checkpoint{}); r.Voided != 2 || r.Revived != 0 || r.Settled != 1 {
		t.Errorf("%+v", r)
	}
}

// TestVoidUnsure: votes that could not be read are neither a vote nor none. The void fails, and
// nothing is written that would end the reservation either way.
func TestVoidUnsure(t *testing.T) {
	m := newMemory()
	req := request(taxi, 1, 0)
	reserve(t, open(t, m, unvoted), req)
	broken := errors.New("the disk fails")
	unsure := ledger.Rules{Writer: writer, Voted: func(context.Context, ledger.Reservation) (bool, error) { return false, broken }}
	before := m.clone()
	err := void(open(t, m, unsure), req)
	wants(t, err, broken)
	if errors.Is(err, ledger.ErrVoted) {
		t.Errorf("%v says that somebody voted", err)
	}
	if err := complete(m, before); err != nil {
		t.Error(err)
	}
	if err := void(open(t, m, unvoted), req); err != nil || epochs(t, open(t, m, unvoted)) != 0 {
		t.Errorf("once the votes can be read: %v", err)
	}
}

// TestVoidAfterVote: a Collector that hides a vote and voids what it may have
// opened loses that decryptor for the scope, and an auditor who sees the vote charges it.
func TestVoidAfterVote(t *testing.T) {
	m := newMemory()
	req, next := request(taxi, 1, 0), request(taxi, 2, 0)
	reserve(t, open(t, m, unvoted), req)
	d := newDecryptor()
	mustVote(t, d, m, req)
	knows := ledger.Rules{Writer: writer, Voted: func(_ context.Context, r ledger.Reservation) (bool, error) { return d.voted[r.Manifest], nil }}
	wants(t, void(open(t, m, knows), req), ledger.ErrVoted)
	if err := void(open(t, m, unvoted), req); err != nil { // the vote is hidden
		t.Fatal(err)
	}
	reserve(t, open(t, m, unvoted), next)
	refuse(t, d, m, next, ledger.ErrFork)
	mustVote(t, newDecryptor(), m, next)
	r, err := ledger.Audit(t.Context(), m, scope, knows, ledger.Checkpoint{})
	if err != nil || r.Epochs != 2 || r.Revived != 1 {
		t.Errorf("%+v %v", r, err)
	}
	if n := epochs(t, open(t, m, knows)); n != 2 {
		t.Errorf("%d epochs are charged", n)
	}
}

// TestOverBudget: a Collector without scruples (its ledger knows of no charge)
// cannot get votes for what passes the budget, while what was reserved before keeps its right.
func TestOverBudget(t *testing.T) {
	m := newMemory()
	rich := scope
	rich.Epsilon = 1e6
	l := open(t, m, unvoted)
	n := exhaust(t, l, taxi, 1)
	// The same entries under a scope that was opened with a larger budget are another log.
	_, err := ledger.Open(t.Context(), m, rich, unvoted)
	wants(t, err, ledger.ErrCorrupt)
	ledger.ForceReserve(t, l, keyOf("anna"), request(taxi, n+1, 0))
	d := newDecryptor()
	refuse(t, d, m, request(taxi, n+1, 0), ledger.ErrBudget)
	mustVote(t, d, m, request(taxi, n, 0))
	if r := audit(t, m, ledger.Checkpoint{}); !r.OverBudget {
		t.Error("the audit does not see it")
	}
	// Voiding it repairs the log.
	if err := void(open(t, m, unvoted), request(taxi, n+1, 0)); err != nil {
		t.Fatal(err)
	}
	if r := audit(t, m, ledger.Checkpoint{}); r.OverBudget {
		t.Error("still over budget")
	}
}

// TestLaterVoidsFreeNothing: voters of one checkpoint must judge the same
// entries, so a void behind the reservation does not help it.
func TestLaterVoidsFreeNothing(t *testing.T) {
	m := newMemory()
	l := open(t, m, unvoted)
	n := exhaust(t, l, taxi, 1)
	ledger.ForceReserve(t, l, keyOf("anna"), request(taxi, n+1, 0))
	if err := void(l, request(taxi, 1, 0)); err != nil {
		t.Fatal(err)
	}
	refuse(t, newDecryptor(), m, request(taxi, n+1, 0), ledger.ErrBudget)
	reserve(t, l, request(taxi, n+1, 1)) // behind the void it fits
	mustVote(t, newDecryptor(), m, request(taxi, n+1, 1))
}

// TestVoidedEpochCostsAgain: what a void has freed is not free for its epoch.
func TestVoidedEpochCostsAgain(t *testing.T) {
	l := open(t, newMemory(), unvoted)
	n := exhaust(t, l, taxi, 1)
	if err := void(l, request(taxi, 1, 0)); err != nil {
		t.Fatal(err)
	}
	reserve(t, l, request(taxi, n+1, 0)) // takes what was freed
	_, _, err := l.Reserve(t.Context(), keyOf("anna"), request(taxi, 1, 1), nil)
	wants(t, err, ledger.ErrBudget)
}

// TestParticipations: limits add up over the tasks of the scope.
func TestParticipations(t *testing.T) {
	m := newMemory()
	l := open(t, m, unvoted)
	car, other := ledger.Unit{1}, ledger.Unit{2}
	load := func(_ context.Context, r ledger.Reservation) (iter.Seq[ledger.Unit], error) {
		return func(yield func(ledger.Unit) bool) { _ = yield(car) && r.Task == truck && yield(other) }, nil
	}
	limits := ledger.Limits{Max: 3, MinSeparation: 2}
	try := func(req ledger.Request) error {
		_, _, err := l.Reserve(t.Context(), keyOf(collectorOf(req.Task)), req, func(ctx context.Context, before *ledger.Charges) error {
			p, err := before.Participations(ctx, load)
			if err != nil {
				return err
			}
			return p.Check(limits, req.Task, req.Epoch, car)
		})
		return err
	}
	for _, step := range []struct {
		req  ledger.Request
		want error
	}{
		{request(taxi, 1, 0), nil},
		{request(taxi, 2, 0), ledger.ErrLimit}, // too soon
		{request(taxi, 1, 1), nil},             // the same participation
		{request(truck, 2, 0), nil},            // another task: no distance
		{request(taxi, 3, 0), nil},
		{request(bus, 9, 0), ledger.ErrLimit}, // the fourth in the scope
	} {
		if err := try(step.req); !errors.Is(err, step.want) {
			t.Fatalf("epoch %d: %v, want %v", step.req.Epoch, err, step.want)
		}
	}
	c, err := l.Charges(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.Participations(t.Context(), load)
	if err != nil || p.Count(car) != 3 || p.Count(other) != 1 {
		t.Errorf("%d and %d participations, %v", p.Count(car), p.Count(other), err)
	}
	failing := func(context.Context, ledger.Reservation) (iter.Seq[ledger.Unit], error) { return nil, errCrash }
	_, err = c.Participations(t.Context(), failing)
	wants(t, err, errCrash)
}
