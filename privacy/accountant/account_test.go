package accountant_test

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/veilsum/veilsum/privacy/accountant"
	"pgregory.net/rapid"
)

// round is one round of a fleet: D = 1130, sigma_e = 11.4, h = 9900.
var round = accountant.Event{
	Type: accountant.DistributedDiscreteGaussian, Sensitivity: 1130, Sigma: 11.4,
	Contributors: 9900, Dimension: 100_000, Reports: 12_000,
}

func gaussian(z float64) accountant.Event {
	return accountant.Event{Type: accountant.Gaussian, NoiseMultiplier: z}
}

func laplace(b float64) accountant.Event {
	return accountant.Event{Type: accountant.Laplace, NoiseMultiplier: b}
}

// drawEvent draws a tree of events, leaves first.
func drawEvent(t *rapid.T, depth int) accountant.Event {
	kind := rapid.IntRange(0, 6).Draw(t, "kind")
	if depth == 0 && kind > 4 {
		kind = 0
	}
	z := rapid.Float64Range(0.5, 50).Draw(t, "z")
	switch kind {
	case 0:
		return gaussian(z)
	case 1:
		return laplace(z)
	case 2:
		return accountant.Event{Type: accountant.DiscreteGaussian, Sensitivity: rapid.Int64Range(1, 9).Draw(t, "D"), Sigma: z}
	case 3:
		e := round
		e.Sigma = rapid.SampledFrom([]float64{1.2, 6.4, 11.4, 500}).Draw(t, "sigma")
		return e
	case 4:
		return gaussian(z)
	case 5:
		return accountant.Repeat(drawEvent(t, depth-1), rapid.Int64Range(0, 30).Draw(t, "count"))
	default:
		var events []accountant.Event
		for range rapid.IntRange(0, 3).Draw(t, "events") {
			events = append(events, drawEvent(t, depth-1))
		}
		return accountant.Compose(events...)
	}
}

// unroll writes a tree out as a flat list without counts.
func unroll(e accountant.Event) (flat []accountant.Event) {
	switch e.Type {
	case accountant.SelfComposed:
		for range e.Count {
			flat = append(flat, unroll(*e.Event)...)
		}
	case accountant.Composed:
		for _, child := range e.Events {
			flat = append(flat, unroll(child)...)
		}
	default:
		flat = append(flat, e)
	}
	return flat
}

// TestTreeEqualsFlatList: composition does not depend on how it is written.
func TestTreeEqualsFlatList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := drawEvent(t, 2)
		relation := rapid.SampledFrom([]accountant.NeighboringRelation{accountant.ZeroOut, accountant.ReplaceOne}).Draw(t, "relation")
		flat := unroll(e)
		if len(flat) > 300 {
			t.Skip("long")
		}
		a, errA := accountant.Account([]accountant.Event{e}, 1e-6, relation)
		b, errB := accountant.Account(flat, 1e-6, relation)
		if (errA == nil) != (errB == nil) || math.Abs(a.Epsilon-b.Epsilon) > 1e-9*(1+a.Epsilon) {
			t.Fatalf("tree %v %v, list %v %v", a.Epsilon, errA, b.Epsilon, errB)
		}
		if errA != nil && !errors.Is(errA, accountant.ErrNoGuarantee) {
			t.Fatal(errA)
		}
	})
}

// TestMonotone: more events and a smaller delta never cost less.
func TestMonotone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawEvent(t, 1), drawEvent(t, 1)
		one, errOne := accountant.Account([]accountant.Event{a}, 1e-6, accountant.ZeroOut)
		two, errTwo := accountant.Account([]accountant.Event{a, b}, 1e-6, accountant.ZeroOut)
		less, errLess := accountant.Account([]accountant.Event{a}, 1e-8, accountant.ZeroOut)
		if errOne != nil || errTwo != nil || errLess != nil {
			return // a huge epsilon meets the sampler's distance
		}
		if two.Epsilon < one.Epsilon*(1-1e-9) || less.Epsilon < one.Epsilon*(1-1e-9) {
			t.Fatalf("%v alone, %v with more, %v at a smaller delta", one.Epsilon, two.Epsilon, less.Epsilon)
		}
	})
}

func TestNothingCostsNothing(t *testing.T) {
	for _, e := range []accountant.Event{accountant.Compose(), accountant.Repeat(gaussian(1), 0)} {
		if g := account(t, 1e-6, accountant.ZeroOut, e); g.Epsilon != 0 {
			t.Errorf("%+v costs %v", e, g.Epsilon)
		}
	}
}

