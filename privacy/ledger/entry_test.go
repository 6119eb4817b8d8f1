package ledger_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/veilsum/veilsum/privacy/accountant"
	"github.com/veilsum/veilsum/privacy/ledger"
	"pgregory.net/rapid"
)

// TestEntryBytes pins the bytes of the log; LEDGER.md shows them. Whoever
// changes them makes every existing log unreadable.
func TestEntryBytes(t *testing.T) {
	m := newMemory()
	l := open(t, m, unvoted)
	reserve(t, l, request(taxi, 7, 0))
	settle(t, l, request(taxi, 7, 0))
	reserve(t, l, request(taxi, 8, 0))
	if err := void(l, request(taxi, 8, 0)); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`{"version":1,"kind":"open","scope":"` + scope.ID.String() + `","epsilon":"4","delta":"1e-06","relation":"zero_out","unit":"vehicle"}`,
		`{"body":{"version":1,"kind":"reserve","index":1,"prev":"PREV","task_id":"` + taxi.String() + `","round_id":"ROUND7","epoch":7,"lane":0,"manifest":"MANIFEST7","reports":9900,"reservation":"RESERVATION7","event":{"type":"gaussian","noise_multiplier":8}},"signature":"SIGNATURE"}`,
		`{"body":{"version":1,"kind":"settle","index":2,"prev":"PREV","reserve":1,"receipt":"RECEIPT7","status":"committed"},"signature":"SIGNATURE"}`,
		`{"body":{"version":1,"kind":"reserve","index":3,"prev":"PREV","task_id":"` + taxi.String() + `","round_id":"ROUND8","epoch":8,"lane":0,"manifest":"MANIFEST8","reports":9900,"reservation":"RESERVATION8","event":{"type":"gaussian","noise_multiplier":8}},"signature":"SIGNATURE"}`,
		`{"body":{"version":1,"kind":"void","index":4,"prev":"PREV","reserve":3,"evidence":"` + strings.Repeat("0", 64) + `","reason":"no votes"},"signature":"SIGNATURE"}`,
	}
	for i, text := range want {
		data := m.objects[ledger.EntryKey(int64(i))]
		if i > 0 {
			e, err := ledger.ParseEntry(data)
			if err != nil {
				t.Fatal(err)
			}
			if prev := naiveRoot([][]byte{m.objects[ledger.EntryKey(int64(i-1))]}); e.Prev != prev {
				t.Errorf("entry %d names %s, the leaf hash before it is %s", i, e.Prev, prev)
			}
			text = strings.ReplaceAll(text, "PREV", e.Prev.String())
			text = strings.ReplaceAll(text, "SIGNATURE", string(data[len(data)-130:len(data)-2]))
		}
		for _, epoch := range []uint64{7, 8} {
			r := request(taxi, epoch, 0)
			for name, x := range map[string]ledger.ID{"ROUND": r.Round, "MANIFEST": r.Manifest, "RESERVATION": r.Reservation, "RECEIPT": id("receipt %s", r.Round)} {
				text = strings.ReplaceAll(text, name+string(rune('0'+epoch)), x.String())
			}
		}
		if string(data) != text {
			t.Errorf("entry %d is\n%s\nwant\n%s", i, data, text)
		}
		if !json.Valid(data) {
			t.Errorf("entry %d is no JSON", i)
		}
	}
}

func drawEvent(t *rapid.T) accountant.Event {
	z := rapid.Float64Range(1e-3, 1e6).Draw(t, "z")
	n := rapid.Int64Range(1, 1<<20).Draw(t, "n")
	return rapid.SampledFrom([]accountant.Event{
		{Type: accountant.Gaussian, NoiseMultiplier: z},
		{Type: accountant.Laplace, NoiseMultiplier: z},
		{Type: accountant.DiscreteGaussian, Sensitivity: n, Sigma: z},
		{Type: accountant.DistributedDiscreteGaussian, Sensitivity: n, Sigma: 1 + z, Contributors: n, Dimension: n, Reports: n + 1},
		{Type: accountant.ZCDP, Rho: z, Xi: 0},
		accountant.Compose(accountant.Repeat(accountant.Event{Type: accountant.Laplace, NoiseMultiplier: z}, n), accountant.Event{Type: accountant.ZCDP, Rho: 1}),
	}).Draw(t, "event")
}

