package statistics_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"github.com/veilsum/veilsum/privacy/statistics"
)

// of returns the answers of a fleet without noise that counts.
func of(t *testing.T, least int, q statistics.Query, fleet [][]statistics.Record) map[string]statistics.Estimate {
	t.Helper()
	q.Name, q.Weight = "q", 1
	s := newSet(t, q)
	return decode(t, s, statistics.Release{Mean: mean(t, s, fleet, 0, nil), Reports: len(fleet), Noise: 1e-9, MinCount: least})
}

// TestThresholdCountsVehicles: one vehicle with many records, or with large values, is not shown as if it were many vehicles.
func TestThresholdCountsVehicles(t *testing.T) {
	city := statistics.Record{"road": "city", "speed": 60.0}
	one := make([][]statistics.Record, 40)
	for range 30 {
		one[7] = append(one[7], city)
	}
	many := make([][]statistics.Record, 40)
	for i := range 25 {
		many[i] = []statistics.Record{city}
	}
	road := []statistics.Axis{{Field: "road", Keys: []string{"city"}}}
	for name, q := range map[string]statistics.Query{
		"count":     {Kind: statistics.Count, Field: "road"},
		"histogram": {Kind: statistics.Histogram, Axes: road},
		"sum":       {Kind: statistics.Sum, Field: "speed", High: 60, Axes: road},
		"mean":      {Kind: statistics.Mean, Field: "speed", High: 60, Axes: road},
		"variance":  {Kind: statistics.Variance, Field: "speed", High: 60, Axes: road},
		"quantiles": {Kind: statistics.Quantiles, Field: "speed", High: 100, Branching: 2, Levels: 4, Ranks: []float64{0.5}},
		"prefixes":  {Kind: statistics.Prefixes, Field: "road", Alphabet: "city", Symbols: 2, Prefixes: []string{""}},
	} {
		q.Records, q.MaxRecords = statistics.Total, 30
		for cell, e := range of(t, 20, q, one) {
			if !e.Suppressed {
				t.Errorf("%s: %s of one vehicle is shown: %+v", name, cell, e)
			}
		}
		q.Records, q.MaxRecords = statistics.Average, 0
		shown := false
		for _, e := range of(t, 20, q, many) {
			shown = shown || !e.Suppressed
		}
		if !shown {
			t.Errorf("%s: nothing is shown of 25 vehicles", name)
		}
	}
}

// TestSearchNamesNoRareText: a text that only few vehicles have is not named, by the search or as a prefix that goes on, though it stands out of the noise.
func TestSearchNamesNoRareText(t *testing.T) {
	fleet := make([][]statistics.Record, 60)
	for i := range 21 { // above the threshold, but not surely
		fleet[i] = []statistics.Record{{"road": "city"}}
	}
	q := statistics.Query{Name: "q", Weight: 1, Records: statistics.Average, Kind: statistics.Sketch, Field: "road", Alphabet: "city", Symbols: 2, Length: 4, Rows: 5, Width: 64}
	s := newSet(t, q)
	r := statistics.Release{Mean: mean(t, s, fleet, 0, nil), Reports: 60, Noise: 0.01, MinCount: 20}
	if all := decode(t, s, r); len(all) > 0 {
		t.Errorf("a rare text is named: %+v", all)
	}
	r.Candidates = []string{"city", "tic"}
	if all := decode(t, s, r); len(all) != 2 || !all["q/city"].Suppressed || !all["q/tic"].Suppressed {
		t.Errorf("texts that are public anyway: %+v", all)
	}
	if r.Noise = 0.0001; decode(t, s, r)["q/city"].Suppressed {
		t.Error("a text that surely is frequent is suppressed")
	}
	one := make([][]statistics.Record, 60)
	for range 30 {
		one[0] = append(one[0], statistics.Record{"road": "city"})
	}
	for rule, fleet := range map[statistics.Rule][][]statistics.Record{statistics.Average: fleet, statistics.Total: one} {
		p := statistics.Query{Name: "p", Weight: 1, Records: rule, Kind: statistics.Prefixes, Field: "road", Alphabet: "city", Symbols: 2, Prefixes: []string{""}}
		if rule == statistics.Total {
			p.MaxRecords = 30
		}
		s := newSet(t, p)
		r := statistics.Release{Mean: mean(t, s, fleet, 0, nil), Reports: 60, Noise: 1e-9}
		if _, on, err := s.Next(0, r, 20, 4); err != nil || on != (rule == statistics.Average) {
			t.Errorf("%s: it goes on: %v, %v", rule, on, err)
		}
	}
}

