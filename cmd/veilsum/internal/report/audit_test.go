package report_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/veilsum/veilsum/cmd/veilsum/internal/report"
)

// audited is the audit of 12 rounds, of which the fourth is void.
func audited() report.Audit {
	d := report.Audit{
		Title: "Veilsum audit", Created: "veilsum v0.1.0", Store: "file:///store", Owner: hash(1, 'd'), Complete: true, Recomputed: 11,
		Plain: []string{"Over 12 epochs epsilon 5 of 8 was spent."}, Objects: []report.AuditCount{{Kind: "vote", Count: 36}, {Kind: "receipt", Count: 12}},
		Notes:       []report.AuditNote{{Object: "tasks/x", Text: "an orphan"}},
		Enforcement: []string{"Every entry is counted."}, OutsideBudget: []string{"Tuning."}, Implementation: []string{"Exact integers."}, NotProtected: []string{"That a vehicle took part."},
		Software: []report.Parameter{{Name: "module", Value: "v1", Meaning: "h1:x"}},
	}
	scope := report.AuditScope{
		Name: "fleet", Population: "all vehicles", Spent: 5, Allowed: 8, Delta: 1e-5, Worst: 4.5, Accountants: []string{"rdp", "pld"},
		Vehicles: []report.AuditGroup{{Epochs: 1, Vehicles: 5, Epsilon: 1.3}, {Epochs: 3, Vehicles: 50, Epsilon: 4.5}},
		Facts:    []report.Parameter{{Name: "unit", Value: "vehicle", Meaning: "all of it"}},
	}
	task := report.AuditTask{Name: "learn", ID: hash(2, 'e'), Trust: []string{"1 of 4"}, Facts: scope.Facts}
	for i := range 12 {
		eps := 1.3 * math.Sqrt(float64(i+1))
		second := math.NaN()
		if i%3 == 0 {
			second = eps * 0.97
		}
		scope.Charges = append(scope.Charges, report.AuditCharge{Label: "x", Epsilon: []float64{eps, second}})
		r := report.AuditRound{
			Name: "000000000001-0", Status: "committed", Sum: "recomputed", Reports: 50, Votes: []int{0, 1, 2}, Answers: []int{0, 1, 2}, Dropped: []int{},
			WitnessVariance: 200, WitnessFloor: 150, NoiseStdDev: 0.02, MeanRMS: 0.05, Epsilon: eps,
			Manifest: hash(i, 'a'), Checkpoint: hash(i, 'b'), SumSHA256: hash(i, 'c'), Aggregate256: hash(i, 'f'),
		}
		if i == 3 {
			r = report.AuditRound{Name: r.Name, Status: "void", Reason: "too few", Epsilon: math.NaN()}
		}
		task.Rounds = append(task.Rounds, r)
	}
	d.Scopes, d.Tasks = []report.AuditScope{scope}, []report.AuditTask{task}
	return d
}

func writeAudit(t *testing.T, d report.Audit) string {
	t.Helper()
	var out bytes.Buffer
	if err := report.WriteAudit(&out, d); err != nil {
		t.Fatal(err)
	}
	page := out.String()
	wellFormed(t, page[strings.Index(page, "<main>"):strings.Index(page, "</body>")])
	if found := loads.FindString(strings.ReplaceAll(page, `xmlns="http://www.w3.org/2000/svg"`, "")); found != "" {
		t.Errorf("page contains %q", found)
	}
	if strings.Contains(page, "NaN") {
		t.Error("page contains NaN")
	}
	return page
}

// REPORT_OUT=path writes the sample page to look at in a browser.
func TestAuditPage(t *testing.T) {
	page := writeAudit(t, audited())
	if path := os.Getenv("REPORT_OUT"); path != "" {
		if err := os.WriteFile(path, []byte(page), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{
		"<b>verified</b>", "48 objects", "ε = 5", "ε = 4.5", "epsilon 5 of 8", "void: too few", "an orphan", "Tuning.", "That a vehicle took part.", hash(11, 'f'), "recomputed",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("page lacks %q", want)
		}
	}
	if strings.Contains(page, "does not verify") {
		t.Error("page of a complete audit tells of a flaw")
	}
	if n := len(drawings(page)); n != 5 {
		t.Errorf("%d drawings, want 3 of the budget and 2 of the task", n)
	}
	if page != writeAudit(t, audited()) {
		t.Error("the same data gave two pages")
	}
}

func TestAuditPageOfAFlaw(t *testing.T) {
	d := audited()
	d.Complete, d.FlawObject, d.Flaw = false, "tasks/y/receipt.json", "it lies"
	page := writeAudit(t, d)
	for _, want := range []string{"<b>flawed</b>", "The evidence does not verify.", "tasks/y/receipt.json", "it lies"} {
		if !strings.Contains(page, want) {
			t.Errorf("page lacks %q", want)
		}
	}
	if strings.Contains(page, "<b>verified</b>") {
		t.Error("a flawed audit is shown as verified")
	}
}

func TestAuditPageHostileStrings(t *testing.T) {
	const evil = `"'></text></svg><script>alert(1)</script><img src=x onerror=alert(1)>&` + "\x1b"
	d := audited()
	d.Title, d.Created, d.Store, d.Owner, d.FlawObject, d.Flaw, d.Complete = evil, evil, evil, evil, evil, evil, false
	d.Plain, d.NotProtected, d.Notes = []string{evil}, []string{evil}, []report.AuditNote{{Object: evil, Text: evil}}
	d.Scopes[0].Name, d.Scopes[0].Population, d.Scopes[0].Accountants = evil, evil, []string{evil}
	d.Tasks[0].Name, d.Tasks[0].Trust = evil, []string{evil}
	d.Tasks[0].Rounds[3].Reason = evil
	var out bytes.Buffer
	if err := report.WriteAudit(&out, d); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"<script", "<img"} {
		if strings.Contains(out.String(), bad) {
			t.Errorf("page contains %q", bad)
		}
	}
}

func TestAuditPageWithLittle(t *testing.T) {
	d := report.Audit{Title: "t", Scopes: []report.AuditScope{{Name: "s"}}, Tasks: []report.AuditTask{{Name: "t"}}}
	if page := writeAudit(t, d); !strings.Contains(page, "Nothing is charged.") {
		t.Error("page lacks \"Nothing is charged.\"")
	}
	if err := report.WriteAudit(io.Discard, report.Audit{}); !errors.Is(err, report.ErrData) {
		t.Errorf("error %v, want ErrData", err)
	}
	full := errors.New("disk full")
	if err := report.WriteAudit(failing{full}, d); !errors.Is(err, full) {
		t.Errorf("error %v, want the writer's", err)
	}
}