func drawID(t *rapid.T, name string) (d ledger.ID) {
	copy(d[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, name))
	d[0] |= 1 // not zero
	return d
}

func drawEntry(t *rapid.T) ledger.Entry {
	e := ledger.Entry{Index: rapid.Int64Range(0, 999_999_999_999).Draw(t, "index"), Prev: drawID(t, "prev")}
	switch e.Kind = rapid.SampledFrom([]ledger.Kind{ledger.KindReserve, ledger.KindSettle, ledger.KindVoid}).Draw(t, "kind"); e.Kind {
	case ledger.KindReserve:
		e.Request = ledger.Request{
			Task: drawID(t, "task"), Round: drawID(t, "round"), Epoch: rapid.Uint64().Draw(t, "epoch"), Lane: rapid.Uint32().Draw(t, "lane"),
			Manifest: drawID(t, "manifest"), Reports: rapid.IntRange(1, 1<<20).Draw(t, "reports"), Reservation: drawID(t, "object"), Event: drawEvent(t),
		}
	case ledger.KindSettle:
		e.Reserve, e.Receipt = rapid.Int64Range(0, 1e9).Draw(t, "reserve"), drawID(t, "receipt")
		e.Status = rapid.SampledFrom([]string{ledger.StatusCommitted, ledger.StatusVoid}).Draw(t, "status")
	case ledger.KindVoid:
		e.Reserve, e.Evidence = rapid.Int64Range(0, 1e9).Draw(t, "reserve"), drawID(t, "evidence")
		e.Reason = rapid.StringMatching(`[ !#-\[\]-~]{1,200}`).Draw(t, "reason")
	}
	return e
}

// TestEntryRoundTrip: what is written is read back, and any changed byte gives
// another entry or none.
func TestEntryRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := drawEntry(t)
		data := ledger.SignEntry(&e, scope.ID, keyOf("anna"))
		back, err := ledger.ParseEntry(data)
		if err != nil {
			t.Fatalf("%v in %s", err, data)
		}
		if diff := cmp.Diff(e, back); diff != "" {
			t.Fatal(diff)
		}
		changed := append([]byte(nil), data...)
		changed[rapid.IntRange(0, len(data)-1).Draw(t, "at")] ^= byte(rapid.IntRange(1, 255).Draw(t, "by"))
		if other, err := ledger.ParseEntry(changed); err == nil && cmp.Equal(e, other) {
			t.Fatalf("two spellings of one entry: %s", changed)
		}
	})
}

// TestRefusedRequests: nothing that a reader would refuse is written.
func TestRefusedRequests(t *testing.T) {
	m := newMemory()
	l := open(t, m, unvoted)
	good := request(taxi, 1, 0)
	for name, change := range map[string]func(*ledger.Request){
		"no task":           func(r *ledger.Request) { r.Task = ledger.ID{} },
		"no round":          func(r *ledger.Request) { r.Round = ledger.ID{} },
		"no manifest":       func(r *ledger.Request) { r.Manifest = ledger.ID{} },
		"no object":         func(r *ledger.Request) { r.Reservation = ledger.ID{} },
		"no reports":        func(r *ledger.Request) { r.Reports = 0 },
		"many reports":      func(r *ledger.Request) { r.Reports = 1<<20 + 1 },
		"no event":          func(r *ledger.Request) { r.Event = accountant.Event{} },
		"another event":     func(r *ledger.Request) { r.Event = accountant.Repeat(r.Event, 2) },
		"long event":        func(r *ledger.Request) { r.Event = accountant.Compose(make([]accountant.Event, 200)...) },
		"cheaper event":     func(r *ledger.Request) { r.Event.NoiseMultiplier = 100 },
		"event of no noise": func(r *ledger.Request) { r.Event.NoiseMultiplier = 0 },
	} {
		r := good
		change(&r)
		if _, _, err := l.Reserve(t.Context(), keyOf("anna"), r, nil); err == nil {
			t.Errorf("%s: reserved", name)
		} else {
			wants(t, err, ledger.ErrEntry)
		}
	}
	_, _, err := l.Reserve(t.Context(), nil, good, nil)
	wants(t, err, ledger.ErrEntry)
	strange := good
	strange.Task = id("plane")
	_, _, err = l.Reserve(t.Context(), keyOf("anna"), strange, nil)
	wants(t, err, errUnknownTask)
	reserve(t, l, good)
	for _, reason := range []string{"", "a \"quote\"", "line\nfeed", strings.Repeat("x", 201), "\\"} {
		wants(t, l.Void(t.Context(), keyOf("anna"), good.Task, good.Round, good.Manifest, ledger.ID{}, reason), ledger.ErrEntry)
	}
	wants(t, l.Settle(t.Context(), keyOf("anna"), good.Task, good.Round, good.Manifest, id("r"), "done"), ledger.ErrEntry)
	wants(t, l.Settle(t.Context(), keyOf("anna"), good.Task, good.Round, good.Manifest, ledger.ID{}, ledger.StatusVoid), ledger.ErrEntry)
	other := good // the same list, charged otherwise
	other.Reports++
	_, _, err = l.Reserve(t.Context(), keyOf("anna"), other, nil)
	wants(t, err, ledger.ErrEnded)
	if n := len(m.keys("entry/")); n != 2 {
		t.Errorf("%d entries", n)
	}
}

