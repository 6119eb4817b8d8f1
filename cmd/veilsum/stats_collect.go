package main

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/collector"
	"github.com/veilsum/veilsum/privacy/statistics"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/schema/arrowipc"
)

type statsCollectFlags struct {
	taskFlags
	epoch      uint64
	key        string
	out        string
	force      bool
	candidates string
}

const statsCollectHelp = `Reads the opened sums of all lanes of an epoch, verified against their receipts,
and writes one table in Arrow: query, measure, key, lower, upper, key_2, lower_2,
upper_2, estimate, standard_error, ci_low, ci_high, suppressed, and the guarantee
in the metadata. DuckDB (by pyarrow) and polars read it. With --key it first opens
the sums that the committee has answered, as "round collect" does.
Intervals hold 95 % and cover the noise: what these vehicles said, not what others
would. Estimates are not rounded, so counts may be below zero. An evaluation adds
accuracy, recall, ece, psi and jensen_shannon; the two last also cover that
another fleet of this size would differ.
Equal arguments write equal bytes. Nothing here costs budget: all of it follows
from what was opened.`

func (a *app) statsCollectCommand() *cobra.Command {
	f := &statsCollectFlags{}
	c := verb("collect", "Write the answers of an epoch as Arrow", statsCollectHelp,
		"  veilsum stats collect --epoch 1 --out result.arrow --store file:./store --task $TASK --owner owner.pub", cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return a.statsCollect(ctx, f) })
	f.register(c)
	c.Flags().Uint64Var(&f.epoch, "epoch", 0, "epoch of the rounds")
	c.Flags().StringVar(&f.key, "key", "", "the collector's key file, to open what is not opened yet")
	c.Flags().StringVar(&f.out, "out", "", "write the answers to this file")
	c.Flags().BoolVar(&f.force, "force", false, "overwrite --out")
	c.Flags().StringVar(&f.candidates, "candidates", "", "file of public texts, one a line, whose frequency sketches are asked for")
	must(c.MarkFlagRequired("epoch"))
	return c
}

func (a *app) statsCollect(ctx context.Context, f *statsCollectFlags) error {
	o, err := f.open(ctx)
	if err != nil {
		return err
	}
	if f.key != "" {
		if err := a.collectLanes(ctx, f, o); err != nil {
			return err
		}
	}
	rel, err := a.released(ctx, o, f.epoch)
	if err != nil {
		return err
	}
	if f.candidates != "" {
		raw, err := a.readInput(f.candidates, maxYAML)
		if err != nil {
			return err
		}
		rel.Release.Candidates = strings.Fields(string(raw))
	}
	res, err := newAnswers(o, rel, f.epoch)
	if err != nil {
		return err
	}
	if f.out != "" {
		if err := res.write(f.out, f.force); err != nil {
			return err
		}
	}
	a.out.Result(res)
	return nil
}

// collectLanes opens the sums of all lanes.
func (a *app) collectLanes(ctx context.Context, f *statsCollectFlags, o *opened) error {
	key, err := a.readKey(f.key)
	if err != nil {
		return err
	}
	c, err := collector.New(key, nil)
	if err != nil {
		return err
	}
	for lane := range uint32(o.plan.Task.Batch.Lanes) {
		r, err := o.round(ctx, pipeline.RoundName{Task: o.id, Epoch: f.epoch, Lane: lane})
		if err != nil {
			return err
		}
		if _, err := c.Collect(ctx, o.store, r, a.progress("reports added")); err != nil {
			return err
		}
	}
	return nil
}

// released reads the verified aggregates of an epoch.
func (a *app) released(ctx context.Context, o *opened, epoch uint64) (*pipeline.Released, error) {
	rel, err := pipeline.LoadRelease(ctx, o.store, o.plan, o.id, epoch, func(r *pipeline.Round, rec schema.Receipt) ([]float64, float64, error) {
		g, _, err := collector.Published(ctx, o.store, r, rec)
		if err != nil {
			return nil, 0, err
		}
		return g.Values, r.Privacy.NoiseStdDev(rec.Reports), nil
	})
	if err != nil {
		return nil, err
	}
	for _, lane := range rel.Void {
		a.out.Warn("lane %d is void and left out", lane)
	}
	return rel, nil
}

