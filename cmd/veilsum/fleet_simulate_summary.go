package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/veilsum/veilsum/pipeline/fleetsim/planet"
	"github.com/veilsum/veilsum/pipeline/fleetsim/realshare"
)

// simSummary is summary.json and the answer.
type simSummary struct {
	Scenario simulation             `json:"scenario"`
	Rounds   simRounds              `json:"rounds"`
	Reports  map[string]int         `json:"invitations"` // by outcome
	Profiles []simProfile           `json:"profiles"`
	Bytes    []simBytes             `json:"bytes_per_counted_report"`
	Energy   simEnergy              `json:"energy"`
	Beams    planet.Beams           `json:"beams"`
	Privacy  simSpent               `json:"privacy"`
	Real     *realshare.Calibration `json:"real"`
	Checks   []simCheck             `json:"checks"`
	Warnings []string               `json:"warnings"`
	Cost     simCost                `json:"cost"`

	files string
}

type simRounds struct {
	Count          int         `json:"count"`
	Epoch          int         `json:"epochs"`
	Full           int         `json:"closed_full"`
	Void           int         `json:"void"`
	MinutesToClose [3]*float64 `json:"minutes_to_close"` // 5, 50 and 95 per cent points
	Counted        int         `json:"counted"`
	Staleness      *float64    `json:"mean_staleness"`
	MaxStaleness   int         `json:"max_staleness"`
	ModelVersions  int         `json:"model_versions"`
	ReportsPerHour float64     `json:"reports_per_hour"`
}

type simProfile struct {
	Name           string      `json:"name"`
	Vehicles       int         `json:"vehicles"`
	Invitations    int         `json:"invitations"`
	Counted        int         `json:"counted"`
	UploadSeconds  [2]*float64 `json:"upload_seconds"` // 50 and 95 per cent points
	BytesUp        float64     `json:"bytes_up"`
	BytesAgain     float64     `json:"bytes_again"`
	Breaks         int         `json:"breaks"`
	JoulesCounted  *float64    `json:"joules_per_counted_report"`
	DollarsCounted *float64    `json:"dollars_per_counted_report"`
}

type simBytes struct {
	System   string    `json:"system"`
	Bytes    float64   `json:"bytes"`
	PerValue float64   `json:"bytes_per_value"`
	Origin   string    `json:"origin"`        // simulated, formula or measured elsewhere
	Seconds  []float64 `json:"seconds_alone"` // by profile, mean over the law of the rate
}

type simEnergy struct {
	LinkMegajoules  float64 `json:"link_megajoules"`
	TrainMegajoules float64 `json:"train_megajoules"`
	Wasted          float64 `json:"share_of_bytes_not_counted"`
}

type simSpent struct {
	Epochs   int      `json:"epochs_charged"`
	Epsilon  *float64 `json:"epsilon"`
	Delta    float64  `json:"delta"`
	Method   string   `json:"method"`
	perEpoch []float64
}

type simCheck struct {
	planet.Check
	Z float64 `json:"z"`
}

type simCost struct {
	Events           uint64  `json:"events"`
	ProcessorSeconds float64 `json:"processor_seconds"`
	WallSeconds      float64 `json:"wall_seconds"`
	PeakMiB          float64 `json:"peak_memory_mib"`
}

