package accountant_test

import (
	"encoding/json"
	"errors"
	"math"
	"testing"

	"github.com/veilsum/veilsum/privacy/accountant"
)

func TestBudget(t *testing.T) {
	b, err := accountant.NewBudget(3, 1e-6, accountant.AddRemove)
	if err != nil {
		t.Fatal(err)
	}
	e := poisson(0.02, gaussian(1))
	left, err := b.Left(e)
	if err != nil || left < 100 {
		t.Fatal(left, err)
	}
	for _, c := range []struct {
		count int64
		over  bool
	}{{left, false}, {left + 1, true}, {0, false}} {
		if over, err := b.WouldExceed(e, c.count); over != c.over || err != nil {
			t.Errorf("%d of %d: %v, %v", c.count, left, over, err)
		}
	}
	if err := b.Spend(e, left-5); err != nil {
		t.Fatal(err)
	}
	if err := b.Spend(e, 6); !errors.Is(err, accountant.ErrExceeded) {
		t.Errorf("overspending: %v", err)
	}
	if again, err := b.Left(e); again != 5 || err != nil {
		t.Errorf("left %d, want 5 (%v)", again, err)
	}
	spent, err := b.Spent()
	if err != nil || spent.Epsilon > 3 || spent.Relation != accountant.AddRemove || spent.Unit == "" {
		t.Errorf("%+v, %v", spent, err)
	}
	// The same by an accountant of its own.
	r, _ := accountant.NewRDP(accountant.AddRemove)
	if err := r.Compose(e, left-5); err != nil {
		t.Fatal(err)
	}
	if eps, err := r.Epsilon(1e-6); err != nil || math.Abs(eps-spent.Epsilon) > 1e-9 {
		t.Errorf("spent %v, composed %v (%v)", spent.Epsilon, eps, err)
	}
	if _, err := b.WouldExceed(gaussian(0), 1); !errors.Is(err, accountant.ErrEvent) {
		t.Errorf("invalid event: %v", err)
	}
	if _, err := b.WouldExceed(e, -1); !errors.Is(err, accountant.ErrEvent) {
		t.Errorf("negative count: %v", err)
	}
	for _, c := range [][2]float64{{0, 1e-6}, {math.NaN(), 1e-6}, {math.Inf(1), 1e-6}, {1, 0}} {
		if _, err := accountant.NewBudget(c[0], c[1], accountant.ZeroOut); !errors.Is(err, accountant.ErrEvent) {
			t.Errorf("%v: %v", c, err)
		}
	}
}

// TestFailedComposeAddsNothing for each accountant.
func TestFailedComposeAddsNothing(t *testing.T) {
	r, _ := accountant.NewRDP(accountant.AddRemove)
	p, _ := accountant.NewPLD(accountant.AddRemove)
	x, _ := accountant.NewExact(accountant.AddRemove)
	bad := accountant.Compose(gaussian(1), accountant.Event{Type: accountant.RandomizedResponse, NoiseParameter: 0.5, NumBuckets: 2})
	for name, a := range map[string]accountant.Accountant{"rdp": r, "pld": p, "exact": x} {
		if a.Relation() != accountant.AddRemove {
			t.Errorf("%s: relation %s", name, a.Relation())
		}
		if err := a.Compose(gaussian(2), 4); err != nil {
			t.Fatal(err)
		}
		before, err := a.Epsilon(1e-5)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Compose(bad, 1); !errors.Is(err, accountant.ErrUnsupported) {
			t.Errorf("%s: %v", name, err)
		}
		if after, err := a.Epsilon(1e-5); after != before || err != nil {
			t.Errorf("%s: %v became %v (%v)", name, before, after, err)
		}
		if _, err := a.Epsilon(0); !errors.Is(err, accountant.ErrEvent) {
			t.Errorf("%s: delta 0: %v", name, err)
		}
	}
}

// TestReportJSON is the form of "veilsum budget account --json".
func TestReportJSON(t *testing.T) {
	report, err := accountant.Judge(accountant.Event{Type: accountant.ZCDP, Rho: 0.5}, accountant.AddRemove, 1e-5)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(report)
	if want := `{"rdp":{"epsilon":4.728507067222`; err != nil || string(text[:len(want)]) != want {
		t.Errorf("%s, want %s...", text, want)
	}
	if want := `"order":5.4},"pld":null,"exact":null}`; string(text[len(text)-len(want):]) != want {
		t.Errorf("%s, want ...%s", text, want)
	}
}

