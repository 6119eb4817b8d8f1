package ledger_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/veilsum/veilsum/privacy/accountant"
	"github.com/veilsum/veilsum/privacy/ledger"
)

// TestDishonestHistories: entries that are rightly signed and chained, but say
// what no honest Collector says, are refused, singly and in a bundle.
func TestDishonestHistories(t *testing.T) {
	type entry = ledger.Entry
	reserved := entry{Kind: ledger.KindReserve, Request: request(taxi, 1, 0)}
	settled := entry{Kind: ledger.KindSettle, Reserve: 1, Receipt: id("receipt"), Status: ledger.StatusCommitted}
	voided := entry{Kind: ledger.KindVoid, Reserve: 1, Reason: "no votes"}
	with := func(e entry, change func(*entry)) entry { change(&e); return e }
	for name, c := range map[string]struct {
		entries []entry
		good    bool
	}{
		"repeated":                {[]entry{reserved, reserved, settled, settled}, true},
		"reserved after the void": {[]entry{reserved, voided, reserved, voided}, true},
		"void after settle":       {[]entry{reserved, settled, voided}, false},
		"settle after void":       {[]entry{reserved, voided, settled}, false},
		"settled otherwise":       {[]entry{reserved, settled, with(settled, func(e *entry) { e.Receipt = id("other") })}, false},
		"settled in another way":  {[]entry{reserved, settled, with(settled, func(e *entry) { e.Status = ledger.StatusVoid })}, false},
		"settles nothing":         {[]entry{reserved, with(settled, func(e *entry) { e.Reserve = 2 })}, false},
		"voids the opening":       {[]entry{reserved, with(voided, func(e *entry) { e.Reserve = 0 })}, false},
		"voids the future":        {[]entry{reserved, with(voided, func(e *entry) { e.Reserve = 3 }), reserved}, false},
		"cheaper event":           {[]entry{with(reserved, func(e *entry) { e.Event.NoiseMultiplier = 80 })}, false},
		"other vehicles":          {[]entry{reserved, with(reserved, func(e *entry) { e.Reservation = id("fewer") })}, false},
		"other epoch":             {[]entry{reserved, with(reserved, func(e *entry) { e.Epoch = 2 })}, false},
		"other lane":              {[]entry{reserved, with(reserved, func(e *entry) { e.Lane = 2 })}, false},
		"unknown event":           {[]entry{with(reserved, func(e *entry) { e.Event.Type = "free" })}, false},
	} {
		for _, bundled := range []bool{false, true} {
			m := newMemory()
			put := func(key string, body []byte) { m.objects[key] = body }
			b := ledger.NewBuilder(scope)
			for _, e := range c.entries {
				b.Add(&e, keyOf("anna"), true)
			}
			if bundled {
				for n := b.Size(); n < 256; n++ {
					b.Add(&entry{Kind: ledger.KindReserve, Request: request(taxi, 9, n)}, keyOf("anna"), n >= 250)
				}
				b.Store(put, keyOf("anna"))
			} else {
				b.Singles(put)
			}
			_, err := ledger.Open(t.Context(), m, scope, unvoted)
			if c.good && err != nil || !c.good && !errors.Is(err, ledger.ErrCorrupt) {
				t.Errorf("%s, in a bundle %t: %v", name, bundled, err)
			}
		}
	}
}

// TestOneEventPerEpoch: without a word from the task, the log still holds one
// event per (task, epoch).
func TestOneEventPerEpoch(t *testing.T) {
	rules := unvoted
	rules.Writer = func(_ context.Context, task ledger.ID) (ledger.Writer, error) {
		return ledger.Writer{Key: publicOf(collectorOf(task))}, nil
	}
	l := open(t, newMemory(), rules)
	reserve(t, l, request(taxi, 1, 0))
	other := request(taxi, 1, 1)
	other.Event = accountant.Event{Type: accountant.Laplace, NoiseMultiplier: 50}
	_, _, err := l.Reserve(t.Context(), keyOf("anna"), other, nil)
	wants(t, err, ledger.ErrEntry)
	other.Epoch = 2
	reserve(t, l, other)
	c, err := l.Charges(t.Context())
	if err != nil || len(c.Events()) != 2 {
		t.Errorf("%v, %v", c.Events(), err)
	}
	g, err := c.Guarantee()
	want, _ := accountant.Account([]accountant.Event{request(taxi, 1, 0).Event, other.Event}, scope.Delta, scope.Relation)
	if err != nil || g.Epsilon != want.Epsilon {
		t.Errorf("%v, want %v (%v)", g, want, err)
	}
}

// TestSameManifestOfAnotherTask: nobody blocks a round by reserving its names first.
func TestSameManifestOfAnotherTask(t *testing.T) {
	m := newMemory()
	l := open(t, m, unvoted)
	mine := request(taxi, 1, 0)
	theirs := mine
	theirs.Task, theirs.Event = truck, eventOf(truck)
	reserve(t, l, theirs)
	r, _ := reserve(t, l, mine)
	if r.Index != 2 || epochs(t, l) != 2 {
		t.Errorf("entry %d, %d epochs", r.Index, epochs(t, l))
	}
	mustVote(t, newDecryptor(), m, mine)
}

