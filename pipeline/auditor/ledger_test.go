package auditor_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/auditor"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/privacy/ledger"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage/mem"
)

// copyOf copies the store, as somebody does who means to show it again.
func (f *played) copyOf(t *testing.T) *mem.Store {
	t.Helper()
	s := mem.New()
	for key := range f.Objects() {
		if _, err := s.PutOnce(ctx, key, f.Get(key)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// A ledger with everything that belongs to it can be rolled back or replaced; only the checkpoint of an
// earlier audit tells.
func TestRemembered(t *testing.T) {
	f := play(t, pipelinetest.Task(8), 1, 0, 1, 2)
	owner := schema.NewPublicKey(f.Owner)
	early := f.copyOf(t)
	first, err := f.audit(auditor.Options{})
	if err != nil {
		t.Fatal(err)
	}
	f.playRound(t, 2, []int{0, 1, 2})
	opt := auditor.Options{Remembered: first.Checkpoints()}
	second, err := f.audit(opt)
	if l := second.Scopes[0].Ledger; err != nil || l.Remembered != 3 || l.Size != 5 || l.Signed != 5 || l.Reservations != 2 || l.Settled != 2 {
		t.Fatalf("ledger %+v, error %v, want 5 entries that continue 3", l, err)
	}
	if all := strings.Join(second.Statement().Enforcement, "\n"); !strings.Contains(all, "continues the first 3 entries") {
		t.Errorf("the statement does not say what was remembered: %s", all)
	}
	opt.Remembered = second.Checkpoints()
	rep, err := auditor.Audit(ctx, early, owner, auditor.Options{})
	if err != nil || !strings.Contains(strings.Join(rep.Statement().Enforcement, "\n"), "this audit cannot see it") {
		t.Errorf("error %v: without a remembered checkpoint a roll-back must not show, and the statement must say so", err)
	}
	f.wantFlaw(t, "rolled back", early, opt, f.ledgerKey(ledger.EntryKey(3)))

	// Another ledger of the same Collector: entry 2 settles nothing but reserves.
	other := opt.Remembered[0]
	other.Root[0] ^= 1
	f.wantFlaw(t, "replaced", f.Store, auditor.Options{Remembered: []ledger.Checkpoint{other}}, f.ledgerKey(""))
	_, err = f.audit(auditor.Options{Remembered: []ledger.Checkpoint{other}})
	if !errors.Is(err, pipeline.ErrFork) {
		t.Errorf("error %v, want a fork", err)
	}

	// A ledger that is gone with all its tasks.
	gone := opt.Remembered[0]
	gone.Origin = "veilsum/ledger/" + strings.Repeat("ab", 32)
	both := auditor.Options{Remembered: []ledger.Checkpoint{gone, opt.Remembered[0]}}
	f.wantFlaw(t, "gone", f.Store, both, gone.Origin)
	both.Task = &f.TaskID
	if _, err := f.audit(both); err != nil {
		t.Errorf("one task only: %v", err)
	}
}

// A Collector that signed two histories left the other one's checkpoint behind; an old one counts as the newest does.
func TestCheckpointOfAnotherHistory(t *testing.T) {
	f := play(t, pipelinetest.Task(8), 1, 0, 1, 2)
	rep, err := f.audit(auditor.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for size := int64(2); size <= 3; size++ {
		c := rep.Checkpoints()[0]
		c.Size = size
		c.Root[5] ^= 1
		b, err := c.Sign(f.CollectKey)
		if err != nil {
			t.Fatal(err)
		}
		key := f.ledgerKey(ledger.CheckpointKey(size))
		f.wantFlaw(t, "another root", f.with(key, b), auditor.Options{}, key)
		twin := f.ledgerKey(ledger.CheckpointKey(5 - size))
		f.wantFlaw(t, "another size", f.with(key, f.Get(twin)), auditor.Options{}, key)
	}
}

// An entry that ends a reservation and the receipt must say the same.
func TestEndsOfReservations(t *testing.T) {
	f := play(t, pipelinetest.Task(8), 1, 0, 1, 2)
	r := f.rounds[0]
	receipt := f.Get(pipeline.ReceiptKey(r.Name))
	c := f.receipt(t, 0)
	x, err := schema.Decode[schema.Receipt](receipt)
	if err != nil {
		t.Fatal(err)
	}
	end := func(kind, tail string) {
		f.unsettle(t)
		f.appendEntry(t, fmt.Sprintf(`"kind":"%s","index":2,"prev":"%%s","reserve":1,%s`, kind, tail))
	}
	entry := f.ledgerKey(ledger.EntryKey(2))
	other := schema.HashModel([]byte("other"))
	end("settle", fmt.Sprintf(`"receipt":"%s","status":"committed"`, other))
	f.wantFlaw(t, "another receipt", f.Store, auditor.Options{}, entry)
	end("settle", fmt.Sprintf(`"receipt":"%s","status":"void"`, schema.Digest(x.ID())))
	f.wantFlaw(t, "another status", f.Store, auditor.Options{}, entry)
	end("settle", fmt.Sprintf(`"receipt":"%s","status":"committed"`, schema.Digest(x.ID())))
	if rep, err := f.audit(auditor.Options{}); err != nil || rep.Scopes[0].Ledger.Settled != 1 {
		t.Errorf("error %v, want that this is what the Collector wrote", err)
	}
	end("void", fmt.Sprintf(`"evidence":"%s","reason":"x"`, schema.Digest(x.ID())))
	f.wantFlaw(t, "a void of an opened list", f.Store, auditor.Options{}, entry)
	if _, err := f.audit(auditor.Options{}); err == nil || !strings.Contains(err.Error(), "gives back") {
		t.Errorf("error %v, want that the void gives back what the receipt charges", err)
	}
	f.Replace(entry, func([]byte) []byte { return nil })
	key := pipeline.ReservationKey(f.Task.Scope.ID(), r.Name, c.Manifest)
	f.Replace(pipeline.ReceiptKey(r.Name), func([]byte) []byte { return nil })
	f.wantFlaw(t, "an entry without its object", without{f.Store, key}, auditor.Options{}, key)
}

// appendEntry puts a third entry into the ledger, signed by the Collector whatever it says, without checkpoint.
func (f *played) appendEntry(t *testing.T, fields string) {
	t.Helper()
	prev := leaf(f.Get(f.ledgerKey(ledger.EntryKey(1))))
	body := fmt.Appendf(nil, `{"version":1,`+fields+`}`, prev)
	scope := f.Task.Scope.ID()
	sig := schema.Sign(f.CollectKey, "ledger", scope.Digest[:], body)
	f.Put(f.ledgerKey(ledger.EntryKey(2)), fmt.Appendf(nil, `{"body":%s,"signature":"%x"}`, body, sig[:]))
}

func leaf(entry []byte) schema.Digest { return sha256.Sum256(append([]byte{0}, entry...)) }

// A vote for what the ledger does not charge is noted: it may show that there is another ledger.
func TestVoteOfAnotherLedger(t *testing.T) {
	f := play(t, pipelinetest.Task(8), 1, 0, 1, 2)
	r, c := f.rounds[0], f.receipt(t, 0)
	x, err := schema.SignBody(schema.Vote{Version: schema.Version, RoundID: r.ID, Index: 3, Manifest: c.Manifest, Checkpoint: schema.HashModel(nil)}, f.Members[3])
	if err != nil {
		t.Fatal(err)
	}
	f.Put(pipeline.VoteKey(r.Name, 3), x.Bytes())
	f.wantNote(t, "late vote", "a checkpoint that this ledger does not give")
}

// long makes a ledger of more than one bundle, by a Collector that repeats itself.
func long(t *testing.T) *played {
	t.Helper()
	f := play(t, pipelinetest.Task(8), 1, 0, 1, 2)
	key := f.plant(t, 2, nil)
	x := decode(t, f.Get(key))
	f.charge(t, x)
	b := x.Body
	event, err := f.Plan.Privacy.Event()
	if err != nil {
		t.Fatal(err)
	}
	for i := int64(4); i < 259; i++ {
		f.ForgeEntry(f.CollectKey, i, ledger.Request{
			Task: ledger.ID(b.TaskID.Digest), Round: ledger.ID(b.RoundID.Digest), Epoch: b.Epoch, Manifest: ledger.ID(b.Manifest.Digest),
			Reports: len(b.Vehicles), Reservation: ledger.ID(x.ID()), Event: event,
		})
	}
	f.playRound(t, 3, []int{0, 1, 2}) // publishes bundle and tiles
	return f
}

// Bundles, tiles and the entries that they repeat must be one log, and what is wrong is named.
func TestBundlesAndTiles(t *testing.T) {
	f := long(t)
	if rep, err := f.audit(auditor.Options{}); err != nil || rep.Objects["ledger bundle"] != 1 || rep.Objects["ledger tile"] < 1 || rep.Objects["ledger entry"] != 261 {
		t.Fatalf("error %v, objects %v", err, rep.Objects)
	}
	for _, key := range slices.Sorted(maps.Keys(f.Objects())) {
		if !strings.Contains(key, "/ledger/") || strings.Contains(key, "/entry/") && !strings.HasSuffix(key, "00") && !strings.HasSuffix(key, "55") {
			continue
		}
		stored := f.Get(key)
		for _, at := range []int{0, len(stored) / 3, len(stored) - 2} {
			body := bytes.Clone(stored)
			body[at] ^= 1
			f.wantFlaw(t, fmt.Sprintf("byte %d of %s", at, key), f.with(key, body), auditor.Options{}, key)
		}
	}
	// Either of entries and bundle is enough, and so are no tiles.
	for key := range f.Objects() {
		if strings.Contains(key, "/ledger/entry/") && key < f.ledgerKey(ledger.EntryKey(256)) || strings.Contains(key, "/ledger/tile/0/") {
			if err := f.Store.Delete(ctx, key); err != nil {
				t.Fatal(err)
			}
		}
	}
	if rep, err := f.audit(auditor.Options{}); err != nil || rep.Objects["ledger entry"] != 5 || rep.Scopes[0].Ledger.Size != 261 {
		t.Errorf("a mirror of bundles: error %v, objects %v", err, rep.Objects)
	}
	bundle := f.ledgerKey("tile/entries/000")
	body := f.Get(bundle)
	body[300] ^= 1
	f.wantFlaw(t, "the bundle alone", f.with(bundle, body), auditor.Options{}, bundle)
}

// Names that a ledger does not have are flaws of objects that nobody reads.
func TestStrangeLedgerObjects(t *testing.T) {
	f := play(t, pipelinetest.Task(8), 1, 0, 1, 2)
	for _, name := range []string{"readme", "tile/x", "tile/0/000", "tile/0/000.p/2", "tile/0/000.p/02", "tile/9/000.p/1", "tile/-1/000", "tile/entries/1", "tile/entries/000.p/3"} {
		key := f.ledgerKey(name)
		f.Put(key, []byte("x"))
		f.wantFlaw(t, name, f.Store, auditor.Options{}, key)
		rep, err := f.audit(auditor.Options{PassUnnamed: true})
		if name == "tile/0/000.p/2" { // it has a place, and is wrong
			if err == nil {
				t.Errorf("%s passed", name)
			}
		} else if err != nil || len(rep.Notes) != 1 || rep.Notes[0].Object != key {
			t.Errorf("%s: error %v, notes %v", name, err, rep.Notes)
		}
		if err := f.Store.Delete(ctx, key); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"entry/zz", "checkpoint/3", "checkpoint/000000000009", "tile/entries/000"} { // these stop every reader
		key := f.ledgerKey(name)
		f.Put(key, []byte("x"))
		f.wantFlaw(t, name, f.Store, auditor.Options{PassUnnamed: true}, key)
		if err := f.Store.Delete(ctx, key); err != nil {
			t.Fatal(err)
		}
	}
}