func TestParseQuery(t *testing.T) {
	for _, c := range readShared(t).Accounting {
		text, err := json.Marshal(map[string]any{"event": c.Event, "relation": c.Relation, "delta": c.Delta, "id": c.ID})
		if err != nil {
			t.Fatal(err)
		}
		q, err := accountant.ParseQuery(text)
		if err != nil || q.Relation != c.Relation || q.Delta != c.Delta || q.Event.Type != c.event(t).Type {
			t.Errorf("%s: %+v, %v", c.ID, q, err)
		}
	}
	const event = `"event":{"type":"gaussian","noise_multiplier":1}`
	for _, text := range []string{
		``, `{}`, `null`, `[]`, `{` + event + `}`, `{` + event + `,"relation":"zero_out"}`, `{` + event + `,"delta":0.1}`,
		`{` + event + `,"relation":"other","delta":0.1}`, `{` + event + `,"relation":"zero_out","delta":0}`,
		`{` + event + `,"relation":"zero_out","delta":"0.1"}`, `{` + event + `,"relation":"zero_out","delta":0.1} x`,
		`{"event":null,"relation":"zero_out","delta":0.1}`,
		`{"event":{"type":"gaussian","noise_multiplier":1,"note":1},"relation":"zero_out","delta":0.1}`,
		// named twice
		`{` + event + `,"relation":"zero_out","delta":0.1,"delta":0.5}`, `{` + event + `,` + event + `,"relation":"zero_out","delta":0.1}`,
		`{` + event + `,"relation":"zero_out","delta":0.1,"Delta":0.5}`,
		`{"event":{"type":"gaussian","noise_multiplier":1,"noise_multiplier":9},"relation":"zero_out","delta":0.1}`,
		`{"event":{"type":"gaussian","noise_multiplier":1,"noi\u017fe_multiplier":9},"relation":"zero_out","delta":0.1}`,
		`{"event":{"type":"composed","events":[{"type":"gaussian","noise_multiplier":1,"type":"laplace"}]},"relation":"zero_out","delta":0.1}`,
		// nothing, by an oversight
		`{"event":{"type":"self_composed",` + event + `},"relation":"zero_out","delta":0.1}`, `{"event":{"type":"composed"},"relation":"zero_out","delta":0.1}`,
		`{"event":{"type":"composed","events":[{"type":"zcdp","xi":0}]},"relation":"zero_out","delta":0.1}`,
	} {
		if _, err := accountant.ParseQuery([]byte(text)); !errors.Is(err, accountant.ErrEvent) {
			t.Errorf("%s: %v", text, err)
		}
	}
	// a list of names is no object, and a name may be another's value
	for _, text := range []string{
		`{` + event + `,"relation":"zero_out","delta":0.1,"note":["type","type",{"type":"type"},["a"]],"x":"note"}`,
		`{"event":{"type":"self_composed","count":0,` + event + `},"relation":"zero_out","delta":0.1}`,
		`{"event":{"type":"composed","events":[` + event[8:] + `,` + event[8:] + `]},"relation":"zero_out","delta":0.1}`,
	} {
		if _, err := accountant.ParseQuery([]byte(text)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := accountant.ParseQuery(make([]byte, 16<<20+1)); !errors.Is(err, accountant.ErrEvent) {
		t.Errorf("a long text: %v", err)
	}
}

func FuzzParseQuery(f *testing.F) {
	f.Add([]byte(`{"event":{"type":"gaussian","noise_multiplier":1},"relation":"zero_out","delta":0.1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if q, err := accountant.ParseQuery(data); err == nil && q.Event.Validate() != nil {
			t.Fatalf("%s is accepted", data)
		}
	})
}

func TestStepCounts(t *testing.T) {
	for _, text := range []string{`{"type":"tree","noise_multiplier":2,"step_counts":7}`, `{"type":"tree","noise_multiplier":2,"step_counts":[7,3]}`} {
		e, err := accountant.ParseEvent([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		again, err := json.Marshal(e)
		if err != nil || string(again) != text {
			t.Errorf("%s became %s (%v)", text, again, err)
		}
	}
	for _, text := range []string{`null`, `[]`, `0`, `[0]`, `-1`, `"7"`, `[7,null]`, `1.5`, `{}`} {
		if _, err := accountant.ParseEvent([]byte(`{"type":"tree","noise_multiplier":2,"step_counts":` + text + `}`)); !errors.Is(err, accountant.ErrEvent) {
			t.Errorf("step_counts %s: %v", text, err)
		}
	}
}