// TestMirror: bundles, tiles and the last entries are enough to audit and to prove.
func TestMirror(t *testing.T) {
	m := filled(t, 300)
	kept := audit(t, m, ledger.Checkpoint{}).Head
	for _, k := range m.keys("entry/") {
		if k < ledger.EntryKey(256) && k != ledger.EntryKey(0) {
			m.remove(k)
		}
	}
	if got := audit(t, m, kept).Head; got != kept {
		t.Errorf("%v, want %v", got, kept)
	}
	if _, _, err := ledger.NewProver(m, kept).Inclusion(t.Context(), 17); err != nil {
		t.Error(err)
	}
	m.remove("tile/entries/000", "tile/0/000")
	_, _, err := ledger.NewProver(m, kept).Inclusion(t.Context(), 17)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing entry: %v", err)
	}
}

// TestUnreadable: a failing store and a failing rule are errors, not smaller sums.
func TestUnreadable(t *testing.T) {
	m := filled(t, 3)
	req := request(taxi, 1, 0)
	if err := void(open(t, m, unvoted), req); err != nil {
		t.Fatal(err)
	}
	rules := ledger.Rules{Writer: writer, Voted: func(context.Context, ledger.Reservation) (bool, error) { return false, errCrash }}
	l := open(t, m, rules)
	_, err := l.Charges(t.Context())
	wants(t, err, errCrash)
	_, _, err = l.Reserve(t.Context(), keyOf("anna"), request(taxi, 5, 0), nil)
	wants(t, err, errCrash)
	_, _, err = l.CheckVote(t.Context(), ledger.Checkpoint{}, req.Task, req.Round, req.Manifest, nil)
	wants(t, err, errCrash)
	wants(t, void(l, request(taxi, 1, 1)), errCrash)
	_, err = ledger.Audit(t.Context(), m, scope, rules, ledger.Checkpoint{})
	wants(t, err, errCrash)
	_, _, err = open(t, m, ledger.Rules{Writer: writer}).CheckVote(t.Context(), ledger.Checkpoint{}, req.Task, req.Round, req.Manifest, nil)
	wants(t, err, ledger.ErrEntry) // a voter must know its votes
	admit := func(context.Context, *ledger.Charges) error { return ledger.ErrLimit }
	d := open(t, m, unvoted)
	_, _, err = d.CheckVote(t.Context(), ledger.Checkpoint{}, req.Task, request(taxi, 1, 1).Round, request(taxi, 1, 1).Manifest, admit)
	wants(t, err, ledger.ErrLimit)
}

// TestNoGuarantee: an event whose sampler's distance exceeds delta is over any budget.
func TestNoGuarantee(t *testing.T) {
	tiny := scope
	tiny.Delta = 1e-30
	rules := unvoted
	rules.Writer = func(context.Context, ledger.ID) (ledger.Writer, error) {
		return ledger.Writer{Key: publicOf("anna")}, nil
	}
	l, err := ledger.Open(t.Context(), newMemory(), tiny, rules)
	if err != nil {
		t.Fatal(err)
	}
	req := request(taxi, 1, 0)
	req.Event = accountant.Event{Type: accountant.DistributedDiscreteGaussian, Sensitivity: 1, Sigma: 20, Contributors: 100, Dimension: 1 << 20, Reports: 100}
	_, _, err = l.Reserve(t.Context(), keyOf("anna"), req, nil)
	wants(t, err, ledger.ErrBudget)
}

func TestIDText(t *testing.T) {
	var back struct{ D ledger.ID }
	text, err := json.Marshal(struct{ D ledger.ID }{taxi})
	if err != nil || json.Unmarshal(text, &back) != nil || back.D != taxi {
		t.Fatal(string(text), back, err)
	}
	for _, bad := range []string{"", "00", strings.Repeat("A", 64), strings.Repeat("g", 64), strings.Repeat("0", 66)} {
		var d ledger.ID
		wants(t, d.UnmarshalText([]byte(bad)), ledger.ErrEntry)
	}
}

// TestWrongIndex: an entry that names the right predecessor and a wrong index.
func TestWrongIndex(t *testing.T) {
	m := filled(t, 1)
	e, err := ledger.ParseEntry(m.objects[ledger.EntryKey(1)])
	if err != nil {
		t.Fatal(err)
	}
	e.Index = 2
	m.objects[ledger.EntryKey(1)] = ledger.SignEntry(&e, scope.ID, keyOf("anna"))
	_, err = ledger.Open(t.Context(), m, scope, unvoted)
	wants(t, err, ledger.ErrCorrupt)
}

