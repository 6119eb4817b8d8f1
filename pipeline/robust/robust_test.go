package robust_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/veilsum/veilsum/pipeline/robust"
)

// lanes makes n honest lanes: a common mean of norm at most 1 and noise of sd in each of d values.
func lanes(random *rand.Rand, n, d int, sd float64) []robust.Lane {
	center := make([]float64, d)
	for j := range center {
		center[j] = random.NormFloat64() / math.Sqrt(float64(d)) / 2
	}
	all := make([]robust.Lane, n)
	for i := range all {
		all[i] = robust.Lane{Reports: 40 + random.IntN(20), StdDev: sd, Mean: slices.Clone(center)}
		for j := range center {
			all[i].Mean[j] += sd * random.NormFloat64()
		}
	}
	return all
}

func parse(t testing.TB, text string) robust.Rule {
	t.Helper()
	r, err := robust.Parse(text, 1)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func norm(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x * x
	}
	return math.Sqrt(sum)
}

var robustRules = []string{"median", "trimmed:0.3", "geometric", "gate+mean", "gate+median", "gate+geometric", "gate+trimmed:0.3"}

// TestLiesOfAMinority: whatever a quarter of the lanes say, robust rules stay where the honest lanes are; the mean does not.
func TestLiesOfAMinority(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, factor := range []float64{-100, 50, 1e6} {
		all := lanes(random, 40, 100, 0.05)
		honest, err := robust.Mean(all)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 10 {
			for j := range all[i].Mean {
				all[i].Mean[j] *= factor
			}
		}
		for _, rule := range robustRules {
			m, err := parse(t, rule)(all)
			if err != nil {
				t.Fatal(err)
			}
			if off := apart(m.Mean, honest.Mean); off > 0.35 {
				t.Errorf("%s: %g away from the honest mean after lies of factor %g", rule, off, factor)
			}
		}
		if m, err := robust.Mean(all); err != nil || apart(m.Mean, honest.Mean) < 1 {
			t.Errorf("the plain mean is not moved by factor %g (%v): the attack is none", factor, err)
		}
	}
}

func apart(a, b []float64) float64 {
	d := slices.Clone(a)
	for j := range d {
		d[j] -= b[j]
	}
	return norm(d)
}

// TestGateNamesTheLanes: rejected and used lanes together are all, and the liars are among the rejected.
func TestGateNamesTheLanes(t *testing.T) {
	all := lanes(rand.New(rand.NewPCG(3, 4)), 9, 50, 0.1)
	for _, i := range []int{2, 7} {
		for j := range all[i].Mean {
			all[i].Mean[j] += 5
		}
	}
	m, err := parse(t, "gate+median")(all)
	if err != nil {
		t.Fatal(err)
	}
	var rejected []int
	for _, r := range m.Rejected {
		rejected = append(rejected, r.Lane)
	}
	if !slices.Equal(rejected, []int{2, 7}) || !slices.Equal(m.Used, []int{0, 1, 3, 4, 5, 6, 8}) {
		t.Errorf("rejected %v, used %v", rejected, m.Used)
	}
}

// TestFalseAlarms: honest lanes at the very bound pass the gate, but for one in a thousand. Of 20,000 lanes more than 60 fail with a chance
// below 1e-13; the bound is loose, few do.
func TestFalseAlarms(t *testing.T) {
	random, alarms := rand.New(rand.NewPCG(5, 6)), 0
	for range 20_000 {
		v := make([]float64, 30)
		v[0] = 1
		for j := range v {
			v[j] += 0.3 * random.NormFloat64()
		}
		if norm(v) > robust.Longest(1, 0.3, 30) {
			alarms++
		}
	}
	if alarms > 60 {
		t.Errorf("%d of 20,000 honest lanes are rejected", alarms)
	}
	if l := robust.Longest(1, 0, 30); l < 1 || l > 1.02 {
		t.Errorf("without noise the gate is at %g", l)
	}
}

// TestRulesAgreeOnEqualLanes: lanes that are all the same give that, whatever the rule.
func TestRulesAgreeOnEqualLanes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mean := rapid.SliceOfN(rapid.Float64Range(-0.1, 0.1), 1, 20).Draw(t, "mean")
		all := make([]robust.Lane, rapid.IntRange(1, 12).Draw(t, "lanes"))
		for i := range all {
			all[i] = robust.Lane{Reports: rapid.IntRange(1, 100).Draw(t, "reports"), Mean: mean}
		}
		for _, text := range append([]string{"mean"}, robustRules...) {
			rule, err := robust.Parse(text, 1)
			if err != nil {
				t.Fatal(err)
			}
			m, err := rule(all)
			if err != nil || apart(m.Mean, mean) > 1e-12 || len(m.Used) != len(all) {
				t.Fatalf("%s: %v (%v), want %v", text, m, err, mean)
			}
		}
	})
}

