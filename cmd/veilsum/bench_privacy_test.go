package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/veilsum/veilsum/privacy/accountant"
)

var tinyPrivacy = benchSizes{reps: 1, entries: 700, draws: 50_000}

func runPrivacy(t *testing.T, f *benchFlags) (string, error) {
	t.Helper()
	f.privacy = true
	var out, errs bytes.Buffer
	a := newApp(strings.NewReader(""), &out, &errs)
	a.json = true
	a.choosePrinter()
	err := a.bench(context.Background(), f, tinyPrivacy)
	return out.String(), err
}

// fakePython answers every query with the lines given, in turn.
func fakePython(t *testing.T, answers ...string) string {
	t.Helper()
	script := "#!/bin/sh\n"
	for _, a := range answers {
		script += "read -r q && echo '" + a + "'\n"
	}
	name := filepath.Join(t.TempDir(), "python")
	if err := os.WriteFile(name, []byte(script+"cat > /dev/null\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestBenchPrivacyShowsEveryFigureOnce(t *testing.T) {
	judged, err := accountant.Judge(benchTraining(100_000, 0.005, 1.2), accountant.AddRemove, benchDelta)
	if err != nil {
		t.Fatal(err)
	}
	python := fakePython(t, fmt.Sprint("0.05 ", judged.RDP.Epsilon), fmt.Sprint("1.1 ", judged.PLD.Upper), fmt.Sprint("0.38 ", judged.PLD.Upper*1.01))
	out, err := runPrivacy(t, &benchFlags{python: python})
	if err != nil {
		t.Fatal(err)
	}
	rows, declared := results(t, out), 0
	for _, g := range privacyGroups(true) {
		for _, f := range g.figures {
			declared++
			if r, ok := rows[f.name]; !ok || !(r.Value > 0) {
				t.Errorf("%s: %+v", f.name, r)
			}
		}
	}
	if len(rows) != declared {
		t.Errorf("%d figures, %d are declared", len(rows), declared)
	}
	if v := rows["dp_accounting_pld_query"].Value; v != 1100 {
		t.Errorf("1.1 s are %g ms", v)
	}
	// These do not depend on the machine's load.
	if v := rows["pld_error_delta_1e-15"].Value; v > 1e-6 {
		t.Errorf("error %g", v)
	}
}

// Another accountant that answers another question is no yardstick; one that is
// not installed is left out with a warning; none at all is an error.
func TestBenchPrivacyOthers(t *testing.T) {
	f := &benchFlags{only: []string{"dp_accounting_rdp_over_ours"}, python: fakePython(t, "0.05 1")}
	if _, err := runPrivacy(t, f); err == nil || !strings.Contains(err.Error(), "answers epsilon 1") {
		t.Errorf("a wrong epsilon: %v", err)
	}
	f.python = fakePython(t, "failed ImportError no", "failed ImportError no", "failed ImportError no")
	if out, err := runPrivacy(t, f); err != nil || !strings.Contains(out, "not compared: ImportError no") {
		t.Errorf("%v %s", err, out)
	}
	f.python = filepath.Join(t.TempDir(), "absent")
	if _, err := runPrivacy(t, f); err == nil {
		t.Error("an absent Python")
	}
	if _, err := runPrivacy(t, &benchFlags{only: []string{"dp_accounting_rdp_over_ours"}}); err == nil || !strings.Contains(err.Error(), "no such figure") {
		t.Errorf("without --python: %v", err)
	}
}

func TestBenchPrivacyCheck(t *testing.T) {
	f := &benchFlags{privacy: true, check: true, only: []string{"discrete_gaussian_sigma_10"}}
	b := &bench{app: newApp(strings.NewReader(""), &bytes.Buffer{}, &bytes.Buffer{}), figures: map[string]benchFigure{}, wanted: func(string) bool { return true }}
	for _, g := range privacyGroups(false) {
		for _, x := range g.figures {
			b.figures[x.name] = x
		}
	}
	b.put("discrete_gaussian_sigma_10", 9.9)
	b.put("ledger_audit", 5.1)
	b.put("rdp_query", 0.9)
	if got := strings.Join(b.missed, " "); got != "discrete_gaussian_sigma_10 ledger_audit" {
		t.Errorf("missed %s of %v", got, f.only)
	}
}
