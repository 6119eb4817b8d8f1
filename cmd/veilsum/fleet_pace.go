package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/veilsum/veilsum/cmd/veilsum/internal/report"
	"github.com/veilsum/veilsum/pipeline/fleetsim"
	"github.com/veilsum/veilsum/pipeline/fleetsim/pace"
	"github.com/veilsum/veilsum/pipeline/fleetsim/planet"
)

type paceFlags struct {
	data, page             string
	force                  bool
	reports, rounds, seeds int
	days, epsilon, minutes float64
	momentum               float64
	seed                   uint64
}

func (a *app) fleetPaceCommand() *cobra.Command {
	f := &paceFlags{}
	c := verb("pace", "Train on simulated links, buffered against synchronous rounds", `Simulates a fleet on satellite links ("veilsum fleet simulate" tells what is modeled)
and trains a model on its vehicles' data: in synchronous rounds with several
deadlines, and in buffered ones, which open as soon as they have their reports while
vehicles start from whatever model they have. Every training stops after --rounds
opened rounds, so all have spent the same epsilon. It prints accuracy against hours
and bytes. Vehicles start from released models, rounded and sent as deltas. Clipping
and noise are imitated in floating point: it protects nobody.`,
		"  veilsum fleet pace --seeds 3 --page pace.html", cobra.NoArgs, func(ctx context.Context, _ []string) error { return a.fleetPace(ctx, f) })
	c.Flags().StringVar(&f.data, "data", "digits", "digits, inertial or network")
	c.Flags().IntVar(&f.reports, "reports", 100, "K, reports that a round closes with; four fifths of it open")
	c.Flags().IntVar(&f.rounds, "rounds", 30, "opened rounds, for which the noise is sized")
	c.Flags().Float64Var(&f.epsilon, "epsilon", 7.5, "budget of all rounds together at delta 1e-5")
	c.Flags().Float64Var(&f.days, "days", 20, "days in which rounds open")
	c.Flags().Float64Var(&f.momentum, "momentum", -1, "of the server, 0 to below 1; default that of the data's training, tuned for synchronous rounds")
	c.Flags().Float64Var(&f.minutes, "train-minutes", 1, "median time that a vehicle trains")
	c.Flags().IntVar(&f.seeds, "seeds", 1, "repeat with so many seeds and show the means")
	c.Flags().Uint64Var(&f.seed, "seed", 1, "the first seed")
	c.Flags().StringVar(&f.page, "page", "", "also write one offline page with drawings to this file")
	c.Flags().BoolVar(&f.force, "force", false, "overwrite --page")
	return c
}

func (a *app) fleetPace(ctx context.Context, f *paceFlags) error {
	if f.seeds < 1 || f.seeds > 100 || f.reports < 10 || f.rounds < 1 || f.rounds > 10000 {
		return usage("--seeds is 1 to 100, --reports 10 or more, --rounds 1 to 10000")
	}
	data, err := loadDemoData(f.data)
	if err != nil {
		return err
	}
	fleet, err := f.fleet(data)
	if err != nil {
		return usage("--reports, --rounds or --epsilon: %w", err)
	}
	base, err := f.scenario(fleet)
	if err != nil {
		return err
	}
	res := &paceResult{
		Data: data.title, Vehicles: fleet.Vehicles(), Values: fleet.Dimension(), Reports: f.reports, MinBatch: fleet.MinBatchSize(), Rounds: f.rounds,
		Epsilon: f.epsilon, Delta: fleet.Config().Delta, Minutes: f.minutes, Seeds: f.seeds, ReportBytes: base.Report.Bytes, Ways: paceWays(base),
	}
	if err := a.trainAll(ctx, f, fleet, res); err != nil {
		return err
	}
	res.finish()
	if f.page != "" {
		var page bytes.Buffer
		if err := report.WritePace(&page, res.page()); err != nil {
			return err
		}
		if err := writeFile(f.page, page.Bytes(), 0o644, f.force); err != nil {
			return err
		}
	}
	a.out.Result(res)
	return nil
}

// fleet cuts the data into vehicles and sizes the noise for four fifths of the reports.
func (f *paceFlags) fleet(data *demoData) (*fleetsim.Fleet, error) {
	c := data.config
	probe, err := fleetsim.New(c, data.rows)
	if err != nil {
		return nil, err
	}
	c.Rounds, c.Epsilon, c.VanishShare, c.MaxDishonest = f.rounds, f.epsilon, 0, f.reports*2/25
	if f.momentum >= 0 {
		c.Momentum = f.momentum
	}
	c.MinBatchShare = (math.Floor(float64(f.reports)*4/5) + 0.5) / float64(probe.Vehicles())
	return fleetsim.New(c, data.rows)
}

