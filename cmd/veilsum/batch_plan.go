package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/batch"
	"github.com/veilsum/veilsum/schema"
)

// treeFlags say how the frozen list is cut.
type treeFlags struct {
	roundFlags
	fanIn   int
	regions []string
	reports string
}

func (f *treeFlags) register(c *cobra.Command) *cobra.Command {
	f.roundFlags.register(c)
	c.Flags().IntVar(&f.fanIn, "fan-in", batch.DefaultFanIn, "most inputs of a step")
	c.Flags().StringArrayVar(&f.regions, "region", nil, "NAME=FILE: add the reports that FILE names, one ReportID a line, below one step first; may be repeated")
	c.Flags().StringVar(&f.reports, "reports", "", "file with the ReportIDs to add, - for standard input (default: the whole frozen list)")
	return c
}

const batchPlanHelp = `Cuts the reports of the proposed manifest, or before a proposal those of the frozen
candidate list, into a tree of steps with at most --fan-in inputs each, and stores the plan under its
hash. "batch step" does one step of it, on any machine; "batch run" does all of them here. The same
list and flags give the same plan, whoever makes it.

--region NAME=FILE adds the reports of a region below one step of its own; reports that no
file names are a region without a name. --steps prints, instead of the plan, one JSON object a line for
each step, lower levels first: its plan, level, index, name (step) and the names of its inputs.
Each line is what "batch step" reads.

A plan is of one list: of a task with lanes plan each one, with --lane (lane 0 without it).`

type batchPlanFlags struct {
	treeFlags
	steps bool
}

func (a *app) batchPlanCommand() *cobra.Command {
	f := &batchPlanFlags{}
	c := f.register(verb("plan", "Cut a frozen list into a tree of steps", batchPlanHelp,
		"  veilsum batch plan --fan-in 256 --epoch 1 --store file:./store --task $TASK --owner owner.pub", cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return a.batchPlan(ctx, f) }))
	c.Flags().BoolVar(&f.steps, "steps", false, "print each step with its inputs, one JSON object a line")
	return c
}

func (a *app) batchPlan(ctx context.Context, f *batchPlanFlags) error {
	o, r, err := f.round(ctx)
	if err != nil {
		return err
	}
	t, err := a.plant(ctx, &f.treeFlags, o, r)
	if err != nil {
		return err
	}
	if f.steps {
		return a.printSteps(r, t)
	}
	p := batchPlanResult{Plan: t.ID, Reports: t.Plan.Reports(), FanIn: t.Plan.FanIn, Root: t.Root().ID}
	for _, level := range t.Levels {
		p.Levels = append(p.Levels, len(level))
	}
	for i, top := range t.Tops {
		p.Regions = append(p.Regions, regionResult{Name: t.Plan.Regions[i].Name, Step: top.ID, Level: top.Level, Index: top.Index, Reports: top.Reports})
	}
	a.out.Result(p)
	return nil
}

// plant plans the tree that the flags ask for and publishes it.
func (a *app) plant(ctx context.Context, f *treeFlags, o *opened, r *pipeline.Round) (*batch.Tree, error) {
	list, ids, err := frozen(ctx, o, r)
	if err != nil {
		return nil, err
	}
	if f.reports != "" {
		if ids, err = a.chosen(f.reports, ids); err != nil {
			return nil, err
		}
	}
	if len(ids) == 0 {
		return nil, fmt.Errorf("%w: none of the named reports is in the frozen list", pipeline.ErrTooFew)
	}
	if f.fanIn < schema.MinFanIn || f.fanIn > schema.MaxFanIn {
		return nil, usage("--fan-in %d: want %d to %d", f.fanIn, schema.MinFanIn, schema.MaxFanIn)
	}
	regions, err := a.regionsOf(f.regions, ids)
	if err != nil {
		return nil, err
	}
	t, err := batch.New(r.ID, list, f.fanIn, regions...)
	if err != nil {
		return nil, usage("%w", err)
	}
	return t, batch.Publish(ctx, o.store, r, t)
}