// TestRelations: replacing doubles the sensitivity, that is, halves z.
func TestRelations(t *testing.T) {
	for _, make := range []func(float64) accountant.Event{gaussian, laplace} {
		a := account(t, 1e-6, accountant.ReplaceOne, make(4))
		b := account(t, 1e-6, accountant.ZeroOut, make(2))
		if math.Abs(a.Epsilon-b.Epsilon) > 1e-12 {
			t.Errorf("replace_one %v, zero_out at half the noise %v", a.Epsilon, b.Epsilon)
		}
	}
	for _, c := range []struct {
		relation accountant.NeighboringRelation
		event    accountant.Event
	}{
		{accountant.AddRemove, round},
		{accountant.ReplaceOne, accountant.Event{Type: accountant.ZCDP, Rho: 1}},
		{"", gaussian(1)},
		{"substitute", gaussian(1)},
	} {
		if _, err := accountant.Account([]accountant.Event{c.event}, 1e-6, c.relation); !errors.Is(err, accountant.ErrEvent) {
			t.Errorf("%q of %s: %v", c.relation, c.event.Type, err)
		}
	}
}

// TestSamplerDistance checks the fixed point on a case where the distance
// counts: delta within a factor of it. The exact epsilon e for delta' must
// satisfy delta' + (1+exp(e)) distance <= delta.
func TestSamplerDistance(t *testing.T) {
	e := round
	e.Sigma, e.Dimension, e.Reports = 100, 1<<32, 1<<32
	distance := math.Ldexp(1, 64-96)
	delta := 40 * distance
	g := account(t, delta, accountant.ZeroOut, e)
	ideal := accountant.Event{Type: accountant.DiscreteGaussian, Sensitivity: e.Sensitivity, Sigma: 100 * math.Sqrt(9900)}
	without := account(t, delta, accountant.ZeroOut, ideal)
	left := delta - (1+math.Exp(g.Epsilon))*distance
	at := account(t, left, accountant.ZeroOut, ideal)
	if g.Epsilon <= without.Epsilon || at.Epsilon > g.Epsilon*(1+1e-12) || at.Epsilon < g.Epsilon*(1-1e-9) {
		t.Errorf("epsilon %v, without distance %v, at the rest of delta %v", g.Epsilon, without.Epsilon, at.Epsilon)
	}
	if _, err := accountant.Account([]accountant.Event{e}, 1.9*distance, accountant.ZeroOut); !errors.Is(err, accountant.ErrNoGuarantee) {
		t.Errorf("delta below the distance: %v", err)
	}
}

func TestAffordable(t *testing.T) {
	spent := []accountant.Event{gaussian(20)}
	n, err := accountant.Affordable(spent, gaussian(30), 2, 1e-6, accountant.ZeroOut)
	if err != nil || n < 2 {
		t.Fatal(n, err)
	}
	fits := account(t, 1e-6, accountant.ZeroOut, spent[0], accountant.Repeat(gaussian(30), n)).Epsilon
	over := account(t, 1e-6, accountant.ZeroOut, spent[0], accountant.Repeat(gaussian(30), n+1)).Epsilon
	if fits > 2 || over <= 2 {
		t.Errorf("%d rounds cost %v, one more %v, the budget is 2", n, fits, over)
	}
	if n, err := accountant.Affordable([]accountant.Event{gaussian(0.1)}, gaussian(30), 2, 1e-6, accountant.ZeroOut); n != 0 || err != nil {
		t.Errorf("after overspending: %d, %v", n, err)
	}
	if n, err := accountant.Affordable(nil, accountant.Compose(), 1, 1e-6, accountant.ZeroOut); n != 1<<32 || err != nil {
		t.Errorf("nothing is affordable %d times, %v", n, err)
	}
	if _, err := accountant.Affordable(nil, accountant.Event{}, 1, 1e-6, accountant.ZeroOut); !errors.Is(err, accountant.ErrEvent) {
		t.Errorf("bad event: %v", err)
	}
}

func TestCalibrate(t *testing.T) {
	z, err := accountant.GaussianNoiseMultiplier(100, 3, 1e-7, accountant.ReplaceOne)
	if err != nil {
		t.Fatal(err)
	}
	g := account(t, 1e-7, accountant.ReplaceOne, accountant.Repeat(gaussian(z), 100))
	if g.Epsilon > 3 || g.Epsilon < 3*(1-1e-8) {
		t.Errorf("z = %v costs %v, want 3 or just below", z, g.Epsilon)
	}
	if _, err := accountant.GaussianNoiseMultiplier(1, -1, 1e-7, accountant.ZeroOut); !errors.Is(err, accountant.ErrUnreachable) {
		t.Errorf("epsilon -1: %v", err)
	}
}