// TestRepeatedEnd: an end that is said twice happened the first time.
func TestRepeatedEnd(t *testing.T) {
	m := newMemory()
	b := ledger.NewBuilder(scope)
	for n := range 2 {
		b.Add(&ledger.Entry{Kind: ledger.KindReserve, Request: request(taxi, 1, n)}, keyOf("anna"), true)
	}
	for range 2 {
		b.Add(&ledger.Entry{Kind: ledger.KindSettle, Reserve: 1, Receipt: id("receipt"), Status: ledger.StatusVoid}, keyOf("anna"), true)
		b.Add(&ledger.Entry{Kind: ledger.KindVoid, Reserve: 2, Reason: "no votes"}, keyOf("anna"), true)
	}
	b.Singles(func(key string, body []byte) { m.objects[key] = body })
	all := open(t, m, unvoted).Reservations()
	if len(all) != 2 || all[0].Settled != 3 || all[0].Status != ledger.StatusVoid || all[1].Voided != 4 {
		t.Errorf("%+v", all)
	}
}

// TestStableCheckpoint: a Collector that asks again, later or after a restart,
// proposes the same checkpoint, and a voter names it, too.
func TestStableCheckpoint(t *testing.T) {
	m := newMemory()
	l := open(t, m, unvoted)
	_, first := reserve(t, l, request(taxi, 1, 0))
	reserve(t, l, request(truck, 1, 0))
	_, again := reserve(t, l, request(taxi, 1, 0))
	_, restarted := reserve(t, open(t, m, unvoted), request(taxi, 1, 0))
	voted := mustVote(t, newDecryptor(), m, request(taxi, 1, 0))
	if first != again || first != restarted || first != voted || first.Size != 2 {
		t.Errorf("%v %v %v %v", first, again, restarted, voted)
	}
}

// TestAdmitInPlace: a voter's further condition sees what was charged before the
// reservation, neither itself nor what came later.
func TestAdmitInPlace(t *testing.T) {
	l := open(t, newMemory(), unvoted)
	for epoch := range uint64(5) {
		reserve(t, l, request(taxi, epoch, 0))
	}
	req := request(taxi, 2, 0)
	asked := false
	_, _, err := l.CheckVote(t.Context(), ledger.Checkpoint{}, req.Task, req.Round, req.Manifest, func(_ context.Context, before *ledger.Charges) error {
		asked = true
		if before.Epochs() != 2 {
			t.Errorf("%d epochs before the third", before.Epochs())
		}
		return nil
	})
	if err != nil || !asked {
		t.Error(asked, err)
	}
}

// TestBundlesOfManyWriters: whoever completes a bundle, and whatever the others
// had read by then, the store holds what one writer alone would have written.
func TestBundlesOfManyWriters(t *testing.T) {
	m, alone := newMemory(), newMemory()
	views := []*ledger.Ledger{open(t, m, unvoted), open(t, m, unvoted), open(t, m, unvoted)}
	single := open(t, alone, unvoted)
	for n := range 800 {
		// The first writes rarely, the second 300 in a row, the third the rest.
		v := 2
		if n%200 == 199 {
			v = 0
		} else if n < 300 || n > 600 && n < 700 {
			v = 1
		}
		reserve(t, views[v], request(taxi, 1, n))
		reserve(t, single, request(taxi, 1, n))
	}
	if err := complete(m, alone); err != nil {
		t.Error(err)
	}
	// A running ledger notices a bundle that is not what it has read.
	stale := filled(t, 200)
	running := open(t, stale, unvoted)
	for n := 200; n < 300; n++ {
		reserve(t, open(t, stale, unvoted), request(taxi, 1, n))
	}
	stale.edit("tile/entries/000", func(b []byte) []byte {
		at := 2 + int(b[0])<<8 + int(b[1]) // entry 1
		b[at+int(b[at])<<8+int(b[at+1])-10] ^= 1
		return b
	})
	wants(t, running.Sync(t.Context()), ledger.ErrCorrupt)
	wants(t, running.Sync(t.Context()), ledger.ErrCorrupt) // and stays so
	_, err := running.Head()
	wants(t, err, ledger.ErrCorrupt)
}

// TestMisplacedCheckpoint: a checkpoint under another size's name, and one of another log.
func TestMisplacedCheckpoint(t *testing.T) {
	m := filled(t, 3)
	older := m.objects[ledger.CheckpointKey(3)]
	m.edit(ledger.CheckpointKey(4), func([]byte) []byte { return older })
	_, err := ledger.Audit(t.Context(), m, scope, unvoted, ledger.Checkpoint{})
	wants(t, err, ledger.ErrCorrupt)
	l := open(t, m, unvoted)
	a, _ := l.At(2)
	c := head(t, l)
	line, err := ledger.NewProver(m, c).Line(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	a.Origin = "veilsum/ledger/other"
	wants(t, ledger.CheckLine(a, c, line), ledger.ErrFork)
}