// answersResult is a decoded epoch.
type answersResult struct {
	TaskID    schema.TaskID    `json:"task_id"`
	Epoch     uint64           `json:"epoch"`
	Reports   int              `json:"reports"`
	MinCount  int              `json:"min_count"`
	File      string           `json:"file,omitempty"`
	Estimates []answerEstimate `json:"estimates"`
	meta      map[string]string
	all       []statistics.Estimate
}

// answerEstimate is an estimate with only those numbers that exist.
type answerEstimate struct {
	Query      string   `json:"query"`
	Measure    string   `json:"measure"`
	Key        string   `json:"key,omitempty"`
	Lower      *float64 `json:"lower,omitempty"`
	Upper      *float64 `json:"upper,omitempty"`
	Key2       string   `json:"key_2,omitempty"`
	Lower2     *float64 `json:"lower_2,omitempty"`
	Upper2     *float64 `json:"upper_2,omitempty"`
	Estimate   *float64 `json:"estimate,omitempty"`
	StdErr     *float64 `json:"standard_error,omitempty"`
	Low        *float64 `json:"ci_low,omitempty"`
	High       *float64 `json:"ci_high,omitempty"`
	Suppressed bool     `json:"suppressed,omitempty"`
}

func newAnswers(o *opened, rel *pipeline.Released, epoch uint64) (*answersResult, error) {
	all, err := rel.Set.Decode(rel.Release)
	if err != nil {
		return nil, err
	}
	more, err := rel.Set.Evaluate(rel.Release)
	if err != nil {
		return nil, err
	}
	res := &answersResult{TaskID: o.id, Epoch: epoch, Reports: rel.Release.Reports, MinCount: rel.Release.MinCount, all: append(more, all...)} // what sums up comes first
	if res.meta, err = answersMeta(o, rel, epoch); err != nil {
		return nil, err
	}
	for _, e := range res.all {
		res.Estimates = append(res.Estimates, newAnswer(e))
	}
	return res, nil
}

func newAnswer(e statistics.Estimate) answerEstimate {
	return answerEstimate{
		Query: e.Query, Measure: e.Measure, Key: e.Cells[0].Key, Lower: known(e.Cells[0].Lower), Upper: known(e.Cells[0].Upper),
		Key2: e.Cells[1].Key, Lower2: known(e.Cells[1].Lower), Upper2: known(e.Cells[1].Upper),
		Estimate: known(e.Value), StdErr: known(e.StdErr), Low: known(e.Low), High: known(e.High), Suppressed: e.Suppressed,
	}
}

// statisticsFormat is the value of veilsum.format in a table of answers.
const statisticsFormat = "veilsum-statistics/1"

// answersMeta tells what the answers rest on and what they cost.
func answersMeta(o *opened, rel *pipeline.Released, epoch uint64) (map[string]string, error) {
	g, err := pipeline.EventGuarantee(o.plan.Event(), o.plan.Task.Scope)
	if err != nil {
		return nil, err
	}
	real := func(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }
	p := o.plan.Task.Privacy
	var rounds []string
	for _, r := range rel.Rounds {
		rounds = append(rounds, r.ID.String())
	}
	return map[string]string{
		arrowipc.MetaFormat: statisticsFormat, arrowipc.MetaTaskID: o.id.String(), arrowipc.MetaProducer: "veilsum",
		"veilsum.epoch": strconv.FormatUint(epoch, 10), "veilsum.round_ids": strings.Join(rounds[:min(len(rounds), 60)], " "),
		arrowipc.MetaReportCount: strconv.Itoa(rel.Release.Reports), "veilsum.min_count": strconv.Itoa(rel.Release.MinCount),
		arrowipc.MetaNoiseStdDev: real(rel.Release.Noise), arrowipc.MetaMechanism: p.TrustModel + " " + p.Mechanism,
		arrowipc.MetaNoiseMultiplier: real(float64(p.NoiseMultiplier)), arrowipc.MetaClippingNorm: real(float64(p.ClippingNorm)),
		arrowipc.MetaEpsilon: real(g.Epsilon), arrowipc.MetaDelta: real(g.Delta), arrowipc.MetaRelation: string(g.Relation), arrowipc.MetaUnit: g.Unit,
	}, nil
}

