package report_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/veilsum/veilsum/cmd/veilsum/internal/report"
)

func fleetData() report.Fleet {
	nan := math.NaN()
	return report.Fleet{
		Title: "A fleet <b>", Created: "now", Warnings: []string{"watch <out>"},
		Cards:    []report.Card{{Value: "1 & 2", Name: "figure"}},
		Cells:    []report.MapCell{{Latitude: 52.5, Longitude: 12.5, Vehicles: 10, Share: 0.4}, {Latitude: -2.5, Longitude: 22.5, Region: 1, Share: nan}},
		Regions:  []string{"North <1>", "South"},
		Counted:  [][]float64{{1, 2, 3}, {0, nan, 0}},
		Rounds:   []report.FleetRound{{Hour: 0, Minutes: 20, Counted: 5, Epsilon: 1, Lanes: 2, OpenLanes: 1}, {Hour: 1, Minutes: 30, Epsilon: nan}},
		Outcomes: []string{"counted", "late"}, Stack: []report.Layer{{Name: "counted", Values: []float64{0.9}}},
		Profiles: []report.FleetProfile{{Name: "A", Vehicles: 3, Shares: []float64{0.9, 0.1}, Median: nan, High: 2}},
		Bytes:    []report.Size{{Name: "ours", Bytes: 1000}}, Seconds: []report.FleetSeconds{{Name: "ours", Seconds: []float64{1}}},
		Checks: []report.FleetCheck{{Name: "one", Expected: 1, Simulated: 9, Z: 8}},
	}
}

// The page is well-formed, escapes what it is given, runs nothing, and marks a law that does not hold.
func TestFleetPage(t *testing.T) {
	var page, again bytes.Buffer
	for _, w := range []*bytes.Buffer{&page, &again} {
		if err := report.WriteFleet(w, fleetData()); err != nil {
			t.Fatal(err)
		}
	}
	text := page.String()
	if text != again.String() {
		t.Error("the same data gave two pages")
	}
	for _, bad := range []string{"<script", "http://", "https://", "North <1>", "<out>", "NaN"} {
		if strings.Contains(strings.ReplaceAll(text, "http://www.w3.org/2000/svg", ""), bad) {
			t.Errorf("the page holds %q", bad)
		}
	}
	for _, want := range []string{"watch &lt;out&gt;", "<b>8 !</b>", `id="region1"`, "23:00 UTC", "A fleet &lt;b&gt;"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, part := range strings.Split(text, "<svg")[1:] {
		drawing, _, ok := strings.Cut("<svg"+part, "</svg>")
		if err := xml.Unmarshal([]byte(drawing+"</svg>"), new(struct{})); err != nil || !ok {
			t.Errorf("%.80s: %v", drawing, err)
		}
	}
}

func TestFleetRefused(t *testing.T) {
	for name, change := range map[string]func(*report.Fleet){
		"title":  func(f *report.Fleet) { f.Title = "" },
		"rounds": func(f *report.Fleet) { f.Rounds = nil },
		"map":    func(f *report.Fleet) { f.Cells = nil },
		"region": func(f *report.Fleet) { f.Cells[0].Region = 2 },
	} {
		d := fleetData()
		change(&d)
		if err := report.WriteFleet(io.Discard, d); !errors.Is(err, report.ErrData) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
