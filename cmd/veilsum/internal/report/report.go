package report

import (
	_ "embed"
	"errors"
	"fmt"
	"html/template"
	"io"
)

// ErrData reports that the page cannot be made from the data given.
var ErrData = errors.New("report: bad data")

//go:embed report.css
var css string

// pageHead begins every page, up to its title.
//
//go:embed head.html
var pageHead string

//go:embed report.html
var page string

// Style is the style sheet of the page, for other pages that show the drawings.
var Style = template.CSS(css) //nolint:gosec // embedded, no caller string

var parsed = template.Must(template.New("report").Funcs(template.FuncMap{
	"percent": percent, "points": points, "number": number, "fixed": fixed, "bytes": bytesText, "short": short, "seconds": seconds,
}).Parse(pageHead + page))

// Write writes the page. It returns [ErrData] if the title or the rounds are missing
// or a round does not name one tally a region, and the writer's error otherwise.
// The same data gives the same bytes.
func Write(w io.Writer, data Data) error {
	if data.Title == "" || len(data.Rounds) == 0 {
		return fmt.Errorf("%w: a title and at least one round are required", ErrData)
	}
	for _, round := range data.Rounds {
		if len(round.Regions) != len(data.Regions) {
			return fmt.Errorf("%w: round %d has %d tallies for %d regions", ErrData, round.Number, len(round.Regions), len(data.Regions))
		}
	}
	if err := parsed.Execute(w, newView(data)); err != nil {
		return fmt.Errorf("report: write page: %w", err)
	}
	return nil
}