// write writes the table; a repeated command finds its own file.
func (r *answersResult) write(path string, force bool) error {
	b, err := arrowipc.EncodeTable(answerColumns(r.all), r.meta)
	if err != nil {
		return err
	}
	if err := writeOnce(path, b, force); err != nil {
		return err
	}
	r.File = path
	return nil
}

// answerColumns lays estimates out as a table; what does not exist is null.
func answerColumns(all []statistics.Estimate) []arrowipc.Column {
	texts := func(name string, of func(statistics.Estimate) string, null bool) arrowipc.Column {
		c := arrowipc.Column{Name: name, Strings: []string{}}
		for _, e := range all {
			s := of(e)
			c.Strings = append(c.Strings, s)
			if null {
				c.Valid = append(c.Valid, s != "")
			}
		}
		return c
	}
	numbers := func(name string, of func(statistics.Estimate) float64) arrowipc.Column {
		c := arrowipc.Column{Name: name, Floats: []float64{}, Valid: []bool{}}
		for _, e := range all {
			x := of(e)
			if c.Valid = append(c.Valid, !math.IsNaN(x)); math.IsNaN(x) {
				x = 0 // null, whose bytes are then the same everywhere
			}
			c.Floats = append(c.Floats, x)
		}
		return c
	}
	hidden := arrowipc.Column{Name: "suppressed", Bools: []bool{}}
	for _, e := range all {
		hidden.Bools = append(hidden.Bools, e.Suppressed)
	}
	type est = statistics.Estimate
	return []arrowipc.Column{
		texts("query", func(e est) string { return e.Query }, false), texts("measure", func(e est) string { return e.Measure }, false),
		texts("key", func(e est) string { return e.Cells[0].Key }, true),
		numbers("lower", func(e est) float64 { return e.Cells[0].Lower }), numbers("upper", func(e est) float64 { return e.Cells[0].Upper }),
		texts("key_2", func(e est) string { return e.Cells[1].Key }, true),
		numbers("lower_2", func(e est) float64 { return e.Cells[1].Lower }), numbers("upper_2", func(e est) float64 { return e.Cells[1].Upper }),
		numbers("estimate", func(e est) float64 { return e.Value }), numbers("standard_error", func(e est) float64 { return e.StdErr }),
		numbers("ci_low", func(e est) float64 { return e.Low }), numbers("ci_high", func(e est) float64 { return e.High }), hidden,
	}
}

// shownRows bounds what is printed for people of one query.
const shownRows = 24

// Text implements ui.Result.
func (r *answersResult) Text() string {
	b := &strings.Builder{}
	fmt.Fprintf(b, "epoch %d of %s: %s\n", r.Epoch, r.TaskID.Short(), many(r.Reports, "vehicle"))
	if r.File != "" {
		fmt.Fprintf(b, "%s in %s\n", many(len(r.all), "row"), r.File)
	}
	shown, hidden := map[string]int{}, 0
	for _, e := range r.all {
		if e.Suppressed {
			hidden++
			continue
		}
		name := e.Query + " " + e.Measure
		if shown[name]++; shown[name] > shownRows {
			continue
		}
		where := strings.TrimSpace(cellText(e.Cells[0]) + " " + cellText(e.Cells[1]))
		if math.IsNaN(e.Value) {
			fmt.Fprintf(b, "%-34s %-24s too few vehicles to tell\n", name, where)
			continue
		}
		fmt.Fprintf(b, "%-34s %-24s %12.6g  95%% [%.6g, %.6g]\n", name, where, e.Value, e.Low, e.High)
	}
	for _, q := range r.all {
		name := q.Query + " " + q.Measure
		if n := shown[name]; n > shownRows {
			fmt.Fprintf(b, "%s: %d more rows; --out or --json tells all\n", name, n-shownRows)
			shown[name] = 0
		}
	}
	if hidden > 0 {
		fmt.Fprintf(b, "%s suppressed: not surely %d vehicles\n", many(hidden, "row"), r.MinCount)
	}
	return b.String()
}

func cellText(c statistics.Cell) string {
	if c.Key != "" || math.IsNaN(c.Lower) {
		return c.Key
	}
	return fmt.Sprintf("[%.4g, %.4g)", c.Lower, c.Upper)
}
