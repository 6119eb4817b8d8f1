// Package batch sums the reports of one frozen list by a tree of steps that any
// engine can run, on any number of machines.
//
// [New] plans the tree from the list, [Publish] writes the plan, [Do] runs one step, and [Run] all of them on
// this machine or by any other [Runner]. A step adds reports, or the partial sums of other steps;
// its name is a hash of its sorted inputs, and its result, written once under that name, is the same bytes whoever runs it
// and however often. So an engine that runs each step at least once gives the sum that adds each report exactly
// once: an ordinary partial sum, which the collector finds. BATCH.md is the specification.
package batch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// ErrStep: what was asked for is no step of the plan.
var ErrStep = errors.New("batch: not a step of the plan")

// DefaultFanIn is how many inputs a step has at most if nobody says otherwise.
const DefaultFanIn = 256

// Step is one addition. It is immutable.
type Step struct {
	ID     schema.StepID
	Level  int // from 1
	Index  int // within its level, from 0
	Region int // index of the plan's region, -1 above all of them
	// Reports is how many are below it.
	Reports int

	parts  []*Step           // sorted by ID, nil at level 1
	leaves []schema.ReportID // sorted, at level 1
}

// Inputs returns what the step adds, sorted: ReportIDs at level 1, above that the StepIDs of lower levels.
func (s *Step) Inputs() []schema.Digest {
	inputs := make([]schema.Digest, 0, s.count())
	for _, id := range s.leaves {
		inputs = append(inputs, id.Digest)
	}
	for _, p := range s.parts {
		inputs = append(inputs, p.ID.Digest)
	}
	return inputs
}

// count is the number of inputs.
func (s *Step) count() int { return len(s.leaves) + len(s.parts) }

// Below returns the reports below the step, sorted.
func (s *Step) Below() []schema.ReportID {
	if s.Level == 1 {
		return slices.Clone(s.leaves)
	}
	all := make([]schema.ReportID, 0, s.Reports)
	for _, p := range s.parts {
		all = append(all, p.Below()...)
	}
	slices.SortFunc(all, schema.CompareReports)
	return all
}

// Tree is a plan with all its steps. It is immutable.
type Tree struct {
	ID     schema.Digest // of the plan
	Plan   schema.BatchPlan
	Levels [][]*Step // Levels[0] is level 1
	Tops   []*Step   // of each region, the step that has all its reports below it
	steps  map[schema.StepID]*Step
}

// Root is the step that has all reports below it.
func (t *Tree) Root() *Step {
	last := t.Levels[len(t.Levels)-1]
	return last[len(last)-1]
}

// Step returns the step of a level (from 1) and an index (from 0).
func (t *Tree) Step(level, index int) (*Step, error) {
	if level < 1 || level > len(t.Levels) {
		return nil, fmt.Errorf("%w: level %d, there are levels 1 to %d", ErrStep, level, len(t.Levels))
	}
	if steps := t.Levels[level-1]; index >= 0 && index < len(steps) {
		return steps[index], nil
	}
	return nil, fmt.Errorf("%w: index %d, level %d has steps 0 to %d", ErrStep, index, level, len(t.Levels[level-1])-1)
}

// Find returns the step with exactly these inputs, in any order. It refuses an input that is
// there twice, one that is not in the plan, and a number that is not that of the step.
func (t *Tree) Find(inputs []schema.Digest) (*Step, error) {
	sorted := slices.Clone(inputs)
	slices.SortFunc(sorted, schema.CompareDigests)
	for i := 1; i < len(sorted); i++ {
		if sorted[i] == sorted[i-1] {
			return nil, fmt.Errorf("%w: input %s is there twice", ErrStep, sorted[i].Short())
		}
	}
	for level := range t.Levels {
		if s := t.steps[schema.NewStepID(t.Plan.RoundID, level+1, sorted)]; s != nil {
			return s, nil
		}
	}
	return nil, t.explain(sorted)
}

// explain says what is wrong with inputs that are no step's.
func (t *Tree) explain(inputs []schema.Digest) error {
	known := map[schema.Digest]*Step{}
	for _, level := range t.Levels {
		for _, s := range level {
			for _, x := range s.Inputs() {
				known[x] = s
			}
		}
	}
	var of *Step
	for _, x := range inputs {
		s := known[x]
		switch {
		case s == nil:
			return fmt.Errorf("%w: input %s is not in the plan %s", ErrStep, x.Short(), t.ID.Short())
		case of != nil && of != s:
			return fmt.Errorf("%w: input %s belongs to step %d of level %d, others to step %d of level %d", ErrStep, x.Short(), s.Index, s.Level, of.Index, of.Level)
		}
		of = s
	}
	if of == nil {
		return fmt.Errorf("%w: no inputs", ErrStep)
	}
	return fmt.Errorf("%w: %d inputs of step %d of level %d, the plan counts %d", ErrStep, len(inputs), of.Index, of.Level, of.count())
}