func TestInvalidEvents(t *testing.T) {
	deep := gaussian(1)
	for range 20 {
		deep = accountant.Repeat(deep, 1)
	}
	changed := func(change func(*accountant.Event)) accountant.Event {
		e := round
		change(&e)
		return e
	}
	for _, c := range []struct {
		event accountant.Event
		want  string
	}{
		{accountant.Event{}, "unknown type"},
		{accountant.Event{Type: "exponential"}, "unknown type"},
		{accountant.Event{Type: accountant.Poisson}, "sampling_probability is 0"},
		{gaussian(0), "noise_multiplier is 0"},
		{gaussian(math.NaN()), "noise_multiplier is NaN"},
		{laplace(-1), "noise_multiplier is -1"},
		{accountant.Event{Type: accountant.SelfComposed, Count: 2}, "without event"},
		{accountant.Repeat(gaussian(1), -1), "count is -1"},
		{accountant.Repeat(gaussian(0), 1), "noise_multiplier is 0"},
		{accountant.Compose(gaussian(1), gaussian(0)), "noise_multiplier is 0"},
		{deep, "nested deeper"},
		{accountant.Event{Type: accountant.ZCDP, Rho: -1}, "rho is -1"},
		{accountant.Event{Type: accountant.ZCDP, Rho: 1, Xi: math.Inf(1)}, "xi is +Inf"},
		{accountant.Event{Type: accountant.Gaussian, NoiseMultiplier: 1, Count: 5}, "does not belong"},
		{accountant.Event{Type: accountant.Composed, Count: 5}, "does not belong"},
		{accountant.Event{Type: accountant.SelfComposed, Count: 5, Event: &round, Rho: 1}, "does not belong"},
		{accountant.Event{Type: accountant.DiscreteGaussian, Sigma: 1}, "sensitivity is 0"},
		{changed(func(e *accountant.Event) { e.Sigma = 0.49 }), "sigma is 0.49, want 0.5"},
		{changed(func(e *accountant.Event) { e.Contributors = 0 }), "contributors is 0"},
		{changed(func(e *accountant.Event) { e.Dimension = 0 }), "dimension is 0"},
		{changed(func(e *accountant.Event) { e.Reports = 9899 }), "reports is 9899, want 9900"},
		{changed(func(e *accountant.Event) { e.Sensitivity = -3 }), "sensitivity is -3"},
	} {
		_, err := accountant.Account([]accountant.Event{c.event}, 1e-6, accountant.ZeroOut)
		if !errors.Is(err, accountant.ErrEvent) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
	for _, delta := range []float64{0, 1, -1, math.NaN(), math.Inf(1)} {
		if _, err := accountant.Account(nil, delta, accountant.ZeroOut); !errors.Is(err, accountant.ErrEvent) {
			t.Errorf("delta %g: %v", delta, err)
		}
	}
}

func TestJSONRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := drawEvent(t, 3)
		data, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		back, err := accountant.ParseEvent(data)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(e, back); diff != "" {
			t.Fatal(diff)
		}
	})
	for _, text := range []string{
		``, `{}`, `[]`, `{"type":"gaussian"}`, `{"type":"gaussian","noise_multiplier":1} x`,
		`{"type":"gaussian","noise_multiplier":1}{}`, `{"type":"gaussian","noise_multiplier":1,"sampling_probability":0.1}`,
	} {
		if _, err := accountant.ParseEvent([]byte(text)); !errors.Is(err, accountant.ErrEvent) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := accountant.ParseEvent(make([]byte, 16<<20+1)); !errors.Is(err, accountant.ErrEvent) {
		t.Errorf("a long text: %v", err)
	}
}

func FuzzParseEvent(f *testing.F) {
	var s shared
	text, err := os.ReadFile("testdata/accounting.json")
	if err != nil {
		f.Fatal(err)
	}
	if err := json.Unmarshal(text, &s); err != nil {
		f.Fatal(err)
	}
	for _, c := range s.Accounting {
		f.Add([]byte(c.Event))
	}
	for _, e := range []accountant.Event{gaussian(1), laplace(2), round, accountant.Repeat(accountant.Compose(round, gaussian(3)), 7)} {
		data, err := json.Marshal(e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := accountant.ParseEvent(data)
		if err != nil {
			return
		}
		again, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := accountant.ParseEvent(again); err != nil {
			t.Fatalf("%s is refused when read again: %v", again, err)
		}
		g, err := accountant.Account([]accountant.Event{e}, 1e-6, accountant.ZeroOut)
		if err == nil && !(g.Epsilon >= 0 && !math.IsInf(g.Epsilon, 1)) {
			t.Fatalf("%s costs %v", again, g.Epsilon)
		}
		if len(data) > 200 { // long compositions take too long to fuzz
			return
		}
		r, err := accountant.Judge(e, accountant.AddRemove, 1e-6)
		if err == nil && r.PLD != nil && !(r.PLD.Lower >= 0 && r.PLD.Lower <= r.PLD.Upper && r.PLD.Upper < math.Inf(1)) {
			t.Fatalf("%s is between %v", again, *r.PLD)
		}
	})
}

func BenchmarkAccount(b *testing.B) {
	wide := round
	wide.Sigma = 200 // noise multiplier 17.6
	events := []accountant.Event{accountant.Repeat(wide, 1000), accountant.Repeat(laplace(20), 10)}
	for b.Loop() {
		if _, err := accountant.Account(events, 1e-6, accountant.ZeroOut); err != nil {
			b.Fatal(err)
		}
	}
}
