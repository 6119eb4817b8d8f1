package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/aggregator"
	"github.com/veilsum/veilsum/pipeline/batch"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

type stepFlags struct {
	roundFlags
	plan    string
	level   int
	index   string
	workers int
	lenient bool // refused reports do not show in the exit status
}

const batchStepHelp = `Does one step of a plan: at level 1 it verifies and adds reports, above that it adds the
partial sums of lower steps. It writes one partial sum and then the step's record, whose name is a hash of the step's
sorted inputs, and prints one line. Done again, or by two workers at a time, it gives the same bytes
under the same names; a step that is done is found, and none of its inputs is read again. So an engine
that does each step at least once gets a sum that holds each report exactly once.

--index N is step N of the level, from 0, by default that of JOB_COMPLETION_INDEX (Kubernetes).
Without either the step is read from standard input: a line of "batch plan --steps", or the names of its inputs,
one a line, in any order: names of objects, ReportIDs or steps. Refused are a name that is there twice, one that is not in the
plan, and a number that is not the plan's. An input step that is not done yet is exit status 75.

A report that fails a check is refused and left out: the step is done, and the exit status is 3, or 0 with
--refused-is-done, for engines that know success and failure only. With --json the answer is one line,
with the fields step, level, index, inputs (how many), reports (in the partial sum), refused, partial (name of the
object, empty if no report is left), sha256, bytes and found (it was done before).`

func (a *app) batchStepCommand() *cobra.Command {
	f := &stepFlags{}
	c := f.register(verb("step", "Do one step of a plan", batchStepHelp,
		"  veilsum batch step --plan $PLAN --level 1 --index 17 --json --epoch 1 --store file:./store --task $TASK --owner owner.pub", cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return a.batchStep(ctx, f) }))
	c.Flags().StringVar(&f.plan, "plan", "", "the plan's hash, as \"batch plan\" printed it; a line of --steps names it itself")
	c.Flags().IntVar(&f.level, "level", 1, "level of the step, from 1; with an index only")
	c.Flags().StringVar(&f.index, "index", completionIndex(), "index of the step within its level, from 0 (JOB_COMPLETION_INDEX)")
	c.Flags().IntVar(&f.workers, "workers", 0, "goroutines that verify and add (default: one for each processor)")
	c.Flags().BoolVar(&f.lenient, "refused-is-done", false, "exit with status 0 though reports were refused")
	return c
}

func (a *app) batchStep(ctx context.Context, f *stepFlags) error {
	var wish stepWish
	index := -1
	var err error
	if f.index != "" {
		if index, err = strconv.Atoi(f.index); err != nil || index < 0 {
			return usage("--index %q: want a number from 0", f.index)
		}
	} else if wish, err = a.readWish(); err != nil {
		return err
	}
	o, r, err := f.round(ctx)
	if err != nil {
		return err
	}
	t, err := loadPlan(ctx, o, r, f.plan, wish.plan)
	if err != nil {
		return err
	}
	var step *batch.Step
	if index >= 0 {
		step, err = t.Step(f.level, index)
	} else {
		step, err = wish.find(r, t)
	}
	if err != nil {
		return err
	}
	d, err := batch.Do(ctx, o.store, r, step, aggregator.Options{Workers: f.workers, Progress: a.quietProgress("inputs added")})
	if err != nil {
		return err
	}
	a.out.Result(a.stepDone(r, t, d))
	if f.lenient {
		a.code = 0
	}
	return nil
}

// quietProgress is progress for people; programs get one line only.
func (a *app) quietProgress(what string) func(done, total int) {
	if a.json {
		return nil
	}
	return a.progress(what)
}

// loadPlan loads the plan that the flag or the step file names.
func loadPlan(ctx context.Context, o *opened, r *pipeline.Round, flag string, file schema.Digest) (*batch.Tree, error) {
	id := file
	switch given, err := schema.ParseDigest(flag); {
	case flag == "" && file.IsZero():
		return nil, &usageError{Err: errors.New("--plan is required"), Hint: `"veilsum batch plan" prints it`}
	case flag == "":
	case err != nil:
		return nil, usage("--plan %.70q: %w", flag, err)
	case !file.IsZero() && file != given:
		return nil, usage("--plan %s: standard input is a step of plan %s", given.Short(), file.Short())
	default:
		id = given
	}
	t, err := batch.Load(ctx, o.store, r, id)
	if errors.Is(err, storage.ErrNotExist) {
		return nil, withHint(fmt.Errorf("no plan %s in the store: %w", id.Short(), err), `"veilsum batch plan" of the same round and store makes it`)
	}
	return t, err
}