// known is nil for what has no number, and so no form in JSON.
func known(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

func (x *simRun) summarize() error {
	all := x.result.All()
	s := &x.summary
	*s = simSummary{Scenario: x.sim, Reports: map[string]int{}, Real: x.real, Warnings: []string{}, Beams: x.result.Beams, files: x.flags.out}
	for o, n := range all.Outcomes {
		s.Reports[strings.ReplaceAll(planet.Outcome(o).String(), " ", "_")] = n
	}
	x.sumRounds(all)
	for i, p := range x.sim.profileList() {
		s.Profiles = append(s.Profiles, newSimProfile(&x.result.Profiles[i], p))
	}
	x.sumBytes(all)
	s.Energy = simEnergy{
		LinkMegajoules: all.LinkJoules / 1e6, TrainMegajoules: all.TrainJoules / 1e6,
		Wasted: 1 - float64(all.Outcomes[planet.Counted])*float64(x.sim.Report.Bytes)/max(1, all.BytesUp),
	}
	if err := x.sumEpsilon(); err != nil {
		return err
	}
	for _, c := range x.checks {
		s.Checks = append(s.Checks, simCheck{c, c.Z()})
	}
	x.warn()
	s.Cost = simCost{Events: x.result.Events, ProcessorSeconds: processorTime().Seconds(), WallSeconds: time.Since(x.started).Seconds(), PeakMiB: peakMiB()}
	return nil
}

func (s *simulation) profileList() []*planet.Profile {
	return []*planet.Profile{&s.Profiles.A, &s.Profiles.B, &s.Profiles.C, &s.Profiles.D}
}

func (x *simRun) sumRounds(all planet.Tally) {
	r := simRounds{Count: len(x.result.Rounds), ModelVersions: x.result.Versions}
	var minutes []float64
	stale := 0.0
	for _, y := range x.result.Rounds {
		minutes = append(minutes, (y.Closed - y.Opened).Minutes())
		if y.Full {
			r.Full++
		}
		if y.Void {
			r.Void++
		}
		stale += y.Staleness * float64(y.Counted)
		r.MaxStaleness = max(r.MaxStaleness, y.MaxStaleness)
		r.Epoch = max(r.Epoch, y.Epoch+1)
	}
	slices.Sort(minutes)
	for i, q := range []float64{0.05, 0.5, 0.95} {
		r.MinutesToClose[i] = known(minutes[int(q*float64(len(minutes)-1)+0.5)])
	}
	r.Counted = all.Outcomes[planet.Counted]
	r.Staleness = known(stale / float64(r.Counted))
	r.ReportsPerHour = float64(r.Counted) / (x.sim.Days * 24)
	x.summary.Rounds = r
}

func newSimProfile(t *planet.Tally, p *planet.Profile) simProfile {
	out := simProfile{Name: t.Name, Vehicles: t.Vehicles, Counted: t.Outcomes[planet.Counted], BytesUp: t.BytesUp, BytesAgain: t.BytesAgain, Breaks: t.Breaks}
	for _, n := range t.Outcomes {
		out.Invitations += n
	}
	out.UploadSeconds = [2]*float64{known(t.Quantile(0.5)), known(t.Quantile(0.95))}
	out.JoulesCounted = known((t.LinkJoules + t.TrainJoules) / float64(out.Counted))
	out.DollarsCounted = known(t.BytesUp / 1000 * p.DollarsKilobyte / float64(out.Counted))
	return out
}

// sumBytes sets what one counted report costs beside one message of other systems.
func (x *simRun) sumBytes(all planet.Tally) {
	d, c := float64(x.sim.Report.Values), x.sim.Compare
	masked := d*float64(c.MaskedBits)/8 + 2*32 + float64(c.Neighbors*(c.SealedShare+c.RevealedShare))
	ckks := math.Ceil(d/float64(c.CKKSSlots)) * float64(c.CKKSSlots) * c.CKKSBytesValue
	rows := []simBytes{
		{System: "this run, all bytes up", Bytes: all.BytesUp / float64(all.Outcomes[planet.Counted]), Origin: "simulated"},
		{System: "one sealed report", Bytes: float64(x.sim.Report.Bytes), Origin: "formula"},
		{System: "float32 in the clear", Bytes: 4 * d, Origin: "formula"},
		{System: fmt.Sprintf("masked sum, %d bits, %d neighbors", c.MaskedBits, c.Neighbors), Bytes: masked, Origin: "formula"},
		{System: "CKKS as TenSEAL packs it", Bytes: ckks, Origin: "measured elsewhere"},
	}
	for _, r := range rows {
		r.PerValue = r.Bytes / d
		if known(r.Bytes) == nil { // nothing counted
			continue
		}
		for _, p := range x.sim.profileList() {
			r.Seconds = append(r.Seconds, p.Mbps.SecondsAlone(r.Bytes))
		}
		x.summary.Bytes = append(x.summary.Bytes, r)
	}
}

// sumEpsilon asks the accountant of the roles what the opened epochs cost, in their order.
func (x *simRun) sumEpsilon() error {
	s := &x.summary.Privacy
	*s = simSpent{Epochs: x.result.Committed, Delta: x.sim.Privacy.Delta}
	for n := range x.result.Committed {
		g, err := x.plan.Privacy.Guarantee(int64(n+1), s.Delta)
		if err != nil {
			return err
		}
		s.perEpoch, s.Method = append(s.perEpoch, g.Epsilon), g.Method
	}
	if n := len(s.perEpoch); n > 0 {
		s.Epsilon = known(s.perEpoch[n-1])
	} else {
		s.Epsilon = known(0)
	}
	return nil
}

// warn names what a reader would else have to find.
func (x *simRun) warn() {
	s := &x.summary
	for i, p := range x.sim.profileList() {
		piece := p.Mbps.SecondsAlone(float64(min(x.sim.Report.PieceBytes, x.sim.Report.Bytes)))
		if up := (p.Up.Min + p.Up.Max) / 2; p.Share > 0 && p.Down.Max > p.PatienceSecs && piece > up {
			s.Warnings = append(s.Warnings, fmt.Sprintf("profile %s: a piece of %d bytes takes %.0f s, its link is up for %.0f s at a time: hardly a report gets through; take fewer values or a smaller piece_blocks", planet.ProfileNames[i], min(x.sim.Report.PieceBytes, x.sim.Report.Bytes), piece, up))
		}
		if t := s.Profiles[i]; t.Invitations > 1000 && t.Counted*50 < t.Invitations {
			s.Warnings = append(s.Warnings, fmt.Sprintf("profile %s: %d of %d invitations ended in a list", t.Name, t.Counted, t.Invitations))
		}
	}
	if r := s.Rounds; r.Void > 0 {
		s.Warnings = append(s.Warnings, fmt.Sprintf("%d of %d rounds were void: fewer than min_batch reports by the deadline", r.Void, r.Count))
	}
	if c := x.real; c != nil {
		if need := (c.MemberSeconds + c.CollectSeconds) * float64(x.sim.Schedule.Reports); need > x.sim.Schedule.PublishSeconds {
			s.Warnings = append(s.Warnings, fmt.Sprintf("publish_seconds is %g, but the real committee and collector need about %.0f s of one core each for %d reports", x.sim.Schedule.PublishSeconds, need, x.sim.Schedule.Reports))
		}
		if c.Refused > 0 || c.GatewayRefusals > 0 {
			s.Warnings = append(s.Warnings, fmt.Sprintf("the real roles refused %d reports and the gateway %d requests", c.Refused, c.GatewayRefusals))
		}
	}
}

// peakMiB is the largest resident memory of this process.
func peakMiB() float64 {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return float64(r.Maxrss) / 1024
}

// Text implements ui.Result.
func (s *simSummary) Text() string {
	b := &strings.Builder{}
	line := func(name, format string, args ...any) {
		fmt.Fprintf(b, "%-12s "+format+"\n", append([]any{name}, args...)...)
	}
	r, c := s.Rounds, s.Scenario
	line("fleet", "%d vehicles, %g days, seed %d", c.Vehicles, c.Days, c.Seed)
	line("rounds", "%d of %d epochs, %d full, %d void; open for %s min (5 %%), %s (half), %s (95 %%)", r.Count, r.Epoch, r.Full, r.Void, realText(r.MinutesToClose[0]), realText(r.MinutesToClose[1]), realText(r.MinutesToClose[2]))
	line("reports", "%d counted, %.0f an hour; %d late, %d cut off, %d lost after download", r.Counted, r.ReportsPerHour, s.Reports["late"], s.Reports["cut_off"], s.Reports["lost"])
	line("staleness", "%s versions on average, at most %d", realText(r.Staleness), r.MaxStaleness)
	for _, x := range s.Bytes {
		line("bytes", "%.0f a report, %.3g a value: %s (%s)", x.Bytes, x.PerValue, x.System, x.Origin)
	}
	for _, p := range s.Profiles {
		line("profile "+p.Name, "%d of %d invitations counted; upload %s s (half), %s s (95 %%); %s J a counted report", p.Counted, p.Invitations, realText(p.UploadSeconds[0]), realText(p.UploadSeconds[1]), realText(p.JoulesCounted))
	}
	line("beams", "%d, at most %d uploads in one; busy %.4g hours, %.3g of them slowed down", s.Beams.Count, s.Beams.Most, s.Beams.Busy, s.Beams.Saturated)
	line("epsilon", "%s at delta %g for %d epochs", realText(s.Privacy.Epsilon), s.Privacy.Delta, s.Privacy.Epochs)
	if x := s.Real; x != nil {
		line("real share", "%d vehicles ran the real roles: %d reports listed, %d connect bytes, %.0f waits, %.0f bytes sent again a break (model %.0f)", len(x.Vehicles), x.Listed, x.ConnectBytes, x.ConnectTrips, x.AgainBytes, x.AgainModel)
	}
	worst := 0.0
	for _, x := range s.Checks {
		worst = max(worst, math.Abs(x.Z))
	}
	line("checks", "%d figures against closed forms, largest |z| %.2f", len(s.Checks), worst)
	line("cost", "%d events, %.1f s of processor time, %.0f MiB", s.Cost.Events, s.Cost.ProcessorSeconds, s.Cost.PeakMiB)
	for _, w := range s.Warnings {
		line("warning", "%s", w)
	}
	line("page", "%s/report.html", s.files)
	return b.String()
}

func realText(v *float64) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprintf("%.4g", *v)
}
