package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
)

//go:embed plan.html
var planPage string

var parsedPlan = template.Must(template.New("plan").Funcs(template.FuncMap{
	"number": number, "bytes": bytesText, "factor": func(eps float64) string { return number(math.Exp(eps)) },
}).Parse(pageHead + planPage))

// Plan is what the page of a plan shows: what a privacy budget affords before anything is spent.
// A number that is unknown is NaN. All strings are escaped.
type Plan struct {
	// Title heads the page. Required.
	Title string
	// Created is when and by what the page was made.
	Created string
	// Epsilon and Delta are the budget.
	Epsilon, Delta float64
	// NoiseMultiplier is the one that was asked about; OneRound what a round then costs.
	NoiseMultiplier, OneRound float64
	// Affordable is how many rounds the budget then pays for, by the accountant of the roles.
	Affordable int64
	// Wanted rounds, if any, and the noise multiplier that they need.
	Wanted int64
	Needed float64
	// Curves in rising order of noise, at most three; Chosen is the index of NoiseMultiplier.
	Curves []PlanCurve
	Chosen int
	// Batches in rising order, of which MinBatch is the one asked about.
	Batches  []PlanBatch
	MinBatch int
	// Spent says in a sentence what a scope has spent already. Optional.
	Spent string
	// Inputs are listed as given; Warnings are shown at the top.
	Inputs   []Parameter
	Warnings []string
}

// PlanCurve is epsilon against rounds at one noise multiplier, by three accountants.
type PlanCurve struct {
	NoiseMultiplier      float64
	Rounds               []float64
	RDP, Tight, Gaussian []float64
}

// PlanBatch is what one batch size gives and costs.
type PlanBatch struct {
	MinBatch, MaxBatch, HonestMin int
	// Noise is the standard deviation of one value of the mean, SNR the largest signal over it.
	Noise, SNR float64
	Bits       int // of the modulus
	BitsValue  float64
	Bytes      int64 // of one report
}

// WritePlan writes the page of a plan: one file that runs no script and loads nothing. It
// returns [ErrData] if title, curves or batches are missing, and the writer's error otherwise.
// The same data gives the same bytes.
func WritePlan(w io.Writer, data Plan) error {
	if data.Title == "" || data.Chosen < 0 || data.Chosen >= len(data.Curves) || len(data.Batches) == 0 {
		return fmt.Errorf("%w: a title, a chosen curve and a batch are required", ErrData)
	}
	if err := parsedPlan.Execute(w, newPlanView(data)); err != nil {
		return fmt.Errorf("report: write page: %w", err)
	}
	return nil
}

// planView is the data with the drawings.
type planView struct {
	Plan
	Style                             template.CSS
	Rounds, Accountants, Noise, Bytes template.HTML
	Lines                             []planLine
}

// planLine is a row of the table of rounds.
type planLine struct{ Rounds, RDP, Tight, Gaussian float64 }

func newPlanView(d Plan) planView {
	v := planView{Plan: d, Style: Style}
	v.drawRounds()
	v.drawBatches()
	chosen := d.Curves[d.Chosen]
	for j, n := range chosen.Rounds {
		v.Lines = append(v.Lines, planLine{Rounds: n, RDP: at(chosen.RDP, j), Tight: at(chosen.Tight, j), Gaussian: at(chosen.Gaussian, j)})
	}
	return v
}

func at(list []float64, j int) float64 {
	if j >= len(list) {
		return math.NaN()
	}
	return list[j]
}

func (v *planView) drawRounds() {
	chosen := v.Curves[v.Chosen]
	plot := LinePlot{
		Title: "Epsilon against rounds for several noise multipliers", XLabel: "rounds", YLabel: "epsilon", FromZero: true,
		X: chosen.Rounds, Limit: v.Epsilon, LimitName: "budget",
	}
	for i, c := range v.Curves {
		name := "z = " + number(c.NoiseMultiplier)
		if i == v.Chosen {
			name += " (asked)"
		}
		plot.Series = append(plot.Series, Series{name, capped(c.RDP, 3*v.Epsilon)})
	}
	v.Rounds = plot.SVG()
	plot.Title = "Epsilon against rounds by each accountant"
	plot.Series = []Series{{"rdp", chosen.RDP}, {"tight", chosen.Tight}, {"Gaussian yardstick", chosen.Gaussian}}
	if slices.Equal(chosen.RDP, chosen.Tight) { // one line would hide the other
		plot.Series = []Series{{"rdp and tight", chosen.RDP}, plot.Series[2]}
	}
	v.Accountants = plot.SVG()
}

// capped leaves out what lies so far above the budget that it would flatten the rest.
func capped(y []float64, most float64) []float64 {
	out := make([]float64, len(y))
	for i, v := range y {
		if out[i] = v; v > most {
			out[i] = math.NaN()
		}
	}
	return out
}

func (v *planView) drawBatches() {
	noise := LinePlot{Title: "Noise in one value of the mean against the batch size", XLabel: "min_batch_size", YLabel: "standard deviation", FromZero: true, LogX: true}
	bits := LinePlot{Title: "Bytes of a report against the batch size", XLabel: "min_batch_size", YLabel: "bytes a report", FromZero: true, LogX: true}
	deviation, size := Series{Name: "noise of one value"}, Series{Name: "sealed report"}
	for _, b := range v.Batches {
		noise.X = append(noise.X, float64(b.MinBatch))
		deviation.Y, size.Y = append(deviation.Y, b.Noise), append(size.Y, float64(b.Bytes))
	}
	if first := v.Batches[0]; first.BitsValue > 0 {
		bits.Limit, bits.LimitName = 32*float64(first.Bytes)/first.BitsValue, "plain float32"
	}
	noise.Series, bits.X, bits.Series = []Series{deviation}, noise.X, []Series{size}
	v.Noise, v.Bytes = noise.SVG(), bits.SVG()
}
