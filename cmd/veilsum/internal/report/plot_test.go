package report_test

import (
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/veilsum/veilsum/cmd/veilsum/internal/report"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "rewrite testdata/*.svg")

func TestDrawingsAgainstGolden(t *testing.T) {
	golden := map[string]string{
		"lines.svg": string(report.LinePlot{
			Title: "t", XLabel: "round", YLabel: "accuracy", X: []float64{1, 2, 3}, Percent: true,
			Series: []report.Series{{"a", []float64{0.5, math.NaN(), 0.75}}, {"b", []float64{0.6, 0.65, 0.7}}},
			Limit:  0.8, LimitName: "limit",
		}.SVG()),
		"stacked.svg": string(report.StackedBars{
			Title: "t", XLabel: "round", YLabel: "vehicles", Labels: []string{"1", "2"}, Top: 10,
			Layers: []report.Layer{{"in", []float64{6, 5}}, {"out", []float64{1, 2}}},
		}.SVG()),
		"rows.svg": string(report.RowBars{
			Title: "t", Rows: []report.RowBar{{"sealed", 100, "100 B"}, {"clear", 25, "25 B"}},
		}.SVG()),
	}
	for name, got := range golden {
		path := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s differs; look at it in a browser, then run with -update", name)
		}
	}
}

var rect = regexp.MustCompile(`<rect class="bar b(\d)" x="([^"]+)" y="([^"]+)" width="([^"]+)" height="([^"]+)"/>`)

// The heights of a stack's parts must be in the proportion of their values, and each
// part must stand on the one below.
func TestStackedBarsAreToScale(t *testing.T) {
	svg := string(report.StackedBars{
		Labels: []string{"1"}, Layers: []report.Layer{{"in", []float64{60}}, {"out", []float64{20}}},
	}.SVG())
	marks := rect.FindAllStringSubmatch(svg, -1)
	if len(marks) != 4 {
		t.Fatalf("%d rectangles, want two in the legend and two bars", len(marks))
	}
	value := func(i, field int) float64 {
		f, err := strconv.ParseFloat(marks[i][field], 64)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	if lower, upper := value(2, 5), value(3, 5); math.Abs(lower-3*upper) > 0.05 {
		t.Errorf("heights %g and %g, want three to one", lower, upper)
	}
	if math.Abs(value(3, 3)+value(3, 5)-value(2, 3)) > 0.05 {
		t.Error("the upper part does not stand on the lower")
	}
}

func TestGapsBreakTheLine(t *testing.T) {
	svg := string(report.LinePlot{
		X: []float64{1, 2, 3, 4, 5}, Series: []report.Series{{"a", []float64{1, 2, math.NaN(), 2, 1}}},
	}.SVG())
	path := regexp.MustCompile(`d="([^"]+)"`).FindStringSubmatch(svg)[1]
	if strings.Count(path, "M") != 2 || strings.Count(path, "L") != 2 {
		t.Errorf("path %s, want two strokes of two points", path)
	}
}

// Whatever the numbers and names, a drawing is well-formed, has no NaN in a
// coordinate and stays within its frame.
func TestDrawingsAreWellFormed(t *testing.T) {
	number := rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{0, 1, -1, math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64, 5e-324}))
	rapid.Check(t, func(r *rapid.T) {
		values := rapid.SliceOfN(number, 0, 8)
		names := rapid.SliceOfN(rapid.String(), 0, 6).Draw(r, "names")
		line := report.LinePlot{
			Title: rapid.String().Draw(r, "title"), X: values.Draw(r, "x"),
			Limit: number.Draw(r, "limit"), LimitName: rapid.String().Draw(r, "limit name"), LogX: rapid.Bool().Draw(r, "log"),
		}
		bars := report.StackedBars{Labels: names, Top: number.Draw(r, "top")}
		rows := report.RowBars{}
		for _, name := range names {
			line.Series = append(line.Series, report.Series{Name: name, Y: values.Draw(r, "y")})
			bars.Layers = append(bars.Layers, report.Layer{Name: name, Values: values.Draw(r, "layer")})
			rows.Rows = append(rows.Rows, report.RowBar{Name: name, Value: number.Draw(r, "row"), Text: name})
		}
		for _, svg := range []string{string(line.SVG()), string(bars.SVG()), string(rows.SVG())} {
			if len(drawings(svg)) != 1 {
				r.Fatalf("not one drawing: %q", svg)
			}
			wellFormed(t, svg)
			inFrame(r, svg)
		}
	})
}

var coordinate = regexp.MustCompile(` (?:x|y|x1|x2|y1|y2|cx|cy)="([^"]*)"`)

func inFrame(r *rapid.T, svg string) {
	for _, found := range coordinate.FindAllStringSubmatch(svg, -1) {
		v, err := strconv.ParseFloat(found[1], 64)
		if err != nil || math.IsNaN(v) || v < -1000 || v > 1000 {
			r.Fatalf("coordinate %q in %q", found[1], svg)
		}
	}
}

// TestWholeAxis: a count of vehicles has no halves.
func TestWholeAxis(t *testing.T) {
	for _, top := range []float64{1, 3, 4, 7} {
		bars := report.StackedBars{Labels: []string{"1"}, Layers: []report.Layer{{Name: "vehicles", Values: []float64{top}}}, Whole: true}
		svg := string(bars.SVG())
		if strings.Contains(svg, ">0.5<") || strings.Contains(svg, ">0.2<") || strings.Contains(svg, ">1.5<") {
			t.Errorf("fractions up to %g: %s", top, svg)
		}
		if last := fmt.Sprintf(">%g<", math.Ceil(top)); top < 7 && !strings.Contains(svg, last) {
			t.Errorf("no %s: %s", last, svg)
		}
	}
}