func TestRefusals(t *testing.T) {
	for _, text := range []string{"", "sum", "mean:1", "trimmed", "trimmed:0", "trimmed:0.5", "trimmed:x", "gate", "gate+", "gate+gate+mean", "trimmed:-0.2", "trimmed:NaN", "geometric:2"} {
		if _, err := robust.Parse(text, 1); !errors.Is(err, robust.ErrRule) {
			t.Errorf("%q: %v", text, err)
		}
	}
	good := robust.Lane{Reports: 1, Mean: []float64{0}}
	for name, bad := range map[string]robust.Lane{
		"no reports": {Mean: []float64{0}}, "other dimension": {Reports: 1, Mean: []float64{0, 0}},
		"NaN": {Reports: 1, Mean: []float64{math.NaN()}}, "infinite": {Reports: 1, Mean: []float64{math.Inf(1)}}, "noise": {Reports: 1, Mean: []float64{0}, StdDev: -1},
		"square beyond float64": {Reports: 1, Mean: []float64{1e200}}, "noise beyond": {Reports: 1, Mean: []float64{0}, StdDev: 1e200},
	} {
		for _, rule := range append([]string{"mean"}, robustRules...) {
			if _, err := parse(t, rule)([]robust.Lane{good, bad}); !errors.Is(err, robust.ErrLanes) {
				t.Errorf("%s, %s: %v", name, rule, err)
			}
		}
	}
	for name, rule := range map[string]robust.Rule{
		"negative share": robust.TrimmedMean(-0.2), "share NaN": robust.TrimmedMean(math.NaN()), "share above 1/2": robust.TrimmedMean(0.6),
		"norm NaN": robust.Gate(math.NaN(), robust.Mean), "norm 0": robust.Gate(0, robust.Mean), "norm below 0": robust.Gate(-1, robust.Mean), "no norm": robust.Gate(math.Inf(1), robust.Mean),
	} {
		if m, err := rule([]robust.Lane{good, good, good, good, good}); !errors.Is(err, robust.ErrRule) {
			t.Errorf("%s: %v, %v", name, m, err)
		}
	}
	if _, err := robust.Mean(nil); !errors.Is(err, robust.ErrLanes) {
		t.Errorf("no lanes: %v", err)
	}
	if m, err := parse(t, "gate+mean")([]robust.Lane{{Reports: 1, Mean: []float64{9}}}); !errors.Is(err, robust.ErrRule) || len(m.Rejected) != 1 {
		t.Errorf("all lanes rejected: %v, %v", m, err)
	}
}

// TestChoose: more malicious vehicles want more and smaller lanes, and pay with noise.
func TestChoose(t *testing.T) {
	last := robust.Choice{}
	for _, p := range []float64{0, 0.005, 0.01, 0.02, 0.05} {
		c, err := robust.Choose(5000, p, 100, 2, 2000)
		if err != nil {
			t.Fatal(err)
		}
		if c.Lanes < last.Lanes || c.Noise < last.Noise || c.MaxDishonest >= c.Min {
			t.Errorf("share %g: %+v after %+v", p, c, last)
		}
		last = c
	}
	if c, _ := robust.Choose(5000, 0, 100, 2, 2000); c.Lanes != 1 || math.Abs(c.Noise-1) > 1e-3 {
		t.Errorf("without malice: %+v", c)
	}
	for _, bad := range []func() (robust.Choice, error){
		func() (robust.Choice, error) { return robust.Choose(5000, 0.2, 100, 2, 2000) },
		func() (robust.Choice, error) { return robust.Evaluate(10, 0.5, 1) },
		func() (robust.Choice, error) { return robust.Evaluate(10, 0, 11) },
	} {
		if c, err := bad(); !errors.Is(err, robust.ErrRule) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// Example merges five lanes of which one lies.
func Example() {
	rule, err := robust.Parse("gate+median", 1)
	if err != nil {
		panic(err)
	}
	lane := func(x float64) robust.Lane { return robust.Lane{Reports: 50, Mean: []float64{x}, StdDev: 0.1} }
	m, err := rule([]robust.Lane{lane(0.42), lane(0.38), lane(-40), lane(0.41), lane(0.44)})
	fmt.Println(m.Mean, m.Used, len(m.Rejected), err)
	// Output: [0.415] [0 1 3 4] 1 <nil>
}

// TestVisible: a lone update of the length that Visible states is rejected in at least 95 of 100 lanes, half of it hardly ever. Chance of a
// false alarm, with 97 % expected of 2,000 lanes: below 1e-6.
func TestVisible(t *testing.T) {
	const d, z, reports, count = 400, 2.0, 5000, 100
	c, err := robust.Evaluate(reports, 0.02, count)
	if err != nil {
		t.Fatal(err)
	}
	size := reports / count
	sd := z / math.Sqrt(float64((c.Min-c.MaxDishonest)*size))
	random := rand.New(rand.NewPCG(7, 8))
	seen := func(length float64) (n int) {
		for range 2000 {
			v := make([]float64, d)
			v[0] = length / float64(size)
			for j := range v {
				v[j] += sd * random.NormFloat64()
			}
			if norm(v) > robust.Longest(1, sd, d) {
				n++
			}
		}
		return n
	}
	at := c.Visible(z, d)
	if n := seen(at); n < 1900 {
		t.Errorf("%d of 2000 lanes with an update of %g clipping norms are rejected", n, at)
	}
	if n := seen(at / 2); n > 400 {
		t.Errorf("%d of 2000 lanes with an update of %g clipping norms are rejected", n, at/2)
	}
}