// scenario is the planet's, with reports of the size that the roles would make of this model.
func (f *paceFlags) scenario(fleet *fleetsim.Fleet) (planet.Scenario, error) {
	s := planet.Defaults()
	task, err := demoTask(fleet, 0, false)
	if err != nil {
		return s, err
	}
	task.Committee, task.Batch.Max = demoCommittee, f.reports
	sketchKeys(&task)
	plan, err := completePlan(task)
	if err != nil {
		return s, err
	}
	s.Days, s.Seed = f.days, f.seed
	s.Report.Values, s.Report.Bytes, s.Report.HeaderBytes = fleet.Dimension(), int(plan.Secagg.ReportBytes()), plan.Secagg.HeaderObjectBytes()
	s.Report.PieceBytes, s.Report.TrainSeconds = plan.Task.PieceBlocks*plan.Secagg.BlockBytes(), 60*f.minutes
	s.Schedule.Lanes, s.Schedule.Reports, s.Schedule.MinBatch = 1, f.reports, fleet.MinBatchSize()
	s.Schedule.OverSelection, s.Schedule.MinSeparation = 3, 1
	if err := s.Validate(); err != nil {
		return s, &usageError{Err: err, Hint: "--days and --train-minutes"}
	}
	return s, nil
}

// paceWays are the schedules that are compared. The synchronous ones differ in how long they wait.
func paceWays(base planet.Scenario) []*paceWay {
	var all []*paceWay
	for _, hours := range []float64{4, 8} {
		s := base
		s.Schedule.PeriodMinutes, s.Schedule.DeadlineMinutes = 60*hours, 60*hours-5
		all = append(all, &paceWay{Name: fmt.Sprintf("synchronous, %g\u00a0h", hours), settings: pace.Settings{Scenario: s}})
	}
	s := base
	s.Schedule.Buffered, s.Schedule.PeriodMinutes, s.Schedule.DeadlineMinutes = true, 120, 24*60
	return append(all,
		&paceWay{Name: "buffered, equal weights", settings: pace.Settings{Scenario: s}},
		&paceWay{Name: "buffered, 1/√(1+s)", settings: pace.Settings{Scenario: s, Weighted: true}})
}

// Bits and bases of the releases that vehicles follow.
const paceBits, paceBases = 4, 4

func (a *app) trainAll(ctx context.Context, f *paceFlags, fleet *fleetsim.Fleet, res *paceResult) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(2)
	for _, w := range res.Ways {
		w.curves = make([]*pace.Curve, f.seeds)
		for i := range f.seeds {
			s := w.settings
			s.Bits, s.Bases, s.Scenario.Seed = paceBits, paceBases, f.seed+uint64(i)
			group.Go(func() (err error) {
				w.curves[i], err = pace.Train(ctx, fleet, s)
				return err
			})
		}
	}
	err := group.Wait()
	if errors.Is(err, pace.ErrSettings) {
		return usage("--reports: %w", err)
	}
	return err
}

// paceResult is the comparison.
type paceResult struct {
	Data        string     `json:"data"`
	Vehicles    int        `json:"vehicles"`
	Values      int        `json:"values"`
	Reports     int        `json:"reports"`
	MinBatch    int        `json:"min_batch_size"`
	Rounds      int        `json:"rounds"`
	Epsilon     float64    `json:"epsilon"`
	Delta       float64    `json:"delta"`
	Minutes     float64    `json:"train_minutes"`
	Seeds       int        `json:"seeds"`
	ReportBytes int        `json:"report_bytes"`
	Target      float64    `json:"target_accuracy"` // that every training reaches which opened all its rounds
	Ways        []*paceWay `json:"ways"`
}

// paceWay is one schedule; figures are means over the seeds.
type paceWay struct {
	Name      string  `json:"name"`
	Rounds    float64 `json:"rounds"` // opened
	Void      float64 `json:"void"`
	Hours     float64 `json:"hours"` // until the last opened round
	Accuracy  float64 `json:"accuracy"`
	OnRows    float64 `json:"accuracy_on_own_rows"`
	Reached   int     `json:"seeds_reaching_target"` // whose means the next two are
	ToHours   float64 `json:"hours_to_target"`
	ToUp      float64 `json:"bytes_up_to_target"`
	Up        float64 `json:"bytes_up"`
	Down      float64 `json:"bytes_down"`
	Whole     float64 `json:"bytes_down_whole"` // without deltas
	Delta     float64 `json:"delta_bytes"`      // mean, from one version to the next
	Model     int     `json:"model_bytes"`
	Lost      float64 `json:"reports_lost"` // that arrived for nothing
	Staleness float64 `json:"staleness"`

	settings pace.Settings
	curves   []*pace.Curve
}

// finish takes the means.
func (r *paceResult) finish() {
	r.Target = 1
	for _, w := range r.Ways {
		for _, c := range w.curves {
			best := 0.0
			for _, p := range c.Points {
				best = max(best, p.Accuracy)
			}
			if len(c.Points) == r.Rounds {
				r.Target = min(r.Target, math.Floor(best*100)/100)
			}
		}
	}
	for _, w := range r.Ways {
		for _, c := range w.curves {
			w.add(c, r.Target, 1/float64(len(w.curves)))
		}
		if w.Reached > 0 {
			w.ToHours, w.ToUp = w.ToHours/float64(w.Reached), w.ToUp/float64(w.Reached)
		}
	}
}

