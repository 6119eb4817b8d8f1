package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
)

var tinyBench = benchSizes{
	values: 20_000, small: 500, batch: 50, many: 8, few: 4, stored: 2, replayed: 4, simulated: 1000, reps: 3,
}

// runBench runs a tiny benchmark and returns what it printed.
func runBench(t *testing.T, f *benchFlags, asJSON bool) (string, error) {
	t.Helper()
	var out, errs bytes.Buffer
	a := newApp(strings.NewReader(""), &out, &errs)
	a.json = asJSON
	a.choosePrinter()
	err := a.bench(context.Background(), f, tinyBench)
	return out.String(), err
}

func benchNames() (names []string) {
	for _, g := range append(benchGroups(), baselineGroup()) {
		for _, f := range g.figures {
			names = append(names, f.name)
		}
	}
	return names
}

// results returns the figures of JSON output by name, each of which must be there once.
func results(t *testing.T, out string) map[string]benchRow {
	t.Helper()
	rows := map[string]benchRow{}
	for line := range strings.Lines(out) {
		var r struct {
			Type string `json:"type"`
			benchRow
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%v: %q", err, line)
		}
		if r.Type != "result" {
			continue
		}
		if _, ok := rows[r.Name]; ok {
			t.Errorf("%s twice", r.Name)
		}
		rows[r.Name] = r.benchRow
	}
	return rows
}

func TestBenchShowsEveryFigureOnce(t *testing.T) {
	out, err := runBench(t, &benchFlags{baseline: "bgv"}, true)
	if err != nil {
		t.Fatal(err)
	}
	rows := results(t, out)
	if len(rows) != len(benchNames()) {
		t.Errorf("%d figures, %d are declared", len(rows), len(benchNames()))
	}
	for _, name := range benchNames() {
		r, ok := rows[name]
		if !ok || math.IsNaN(r.Value) || math.IsInf(r.Value, 0) || r.Value < 0 || r.Unit == "" {
			t.Errorf("%s: %+v", name, r)
		}
	}
	for _, name := range []string{
		"client_seal_over_intt", "aggregator_add_over_float32_add", "aggregator_full_over_float32_add",
		"decryptor_over_open_and_verify", "bits_per_value_n1e4_d1e6",
	} {
		if rows[name].Value == 0 {
			t.Errorf("%s is absent or 0", name)
		}
	}
	if r := rows["bgv_bits_ratio"]; r.AtLeast == nil || *r.AtLeast != 10 || r.AtMost != nil || r.Met == nil || *r.Met != (r.Value >= 10) {
		t.Errorf("bgv_bits_ratio is %+v", r)
	}
	if r := rows["collector_open_ns_per_value"]; r.AtMost == nil || *r.AtMost != 40 || r.AtLeast != nil || r.Met == nil || *r.Met != (r.Value <= 40) {
		t.Errorf("collector_open_ns_per_value is %+v", r)
	}
	if r := rows["intt_ns_per_value"]; r.AtMost != nil || r.AtLeast != nil || r.Met != nil {
		t.Errorf("intt_ns_per_value has a target: %+v", r)
	}
	// These do not depend on sizes or load: PROTOCOL.md section 5 at (4,3).
	if a, b := rows["report_fixed_bytes_suite1"].Value, rows["report_fixed_bytes_suite2"].Value; a != 5496 || b != 1144 {
		t.Errorf("fixed parts are %v and %v bytes, want 5496 and 1144", a, b)
	}
	if rows["wrapped_values"].Value != 0 || rows["client_state_bytes"].Value == 0 || rows["aggregator_memory_100"].Value == 0 {
		t.Errorf("wraps %v, state %v, memory %v", rows["wrapped_values"], rows["client_state_bytes"], rows["aggregator_memory_100"])
	}
}

func TestBenchTable(t *testing.T) {
	only := []string{"report_fixed_bytes_suite2", "report_fixed_bytes_suite1"}
	out, err := runBench(t, &benchFlags{only: only}, false)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 3 || !slices.Equal(strings.Fields(lines[0]), []string{"figure", "value", "unit", "target"}) {
		t.Fatalf("table is\n%s", out)
	}
	if got := strings.Fields(lines[1]); !slices.Equal(got, []string{"report_fixed_bytes_suite1", "5496", "bytes", "<=", "5939", "met"}) {
		t.Errorf("row is %q", got)
	}
	if got := strings.Fields(lines[2]); !slices.Equal(got, []string{"report_fixed_bytes_suite2", "1144", "bytes"}) {
		t.Errorf("row is %q", got)
	}
}

