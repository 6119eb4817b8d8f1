package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"strconv"
)

//go:embed audit.html
var auditPage string

var parsedAudit = template.Must(template.New("audit").Funcs(template.FuncMap{
	"number": number, "fixed": fixed, "short": short, "factor": func(eps float64) string { return number(math.Exp(eps)) },
}).Parse(pageHead + auditPage))

// WriteAudit writes the page of an audit: one file that runs no script and loads nothing. It
// returns [ErrData] if the title is missing, and the writer's error otherwise. The same data gives the
// same bytes.
func WriteAudit(w io.Writer, data Audit) error {
	if data.Title == "" {
		return fmt.Errorf("%w: a title is required", ErrData)
	}
	if err := parsedAudit.Execute(w, newAuditView(data)); err != nil {
		return fmt.Errorf("report: write page: %w", err)
	}
	return nil
}

// auditView is the data with the drawings.
type auditView struct {
	Audit
	Style  template.CSS
	Scopes []auditScopeView
	Tasks  []auditTaskView
	Total  int // objects
}

type auditScopeView struct {
	AuditScope
	Epsilon, Histogram, Worst template.HTML
}

type auditTaskView struct {
	AuditTask
	Signal, Witness template.HTML
	Opened          int
}

func newAuditView(d Audit) auditView {
	v := auditView{Audit: d, Style: Style}
	for _, s := range d.Scopes {
		v.Scopes = append(v.Scopes, s.view())
	}
	for _, t := range d.Tasks {
		v.Tasks = append(v.Tasks, t.view())
	}
	for _, o := range d.Objects {
		v.Total += o.Count
	}
	return v
}

func (s AuditScope) view() auditScopeView {
	v := auditScopeView{AuditScope: s}
	if len(s.Charges) == 0 {
		return v
	}
	plot := LinePlot{
		Title: "Epsilon after each charged epoch", XLabel: "charged epochs", YLabel: "epsilon", FromZero: true,
		Limit: s.Allowed, LimitName: "budget",
	}
	if s.Allowed > 20*s.Spent {
		plot.LimitName = "" // a line far above would flatten the curve
	}
	for i := range s.Charges {
		plot.X = append(plot.X, float64(i+1))
	}
	for i, name := range s.Accountants {
		series := Series{Name: name}
		for _, c := range s.Charges {
			y := math.NaN()
			if i < len(c.Epsilon) {
				y = c.Epsilon[i]
			}
			series.Y = append(series.Y, y)
		}
		plot.Series = append(plot.Series, series)
	}
	v.Epsilon = plot.SVG()
	v.Histogram, v.Worst = s.vehicles()
	return v
}

// vehicles draws how often vehicles took part, and what that cost each of them.
func (s AuditScope) vehicles() (histogram, worst template.HTML) {
	if len(s.Vehicles) == 0 {
		return "", ""
	}
	bars := StackedBars{Title: "Vehicles by the number of their epochs", XLabel: "epochs a vehicle took part in", YLabel: "vehicles", Whole: true}
	line := LinePlot{Title: "Epsilon of a vehicle by its own epochs", XLabel: "epochs a vehicle took part in", YLabel: "epsilon", FromZero: true}
	counts, own := Layer{Name: "vehicles"}, Series{Name: "a vehicle by its own epochs"}
	for i, g := range s.Vehicles {
		if i > 0 && g.Epochs-s.Vehicles[0].Epochs < 100 {
			for gap := s.Vehicles[i-1].Epochs + 1; gap < g.Epochs; gap++ {
				bars.Labels, counts.Values = append(bars.Labels, strconv.Itoa(gap)), append(counts.Values, 0)
			}
		}
		bars.Labels = append(bars.Labels, strconv.Itoa(g.Epochs))
		counts.Values = append(counts.Values, float64(g.Vehicles))
		line.X, own.Y = append(line.X, float64(g.Epochs)), append(own.Y, g.Epsilon)
	}
	bars.Layers, line.Series = []Layer{counts}, []Series{own}
	line.Limit, line.LimitName = s.Spent, "in all epochs"
	return bars.SVG(), line.SVG()
}

func (t AuditTask) view() auditTaskView {
	v := auditTaskView{AuditTask: t}
	signal := LinePlot{Title: "Signal and noise of each opened mean", XLabel: "opened sums", YLabel: "root mean square", FromZero: true}
	witness := LinePlot{Title: "Witness variance over its floor", XLabel: "opened sums", YLabel: "variance / floor", FromZero: true, Limit: 1, LimitName: "least allowed"}
	strength, noise, ratio := Series{Name: "signal (estimated)"}, Series{Name: "noise"}, Series{Name: "found"}
	for _, r := range t.Rounds {
		if r.Status != "committed" {
			continue
		}
		v.Opened++
		signal.X = append(signal.X, float64(v.Opened))
		strength.Y = append(strength.Y, r.Signal())
		noise.Y = append(noise.Y, r.NoiseStdDev)
		ratio.Y = append(ratio.Y, r.WitnessVariance/r.WitnessFloor)
	}
	if v.Opened == 0 {
		return v
	}
	signal.Series, witness.X, witness.Series = []Series{strength, noise}, signal.X, []Series{ratio}
	v.Signal, v.Witness = signal.SVG(), witness.SVG()
	return v
}

// Signal estimates the root mean square of the mean without its noise.
func (r AuditRound) Signal() float64 {
	return math.Sqrt(max(0, r.MeanRMS*r.MeanRMS-r.NoiseStdDev*r.NoiseStdDev))
}

// SNR is Signal over the noise.
func (r AuditRound) SNR() float64 { return r.Signal() / r.NoiseStdDev }
