package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/veilsum/veilsum/cmd/internal/ui"
	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/lanes"
	"github.com/veilsum/veilsum/pipeline/robust"
)

// acrossLanes makes a command work on all lanes of its epoch, unless --lane names one.
func (f *roundFlags) acrossLanes(c *cobra.Command) *cobra.Command {
	flag := c.Flags().Lookup("lane")
	flag.Usage, flag.DefValue = "lane of the round; default all lanes of the epoch", "0" // pflag shows any other default
	f.oneLane = func() bool { return c.Flags().Changed("lane") }
	return c
}

// names are the rounds that a command is for.
func (f *roundFlags) names(o *opened) []pipeline.RoundName {
	if f.oneLane == nil || f.oneLane() || o.plan.Task.Batch.Lanes == 1 {
		return []pipeline.RoundName{f.name(o.id)}
	}
	all := make([]pipeline.RoundName, o.plan.Task.Batch.Lanes)
	for i := range all {
		all[i] = pipeline.RoundName{Task: o.id, Epoch: f.epoch, Lane: uint32(i)}
	}
	return all
}

// eachLane does a step in each round of the command. With one round that is all. With several it goes on after an error of one, gathers
// their results in one, and returns the first error.
func (a *app) eachLane(ctx context.Context, o *opened, f *roundFlags, step func(pipeline.RoundName) error) error {
	names := f.names(o)
	if len(names) == 1 {
		return step(names[0])
	}
	out, all := a.out, lanesResult{Epoch: f.epoch}
	defer func() { a.out = out }()
	var first error
	failed := 0
	for _, n := range names {
		l := &laneOut{Printer: out, lane: n.Lane}
		a.out = l
		err := step(n)
		if err != nil {
			l.line.Error = err.Error()
			if failed++; first == nil {
				first = fmt.Errorf("lane %d: %w", n.Lane, err)
			}
		}
		l.line.Lane = n.Lane
		all.Lanes = append(all.Lanes, l.line)
		if ctx.Err() != nil {
			break
		}
	}
	out.Result(all)
	if failed > 1 {
		first = fmt.Errorf("%d of %d lanes failed; %w", failed, len(names), first)
	}
	return first
}

// eachRound is eachLane for a step in a round that is open.
func (a *app) eachRound(ctx context.Context, o *opened, f *roundFlags, step func(*pipeline.Round) error) error {
	return a.eachLane(ctx, o, f, func(n pipeline.RoundName) error {
		r, err := o.round(ctx, n)
		if err != nil {
			return err
		}
		return step(r)
	})
}

// laneOut keeps the result of a step in one lane, and says of which lane a warning is.
type laneOut struct {
	ui.Printer
	lane uint32
	line laneLine
}

// Result implements ui.Printer.
func (l *laneOut) Result(v ui.Result) { l.line.Result = v }

// Warn implements ui.Printer.
func (l *laneOut) Warn(format string, args ...any) {
	l.Printer.Warn("lane %d: %s", l.lane, fmt.Sprintf(format, args...))
}

type laneLine struct {
	Lane   uint32    `json:"lane"`
	Result ui.Result `json:"result"` // of the command in this lane, null if there is none
	Error  string    `json:"error,omitempty"`
}

type lanesResult struct {
	Epoch uint64     `json:"epoch"`
	Lanes []laneLine `json:"lanes"`
}

// Text implements ui.Result.
func (r lanesResult) Text() string {
	b := &strings.Builder{}
	for _, l := range r.Lanes {
		text := ""
		if l.Result != nil {
			text = l.Result.Text()
		}
		if l.Error != "" {
			text += "error: " + l.Error + "\n"
		}
		for line := range strings.Lines(text) {
			fmt.Fprintf(b, "lane %d  %s", l.Lane, line)
		}
	}
	return b.String()
}

type mergeFlags struct {
	taskFlags
	epoch uint64
	out   string
	rule  string
	force bool
	now   bool
}

