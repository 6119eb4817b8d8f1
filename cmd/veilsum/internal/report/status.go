package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Status is what the status page shows. All strings are escaped: the names of tasks and regions are others' words.
type Status struct {
	// Title heads the page. Required.
	Title string
	// Created is when the store was read, and by what.
	Created string
	// Store and Owner say what was read and whose signature it was held against.
	Store, Owner string
	// Refresh is every how many seconds the page is loaded again; 0 for a file.
	Refresh int
	// Trouble is what could not be read or does not verify.
	Trouble []string
	Scopes  []StatusScope
	Tasks   []StatusTask
}

// StatusScope is one privacy budget.
type StatusScope struct {
	Name, ID              string
	Spent, Allowed, Delta float64
	Relation, Unit        string
	Epochs                int64 // charged
	// Entries of the ledger, the newest first; Hidden more are not listed.
	Events []StatusEvent
	Hidden int
}

// StatusEvent is a reservation in a ledger.
type StatusEvent struct {
	Entry       int64
	Task, Round string
	Reports     int
	State       string // "reserved", "settled: committed", ...
}

// StatusTask is one task.
type StatusTask struct {
	Name, ID             string
	Lanes, MinBatch, Max int
	Left                 int64 // epochs that the budget affords, -1 if unknown
	Threshold            int
	// Rounds with the newest first; Hidden more are not listed.
	Rounds  []StatusRound
	Hidden  int
	Members []StatusMember
}

// StatusRound is one round.
type StatusRound struct {
	Name   string // "12-0"
	State  string // "open", "frozen", "checked", "proposed", "voted", "answered", "committed", "void", "unreadable"
	Reason string // why it is void
	// Reports are complete ones in the store, Listed those in the frozen or opened list, Bytes all that reports take.
	Reports, Listed        int
	Bytes                  int64
	AtLeast                bool // Reports and Bytes are lower bounds
	Checks, Votes, Answers int
	Deadline               string
	Regions                []StatusRegion
}

// StatusRegion is a region of a round.
type StatusRegion struct {
	Name, Deadline   string
	Arrived          bool
	Reports, Refused int
}

// StatusMember is one member of a committee and what it signed last in the rounds that were read.
type StatusMember struct {
	Index               int
	Key                 string
	Check, Vote, Answer string // rounds; empty if none
	Ahead               int    // rounds behind the newest whose key it has published
}

//go:embed status.html
var statusPage string

var parsedStatus = template.Must(template.New("status").Funcs(template.FuncMap{
	"number": number, "bytes": bytesText, "short": short, "percent": percent,
}).Parse(pageHead + statusPage))

// WriteStatus writes the status page: it runs no script and loads nothing. It returns [ErrData] if
// the title is missing, and the writer's error otherwise. The same data gives the same bytes.
func WriteStatus(w io.Writer, data Status) error {
	if data.Title == "" {
		return fmt.Errorf("%w: a title is required", ErrData)
	}
	v := statusView{Status: data, Style: Style}
	for _, s := range data.Scopes {
		v.Scopes = append(v.Scopes, statusScopeView{s, s.share(), s.meter()})
	}
	for _, t := range data.Tasks {
		v.count(t)
		v.Tasks = append(v.Tasks, statusTaskView{t, t.chart(), t.regions()})
	}
	if err := parsedStatus.Execute(w, v); err != nil {
		return fmt.Errorf("report: write page: %w", err)
	}
	return nil
}

// statusView is the data with the drawings and the sums.
type statusView struct {
	Status
	Style                  template.CSS
	Scopes                 []statusScopeView
	Tasks                  []statusTaskView
	Going, Committed, Void int
	Reports                int
	Bytes                  int64
}

type statusScopeView struct {
	StatusScope
	Share float64
	Meter template.HTML
}

type statusTaskView struct {
	StatusTask
	Chart   template.HTML
	Regions []statusRegionRow
}

type statusRegionRow struct {
	Round string
	StatusRegion
}

func (v *statusView) count(t StatusTask) {
	for _, r := range t.Rounds {
		v.Reports += r.Reports
		v.Bytes += r.Bytes
		switch r.State {
		case "committed":
			v.Committed++
		case "void":
			v.Void++
		default:
			v.Going++
		}
	}
}

func (s StatusScope) share() float64 {
	if share := s.Spent / s.Allowed; isFinite(share) {
		return share
	}
	return 1
}

// meter draws the share that is spent; the text beside it says the same.
func (s StatusScope) meter() template.HTML {
	class := "b0"
	if s.share() > 0.9 {
		class = "full"
	}
	return template.HTML(fmt.Sprintf(`<svg class="meter" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true"><rect class="empty" width="100" height="6" rx="1"/><rect class="%s" width="%.2f" height="6" rx="1"/></svg>`,
		class, 100*math.Min(1, math.Max(0, s.share())))) //nolint:gosec // numbers only
}

// chartRounds is how many bars fit.
const chartRounds = 30

// chart draws the reports of the newest rounds, the oldest of them first.
func (t StatusTask) chart() template.HTML {
	rounds := slices.Clone(t.Rounds[:min(len(t.Rounds), chartRounds)])
	if len(rounds) < 2 {
		return ""
	}
	slices.Reverse(rounds)
	listed, other := Layer{Name: "in the list"}, Layer{Name: "not, or not yet, in a list"}
	bars := StackedBars{Title: "Reports of the newest rounds, the oldest first", XLabel: "round", YLabel: "reports", Whole: true}
	for _, r := range rounds {
		bars.Labels = append(bars.Labels, r.Name)
		listed.Values = append(listed.Values, float64(r.Listed))
		other.Values = append(other.Values, float64(max(0, r.Reports-r.Listed)))
	}
	bars.Layers = []Layer{listed, other}
	return bars.SVG()
}

func (t StatusTask) regions() (rows []statusRegionRow) {
	for _, r := range t.Rounds {
		for _, x := range r.Regions {
			rows = append(rows, statusRegionRow{r.Name, x})
		}
	}
	return rows
}

// Class is the state's color; the page shows its word, too.
func (r StatusRound) Class() string {
	switch r.State {
	case "committed":
		return "good"
	case "void", "unreadable":
		return "bad"
	case "open":
		return "new"
	}
	return "busy"
}

// Size is the number of reports for people.
func (r StatusRound) Size() string {
	n := strconv.Itoa(r.Reports)
	if r.AtLeast {
		n = "≥ " + n
	}
	return n
}

// Anchor is a name for a link to the task.
func (t StatusTask) Anchor() string { return "task-" + strings.ToLower(t.ID[:min(len(t.ID), 16)]) }
