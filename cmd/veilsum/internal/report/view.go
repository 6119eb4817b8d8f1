package report

import (
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"
	"time"
)

// view is the data with everything derived from it that the page shows.
type view struct {
	Data
	Style      template.CSS
	Final      Round
	Factor     string // e^epsilon in digits
	Accepted   int
	Lost       int
	Opened     int
	Accuracy   template.HTML
	Epsilon    template.HTML
	Signal     template.HTML
	Sizes      template.HTML
	Reports    []regionPlot
	MeanRepeat Repeat
	Lines      []roundLine
}

type regionPlot struct {
	Name string
	SVG  template.HTML
}

// roundLine is a row of the table of rounds.
type roundLine struct {
	Round
	Accepted, Lost int
	SNR            float64
}

func newView(d Data) view {
	v := view{Data: d, Style: Style, Final: d.Rounds[len(d.Rounds)-1]}
	v.Factor = number(math.Exp(d.Guarantee.Epsilon))
	for _, round := range d.Rounds {
		line := roundLine{Round: round, SNR: snr(round)}
		for _, tally := range round.Regions {
			line.Accepted += tally.Accepted
			line.Lost += tally.Lost()
		}
		if round.Void == "" {
			v.Opened++
			v.Accepted += line.Accepted
		}
		v.Lost += line.Lost
		v.Lines = append(v.Lines, line)
	}
	for _, repeat := range d.Repeats {
		v.MeanRepeat.Accuracy += repeat.Accuracy / float64(len(d.Repeats))
		v.MeanRepeat.PlainAccuracy += repeat.PlainAccuracy / float64(len(d.Repeats))
	}
	v.draw()
	return v
}

func (v *view) draw() {
	x := v.column(func(r Round) float64 { return float64(r.Number) })
	v.Accuracy = LinePlot{
		Title: "Accuracy after each round", XLabel: "round", YLabel: "accuracy", X: x, Percent: true,
		Series: []Series{
			{"private", v.column(func(r Round) float64 { return r.Accuracy })},
			{"without privacy", v.column(func(r Round) float64 { return r.PlainAccuracy })},
		},
	}.SVG()
	v.Epsilon = LinePlot{
		Title: "Epsilon spent after each round", XLabel: "round", YLabel: "epsilon", X: x, FromZero: true,
		Series: []Series{{"spent", v.column(func(r Round) float64 { return r.Epsilon })}},
		Limit:  v.Budget, LimitName: "budget",
	}.SVG()
	v.Signal = LinePlot{
		Title: "Signal and noise in one value of the mean update", XLabel: "round", YLabel: "root mean square", X: x, FromZero: true,
		Series: []Series{
			{"signal (estimated)", v.column(signal)},
			{"noise", v.column(func(r Round) float64 { return r.NoiseStdDev })},
		},
	}.SVG()
	v.Sizes = v.sizes()
	v.regions()
}

func (v *view) sizes() template.HTML {
	plot := RowBars{Title: "Bytes per vehicle and round"}
	for _, size := range v.Bytes {
		text := bytesText(size.Bytes)
		if size.Note != "" {
			text += ", " + size.Note
		}
		plot.Rows = append(plot.Rows, RowBar{size.Name, float64(size.Bytes), text})
	}
	return plot.SVG()
}

// regions draws one plot a region, all to the same height.
func (v *view) regions() {
	kinds := []struct {
		name  string
		count func(Tally) int
	}{
		{"in the list", func(t Tally) int { return t.Accepted }},
		{"never sealed", func(t Tally) int { return t.BeforeSealing }},
		{"broke off", func(t Tally) int { return t.MidUpload }},
		{"late", func(t Tally) int { return t.Late }},
		{"refused", func(t Tally) int { return t.Refused }},
	}
	top := 0
	for _, round := range v.Rounds {
		for _, tally := range round.Regions {
			top = max(top, tally.Accepted+tally.Lost())
		}
	}
	for i, name := range v.Regions {
		plot := StackedBars{
			Title:  "Reports of region " + name + " in each round",
			XLabel: "round", YLabel: "vehicles", Top: float64(top),
		}
		for _, round := range v.Rounds {
			plot.Labels = append(plot.Labels, strconv.Itoa(round.Number))
		}
		for j, kind := range kinds {
			if j == len(kinds)-1 && !v.anyRefused() {
				break // no empty entry in the legend
			}
			plot.Layers = append(plot.Layers, Layer{kind.name, v.column(func(r Round) float64 { return float64(kind.count(r.Regions[i])) })})
		}
		v.Reports = append(v.Reports, regionPlot{name, plot.SVG()})
	}
}

func (v *view) anyRefused() bool {
	for _, round := range v.Rounds {
		for _, tally := range round.Regions {
			if tally.Refused > 0 {
				return true
			}
		}
	}
	return false
}

func (v *view) column(of func(Round) float64) []float64 {
	out := make([]float64, len(v.Rounds))
	for i, round := range v.Rounds {
		out[i] = of(round)
	}
	return out
}

// signal estimates the root mean square of the mean update without its noise: the
// noise is independent, so the squares add. Zero where the noise explains all.
func signal(r Round) float64 {
	return math.Sqrt(max(0, r.AggregateRMS*r.AggregateRMS-r.NoiseStdDev*r.NoiseStdDev))
}

func snr(r Round) float64 { return signal(r) / r.NoiseStdDev }

func percent(x float64) string {
	if !isFinite(x) {
		return "–"
	}
	return strconv.FormatFloat(100*x, 'f', 1, 64) + "\u00a0%"
}

// points prints the difference of two shares in percentage points.
func points(a, b float64) string {
	if !isFinite(a - b) {
		return "–"
	}
	return strings.ReplaceAll(fmt.Sprintf("%+.1f\u00a0points", 100*(a-b)), "-", "\u2212")
}

func number(x float64) string {
	switch {
	case !isFinite(x):
		return "–"
	case x >= 1e6 || (x != 0 && math.Abs(x) < 1e-3):
		return strings.Replace(strconv.FormatFloat(x, 'g', 2, 64), "e-0", "e-", 1)
	case x >= 100:
		return strconv.FormatFloat(x, 'f', 0, 64)
	}
	return strconv.FormatFloat(math.Round(x*1e3)/1e3, 'f', -1, 64)
}

// fixed prints x with three decimals, for columns.
func fixed(x float64) string {
	if !isFinite(x) {
		return "–"
	}
	return strconv.FormatFloat(x, 'f', 3, 64)
}

func bytesText(n int64) string {
	switch {
	case n >= 1e6:
		return strconv.FormatFloat(float64(n)/1e6, 'f', 1, 64) + " MB"
	case n >= 1e4:
		return strconv.FormatFloat(float64(n)/1e3, 'f', 1, 64) + " kB"
	}
	return strconv.FormatInt(n, 10) + " B"
}

// short abbreviates a hash for the table; the full one stands below it.
func short(hash string) string {
	if runes := []rune(hash); len(runes) > 12 {
		return string(runes[:12]) + "…"
	}
	return hash
}

func seconds(s float64) string {
	if !isFinite(s) || math.Abs(s) > 1e9 {
		return "–"
	}
	return time.Duration(s * float64(time.Second)).Round(10 * time.Millisecond).String()
}
