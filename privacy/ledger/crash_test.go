package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/veilsum/veilsum/privacy/ledger"
)

// filled returns a store with n entries behind the opening one.
func filled(t testing.TB, n int) *memory {
	m := newMemory()
	l := open(t, m, unvoted)
	for i := range n {
		// One epoch costs once, so the budget lasts.
		reserve(t, l, request(taxi, 1, i))
	}
	return m
}

// TestCrashAtEachOperation kills a Collector at each operation of a reservation,
// a settlement and a void, before and after it takes effect, also where the entry
// completes a bundle. Then the budget must be charged at most once, what was acknowledged must be there, and
// the next process must finish the work.
func TestCrashAtEachOperation(t *testing.T) {
	actions := map[string]func(*ledger.Ledger, ledger.Request) error{
		"reserve": func(l *ledger.Ledger, r ledger.Request) error {
			_, _, err := l.Reserve(context.Background(), keyOf("anna"), r, nil)
			return err
		},
		"settle": func(l *ledger.Ledger, r ledger.Request) error {
			return l.Settle(context.Background(), keyOf("anna"), r.Task, r.Round, r.Manifest, id("receipt"), ledger.StatusCommitted)
		},
		"void": void,
	}
	sizes := []int{0, 3, 254} // the last makes entry 255
	if testing.Short() {
		sizes = sizes[:2]
	}
	for _, entries := range sizes {
		base := filled(t, entries)
		for name, act := range actions {
			before := base.clone()
			req := request(taxi, 2, 0)
			if name != "reserve" {
				if entries == 254 {
					before = filled(t, 253)
				}
				reserve(t, open(t, before, unvoted), req)
			}
			t.Run(fmt.Sprintf("%s on %d", name, entries), func(t *testing.T) { crashEach(t, before, req, act) })
		}
	}
}

func crashEach(t *testing.T, before *memory, req ledger.Request, act func(*ledger.Ledger, ledger.Request) error) {
	base := epochs(t, open(t, before, unvoted))
	want := before.clone()
	if err := act(open(t, want, unvoted), req); err != nil {
		t.Fatal(err)
	}
	wantEpochs, wantHead := epochs(t, open(t, want, unvoted)), head(t, open(t, want, unvoted))
	// While the log is read nothing can be lost: of a long log only the end of that matters.
	reading := &faulty{Objects: before.clone(), at: -1}
	open(t, reading, unvoted)
	for at := max(0, reading.count-5); ; at++ {
		var acknowledged bool
		for _, after := range []bool{false, true} {
			m := before.clone()
			err := run(&faulty{Objects: m, at: at, after: after}, req, act)
			acknowledged = err == nil
			if err != nil && !errors.Is(err, errCrash) {
				t.Fatalf("operation %d: %v", at, err)
			}
			next := open(t, m, unvoted)
			if n := epochs(t, next); n != base && n != wantEpochs || acknowledged && n != wantEpochs {
				t.Fatalf("operation %d: %d epochs charged, before %d, wanted %d, acknowledged %t", at, n, base, wantEpochs, acknowledged)
			}
			if err := act(next, req); err != nil { // the next process
				t.Fatalf("after a crash at operation %d: %v", at, err)
			}
			if got := audit(t, m, wantHead).Head; got != wantHead {
				t.Fatalf("operation %d: head %v, without a crash %v", at, got, wantHead)
			}
			if err := complete(m, want); err != nil {
				t.Fatalf("operation %d: %v", at, err)
			}
		}
		if acknowledged { // the fault lies behind the last operation
			if at < reading.count+2 {
				t.Fatalf("only %d operations: the fault injection does not work", at)
			}
			return
		}
	}
}

func run(o ledger.Objects, req ledger.Request, act func(*ledger.Ledger, ledger.Request) error) error {
	l, err := ledger.Open(context.Background(), o, scope, unvoted)
	if err != nil {
		return err
	}
	return act(l, req)
}

// complete checks that the objects are those of a history without a crash.
func complete(have, want *memory) error {
	for k := range want.objects {
		if string(have.objects[k]) != string(want.objects[k]) {
			return fmt.Errorf("%s is missing or differs", k)
		}
	}
	if len(have.objects) != len(want.objects) {
		return errors.New("there are objects left over")
	}
	return nil
}