func TestRefusedScopes(t *testing.T) {
	for name, change := range map[string]func(*ledger.Scope){
		"no id":        func(s *ledger.Scope) { s.ID = ledger.ID{} },
		"epsilon":      func(s *ledger.Scope) { s.Epsilon = 0 },
		"delta":        func(s *ledger.Scope) { s.Delta = 1 },
		"relation":     func(s *ledger.Scope) { s.Relation = accountant.AddRemove },
		"unit":         func(s *ledger.Scope) { s.Unit = "trip" },
		"no relation":  func(s *ledger.Scope) { s.Relation = "" },
		"without unit": func(s *ledger.Scope) { s.Unit = "" },
	} {
		s := scope
		change(&s)
		if _, err := ledger.Open(t.Context(), newMemory(), s, unvoted); err == nil {
			t.Errorf("%s: opened", name)
		} else {
			wants(t, err, ledger.ErrEntry)
		}
	}
	_, err := ledger.Open(t.Context(), newMemory(), scope, ledger.Rules{})
	wants(t, err, ledger.ErrEntry)
}

func FuzzParseEntry(f *testing.F) {
	m := filled(f, 2)
	for _, k := range m.keys("entry/") {
		f.Add(m.objects[k])
	}
	e := ledger.Entry{Kind: ledger.KindVoid, Index: 3, Reserve: 1, Reason: "no votes"}
	f.Add(ledger.SignEntry(&e, scope.ID, keyOf("anna")))
	e = ledger.Entry{Kind: ledger.KindSettle, Index: 3, Reserve: 1, Receipt: id("receipt"), Status: ledger.StatusVoid}
	f.Add(ledger.SignEntry(&e, scope.ID, keyOf("anna")))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := ledger.ParseEntry(data)
		if err != nil {
			return
		}
		if again := ledger.EncodeEntry(&e); string(again) != string(data) {
			t.Fatalf("%s is read as %s", data, again)
		}
		if !json.Valid(data) {
			t.Fatalf("%s is no JSON", data)
		}
	})
}

func FuzzParseCheckpoint(f *testing.F) {
	f.Add(scope.Genesis().Text())
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ledger.ParseCheckpoint(text)
		if err == nil && c.Text() != text {
			t.Fatalf("%q is read as %q", text, c.Text())
		}
	})
}

func FuzzSplitBundle(f *testing.F) {
	short := make([][]byte, 256)
	for i := range short {
		short[i] = []byte("x")
	}
	f.Add(ledger.AppendBundle(nil, short))
	f.Add([]byte{0, 1, 'x'})
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, err := ledger.SplitBundle(data)
		if err == nil && (len(entries) != 256 || string(ledger.AppendBundle(nil, entries)) != string(data)) {
			t.Fatalf("%x is read as %d entries", data, len(entries))
		}
	})
}

func FuzzOpenCheckpoint(f *testing.F) {
	c := scope.Genesis()
	signed, err := c.Sign(keyOf("anna"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(signed)
	f.Fuzz(func(t *testing.T, data []byte) {
		if got, err := ledger.OpenCheckpoint(data, c.Origin, publicOf("anna")); err == nil && got != c {
			t.Fatalf("anna never signed %v", got)
		}
		ledger.Cosign(data, "w", keyOf("w"), testTime)
	})
}