// New plans how the reports of a frozen list are added: within each region first, at most
// fanIn inputs a step, then the regions. list is the identity of the candidate list or manifest; regions may hold
// fewer reports than it does. The same arguments give the same tree.
func New(round schema.RoundID, list schema.Digest, fanIn int, regions ...schema.BatchRegion) (*Tree, error) {
	regions = slices.Clone(regions)
	slices.SortFunc(regions, func(a, b schema.BatchRegion) int { return cmp.Compare(a.Name, b.Name) })
	for i := range regions {
		regions[i].Reports = slices.Clone(regions[i].Reports)
		slices.SortFunc(regions[i].Reports, schema.CompareReports)
	}
	return grow(schema.BatchPlan{RoundID: round, List: list, FanIn: fanIn, Regions: regions})
}

// grow derives all steps of a plan.
func grow(p schema.BatchPlan) (*Tree, error) {
	id, err := p.ID() // validates
	if err != nil {
		return nil, err
	}
	t := &Tree{ID: id, Plan: p, steps: map[schema.StepID]*Step{}}
	level := make([][]*Step, len(p.Regions))
	for g, region := range p.Regions {
		for _, part := range split(region.Reports, p.FanIn) {
			level[g] = append(level[g], t.leaf(part, g))
		}
	}
	for slices.ContainsFunc(level, func(steps []*Step) bool { return len(steps) > 1 }) {
		height := len(t.Levels) + 1
		for g := range level {
			level[g] = t.merge(level[g], height, g)
		}
	}
	for _, top := range level {
		t.Tops = append(t.Tops, top[0])
	}
	for top := t.Tops; len(top) > 1; {
		top = t.merge(top, len(t.Levels)+1, -1)
	}
	return t, nil
}

func (t *Tree) leaf(reports []schema.ReportID, region int) *Step {
	return t.add(&Step{Level: 1, Region: region, Reports: len(reports), leaves: reports})
}

// merge joins steps to fewer steps of a level. One that is alone needs no other on top of it.
func (t *Tree) merge(steps []*Step, level, region int) []*Step {
	var out []*Step
	for _, part := range split(steps, t.Plan.FanIn) {
		if len(part) == 1 {
			out = append(out, part[0])
			continue
		}
		s := &Step{Level: level, Region: region, parts: slices.Clone(part)}
		slices.SortFunc(s.parts, func(a, b *Step) int { return schema.CompareDigests(a.ID.Digest, b.ID.Digest) })
		for _, x := range s.parts {
			s.Reports += x.Reports
		}
		out = append(out, t.add(s))
	}
	return out
}

// add names a step and numbers it within its level.
func (t *Tree) add(s *Step) *Step {
	for len(t.Levels) < s.Level {
		t.Levels = append(t.Levels, nil)
	}
	s.ID = schema.NewStepID(t.Plan.RoundID, s.Level, s.Inputs())
	s.Index = len(t.Levels[s.Level-1])
	t.Levels[s.Level-1] = append(t.Levels[s.Level-1], s)
	t.steps[s.ID] = s
	return s
}

// split cuts a list into as few consecutive parts of at most n as there can be, of nearly equal length.
func split[T any](all []T, n int) [][]T {
	parts := (len(all) + n - 1) / n
	out := make([][]T, parts)
	for i := range out {
		out[i] = all[len(all)*i/parts : len(all)*(i+1)/parts]
	}
	return out
}

// Publish writes the plan of a tree. Who publishes an equal plan finds it.
func Publish(ctx context.Context, s storage.Store, r *pipeline.Round, t *Tree) error {
	if t.Plan.RoundID != r.ID {
		return fmt.Errorf("%w: the plan is of another round", pipeline.ErrUntrusted)
	}
	raw, err := t.Plan.Encode()
	if err != nil {
		return err
	}
	_, err = s.PutOnce(ctx, pipeline.BatchKey(r.Name, t.ID), raw)
	return err
}

// maxPlan bounds the bytes of a plan.
const maxPlan = 80 + schema.MaxBatchRegions*(1+32+4) + 32*schema.MaxReports

// Load reads a plan of this round by its hash.
func Load(ctx context.Context, s storage.Store, r *pipeline.Round, id schema.Digest) (*Tree, error) {
	key := pipeline.BatchKey(r.Name, id)
	raw, err := pipeline.Read(ctx, s, key, maxPlan)
	if err != nil {
		return nil, err
	}
	p, err := schema.DecodeBatchPlan(raw)
	if err != nil {
		return nil, pipeline.Untrusted(key, err)
	}
	t, err := grow(p)
	if err == nil && (t.ID != id || p.RoundID != r.ID) {
		err = errors.New("it belongs to another round or differs from its name")
	}
	if err != nil {
		return nil, pipeline.Untrusted(key, err)
	}
	return t, nil
}
