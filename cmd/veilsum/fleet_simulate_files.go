package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"strconv"
	"time"

	"github.com/veilsum/veilsum/cmd/internal/version"
	"github.com/veilsum/veilsum/cmd/veilsum/internal/report"
	"github.com/veilsum/veilsum/pipeline/fleetsim/planet"
	"github.com/veilsum/veilsum/schema/arrowipc"
)

// write makes all files below --out.
func (x *simRun) write() error {
	meta := map[string]string{"vehicles": strconv.Itoa(x.sim.Vehicles), "seed": strconv.FormatUint(x.sim.Seed, 10)}
	for name, table := range map[string][]arrowipc.Column{"rounds.arrow": x.roundTable(), "regions_hours.arrow": x.hourTable(), "vehicles.arrow": x.vehicleTable()} {
		meta["veilsum.simulation"] = name
		raw, err := arrowipc.EncodeTable(table, meta)
		if err != nil {
			return err
		}
		if err := x.save(name, raw); err != nil {
			return err
		}
	}
	raw, err := json.MarshalIndent(&x.summary, "", "  ")
	if err != nil {
		return err
	}
	if err := x.save("summary.json", append(raw, '\n')); err != nil {
		return err
	}
	var page bytes.Buffer
	if err := report.WriteFleet(&page, x.page()); err != nil {
		return err
	}
	return x.save("report.html", page.Bytes())
}

func (x *simRun) save(name string, raw []byte) error {
	return writeFile(filepath.Join(x.flags.out, name), raw, 0o644, x.flags.force)
}

func ints(name string, n int, of func(i int) int) arrowipc.Column {
	c := arrowipc.Column{Name: name, Ints: make([]int64, n)}
	for i := range n {
		c.Ints[i] = int64(of(i))
	}
	return c
}

func floats(name string, n int, of func(i int) float64) arrowipc.Column {
	c := arrowipc.Column{Name: name, Floats: make([]float64, n)}
	for i := range n {
		c.Floats[i] = of(i)
	}
	return c
}