func (a *app) roundMergeCommand() *cobra.Command {
	f := &mergeFlags{}
	c := f.register(verb("merge", "Merge what the lanes of an epoch opened into one mean", `Reads the aggregates that the receipts of the epoch's lanes name and writes their mean,
each lane counted by its reports, as an Arrow file. Anybody may: it needs no key and
costs no budget, and the same lanes give the same bytes. Lanes that ended void are left
out and named (exit status 3). Where some vehicles may lie, --rule distrusts single lanes: the gate
leaves out, and names, lanes whose mean is longer than clipped updates and the declared noise allow;
median, trimmed mean and geometric median outvote a minority. "veilsum bench robust" shows what each costs. While a lane has no receipt, exit status 75, unless --now.`,
		"  veilsum round merge --epoch 1 --out mean.arrow --store file:./store --task $TASK --owner owner.pub", cobra.NoArgs,
		func(ctx context.Context, _ []string) error {
			o, err := f.open(ctx)
			if err != nil {
				return err
			}
			return a.merge(ctx, o, f)
		}))
	c.Flags().Uint64Var(&f.epoch, "epoch", 0, "epoch whose lanes are merged")
	c.Flags().StringVar(&f.out, "out", "", "file for the mean")
	c.Flags().StringVar(&f.rule, "rule", "mean", "mean, median, trimmed:SHARE, geometric, or gate+ one of them")
	c.Flags().BoolVar(&f.force, "force", false, "overwrite --out")
	c.Flags().BoolVar(&f.now, "now", false, "leave out lanes that have no receipt yet")
	must(c.MarkFlagRequired("epoch"))
	must(c.MarkFlagRequired("out"))
	return c
}

func (a *app) merge(ctx context.Context, o *opened, f *mergeFlags) error {
	e, err := lanes.Load(ctx, o.store, o.plan, o.id, f.epoch)
	if err != nil {
		return err
	}
	if len(e.Open) > 0 && !f.now {
		return withHint(fmt.Errorf("%w: %s of epoch %d without a receipt (lane %d)", pipeline.ErrNotReady, many(len(e.Open), "lane"), f.epoch, e.Open[0]), `"veilsum round status" shows what each lane waits for; --now leaves it out`)
	}
	if len(e.Lanes) == 0 {
		return withHint(fmt.Errorf("%w: no lane of epoch %d is committed", pipeline.ErrTooFew, f.epoch), "open the next epoch")
	}
	m, file, err := lanes.Merge(o.plan, o.id, f.epoch, e.Lanes, f.rule)
	if errors.Is(err, robust.ErrRule) && len(m.Rejected) == 0 {
		return usage("--rule: %w", err)
	}
	if err != nil {
		return err
	}
	if err := writeOnce(f.out, file, f.force); err != nil {
		return err
	}
	res := mergeResult{Epoch: f.epoch, Reports: m.Reports, NoiseStdDev: m.NoiseStdDev, Merger: f.rule, File: f.out, Void: e.Void, Open: e.Open, Rejected: m.Rejected, Lanes: m.Used}
	if len(e.Void)+len(e.Open)+len(m.Rejected) > 0 {
		a.code = exitRefused
	}
	a.out.Result(res)
	return nil
}

type mergeResult struct {
	Epoch       uint64            `json:"epoch"`
	Lanes       []uint32          `json:"lanes"` // merged
	Void        []uint32          `json:"void,omitempty"`
	Open        []uint32          `json:"open,omitempty"`
	Rejected    []lanes.Rejection `json:"rejected,omitempty"`
	Reports     int               `json:"reports"`
	NoiseStdDev float64           `json:"noise_std_dev"`
	Merger      string            `json:"merger"`
	File        string            `json:"file"`
}

// Text implements ui.Result.
func (r mergeResult) Text() string {
	text := fmt.Sprintf("mean of %d reports of %s in %s; noise %.4g in a value\n", r.Reports, many(len(r.Lanes), "lane"), r.File, r.NoiseStdDev)
	for _, x := range []struct {
		what  string
		lanes []uint32
	}{{"void", r.Void}, {"open", r.Open}} {
		for _, l := range x.lanes {
			text += fmt.Sprintf("lane %d is %s and left out\n", l, x.what)
		}
	}
	for _, x := range r.Rejected {
		text += fmt.Sprintf("lane %d is left out: %s\n", x.Lane, x.Reason)
	}
	return text
}

// collectEach merges what a "round collect --out" over several lanes opened.
func (a *app) collectEach(ctx context.Context, o *opened, f *roundFlags, out string, force bool, step func(*pipeline.Round, string) error) error {
	if len(f.names(o)) == 1 {
		return a.eachRound(ctx, o, f, func(r *pipeline.Round) error { return step(r, out) })
	}
	err := a.eachRound(ctx, o, f, func(r *pipeline.Round) error { return step(r, "") })
	if err != nil || out == "" {
		return err
	}
	return a.merge(ctx, o, &mergeFlags{epoch: f.epoch, out: out, rule: "mean", force: force})
}

// errOneLane: a flag that only fits one round.
var errOneLane = errors.New("names an object of one round: give --lane, too")

// single refuses a flag that was given for several lanes.
func (f *roundFlags) single(o *opened, flag, value string) error {
	if value != "" && len(f.names(o)) > 1 {
		return usage("%s %w", flag, errOneLane)
	}
	return nil
}