// regionsOf reads the files of the regions; what is in none of them is a region without a name.
func (a *app) regionsOf(flags []string, ids []schema.ReportID) ([]schema.BatchRegion, error) {
	var regions []schema.BatchRegion
	taken := map[schema.ReportID]string{}
	for _, flag := range flags {
		name, file, ok := strings.Cut(flag, "=")
		if !ok || name == "" || file == "" {
			return nil, usage("--region %q: want NAME=FILE", flag)
		}
		own, err := a.chosen(file, ids)
		if err != nil {
			return nil, err
		}
		if len(own) == 0 {
			return nil, fmt.Errorf("%w: region %q has no report in the frozen list", pipeline.ErrTooFew, name)
		}
		for _, id := range own {
			if other, ok := taken[id]; ok {
				return nil, usage("report %s is in region %q and in region %q", id.Short(), other, name)
			}
			taken[id] = name
		}
		regions = append(regions, schema.BatchRegion{Name: name, Reports: own})
	}
	var rest []schema.ReportID
	for _, id := range ids {
		if _, ok := taken[id]; !ok {
			rest = append(rest, id)
		}
	}
	if len(rest) > 0 {
		regions = append(regions, schema.BatchRegion{Reports: rest})
	}
	return regions, nil
}

// printSteps prints what "batch step" reads.
func (a *app) printSteps(r *pipeline.Round, t *batch.Tree) error {
	for _, level := range t.Levels {
		for _, s := range level {
			line := stepLine{Plan: t.ID, Level: s.Level, Index: s.Index, Step: s.ID, Inputs: make([]string, len(s.Inputs()))}
			for i, x := range s.Inputs() {
				line.Inputs[i] = inputName(r, s.Level, x)
			}
			a.out.Result(line)
		}
	}
	return nil
}

// inputName is the name of the object that commits an input.
func inputName(r *pipeline.Round, level int, x schema.Digest) string {
	if level == 1 {
		return pipeline.HeaderKey(r.Name, schema.ReportID{Digest: x})
	}
	return pipeline.StepKey(r.Name, schema.StepID{Digest: x})
}

// stepLine is one line of a step file.
type stepLine struct {
	Plan   schema.Digest `json:"plan"`
	Level  int           `json:"level"`
	Index  int           `json:"index"`
	Step   schema.StepID `json:"step"`
	Inputs []string      `json:"inputs"`
}

// Text implements ui.Result.
func (l stepLine) Text() string {
	raw, err := json.Marshal(l)
	if err != nil {
		return ""
	}
	return string(raw) + "\n"
}

type batchPlanResult struct {
	Plan    schema.Digest  `json:"plan"`
	Reports int            `json:"reports"`
	FanIn   int            `json:"fan_in"`
	Levels  []int          `json:"levels"` // steps of each, the lowest first
	Root    schema.StepID  `json:"root"`
	Regions []regionResult `json:"regions"`
}

// regionResult is the step that adds all reports of a region.
type regionResult struct {
	Name    string        `json:"name"`
	Step    schema.StepID `json:"step"`
	Level   int           `json:"level"`
	Index   int           `json:"index"`
	Reports int           `json:"reports"`
}

// Text implements ui.Result.
func (p batchPlanResult) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "plan %s of %d reports\n", p.Plan, p.Reports)
	for i, n := range p.Levels {
		fmt.Fprintf(&b, "level %d: %s\n", i+1, many(n, "step"))
	}
	for _, g := range p.Regions {
		if g.Name != "" {
			fmt.Fprintf(&b, "region %s: step %d of level %d, %d reports\n", g.Name, g.Index, g.Level, g.Reports)
		}
	}
	return b.String()
}

// completionIndex is where Kubernetes tells an indexed Job which index it is to do.
func completionIndex() string { return os.Getenv("JOB_COMPLETION_INDEX") }