func texts(name string, n int, of func(i int) string) arrowipc.Column {
	c := arrowipc.Column{Name: name, Strings: make([]string, n)}
	for i := range n {
		c.Strings[i] = of(i)
	}
	return c
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

// roundTable has a row for each round.
func (x *simRun) roundTable() []arrowipc.Column {
	r := x.result.Rounds
	n := len(r)
	return []arrowipc.Column{
		ints("epoch", n, func(i int) int { return r[i].Epoch }), ints("lane", n, func(i int) int { return r[i].Lane }),
		ints("model", n, func(i int) int { return r[i].Model }),
		floats("opened_seconds", n, func(i int) float64 { return r[i].Opened.Seconds() }),
		floats("closed_seconds", n, func(i int) float64 { return r[i].Closed.Seconds() }),
		ints("full", n, func(i int) int { return flag(r[i].Full) }), ints("void", n, func(i int) int { return flag(r[i].Void) }),
		ints("invited", n, func(i int) int { return r[i].Invited }), ints("started", n, func(i int) int { return r[i].Started }),
		ints("counted", n, func(i int) int { return r[i].Counted }), ints("late", n, func(i int) int { return r[i].Late }),
		floats("mean_staleness", n, func(i int) float64 { return r[i].Staleness }), ints("max_staleness", n, func(i int) int { return r[i].MaxStaleness }),
	}
}

// hourTable has a row for each hour and region.
func (x *simRun) hourTable() []arrowipc.Column {
	h := x.result.Hours
	n := len(h)
	count := func(name string, of func(*planet.Hour) int) arrowipc.Column {
		return ints(name, n, func(i int) int { return of(&h[i]) })
	}
	number := func(name string, of func(*planet.Hour) float64) arrowipc.Column {
		return floats(name, n, func(i int) float64 { return of(&h[i]) })
	}
	return []arrowipc.Column{
		count("hour", func(h *planet.Hour) int { return h.Hour }),
		texts("region", n, func(i int) string { return planet.RegionNames[h[i].Region] }),
		count("vehicles", func(h *planet.Hour) int { return x.result.Regions[h.Region] }),
		number("driving_share", func(h *planet.Hour) float64 { return h.DrivingShare }),
		count("invited", func(h *planet.Hour) int { return h.Invited }), count("started", func(h *planet.Hour) int { return h.Started }),
		count("sealed", func(h *planet.Hour) int { return h.Sealed }), count("counted", func(h *planet.Hour) int { return h.Counted }),
		count("late", func(h *planet.Hour) int { return h.Late }), count("cut_off", func(h *planet.Hour) int { return h.Cut }),
		count("lost", func(h *planet.Hour) int { return h.Lost }), count("breaks", func(h *planet.Hour) int { return h.Breaks }),
		number("bytes_up", func(h *planet.Hour) float64 { return h.BytesUp }), number("bytes_again", func(h *planet.Hour) float64 { return h.BytesAgain }),
		number("joules", func(h *planet.Hour) float64 { return h.Joules }), number("upload_seconds", func(h *planet.Hour) float64 { return h.UploadSeconds }),
	}
}

// vehicleTable has a row for each attempt of a watched vehicle.
func (x *simRun) vehicleTable() []arrowipc.Column {
	w := x.watched
	n := len(w)
	span := func(name string, of func(*planet.Attempt) time.Duration) arrowipc.Column {
		return floats(name, n, func(i int) float64 {
			if d := of(&w[i]); d >= 0 {
				return d.Seconds()
			}
			return -1
		})
	}
	return []arrowipc.Column{
		ints("vehicle", n, func(i int) int { return w[i].Vehicle }),
		texts("region", n, func(i int) string { return planet.RegionNames[w[i].Region] }),
		texts("profile", n, func(i int) string { return planet.ProfileNames[w[i].Profile] }),
		ints("round", n, func(i int) int { return w[i].Round }),
		span("invited_seconds", func(a *planet.Attempt) time.Duration { return a.Invited }), span("started_seconds", func(a *planet.Attempt) time.Duration { return a.Started }),
		span("sealed_seconds", func(a *planet.Attempt) time.Duration { return a.Sealed }), span("arrived_seconds", func(a *planet.Attempt) time.Duration { return a.Arrived }),
		ints("model", n, func(i int) int { return w[i].Model }), ints("staleness", n, func(i int) int { return w[i].Staleness }),
		texts("outcome", n, func(i int) string { return w[i].Outcome.String() }),
		ints("bytes_up", n, func(i int) int { return int(w[i].Sent) }), ints("bytes_again", n, func(i int) int { return int(w[i].Again) }),
		ints("breaks", n, func(i int) int { return w[i].Breaks }), floats("joules", n, func(i int) float64 { return w[i].Joules }),
	}
}

// page gathers what the page shows.
func (x *simRun) page() report.Fleet {
	s := &x.summary
	d := report.Fleet{
		Title:   fmt.Sprintf("A simulated fleet of %d vehicles", x.sim.Vehicles),
		Created: time.Now().UTC().Format("2006-01-02 15:04 MST") + ", veilsum " + version.New("veilsum").Version,
		Cards:   x.cards(), Regions: planet.RegionNames, Warnings: s.Warnings, Inputs: x.inputs(), Real: x.measured(),
	}
	for i, c := range x.result.Cells {
		n := x.result.PerCell[i]
		d.Cells = append(d.Cells, report.MapCell{Latitude: c.Latitude, Longitude: c.Longitude, Region: c.Region, Vehicles: n.Vehicles, Share: float64(n.Counted) / float64(n.Invited)})
	}
	d.Counted = x.byRegion()
	d.Rounds = x.epochs()
	for o := range planet.Outcomes {
		d.Outcomes = append(d.Outcomes, planet.Outcome(o).String())
	}
	for i, p := range s.Profiles {
		y := report.FleetProfile{
			Name: p.Name, Vehicles: p.Vehicles, Median: orNaN(p.UploadSeconds[0]), High: orNaN(p.UploadSeconds[1]),
			Again: p.BytesAgain / p.BytesUp, Joules: orNaN(p.JoulesCounted), Dollars: orNaN(p.DollarsCounted),
		}
		for _, n := range x.result.Profiles[i].Outcomes {
			y.Shares = append(y.Shares, float64(n)/float64(p.Invitations))
		}
		d.Profiles = append(d.Profiles, y)
	}
	d.Stack = x.stack(d.Profiles)
	for _, b := range s.Bytes {
		d.Bytes = append(d.Bytes, report.Size{Name: b.System + " (" + b.Origin + ")", Bytes: int64(b.Bytes), Note: fmt.Sprintf("%.3g B a value", b.PerValue)})
		d.Seconds = append(d.Seconds, report.FleetSeconds{Name: b.System, Seconds: b.Seconds})
	}
	for _, c := range s.Checks {
		d.Checks = append(d.Checks, report.FleetCheck{Name: c.Name, Law: c.Law, Expected: c.Expected, Simulated: c.Simulated, Z: c.Z, Holds: math.Abs(c.Z) <= simMostZ})
	}
	d.Energy = []report.Parameter{
		{Name: "links", Value: fmt.Sprintf("%.3g MJ", s.Energy.LinkMegajoules), Meaning: "watts while a transfer is under way, stalled or not, and millijoules a byte"},
		{Name: "training", Value: fmt.Sprintf("%.3g MJ", s.Energy.TrainMegajoules), Meaning: "also of vehicles that were lost, late or cut off"},
		{Name: "bytes that did not count", Value: fmt.Sprintf("%.1f %%", 100*s.Energy.Wasted), Meaning: "of all bytes up: connections, repetitions, reports that were late or cut off"},
	}
	return d
}

// stack joins the outcomes to what a drawing can show.
func (x *simRun) stack(profiles []report.FleetProfile) (layers []report.Layer) {
	for _, l := range []struct {
		name string
		of   []planet.Outcome
	}{
		{"counted", []planet.Outcome{planet.Counted}},
		{"late", []planet.Outcome{planet.Late}},
		{"cut off or stale", []planet.Outcome{planet.Cut, planet.Stale}},
		{"lost", []planet.Outcome{planet.Lost}},
		{"never started", []planet.Outcome{planet.Offline, planet.Missed}},
	} {
		layer := report.Layer{Name: l.name}
		for _, p := range profiles {
			sum := 0.0
			for _, o := range l.of {
				sum += p.Shares[o]
			}
			layer.Values = append(layer.Values, sum)
		}
		layers = append(layers, layer)
	}
	return layers
}

func (x *simRun) cards() []report.Card {
	s := &x.summary
	return []report.Card{
		{Value: strconv.Itoa(s.Rounds.Counted), Name: fmt.Sprintf("reports in %d lists", s.Rounds.Count)},
		{Value: realText(s.Rounds.MinutesToClose[1]) + " min", Name: "from opening to close, median"},
		{Value: fmt.Sprintf("%.1f kB", float64(x.sim.Report.Bytes)/1e3), Name: fmt.Sprintf("a sealed report of %d values", x.sim.Report.Values)},
		{Value: "ε = " + realText(s.Privacy.Epsilon), Name: fmt.Sprintf("at δ = %g for %d epochs", s.Privacy.Delta, s.Privacy.Epochs)},
		{Value: realText(s.Rounds.Staleness), Name: "versions of staleness, mean"},
		{Value: fmt.Sprintf("%.3g MJ", s.Energy.LinkMegajoules+s.Energy.TrainMegajoules), Name: "links and training of all vehicles"},
	}
}

// byRegion gives the reports for each 1000 vehicles, by region and hour.
func (x *simRun) byRegion() [][]float64 {
	counted := make([][]float64, len(planet.RegionNames))
	last := 23
	for _, h := range x.result.Hours {
		if h.Counted > 0 {
			last = max(last, h.Hour)
		}
	}
	for _, h := range x.result.Hours {
		if h.Hour > last { // nobody counts any more, some vehicles still try
			break
		}
		counted[h.Region] = append(counted[h.Region], 1000*float64(h.Counted)/float64(max(1, x.result.Regions[h.Region])))
	}
	return counted
}

// epochs joins the lanes.
func (x *simRun) epochs() (all []report.FleetRound) {
	charged, last := 0, -1
	for _, r := range x.result.Rounds {
		for last < r.Epoch { // lanes of a buffered schedule do not come in order
			last++
			all = append(all, report.FleetRound{Hour: r.Opened.Hours(), Epsilon: math.NaN()})
		}
		e := &all[r.Epoch]
		e.Lanes++
		stale := e.Staleness*float64(e.Counted) + r.Staleness*float64(r.Counted)
		e.Counted, e.Late, e.Minutes = e.Counted+r.Counted, e.Late+r.Late, max(e.Minutes, (r.Closed-r.Opened).Minutes())
		if e.Counted > 0 {
			e.Staleness = stale / float64(e.Counted)
		}
		if !r.Void {
			e.OpenLanes++
		}
	}
	for i := range all {
		if all[i].OpenLanes > 0 {
			charged++
		}
		if charged > 0 {
			all[i].Epsilon = x.summary.Privacy.perEpoch[charged-1]
		} else {
			all[i].Epsilon = 0
		}
	}
	return all
}

func (x *simRun) measured() []report.Parameter {
	c := x.real
	if c == nil {
		return nil
	}
	if c.Listed == 0 {
		return []report.Parameter{{Name: "vehicles", Value: fmt.Sprintf("%d, of which too few got a report through", len(c.Vehicles)), Meaning: "their links end before a piece is over; nothing was opened"}}
	}
	return []report.Parameter{
		{Name: "vehicles", Value: fmt.Sprintf("%d, %d in the list, %d refused; the last came after the close: %s", len(c.Vehicles), c.Listed, c.Refused, c.LateFate)},
		{Name: "a report", Value: fmt.Sprintf("%d bytes", c.ReportBytes), Meaning: fmt.Sprintf("in the small batch of the real round; its plan says %d", c.PlannedBytes)},
		{Name: "a connection", Value: fmt.Sprintf("%d bytes, %.1f waits", c.ConnectBytes, c.ConnectTrips), Meaning: "TLS, login, announcement and frames, beside the report; waits but those of pieces"},
		{Name: "a break in mid-upload", Value: fmt.Sprintf("%.0f bytes sent again", c.AgainBytes), Meaning: fmt.Sprintf("the model expects %.0f for the same breaks: the piece under way and a connection", c.AgainModel)},
		{Name: "noise in the opened mean", Value: fmt.Sprintf("%.4f of what it should be", c.NoiseRatio), Meaning: fmt.Sprintf("standard error %.4f: nothing was lost or counted twice", c.NoiseStdErr)},
		{Name: "processor time", Value: fmt.Sprintf("%.1f ms to seal; for each report %.2f ms of each decryptor, %.2f ms of the collector", 1e3*c.SealSeconds, 1e3*c.MemberSeconds, 1e3*c.CollectSeconds)},
	}
}

func (x *simRun) inputs() []report.Parameter {
	s, c := &x.sim, &x.sim.Schedule
	kind := fmt.Sprintf("an epoch every %g min, open for at most %g min, %g vehicles invited for each of K reports", c.PeriodMinutes, c.DeadlineMinutes, c.OverSelection)
	if c.Buffered {
		kind = fmt.Sprintf("buffered: always one open round a lane, %g vehicles invited in %g min for each of K reports, at most %d versions stale", c.OverSelection, c.PeriodMinutes, c.MaxStaleness)
	}
	rows := []report.Parameter{
		{Name: "fleet", Value: fmt.Sprintf("%d vehicles, %g days, seed %d", s.Vehicles, s.Days, s.Seed)},
		{Name: "beams", Value: fmt.Sprintf("%d; at most %d uploads in one at a time; busy for %.4g hours in all, %.3g of them slowed down", x.result.Beams.Count, x.result.Beams.Most, x.result.Beams.Busy, x.result.Beams.Saturated)},
		{Name: "schedule", Value: fmt.Sprintf("%d lanes, K = %d, at least %d; %s", c.Lanes, c.Reports, c.MinBatch, kind)},
		{Name: "report", Value: fmt.Sprintf("%d values, %d bytes in pieces of %d, noise multiplier %g", s.Report.Values, s.Report.Bytes, s.Report.PieceBytes, s.Privacy.NoiseMultiplier)},
		{Name: "habits", Value: fmt.Sprintf("%g hours a day on the road in trips of %g min", s.Habits.DrivingHours, s.Habits.TripMinutes)},
	}
	for i, p := range s.profileList() {
		rows = append(rows, report.Parameter{
			Name:    "profile " + planet.ProfileNames[i],
			Value:   fmt.Sprintf("%g / %g / %g Mbps up, %g ms, up %g to %g s, down %g to %g s", p.Mbps.Low, p.Mbps.Median, p.Mbps.High, p.RoundTripMs, p.Up.Min, p.Up.Max, p.Down.Min, p.Down.Max),
			Meaning: fmt.Sprintf("share %g, %g %% lost after download, beam of %g Mbps for %d vehicles", p.Share, 100*p.LostAfterDownload, p.BeamMbps, p.BeamVehicles),
		})
	}
	return append(rows, report.Parameter{Name: "cost of this page", Value: fmt.Sprintf("%d events, %.1f s of processor time, %.0f MiB", x.summary.Cost.Events, x.summary.Cost.ProcessorSeconds, x.summary.Cost.PeakMiB)})
}
