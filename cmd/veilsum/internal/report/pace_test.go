package report_test

import (
	"bytes"
	"errors"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/veilsum/veilsum/cmd/veilsum/internal/report"
)

// REPORT_OUT=path writes the sample page to look at in a browser.
func TestPacePage(t *testing.T) {
	d := report.Pace{
		Title: "Pace <b>", Data: "rows <of> data", Vehicles: 500, Reports: 100, Rounds: 30, Seeds: 5, Epsilon: 7.5, Delta: 1e-5, Target: 0.74,
		Hours: []float64{0, 10, 20}, Megabytes: []float64{0, 1, 2},
		ByHours: []report.Series{{Name: "synchronous & slow", Y: []float64{math.NaN(), 0.2, 0.5}}, {Name: "buffered", Y: []float64{0.3, 0.5, 0.6}}},
		ByBytes: []report.Series{{Name: "buffered", Y: []float64{0.3, 0.5, 0.6}}},
		Rows:    []report.PaceRow{{Name: "synchronous & slow", Rounds: 30, Hours: 119.4, Accuracy: 0.7444, ToHours: "111", Up: 5.85e7, Down: 1.3e7, Whole: 2.6e7, Lost: 2, Staleness: 0.031}},
	}
	var out bytes.Buffer
	if err := report.WritePace(&out, d); err != nil {
		t.Fatal(err)
	}
	page := out.String()
	if path := os.Getenv("REPORT_OUT"); path != "" {
		if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	wellFormed(t, page[strings.Index(page, "<main>"):strings.Index(page, "</body>")])
	if found := loads.FindString(strings.ReplaceAll(page, `xmlns="http://www.w3.org/2000/svg"`, "")); found != "" {
		t.Errorf("page contains %q", found)
	}
	if strings.Contains(page, "NaN") {
		t.Error("page contains NaN")
	}
	for _, want := range []string{"Pace &lt;b&gt;", "rows &lt;of&gt; data", "synchronous &amp; slow", "0.744", "hours to 0.74", "58.5", "<svg"} {
		if !strings.Contains(page, want) {
			t.Errorf("page lacks %q", want)
		}
	}
	for _, bad := range []report.Pace{{Rows: d.Rows}, {Title: "x"}} {
		if err := report.WritePace(&out, bad); !errors.Is(err, report.ErrData) {
			t.Error(err)
		}
	}
}