// TestNumbersAsKeys: a number is the key that a person writes for it.
func TestNumbersAsKeys(t *testing.T) {
	for key, x := range map[string]any{"1234567": 1234567.0, "0": math.Copysign(0, -1), "-0.00025": -0.00025, "100000": 1e5, "1e+21": 1e21, "1e-07": 1e-7, "true": true} {
		got := of(t, 0, statistics.Query{Kind: statistics.Histogram, Records: statistics.First, Axes: []statistics.Axis{{Field: "part", Keys: []string{key}}}}, [][]statistics.Record{{{"part": x}}})
		if math.Abs(got["q/"+key].Value-1) > 1e-6 {
			t.Errorf("%v is not counted as %s: %+v", x, key, got)
		}
	}
}

// TestHostileRecords: numbers at the ends of their range, in ranges at the ends of theirs, are inside the bound and finite, or refused.
func TestHostileRecords(t *testing.T) {
	hard := []float64{0, math.Copysign(0, -1), 5e-324, -5e-324, 1, 1 + 0x1p-52, 1e100, -1e100, math.MaxFloat64, -math.MaxFloat64, 1e-310, math.NaN(), math.Inf(1), math.Inf(-1)}
	any64 := rapid.OneOf(rapid.SampledFrom(hard), rapid.Float64())
	rapid.Check(t, func(t *rapid.T) {
		low, high := any64.Draw(t, "low"), any64.Draw(t, "high")
		if rapid.IntRange(0, 9).Draw(t, "least") == 0 {
			low, high = 0, 5e-324 // whose half is zero
		}
		kind := rapid.SampledFrom([]statistics.Kind{statistics.Sum, statistics.Mean, statistics.Variance, statistics.Quantiles}).Draw(t, "kind")
		q := statistics.Query{Name: "q", Weight: 1, Kind: kind, Records: statistics.Average, Field: "x", Low: low, High: high}
		if kind == statistics.Quantiles {
			q.Branching, q.Levels, q.Ranks = 3, 3, []float64{0.5}
		}
		s, err := statistics.New([]statistics.Query{q})
		if err != nil {
			return
		}
		x, err := s.Encode([]statistics.Record{{"x": any64.Draw(t, "x")}, {"x": any64.Draw(t, "x")}})
		if err != nil {
			return
		}
		if n := norm(x); !(n <= 1+1e-6) {
			t.Fatalf("norm %v", n)
		}
	})
}

// TestHostileMean: a mean that no fleet can have, as a collector may publish it, is decoded without a panic.
func TestHostileMean(t *testing.T) {
	queries := every()
	queries = append(queries, statistics.Evaluation{
		Name: "e", Classes: []string{"a", "b"}, Weight: 1, Records: statistics.First, Drift: statistics.Axis{Field: "label", Keys: []string{"a", "b"}}, Reference: []float64{0.4, 0.5, 0.1},
	}.Queries()...)
	s := newSet(t, queries...)
	hard := []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64, -math.MaxFloat64, 5e-324, 0, 1}
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		m := make([]float64, s.Values())
		some := 1 + r.IntN(len(hard))
		for i := range m {
			m[i] = hard[r.IntN(some)]
		}
		x := statistics.Release{Mean: m, Reports: 1 + r.IntN(1<<20), Noise: rapid.SampledFrom([]float64{0, 1, math.Inf(1)}).Draw(t, "noise"), MinCount: r.IntN(50), Candidates: []string{"city", "\xff"}}
		if _, err := s.Decode(x); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Evaluate(x); err != nil {
			t.Fatal(err)
		}
		for i, q := range s.Queries() {
			if s.RankStdErr(i, 0.5, x); q.Kind == statistics.Prefixes {
				if _, _, err := s.Next(i, x, 1, 5); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}
