package ledger_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/veilsum/veilsum/privacy/ledger"
)

// decryptor remembers durably what it voted for, as PROTOCOL.md section 7 asks.
type decryptor struct {
	signed ledger.Checkpoint
	voted  map[ledger.ID]bool // manifests
}

func newDecryptor() *decryptor { return &decryptor{voted: map[ledger.ID]bool{}} }

func (d *decryptor) vote(o ledger.Objects, req ledger.Request) (ledger.Checkpoint, error) {
	rules := ledger.Rules{Writer: writer, Voted: func(_ context.Context, r ledger.Reservation) (bool, error) { return d.voted[r.Manifest], nil }}
	l, err := ledger.Open(context.Background(), o, scope, rules)
	if err != nil {
		return ledger.Checkpoint{}, err
	}
	r, c, err := l.CheckVote(context.Background(), d.signed, req.Task, req.Round, req.Manifest, nil)
	if err == nil {
		d.voted[r.Manifest], d.signed = true, ledger.Later(d.signed, c)
	}
	return c, err
}

func mustVote(t *testing.T, d *decryptor, o ledger.Objects, req ledger.Request) ledger.Checkpoint {
	t.Helper()
	c, err := d.vote(o, req)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func refuse(t *testing.T, d *decryptor, o ledger.Objects, req ledger.Request, want error) {
	t.Helper()
	_, err := d.vote(o, req)
	wants(t, err, want)
}

// TestForkedLedger: a dishonest Collector with a dishonest store shows two
// histories, each within the budget, to committee (4,3,1). Whoever votes on one never votes on the
// other, so only a committee that shares no honest member could be split.
func TestForkedLedger(t *testing.T) {
	common := newMemory()
	start := open(t, common, unvoted)
	reserve(t, start, request(taxi, 1, 0))
	left, right := common.clone(), common.clone()
	reserve(t, open(t, left, unvoted), request(taxi, 2, 0))
	reserve(t, open(t, right, unvoted), request(taxi, 3, 0))

	d := []*decryptor{newDecryptor(), newDecryptor(), newDecryptor(), newDecryptor()}
	for _, x := range d {
		mustVote(t, x, common, request(taxi, 1, 0)) // before the fork
	}
	a := mustVote(t, d[0], left, request(taxi, 2, 0))
	b := mustVote(t, d[1], left, request(taxi, 2, 0))
	c := mustVote(t, d[2], right, request(taxi, 3, 0))
	if a != b || a == c || a.Size != c.Size {
		t.Fatalf("checkpoints %v %v %v", a, b, c)
	}
	// Number 3 votes twice, as it likes. t = 3 votes are on the left at most.
	refuse(t, d[0], right, request(taxi, 3, 0), ledger.ErrFork)
	refuse(t, d[1], right, request(taxi, 3, 0), ledger.ErrFork)
	refuse(t, d[2], left, request(taxi, 2, 0), ledger.ErrFork)
	wants(t, ledger.CheckLine(a, c, nil), ledger.ErrFork)
	// The auditor who kept one of them sees the other as a fork.
	_, err := ledger.Audit(t.Context(), right, scope, unvoted, a)
	wants(t, err, ledger.ErrFork)
	// Nor do the branches grow together again.
	reserve(t, open(t, right, unvoted), request(taxi, 2, 0))
	refuse(t, d[0], right, request(taxi, 2, 0), ledger.ErrFork)
}

// TestRolledBack: the store forgets the newest entries.
func TestRolledBack(t *testing.T) {
	m := newMemory()
	l := open(t, m, unvoted)
	reserve(t, l, request(taxi, 1, 0))
	old := m.clone()
	reserve(t, l, request(taxi, 2, 0))
	d := newDecryptor()
	c := mustVote(t, d, m, request(taxi, 2, 0))
	refuse(t, d, old, request(taxi, 1, 0), ledger.ErrFork)
	_, err := ledger.Audit(t.Context(), old, scope, unvoted, c)
	wants(t, err, ledger.ErrFork)
	// The checkpoint stayed but its entry went.
	hidden := m.clone()
	hidden.remove(ledger.EntryKey(2))
	_, err = ledger.Audit(t.Context(), hidden, scope, unvoted, ledger.Checkpoint{})
	wants(t, err, ledger.ErrFork)
	// An entry in the middle went.
	hole := m.clone()
	hole.remove(ledger.EntryKey(1))
	_, err = ledger.Open(t.Context(), hole, scope, unvoted)
	wants(t, err, ledger.ErrCorrupt)
	empty := newMemory()
	refuse(t, d, empty, request(taxi, 1, 0), ledger.ErrFork)
}

// TestOlderCheckpoint: lanes overlap, so a decryptor is asked to vote for a
// reservation that lies before what it signed. One line either way.
func TestOlderCheckpoint(t *testing.T) {
	m := newMemory()
	l := open(t, m, unvoted)
	reserve(t, l, request(taxi, 1, 0))
	reserve(t, l, request(truck, 1, 0))
	d := newDecryptor()
	newer := mustVote(t, d, m, request(truck, 1, 0))
	older := mustVote(t, d, m, request(taxi, 1, 0))
	if older.Size != 2 || newer.Size != 3 || d.signed != newer {
		t.Fatalf("%v %v, remembered %v", older, newer, d.signed)
	}
	refuse(t, d, m, request(taxi, 7, 0), ledger.ErrNotReserved)
}

// TestChangedObjects changes each object of a log with full bundles, one at a time.
func TestChangedObjects(t *testing.T) {
	m := filled(t, 300)
	kept := audit(t, m, ledger.Checkpoint{}).Head
	flip := func(b []byte) []byte { b[len(b)/2] ^= 1; return b }
	for _, key := range []string{"tile/entries/000", ledger.EntryKey(299), ledger.EntryKey(300), ledger.EntryKey(0), ledger.CheckpointKey(301)} {
		bad := m.clone()
		bad.edit(key, flip)
		_, err := ledger.Audit(t.Context(), bad, scope, unvoted, kept)
		wants(t, err, ledger.ErrCorrupt)
	}
	// A tile is not read by an audit, which hashes the entries; provers notice.
	for _, change := range []func([]byte) []byte{flip, func(b []byte) []byte { return b[:len(b)-32] }} {
		bad := m.clone()
		bad.edit("tile/0/000", change)
		_, _, err := ledger.NewProver(bad, kept).Inclusion(t.Context(), 3)
		wants(t, err, ledger.ErrCorrupt)
	}
	// An entry behind a bundle is not read either; provers notice.
	bad := m.clone()
	bad.edit(ledger.EntryKey(3), flip)
	_, _, err := ledger.NewProver(bad, kept).Inclusion(t.Context(), 3)
	wants(t, err, ledger.ErrCorrupt)
}

// TestRewrittenByTheCollector: who holds the Collector's key can sign another
// history, but not one that an auditor or decryptor took part in.
func TestRewrittenByTheCollector(t *testing.T) {
	m := newMemory()
	for n := range 3 {
		reserve(t, open(t, m, unvoted), request(taxi, uint64(n+1), 0))
	}
	kept := audit(t, m, ledger.Checkpoint{}).Head
	// A cheaper past: epoch 2 never happened.
	other := newMemory()
	for _, epoch := range []uint64{1, 3, 4} {
		reserve(t, open(t, other, unvoted), request(taxi, epoch, 0))
	}
	if r := audit(t, other, ledger.Checkpoint{}); r.Epochs != 3 {
		t.Fatal("a rewritten log is valid in itself")
	}
	_, err := ledger.Audit(t.Context(), other, scope, unvoted, kept)
	wants(t, err, ledger.ErrFork)
	// The checkpoint signed again with another root, also one that exists.
	lie := kept
	lie.Root[0] ^= 1
	signed, err := lie.Sign(keyOf("anna"))
	if err != nil {
		t.Fatal(err)
	}
	m.edit(ledger.CheckpointKey(kept.Size), func([]byte) []byte { return signed })
	_, err = ledger.Audit(t.Context(), m, scope, unvoted, kept)
	wants(t, err, ledger.ErrFork)
	_, _, err = open(t, m, unvoted).Reserve(t.Context(), keyOf("anna"), request(taxi, 3, 0), nil)
	wants(t, err, ledger.ErrFork) // its checkpoint is the forged one
	// A stranger's checkpoint.
	signed, _ = kept.Sign(keyOf("mallory"))
	m.edit(ledger.CheckpointKey(kept.Size), func([]byte) []byte { return signed })
	_, err = ledger.Audit(t.Context(), m, scope, unvoted, kept)
	wants(t, err, ledger.ErrCorrupt)
}

// TestForgedEntries: another Collector of the scope writes in a task's name, and
// a valid entry is moved to another place, log or history.
func TestForgedEntries(t *testing.T) {
	m := newMemory()
	l := open(t, m, unvoted)
	reserve(t, l, request(taxi, 1, 0))
	// Through the API: bert may not reserve or void for taxi. Nothing is written.
	_, _, err := l.Reserve(t.Context(), keyOf("bert"), request(taxi, 2, 0), nil)
	wants(t, err, ledger.ErrEntry)
	x := request(taxi, 1, 0)
	wants(t, l.Void(t.Context(), keyOf("bert"), x.Task, x.Round, x.Manifest, ledger.ID{}, "mine"), ledger.ErrEntry)
	if got := len(m.keys("entry/")); got != 2 {
		t.Fatalf("%d entries", got)
	}
	forge := func(key string, data []byte) error {
		bad := m.clone()
		bad.edit(key, func([]byte) []byte { return data })
		_, err := ledger.Open(t.Context(), bad, scope, unvoted)
		return err
	}
	// anna's entry with bert's signature, and as the same bytes at another place.
	own := m.objects[ledger.EntryKey(1)]
	sig := bytes.Clone(own)
	copy(sig[len(sig)-130:], hex.EncodeToString(bytes.Repeat([]byte{7}, 64)))
	wants(t, forge(ledger.EntryKey(1), sig), ledger.ErrCorrupt)
	wants(t, forge(ledger.EntryKey(2), own), ledger.ErrCorrupt)
	// An entry of another history of the same scope, at its own index.
	other := newMemory()
	reserve(t, open(t, other, unvoted), request(taxi, 1, 1))
	reserve(t, open(t, other, unvoted), request(taxi, 1, 0))
	wants(t, forge(ledger.EntryKey(2), other.objects[ledger.EntryKey(2)]), ledger.ErrCorrupt)
	// An entry of another scope.
	foreign := newMemory()
	strange := scope
	strange.ID = id("another scope")
	f, err := ledger.Open(t.Context(), foreign, strange, unvoted)
	if err != nil {
		t.Fatal(err)
	}
	reserve(t, f, request(taxi, 1, 0))
	_, err = ledger.Open(t.Context(), foreign, scope, unvoted)
	wants(t, err, ledger.ErrCorrupt)
	// A task that nobody knows is not left out, but an error.
	knows := unvoted
	knows.Writer = func(context.Context, ledger.ID) (ledger.Writer, error) { return ledger.Writer{}, errUnknownTask }
	_, err = ledger.Open(t.Context(), m, scope, knows)
	wants(t, err, errUnknownTask)
	if errors.Is(err, ledger.ErrCorrupt) {
		t.Error("a task that could not be read is no corruption")
	}
}

// TestForgeryInABundle: of a bundle only the newest signature of each writer is
// checked, so a forgery must fail wherever it stands: by its signature, or by the next
// entry, which names another predecessor.
func TestForgeryInABundle(t *testing.T) {
	m := filled(t, 255) // exactly one bundle, anna's
	for _, at := range []int{1, 100, 255} {
		bad := m.clone()
		bad.edit("tile/entries/000", func(b []byte) []byte {
			rest := b
			for range at {
				rest = rest[2+int(rest[0])<<8+int(rest[1]):]
			}
			rest[int(rest[0])<<8+int(rest[1])-10] ^= 1 // in the signature
			return b
		})
		_, err := ledger.Open(t.Context(), bad, scope, unvoted)
		wants(t, err, ledger.ErrCorrupt)
	}
}

// TestForgeryByAnotherCollector: bert writes a void in anna's name and entries of
// his own on top. In bulk only the newest entries of both are verified; anna's is the forged one.
func TestForgeryByAnotherCollector(t *testing.T) {
	b := ledger.NewBuilder(scope)
	for n := range 100 {
		b.Add(&ledger.Entry{Kind: ledger.KindReserve, Request: request(taxi, uint64(n), 0)}, keyOf("anna"), true)
	}
	b.Add(&ledger.Entry{Kind: ledger.KindVoid, Reserve: 3, Reason: "forged"}, keyOf("bert"), true)
	for n := b.Size(); n < 256; n++ {
		b.Add(&ledger.Entry{Kind: ledger.KindReserve, Request: request(truck, 1, n)}, keyOf("bert"), true)
	}
	m := newMemory()
	b.Store(func(key string, body []byte) { m.objects[key] = body }, keyOf("bert"))
	_, err := ledger.Open(t.Context(), m, scope, unvoted)
	wants(t, err, ledger.ErrCorrupt)
}