// TestBenchCheck: a tiny report has far more than 31 bits a value, a sure miss.
func TestBenchCheck(t *testing.T) {
	f := &benchFlags{only: []string{"bits_per_value_n1e4_d1e4"}}
	out, err := runBench(t, f, false)
	if err != nil || !strings.Contains(out, "MISSED") {
		t.Errorf("without --check: %v\n%s", err, out)
	}
	f.check = true
	_, err = runBench(t, f, true)
	if err == nil || !strings.Contains(err.Error(), "missed targets: bits_per_value_n1e4_d1e4") {
		t.Errorf("with --check: %v", err)
	}
	if code, _ := explain(context.Background(), err); code != exitFailed {
		t.Errorf("exit status %d", code)
	}
}

func TestBenchRefusals(t *testing.T) {
	for _, f := range []benchFlags{
		{baseline: "ckks"},
		{only: []string{"speed"}},
		{only: []string{"bgv_bits_ratio"}}, // needs --baseline bgv
	} {
		_, err := runBench(t, &f, false)
		var u *usageError
		if !errors.As(err, &u) {
			t.Errorf("%+v: %v, want a usage error", f, err)
		}
	}
}

func TestBenchFigureMet(t *testing.T) {
	for _, x := range []struct {
		limit string
		v     float64
		met   bool
	}{
		{"<=", 2, true},
		{"<=", 2.001, false},
		{">=", 2, true},
		{">=", 1.999, false},
		{"", 100, true},
		{"<=", math.NaN(), false},
	} {
		if got := (benchFigure{limit: x.limit, target: 2}).met(x.v); got != x.met {
			t.Errorf("%v %s 2 is %v", x.v, x.limit, got)
		}
	}
	names := benchNames()
	slices.Sort(names)
	if n := len(names); len(slices.Compact(names)) != n {
		t.Error("a name is declared twice")
	}
}

// TestReplayIsVerified: the reports that the aggregator is timed on are
// different, all accepted, and one with a wrong byte is not.
func TestReplayIsVerified(t *testing.T) {
	ctx := t.Context()
	b := &bench{app: newApp(nil, nil, nil), sizes: tinyBench, dir: t.TempDir()}
	w, err := b.newWorld(ctx, benchWish{values: 3000, suite: 2, vehicles: 6})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.report(ctx, 2); err != nil {
		t.Fatal(err)
	}
	for _, signed := range []bool{true, false} {
		s, err := w.replay(ctx, 6, signed)
		if err != nil {
			t.Fatal(err)
		}
		if res, err := s.sum(ctx, s.ids, nil); err != nil || len(res.Reports) != 6 {
			t.Fatalf("signed %v: %v", signed, err)
		}
	}
	s, err := w.replay(ctx, 6, true)
	if err != nil {
		t.Fatal(err)
	}
	s.headers[5][s.originals[0].Header.HeaderBytes()] ^= 1 // a signed hash of a box
	if _, err := s.sum(ctx, s.ids, nil); err == nil || !strings.Contains(err.Error(), "added 5 of 6 reports, refused 1") {
		t.Errorf("a forged report: %v", err)
	}
}

func TestMedian(t *testing.T) {
	if m := median([]float64{9, 1, 5}); m != 5 {
		t.Errorf("median of three is %v", m)
	}
	if m := median([]float64{9, 1, 5, 6}); m != 5.5 {
		t.Errorf("median of four is %v", m)
	}
	a, b := &benchTimer{times: []float64{10, 40, 30}}, &benchTimer{times: []float64{1, 2, 6}}
	if r := a.over(b, 2, 1); r != 5 { // 5, 10, 2.5
		t.Errorf("ratio is %v", r)
	}
	if r := a.over(&benchTimer{times: make([]float64, 3)}, 1, 1); !math.IsNaN(r) {
		t.Errorf("ratio to nothing is %v", r)
	}
	if fastest([]*benchTimer{a, b}) != b {
		t.Error("fastest is not b")
	}
}
