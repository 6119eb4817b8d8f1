package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
)

//go:embed pace.html
var pacePage string

var parsedPace = template.Must(template.New("pace").Funcs(template.FuncMap{
	"number": number, "share": func(x float64) string { return fmt.Sprintf("%.3f", x) }, "mb": func(x float64) string { return fmt.Sprintf("%.1f", x/1e6) },
	"whole": func(x float64) string { return fmt.Sprintf("%.0f", x) }, "two": func(x float64) string { return fmt.Sprintf("%.2f", x) },
}).Parse(pageHead + pacePage))

// Pace is what the page shows that compares schedules of rounds. All strings are escaped.
type Pace struct {
	// Title heads the page. Required.
	Title, Created, Data string
	Vehicles, Reports    int
	Rounds, Seeds        int
	Epsilon, Delta       float64
	// Target is the accuracy that the rows' ToHours are about.
	Target float64
	// Rows are the schedules, means over the seeds. Required.
	Rows []PaceRow
	// ByHours belongs to the positions Hours, ByBytes to Megabytes sent by the fleet; at most four series each are told apart.
	Hours, Megabytes []float64
	ByHours, ByBytes []Series
}

// PaceRow is one schedule. Bytes are the whole fleet's.
type PaceRow struct {
	Name, ToHours                       string
	Rounds, Void, Hours, Accuracy, Lost float64
	Up, Down, Whole                     float64
	Staleness                           float64
}

// WritePace writes the page: one file that runs no script and loads nothing. It returns [ErrData] if title
// or rows are missing, and the writer's error otherwise. The same data gives the same bytes.
func WritePace(w io.Writer, data Pace) error {
	if data.Title == "" || len(data.Rows) == 0 {
		return fmt.Errorf("%w: a title and rows are required", ErrData)
	}
	v := struct {
		Pace
		Style        template.CSS
		Hours, Bytes template.HTML
	}{Pace: data, Style: Style}
	v.Hours = LinePlot{Title: "Accuracy against hours", XLabel: "hours", YLabel: "accuracy", X: data.Hours, Series: data.ByHours, Percent: true, FromZero: true}.SVG()
	v.Bytes = LinePlot{Title: "Accuracy against bytes", XLabel: "MB sent by the fleet", YLabel: "accuracy", X: data.Megabytes, Series: data.ByBytes, Percent: true, FromZero: true}.SVG()
	if err := parsedPace.Execute(w, v); err != nil {
		return fmt.Errorf("report: write page: %w", err)
	}
	return nil
}
