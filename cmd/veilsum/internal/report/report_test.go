package report_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/veilsum/veilsum/cmd/veilsum/internal/report"
)

// sample is a run of 20 rounds over two regions; round 7 is void.
func sample() report.Data {
	d := report.Data{
		Title:    "Veilsum: a fleet learns seven exercises",
		Created:  "2026-11-24, veilsum v0.1.0",
		DataSet:  "398 vehicles, each a slice of the wrist recordings of eight people, learn to tell seven exercises apart.",
		Credit:   "seglearn 1.2.5, watch_dataset.npy, BSD-3-Clause.",
		TestRows: 1002, Vehicles: 398,
		Guarantee: report.Guarantee{
			Epsilon: 7.4982, Delta: 1e-5, Unit: "one vehicle, all 20 rounds together",
			Relation:   "zero-out: the update of one vehicle is replaced by zero",
			TrustModel: "distributed differential privacy: each vehicle adds its share of the noise",
			Accountant: "RDP of the discrete Gaussian, no amplification by sampling",
		},
		Budget:    8,
		Committee: report.Committee{Members: 4, Threshold: 3, MaxMalicious: 1}, MinBatchSize: 278, MaxDishonest: 8,
		Suite: "ring learning with errors (N 1024, 17 bits); HPKE with ML-KEM-768 and X25519", PostQuantum: true,
		Regions: []string{"north", "south"}, Seconds: 21.3,
		Bytes: []report.Size{
			{Name: "sealed report", Bytes: 9852, Note: "5.5 kB of it keys"},
			{Name: "float32, in the clear", Bytes: 868},
		},
		Parameters: []report.Parameter{
			{"noise multiplier", "3.011", "noise of the summed honest vehicles over the sensitivity"},
			{"clipping norm", "2", "bound on the length of an update"},
		},
		NotProtected: []string{"People: one person’s rows lie on up to 50 vehicles, and the promise is for one vehicle."},
	}
	for seed := range uint64(5) {
		d.Repeats = append(d.Repeats, report.Repeat{Seed: seed, Accuracy: 0.76 + 0.005*float64(seed), PlainAccuracy: 0.768})
	}
	for i := range 20 {
		x := 1 - math.Exp(-float64(i+2)/4)
		r := report.Round{
			Number: i + 1, Accuracy: 0.55 + 0.22*x - 0.004*float64(i%3), PlainAccuracy: 0.56 + 0.21*x,
			Epsilon: 1.29*math.Sqrt(float64(i+1)) + 0.0865*float64(i+1), NoiseStdDev: 0.0205,
			AggregateRMS: math.Hypot(0.0205, 0.11*math.Exp(-float64(i)/5)+0.02), Seconds: 1.05,
			Regions: []report.Tally{
				{Accepted: 172 - 25*(i%2), BeforeSealing: 11 + 10*(i%2), MidUpload: 10 + 11*(i%2), Late: 6 + 4*(i%2)},
				{Accepted: 147 + 25*(i%2), BeforeSealing: 21 - 10*(i%2), MidUpload: 20 - 10*(i%2), Late: 11 - 5*(i%2)},
			},
			Receipt: hash(i, 'a'), Manifest: hash(i, 'b'), Aggregate: hash(i, 'c'),
		}
		if i == 6 {
			r.Void, r.Accuracy = "two decryptors silent", math.NaN()
		}
		d.Rounds = append(d.Rounds, r)
	}
	return d
}

func hash(i int, of rune) string { return strings.Repeat(fmt.Sprintf("%02x%c5", i, of), 16) }

