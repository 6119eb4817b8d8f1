package ledger_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"

	"github.com/veilsum/veilsum/privacy/accountant"
	"github.com/veilsum/veilsum/privacy/ledger"
)

// id names a thing of a test.
func id(format string, args ...any) ledger.ID {
	return sha256.Sum256(fmt.Appendf(nil, format, args...))
}

func keyOf(name string) ed25519.PrivateKey {
	seed := id("key of %s", name)
	return ed25519.NewKeyFromSeed(seed[:])
}

func publicOf(name string) ed25519.PublicKey { return keyOf(name).Public().(ed25519.PublicKey) }

// noisier is what a round of taxi and bus costs.
var noisier = accountant.Event{Type: accountant.Gaussian, NoiseMultiplier: 8}

var scope = ledger.Scope{ID: id("scope"), Epsilon: 4, Delta: 1e-6, Relation: accountant.ZeroOut, Unit: "vehicle"}

// Two tasks of one scope with different Collectors, and a third with the first's.
var (
	taxi  = id("taxi")
	truck = id("truck")
	bus   = id("bus")
)

var errUnknownTask = errors.New("unknown task")

func collectorOf(task ledger.ID) string {
	return map[ledger.ID]string{taxi: "anna", truck: "bert", bus: "anna"}[task]
}

func eventOf(task ledger.ID) accountant.Event {
	if task == truck {
		return accountant.Event{Type: accountant.Gaussian, NoiseMultiplier: 4}
	}
	return noisier
}

func writer(_ context.Context, task ledger.ID) (ledger.Writer, error) {
	name := collectorOf(task)
	if name == "" {
		return ledger.Writer{}, errUnknownTask
	}
	return ledger.Writer{Key: publicOf(name), Event: eventOf(task)}, nil
}

// unvoted are rules under which nobody ever voted.
var unvoted = ledger.Rules{Writer: writer, Voted: func(context.Context, ledger.Reservation) (bool, error) { return false, nil }}

// request reserves list n of a round (task, epoch, lane 0).
func request(task ledger.ID, epoch uint64, n int) ledger.Request {
	r := id("round %s %d", task, epoch)
	m := id("manifest %d of %s", n, r)
	return ledger.Request{
		Task: task, Round: r, Epoch: epoch, Manifest: m, Reports: 9900 + n,
		Reservation: id("reservation %s", m), Event: eventOf(task),
	}
}

func open(t testing.TB, o ledger.Objects, rules ledger.Rules) *ledger.Ledger {
	t.Helper()
	l, err := ledger.Open(t.Context(), o, scope, rules)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func reserve(t testing.TB, l *ledger.Ledger, req ledger.Request) (ledger.Reservation, ledger.Checkpoint) {
	t.Helper()
	r, c, err := l.Reserve(t.Context(), keyOf(collectorOf(req.Task)), req, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r, c
}

func settle(t testing.TB, l *ledger.Ledger, req ledger.Request) {
	t.Helper()
	err := l.Settle(t.Context(), keyOf(collectorOf(req.Task)), req.Task, req.Round, req.Manifest, id("receipt %s", req.Round), ledger.StatusCommitted)
	if err != nil {
		t.Fatal(err)
	}
}

func void(l *ledger.Ledger, req ledger.Request) error {
	return l.Void(context.Background(), keyOf(collectorOf(req.Task)), req.Task, req.Round, req.Manifest, ledger.ID{}, "no votes")
}

func epochs(t testing.TB, l *ledger.Ledger) int64 {
	t.Helper()
	c, err := l.Charges(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c.Epochs()
}

func head(t testing.TB, l *ledger.Ledger) ledger.Checkpoint {
	t.Helper()
	c, err := l.Head()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func audit(t testing.TB, o ledger.Objects, remembered ledger.Checkpoint) *ledger.Report {
	t.Helper()
	r, err := ledger.Audit(t.Context(), o, scope, unvoted, remembered)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// wants fails unless err is the expected one.
func wants(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error is %v, want %v", err, want)
	}
}
