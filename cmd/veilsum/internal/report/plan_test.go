package report_test

import (
	"bytes"
	"errors"
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/veilsum/veilsum/cmd/veilsum/internal/report"
)

func plan() report.Plan {
	d := report.Plan{
		Title: "Privacy plan of <b>x</b>", Created: "veilsum v0.1.0", Epsilon: 8, Delta: 1e-6, NoiseMultiplier: 5, OneRound: 0.9, Affordable: 52, Wanted: 60, Needed: 5.4,
		Chosen: 1, MinBatch: 10000, Spent: "Scope x has spent nothing.", Warnings: []string{"a <warning>"},
		Inputs: []report.Parameter{{Name: "values", Value: "1000000", Meaning: "d"}},
	}
	for _, z := range []float64{2.5, 5, 10} {
		c := report.PlanCurve{NoiseMultiplier: z}
		for n := 1.0; n <= 65; n += 8 {
			c.Rounds = append(c.Rounds, n)
			c.RDP = append(c.RDP, 5*math.Sqrt(n)/z)
			c.Tight = append(c.Tight, math.NaN())
			c.Gaussian = append(c.Gaussian, 4.6*math.Sqrt(n)/z)
		}
		d.Curves = append(d.Curves, c)
	}
	for n := 1250; n <= 160000; n *= 2 {
		d.Batches = append(d.Batches, report.PlanBatch{MinBatch: n, MaxBatch: n, HonestMin: n, Noise: 5 / float64(n), SNR: 2e-4 * float64(n), Bits: 20, BitsValue: 20, Bytes: 2500000})
	}
	return d
}

// REPORT_OUT=path writes the sample page to look at in a browser.
func TestPlanPage(t *testing.T) {
	var out bytes.Buffer
	if err := report.WritePlan(&out, plan()); err != nil {
		t.Fatal(err)
	}
	page := out.String()
	if path := os.Getenv("REPORT_OUT"); path != "" {
		if err := os.WriteFile(path, []byte(page), 0o600); err != nil {
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
	for _, want := range []string{"&lt;b&gt;x", "a &lt;warning&gt;", "<b>52</b>", "z = 5 (asked)", "Scope x has spent nothing.", "160k", "1000000"} {
		if !strings.Contains(page, want) {
			t.Errorf("page lacks %q", want)
		}
	}
	if n := strings.Count(page, "<svg"); n != 4 {
		t.Errorf("%d drawings", n)
	}
}

func TestPlanPageNeedsData(t *testing.T) {
	for name, spoil := range map[string]func(*report.Plan){
		"title": func(d *report.Plan) { d.Title = "" }, "curves": func(d *report.Plan) { d.Curves = nil },
		"batches": func(d *report.Plan) { d.Batches = nil }, "chosen": func(d *report.Plan) { d.Chosen = 3 },
	} {
		d := plan()
		spoil(&d)
		if err := report.WritePlan(&bytes.Buffer{}, d); !errors.Is(err, report.ErrData) {
			t.Errorf("without %s: %v", name, err)
		}
	}
}

// Equal factors are equal distances on a logarithmic axis.
func TestLogarithmicAxis(t *testing.T) {
	svg := string(report.LinePlot{LogX: true, X: []float64{10, 100, 1000}, Series: []report.Series{{Name: "a", Y: []float64{1, 2, 3}}}}.SVG())
	var x []float64
	for _, found := range regexp.MustCompile(`<circle class="dot s0" cx="([^"]+)"`).FindAllStringSubmatch(svg, -1)[1:] { // the first is the legend's
		v, err := strconv.ParseFloat(found[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		x = append(x, v)
	}
	if math.Abs((x[1]-x[0])-(x[2]-x[1])) > 0.02 || x[1]-x[0] < 100 {
		t.Errorf("points at %v", x)
	}
}