// stepWish is a step as standard input names it.
type stepWish struct {
	plan   schema.Digest
	step   schema.StepID
	inputs []string
}

// maxStepInput bounds standard input: 65536 names of at most 256 bytes.
const maxStepInput = schema.MaxFanIn * 256

func (a *app) readWish() (stepWish, error) {
	raw, err := a.readInput("-", maxStepInput)
	if err != nil {
		return stepWish{}, err
	}
	return parseWish(raw)
}

// parseWish reads one line of a step file, or one name a line.
func parseWish(raw []byte) (stepWish, error) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 {
		return stepWish{}, &usageError{Err: errors.New("no step: neither --index nor anything on standard input"), Hint: `pass --index N, or a line of "veilsum batch plan --steps"`}
	}
	if raw[0] != '{' {
		w := stepWish{}
		for line := range strings.Lines(string(raw)) {
			w.inputs = append(w.inputs, strings.TrimSpace(line))
		}
		return w, nil
	}
	var line stepLine
	if err := json.Unmarshal(raw, &line); err != nil {
		return stepWish{}, usage("standard input is no line of \"batch plan --steps\": %.200s", err)
	}
	if line.Plan.IsZero() || line.Step.IsZero() {
		return stepWish{}, usage("standard input names no plan or no step")
	}
	return stepWish{line.Plan, line.Step, line.Inputs}, nil
}

// find returns the step of the plan that has these inputs.
func (w stepWish) find(r *pipeline.Round, t *batch.Tree) (*batch.Step, error) {
	ids := make([]schema.Digest, 0, len(w.inputs))
	for i, name := range w.inputs {
		id, err := schema.ParseDigest(name)
		if err != nil {
			o, ok := pipeline.ParseObject(name)
			if !ok || o.Round != r.Name || !slices.Contains([]pipeline.Kind{pipeline.KindHeader, pipeline.KindStep}, o.Kind) {
				return nil, usage("input %d: %.200q is neither 64 hexadecimal digits nor the header of a report or the record of a step in round %s", i+1, name, r.Name)
			}
			if id = o.Hash; o.Kind == pipeline.KindHeader {
				id = o.Report.Digest
			}
		}
		ids = append(ids, id)
	}
	step, err := t.Find(ids)
	if err == nil && !w.step.IsZero() && w.step != step.ID {
		err = fmt.Errorf("%w: the inputs are those of step %s, not %s", batch.ErrStep, step.ID.Short(), w.step.Short())
	}
	return step, err
}

// stepDone is the answer, and sets the exit status.
func (a *app) stepDone(r *pipeline.Round, t *batch.Tree, d *batch.Done) stepResult {
	if len(d.Record.Refused) > 0 {
		a.code = exitRefused
	}
	s := stepResult{
		Plan: t.ID, Step: d.Step.ID, Level: d.Step.Level, Index: d.Step.Index, Inputs: d.Record.Inputs, Reports: len(d.Record.Vehicles),
		Refused: refusals(d.Record.Refused), SHA256: d.Record.Partial, Bytes: d.Record.Bytes, Found: d.Found,
	}
	if !s.SHA256.IsZero() {
		s.Partial = pipeline.PartialKey(r.Name, s.SHA256)
	}
	return s
}

type stepResult struct {
	Plan    schema.Digest    `json:"plan"`
	Step    schema.StepID    `json:"step"`
	Level   int              `json:"level"`
	Index   int              `json:"index"`
	Inputs  int              `json:"inputs"`
	Reports int              `json:"reports"`
	Refused []schema.Refusal `json:"refused"`
	Partial string           `json:"partial"`
	SHA256  schema.Digest    `json:"sha256"`
	Bytes   int64            `json:"bytes"`
	Found   bool             `json:"found"`
}

// Text implements ui.Result.
func (r stepResult) Text() string {
	found := ""
	if r.Found {
		found = ", done before"
	}
	return fmt.Sprintf("step %d of level %d: partial %s of %d reports from %d inputs%s\n", r.Index, r.Level, r.SHA256, r.Reports, r.Inputs, found) + refusalLines(r.Refused)
}