// TestRacingCollectors lets Collectors of two tasks race with equal and different
// requests, each through a Ledger of its own, until the budget is used up. It must be used
// up exactly: one more epoch of the cheaper task would pass it.
func TestRacingCollectors(t *testing.T) {
	m := newMemory()
	var wg sync.WaitGroup
	acknowledged := make([]map[ledger.ID]ledger.Checkpoint, 8)
	for w := range acknowledged {
		task := []ledger.ID{taxi, truck}[w%2]
		acknowledged[w] = map[ledger.ID]ledger.Checkpoint{}
		wg.Go(func() {
			l, err := ledger.Open(context.Background(), m, scope, unvoted)
			for epoch := uint64(1); err == nil; epoch++ {
				var c ledger.Checkpoint
				req := request(task, epoch, 0)
				if _, c, err = l.Reserve(context.Background(), keyOf(collectorOf(task)), req, nil); err == nil {
					acknowledged[w][req.Manifest] = c
				}
			}
			if !errors.Is(err, ledger.ErrBudget) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	report := audit(t, m, ledger.Checkpoint{})
	if report.OverBudget || report.Reservations != report.Epochs {
		t.Errorf("budget %t, %d reservations for %d epochs", report.OverBudget, report.Reservations, report.Epochs)
	}
	l := open(t, m, unvoted)
	if _, _, err := l.Reserve(t.Context(), keyOf("bert"), request(truck, 1000, 0), nil); !errors.Is(err, ledger.ErrBudget) {
		t.Errorf("the budget affords one more epoch: %v", err)
	}
	for w := range acknowledged {
		for manifest, c := range acknowledged[w] {
			if at, err := l.At(c.Size); err != nil || at != c {
				t.Errorf("acknowledged manifest %s is not in the log at size %d: %v", manifest, c.Size, err)
			}
		}
	}
}

// TestRacersOfOneRequest: a Collector that runs twice charges once, and both get one checkpoint.
func TestRacersOfOneRequest(t *testing.T) {
	m := newMemory()
	var wg sync.WaitGroup
	got := make([]ledger.Checkpoint, 8)
	for w := range got {
		wg.Go(func() {
			l, err := ledger.Open(context.Background(), m, scope, unvoted)
			if err == nil {
				_, got[w], err = l.Reserve(context.Background(), keyOf("anna"), request(taxi, 1, 0), nil)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, c := range got {
		if c.Size != 2 || c != got[0] {
			t.Errorf("checkpoints %v and %v", got[0], c)
		}
	}
	if r := audit(t, m, got[0]); r.Head.Size != 2 || r.Epochs != 1 {
		t.Errorf("%d entries, %d epochs", r.Head.Size, r.Epochs)
	}
}

// TestRacingWithCrashes: crashed writers and live ones share a log; whatever
// was charged is charged once.
func TestRacingWithCrashes(t *testing.T) {
	m := newMemory()
	var wg sync.WaitGroup
	for w := range 24 {
		wg.Go(func() {
			for epoch := uint64(1); epoch <= 3; epoch++ {
				req := request([]ledger.ID{taxi, truck}[w%2], epoch, 0)
				err := run(&faulty{Objects: m, at: w, after: w%3 == 0}, req, func(l *ledger.Ledger, r ledger.Request) error {
					_, _, err := l.Reserve(context.Background(), keyOf(collectorOf(r.Task)), r, nil)
					return err
				})
				if err != nil && !errors.Is(err, errCrash) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if r := audit(t, m, ledger.Checkpoint{}); r.Epochs != 6 || r.Reservations != 6 {
		t.Errorf("%d epochs, %d reservations, want 6 of each", r.Epochs, r.Reservations)
	}
}

// TestConcurrentReaders: what a Ledger has handed out does not change under its user.
func TestConcurrentReaders(t *testing.T) {
	m := newMemory()
	l := open(t, m, unvoted)
	reserve(t, l, request(taxi, 1, 0))
	c, err := l.Charges(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := range 20 {
			if _, _, err := l.Reserve(context.Background(), keyOf("anna"), request(taxi, 1, n), nil); err != nil {
				t.Error(err)
			}
			if err := void(l, request(taxi, 1, n)); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Go(func() {
		for range 20 {
			for r := range c.Reservations() {
				if r.Voided != 0 || c.Epochs() != 1 {
					t.Error("a snapshot changed")
				}
			}
			if _, err := l.Find(taxi, request(taxi, 1, 0).Round, request(taxi, 1, 0).Manifest); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	if all := l.Reservations(); len(all) != 20 || all[19].Voided == 0 {
		t.Errorf("%d reservations", len(all))
	}
}