func (w *paceWay) add(c *pace.Curve, target, share float64) {
	w.Model, w.Void = c.ModelBytes, w.Void+share*float64(c.Void)
	n := len(c.Points)
	if n == 0 {
		return
	}
	last := c.Points[n-1]
	w.Rounds, w.Hours, w.Accuracy, w.OnRows = w.Rounds+share*float64(n), w.Hours+share*last.At.Hours(), w.Accuracy+share*last.Accuracy, w.OnRows+share*c.OnRows
	w.Up, w.Down, w.Whole, w.Delta = w.Up+share*last.Up, w.Down+share*last.Down, w.Whole+share*last.Whole, w.Delta+share*c.DeltaBytes
	w.Lost += share * float64(c.Uploaded-c.Counted)
	for _, p := range c.Points {
		w.Staleness += share * p.Staleness / float64(n)
	}
	if p, ok := c.Reached(target); ok {
		w.Reached, w.ToHours, w.ToUp = w.Reached+1, w.ToHours+p.At.Hours(), w.ToUp+p.Up
	}
}

// hoursToTarget is a dash if no training got there.
func (w *paceWay) hoursToTarget() string {
	if w.Reached == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f", w.ToHours)
}

// Text implements ui.Result.
func (r *paceResult) Text() string {
	b := &strings.Builder{}
	fmt.Fprintf(b, "%s: %d vehicles, %d values, rounds of %d reports (at least %d), epsilon %g at delta %g after %d rounds; means of %s\n",
		r.Data, r.Vehicles, r.Values, r.Reports, r.MinBatch, r.Epsilon, r.Delta, r.Rounds, many(r.Seeds, "seed"))
	fmt.Fprintf(b, "%-24s %7s %5s %7s %9s %14s %9s %9s %9s %6s\n", "", "rounds", "void", "hours", "accuracy", fmt.Sprintf("h to %.2f", r.Target), "MB up", "MB down", "whole", "stale")
	for _, w := range r.Ways {
		fmt.Fprintf(b, "%-24s %7.1f %5.1f %7.0f %9.3f %14s %9.1f %9.1f %9.1f %6.2f\n", w.Name, w.Rounds, w.Void, w.Hours, w.Accuracy, w.hoursToTarget(), w.Up/1e6, w.Down/1e6, w.Whole/1e6, w.Staleness)
	}
	if len(r.Ways) > 0 {
		w := r.Ways[len(r.Ways)-1]
		fmt.Fprintf(b, "a report is %d bytes, a model %d, the delta from one to the next %.0f (%.0f %%)\n", r.ReportBytes, w.Model, w.Delta, 100*w.Delta/float64(w.Model))
	}
	return b.String()
}

// page draws the first seed of each way, at 60 positions.
func (r *paceResult) page() report.Pace {
	p := report.Pace{
		Title: "Buffered and synchronous rounds on the same links", Created: time.Now().UTC().Format("2006-01-02 15:04 MST"),
		Data: r.Data, Vehicles: r.Vehicles, Reports: r.Reports, Rounds: r.Rounds, Epsilon: r.Epsilon, Delta: r.Delta, Target: r.Target, Seeds: r.Seeds,
	}
	hours, up := 0.0, 0.0
	for _, w := range r.Ways {
		if pts := w.curves[0].Points; len(pts) > 0 {
			hours, up = max(hours, pts[len(pts)-1].At.Hours()), max(up, pts[len(pts)-1].Up)
		}
		p.Rows = append(p.Rows, report.PaceRow{
			Name: w.Name, Rounds: w.Rounds, Void: w.Void, Hours: w.Hours, Accuracy: w.Accuracy, ToHours: w.hoursToTarget(), Up: w.Up, Down: w.Down, Whole: w.Whole, Lost: w.Lost, Staleness: w.Staleness,
		})
	}
	const positions = 60
	for i := range positions + 1 {
		p.Hours, p.Megabytes = append(p.Hours, hours*float64(i)/positions), append(p.Megabytes, up/1e6*float64(i)/positions)
	}
	for _, w := range r.Ways {
		pts := w.curves[0].Points
		p.ByHours = append(p.ByHours, report.Series{Name: w.Name, Y: along(p.Hours, pts, func(x pace.Point) float64 { return x.At.Hours() })})
		p.ByBytes = append(p.ByBytes, report.Series{Name: w.Name, Y: along(p.Megabytes, pts, func(x pace.Point) float64 { return x.Up / 1e6 })})
	}
	return p
}

// along is the accuracy of the last point at or before each position; a gap before the first, and the last one from the end on.
func along(at []float64, points []pace.Point, where func(pace.Point) float64) []float64 {
	y := make([]float64, len(at))
	for i, x := range at {
		y[i] = math.NaN()
		for _, p := range points {
			if where(p) > x+1e-9 {
				break
			}
			y[i] = p.Accuracy
		}
	}
	return y
}
