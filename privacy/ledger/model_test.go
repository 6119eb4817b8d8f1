package ledger_test

import (
	"context"
	"errors"
	"math"
	"testing"

	"github.com/veilsum/veilsum/privacy/accountant"
	"github.com/veilsum/veilsum/privacy/ledger"
	"pgregory.net/rapid"
)

// model is what a ledger must say, kept as simply as possible.
type model struct {
	requests map[ledger.ID]ledger.Request // by manifest
	ended    map[ledger.ID]string         // "settled" or "void"
}

// guarantee charges each (task, epoch) with a reservation that stands.
func (m *model) guarantee(more ...ledger.Request) (int64, float64) {
	type key struct {
		task  ledger.ID
		epoch uint64
	}
	charged := map[key]accountant.Event{}
	for _, r := range m.requests {
		if m.ended[r.Manifest] != "void" {
			charged[key{r.Task, r.Epoch}] = r.Event
		}
	}
	for _, r := range more {
		charged[key{r.Task, r.Epoch}] = r.Event
	}
	var events []accountant.Event
	for _, e := range charged {
		events = append(events, e)
	}
	g, err := accountant.Account(events, scope.Delta, scope.Relation)
	if err != nil {
		return 0, math.Inf(1)
	}
	return int64(len(charged)), g.Epsilon
}

// TestAgainstModel lets several Collectors, some of which crash, act at random through
// ledgers of any age, and compares every outcome and the account with the model.
func TestAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		store := newMemory()
		m := &model{map[ledger.ID]ledger.Request{}, map[ledger.ID]string{}}
		views := make([]*ledger.Ledger, 3)
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			v := rapid.IntRange(0, 2).Draw(t, "view")
			if views[v] == nil || rapid.IntRange(0, 4).Draw(t, "restart") == 0 {
				views[v] = reopen(t, store)
			}
			task := rapid.SampledFrom([]ledger.ID{taxi, truck, bus}).Draw(t, "task")
			req := request(task, rapid.Uint64Range(0, 25).Draw(t, "epoch"), rapid.IntRange(0, 1).Draw(t, "list"))
			act := rapid.SampledFrom([]string{"reserve", "reserve", "settle", "void"}).Draw(t, "act")
			if rapid.IntRange(0, 5).Draw(t, "crash") == 0 { // then somebody else does it
				f := &faulty{Objects: store, at: rapid.IntRange(0, 12).Draw(t, "at"), after: rapid.Bool().Draw(t, "after")}
				err := run(f, req, func(l *ledger.Ledger, r ledger.Request) error { return do(l, act, r) })
				if err == nil || !errors.Is(err, errCrash) {
					m.expect(t, act, req, err)
					continue
				}
			}
			m.expect(t, act, req, do(views[v], act, req))
		}
		m.compare(t, store)
	})
}

func reopen(t *rapid.T, store ledger.Objects) *ledger.Ledger {
	l, err := ledger.Open(context.Background(), store, scope, unvoted)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func do(l *ledger.Ledger, act string, r ledger.Request) error {
	key := keyOf(collectorOf(r.Task))
	switch act {
	case "settle":
		return l.Settle(context.Background(), key, r.Task, r.Round, r.Manifest, id("receipt"), ledger.StatusVoid)
	case "void":
		return void(l, r)
	}
	_, _, err := l.Reserve(context.Background(), key, r, nil)
	return err
}

// expect judges an outcome and takes its effect over.
func (m *model) expect(t *rapid.T, act string, r ledger.Request, err error) {
	_, reserved := m.requests[r.Manifest]
	ended := m.ended[r.Manifest]
	var want error
	switch {
	case act == "reserve" && ended == "void", act == "settle" && ended == "void", act == "void" && ended == "settled":
		want = ledger.ErrEnded
	case act == "reserve" && !reserved:
		if _, eps := m.guarantee(r); eps > scope.Epsilon {
			want = ledger.ErrBudget
		}
	case !reserved:
		want = ledger.ErrNotReserved
	}
	if !errors.Is(err, want) {
		t.Fatalf("%s: %v, want %v", act, err, want)
	}
	switch {
	case err != nil:
	case act == "reserve":
		m.requests[r.Manifest] = r
	case act == "settle":
		m.ended[r.Manifest] = "settled"
	default:
		m.ended[r.Manifest] = "void"
	}
}

func (m *model) compare(t *rapid.T, store *memory) {
	n, eps := m.guarantee()
	r, err := ledger.Audit(context.Background(), store, scope, unvoted, ledger.Checkpoint{})
	if err != nil {
		t.Fatal(err)
	}
	if r.Epochs != n || math.Abs(r.Guarantee.Epsilon-eps) > 1e-9 || r.OverBudget || r.Reservations != int64(len(m.requests)) || r.Settled+r.Voided != int64(len(m.ended)) {
		t.Fatalf("the audit found %+v, the model has %d epochs, epsilon %v, %d reservations, %d ended", r, n, eps, len(m.requests), len(m.ended))
	}
}