func write(t *testing.T, d report.Data) string {
	t.Helper()
	var out bytes.Buffer
	if err := report.Write(&out, d); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// REPORT_OUT=path writes the sample page to look at in a browser.
func TestWriteShowsTheRun(t *testing.T) {
	page := write(t, sample())
	if path := os.Getenv("REPORT_OUT"); path != "" {
		if err := os.WriteFile(path, []byte(page), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{
		"398 vehicles", "ε = 7.498", "δ = 1e-5", "zero-out", "1805", "<b>6061</b>", "void: two decryptors silent",
		"76.5\u00a0%", "at least 278 reports", "one person’s rows", "noise multiplier", hash(19, 'a'), "signal / noise",
		"<code>13b513b513b5…</code>",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("page lacks %q", want)
		}
	}
	if n := len(drawings(page)); n != 6 {
		t.Errorf("%d drawings, want 4 and one for each of two regions", n)
	}
	if page != write(t, sample()) {
		t.Error("the same data gave two pages")
	}
}

var loads = regexp.MustCompile(`(?i)<script|<link|<img|<iframe|\bsrc=|\bhref=|url\(|@import|https?://|\son\w+=`)

func TestPageLoadsNothing(t *testing.T) {
	page := strings.ReplaceAll(write(t, sample()), `xmlns="http://www.w3.org/2000/svg"`, "")
	if found := loads.FindString(page); found != "" {
		t.Errorf("page contains %q", found)
	}
}

func TestHostileStringsStayText(t *testing.T) {
	const evil = `"'></text></svg><script>alert(1)</script><img src=x onerror=alert(1)>&` + "\x00\x1b\xff"
	d := sample()
	d.Title, d.Created, d.DataSet, d.Credit, d.Suite = evil, evil, evil, evil, evil
	d.Guarantee.Relation, d.Guarantee.Unit, d.Guarantee.TrustModel, d.Guarantee.Accountant = evil, evil, evil, evil
	d.Regions = []string{evil, evil}
	d.Warnings, d.NotProtected = []string{evil}, []string{evil}
	d.Parameters = []report.Parameter{{evil, evil, evil}}
	d.Bytes = []report.Size{{Name: evil, Bytes: 1, Note: evil}}
	for i := range d.Rounds {
		d.Rounds[i].Receipt, d.Rounds[i].Manifest, d.Rounds[i].Aggregate, d.Rounds[i].Void = evil, evil, evil, evil
	}
	page := write(t, d)
	for _, bad := range []string{"<script", "<img", "\x00"} {
		if strings.Contains(page, bad) {
			t.Errorf("page contains %q", bad)
		}
	}
	for _, drawing := range drawings(page) {
		wellFormed(t, drawing)
	}
}

// The page is written to be well-formed as XML too, but for the void meta elements.
func TestPageIsBalanced(t *testing.T) {
	body := write(t, sample())
	wellFormed(t, body[strings.Index(body, "<main>"):strings.Index(body, "</body>")])
}

func TestOptionalPartsDisappear(t *testing.T) {
	d := report.Data{Title: "t", Rounds: []report.Round{{
		Accuracy: math.NaN(), PlainAccuracy: math.Inf(1), Epsilon: math.NaN(), NoiseStdDev: 0, AggregateRMS: math.NaN(),
	}}}
	page := write(t, d)
	for _, absent := range []string{"Repeated runs", "Vehicles that vanished", "<h2>Parameters", "NaN", "Inf"} {
		if strings.Contains(page, absent) {
			t.Errorf("page contains %q", absent)
		}
	}
	if !strings.Contains(page, "Not post-quantum") {
		t.Error("no warning although PostQuantum is false")
	}
}

func TestWriteRefuses(t *testing.T) {
	noTitle, noRounds, tallies := sample(), sample(), sample()
	noTitle.Title = ""
	noRounds.Rounds = nil
	tallies.Rounds[3].Regions = tallies.Rounds[3].Regions[:1]
	for _, d := range []report.Data{noTitle, noRounds, tallies} {
		if err := report.Write(io.Discard, d); !errors.Is(err, report.ErrData) {
			t.Errorf("got %v, want ErrData", err)
		}
	}
	full := errors.New("disk full")
	if err := report.Write(failing{full}, sample()); !errors.Is(err, full) {
		t.Errorf("got %v, want the writer's error", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

var drawing = regexp.MustCompile(`(?s)<svg.*?</svg>`)

func drawings(page string) []string { return drawing.FindAllString(page, -1) }

// wellFormed parses s as strict XML.
func wellFormed(t testing.TB, s string) {
	t.Helper()
	for decoder := xml.NewDecoder(strings.NewReader(s)); ; {
		if _, err := decoder.Token(); err == io.EOF {
			return
		} else if err != nil {
			t.Fatalf("not well-formed: %v", err)
		}
	}
}
