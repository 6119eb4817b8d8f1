package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
)

//go:embed fleet.html
var fleetPage string

var parsedFleet = template.Must(template.New("fleet").Funcs(template.FuncMap{
	"number": number, "bytes": bytesText, "percent": percent,
}).Parse(pageHead + fleetPage))

// Fleet is what the page of a simulated fleet shows. A number that is unknown is NaN. All strings are escaped.
type Fleet struct {
	// Title heads the page, Created is when and by what it was made. Title is required.
	Title, Created string
	// Warnings are shown at the top.
	Warnings []string
	Cards    []Card
	// Cells are the land, Regions the names of the regions by number. Required.
	Cells   []MapCell
	Regions []string
	// Counted is by region and hour: reports in a list for each 1000 vehicles.
	Counted [][]float64
	// Rounds in the order of their opening. Required.
	Rounds []FleetRound
	// Outcomes by profile.
	Profiles []FleetProfile
	Outcomes []string // names
	// Stack are shares of the invitations by profile, at most five layers that add up to one.
	Stack []Layer
	// Bytes of one counted report, and Seconds that they take alone on a middling link of each profile.
	Bytes   []Size
	Seconds []FleetSeconds
	Energy  []Parameter
	Real    []Parameter // what the real roles measured
	Checks  []FleetCheck
	Inputs  []Parameter
}

// Card is a figure at the top.
type Card struct{ Value, Name string }

// MapCell is a square of land on the map.
type MapCell struct {
	Latitude, Longitude float64 // of its middle, degrees north and east
	Region, Vehicles    int
	Share               float64 // of the invitations that counted; NaN without any
}

// FleetRound is one epoch: all its lanes together.
type FleetRound struct {
	Hour          float64 // of opening
	Minutes       float64 // to the close of its last lane
	Counted, Late int
	Staleness     float64 // mean
	Epsilon       float64 // spent once it is opened
	OpenLanes     int     // that were opened, of Lanes
	Lanes         int
}

// FleetProfile is one kind of link.
type FleetProfile struct {
	Name     string
	Vehicles int
	Shares   []float64 // of its invitations, by outcome
	Median   float64   // seconds from sealing to arrival
	High     float64   // 95 per cent of the uploads stay below
	Again    float64   // bytes sent again, share of all
	Joules   float64   // a counted report, with all that did not count
	Dollars  float64
}

// FleetSeconds are the times of one system's message.
type FleetSeconds struct {
	Name    string
	Seconds []float64 // by profile
}

// FleetCheck is a figure with a closed form.
type FleetCheck struct {
	Name, Law              string
	Expected, Simulated, Z float64
	Holds                  bool
}

// WriteFleet writes the page of a simulated fleet: one file that runs no script and loads nothing. It
// returns [ErrData] if title, cells, regions or rounds are missing, and the writer's error otherwise.
// The same data gives the same bytes.
func WriteFleet(w io.Writer, data Fleet) error {
	if data.Title == "" || len(data.Cells) == 0 || len(data.Rounds) == 0 || len(data.Regions) == 0 {
		return fmt.Errorf("%w: a title, a map, regions and rounds are required", ErrData)
	}
	for _, c := range data.Cells {
		if c.Region < 0 || c.Region >= len(data.Regions) {
			return fmt.Errorf("%w: a cell of region %d of %d", ErrData, c.Region, len(data.Regions))
		}
	}
	if err := parsedFleet.Execute(w, newFleetView(data)); err != nil {
		return fmt.Errorf("report: write page: %w", err)
	}
	return nil
}

// fleetView is the data with the drawings.
type fleetView struct {
	Fleet
	Style                               template.CSS
	Map, Day, Close, Staleness, Epsilon template.HTML
	Outcomes, Sizes                     template.HTML
	ByRegion                            []regionPlot
	OutcomeNames                        []string
}

func newFleetView(d Fleet) fleetView {
	v := fleetView{Fleet: d, Style: Style, OutcomeNames: d.Outcomes}
	v.Map, v.Day = drawMap(d), drawDay(d)
	v.drawRounds()
	v.drawProfiles()
	v.drawRegions()
	plot := RowBars{Title: "Bytes that one counted report costs"}
	for _, s := range d.Bytes {
		text := bytesText(s.Bytes)
		if s.Note != "" {
			text += ", " + s.Note
		}
		plot.Rows = append(plot.Rows, RowBar{s.Name, float64(s.Bytes), text})
	}
	v.Sizes = plot.SVG()
	return v
}

// thinned keeps every so manieth round, so that a drawing of many days can be read.
func (v *fleetView) thinned() []FleetRound {
	const most = 60
	every := (len(v.Rounds) + most - 1) / most
	var out []FleetRound
	for i := 0; i < len(v.Rounds); i += every {
		out = append(out, v.Rounds[i])
	}
	return out
}

func (v *fleetView) drawRounds() {
	rounds := v.thinned()
	column := func(of func(FleetRound) float64) (out []float64) {
		for _, r := range rounds {
			out = append(out, of(r))
		}
		return out
	}
	x := column(func(r FleetRound) float64 { return r.Hour })
	v.Close = LinePlot{
		Title: "Minutes from opening to close", XLabel: "hour of opening, UTC", YLabel: "minutes", X: x, FromZero: true,
		Series: []Series{{"to the close of the last lane", column(func(r FleetRound) float64 { return r.Minutes })}},
	}.SVG()
	v.Staleness = LinePlot{
		Title: "Staleness of the counted reports", XLabel: "hour of opening, UTC", YLabel: "versions", X: x, FromZero: true,
		Series: []Series{{"mean", column(func(r FleetRound) float64 { return r.Staleness })}},
	}.SVG()
	v.Epsilon = LinePlot{
		Title: "Epsilon after each epoch", XLabel: "hour of opening, UTC", YLabel: "epsilon", X: x, FromZero: true,
		Series: []Series{{"spent", column(func(r FleetRound) float64 { return r.Epsilon })}},
	}.SVG()
}

func (v *fleetView) drawProfiles() {
	plot := StackedBars{Title: "What becomes of invitations, by profile", XLabel: "profile", YLabel: "share of the invitations", Top: 1}
	for _, p := range v.Profiles {
		plot.Labels = append(plot.Labels, p.Name)
	}
	plot.Layers = v.Stack
	v.Outcomes = plot.SVG()
}

// drawRegions draws one plot a region, all to the same height.
func (v *fleetView) drawRegions() {
	top := 0.0
	for _, row := range v.Counted {
		_, high := finite(row)
		top = max(top, high)
	}
	for i, name := range v.Regions {
		if i >= len(v.Counted) {
			return
		}
		plot := StackedBars{Title: "Reports of " + name + " by hour", XLabel: "hour, UTC", YLabel: "reports / 1000 vehicles", Top: top}
		row := v.Counted[i]
		for h := range min(len(row), 48) {
			plot.Labels = append(plot.Labels, fmt.Sprint(h))
		}
		plot.Layers = []Layer{{"in a list", row}}
		v.ByRegion = append(v.ByRegion, regionPlot{name, plot.SVG()})
	}
}

// heat is one of five classes of a share of the highest.
func heat(x, most float64) int {
	if !isFinite(x) || most <= 0 {
		return 0
	}
	return int(math.Min(4, math.Max(0, math.Floor(5*x/most))))
}
