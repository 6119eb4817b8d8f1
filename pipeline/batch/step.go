package batch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/aggregator"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/secagg"
	"github.com/veilsum/veilsum/storage"
)

// Done is a step whose result is in the store.
type Done struct {
	Step   *Step
	Record schema.StepRecord
	// Found tells that somebody had done it before: nothing was read but its record.
	Found bool
}

// Do runs one step of a plan of the round, or finds that it was done. First the partial sum is written, under the hash of
// its bytes, then the record, under the name of the step: the commit point. A report that fails a
// check is refused and left out; an input step that is not done is ErrNotReady.
func Do(ctx context.Context, s storage.Store, r *pipeline.Round, step *Step, opt aggregator.Options) (*Done, error) {
	if d, err := find(ctx, s, r, step); d != nil || err != nil {
		return d, err
	}
	var res *aggregator.Result
	var parts []schema.Digest
	var err error
	if step.Level == 1 {
		res, err = aggregator.SumWith(ctx, s, r, step.leaves, opt)
	} else {
		res, parts, err = merge(ctx, s, r, step, opt.Progress)
	}
	if err != nil {
		return nil, err
	}
	return commit(ctx, s, r, step, res, parts)
}

// find returns the step's result if it is there with its partial sum.
func find(ctx context.Context, s storage.Store, r *pipeline.Round, step *Step) (*Done, error) {
	rec, err := recordOf(ctx, s, r, step)
	if errors.Is(err, storage.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !rec.Partial.IsZero() {
		key := pipeline.PartialKey(r.Name, rec.Partial)
		info, err := s.Stat(ctx, key)
		if errors.Is(err, storage.ErrNotExist) {
			return nil, nil // somebody removed it: add it again
		}
		if err == nil && info.Size != rec.Bytes {
			err = pipeline.Untrusted(key, fmt.Errorf("%d bytes, the record of its step states %d", info.Size, rec.Bytes))
		}
		if err != nil {
			return nil, err
		}
	}
	return &Done{Step: step, Record: rec, Found: true}, nil
}

// LoadRecord reads the record of a step of this round, of whatever plan.
func LoadRecord(ctx context.Context, s storage.Store, r *pipeline.Round, id schema.StepID) (schema.StepRecord, error) {
	key := pipeline.StepKey(r.Name, id)
	raw, err := pipeline.Read(ctx, s, key, schema.MaxObject)
	if err != nil {
		return schema.StepRecord{}, err
	}
	rec, err := schema.DecodeStepRecord(raw)
	if err == nil && (rec.RoundID != r.ID || rec.Step != id) {
		err = errors.New("it belongs to another round or step")
	}
	if err != nil {
		return schema.StepRecord{}, pipeline.Untrusted(key, err)
	}
	return rec, nil
}

// recordOf is LoadRecord with the plan's counts.
func recordOf(ctx context.Context, s storage.Store, r *pipeline.Round, step *Step) (schema.StepRecord, error) {
	rec, err := LoadRecord(ctx, s, r, step.ID)
	if err == nil && (rec.Level != step.Level || rec.Inputs != step.count() || len(rec.Vehicles)+len(rec.Refused) != step.Reports) {
		err = pipeline.Untrusted(pipeline.StepKey(r.Name, step.ID), fmt.Errorf("%d inputs with %d reports, the plan counts %d with %d",
			rec.Inputs, len(rec.Vehicles)+len(rec.Refused), step.count(), step.Reports))
	}
	return rec, err
}

// merge adds the partial sums of a step's inputs, one in memory at a time. That no report is in two of them
// follows from the plan; that no vehicle is, is checked here.
func merge(ctx context.Context, s storage.Store, r *pipeline.Round, step *Step, progress aggregator.Progress) (*aggregator.Result, []schema.Digest, error) {
	m := &merger{parts: make([]schema.Digest, len(step.parts)), res: &aggregator.Result{
		PartialSum: aggregator.PartialSum{Reports: make([]schema.ReportID, 0, step.Reports), Sum: secagg.NewSum(r.Secagg)},
		Vehicles:   make(schema.Vehicles, 0, step.Reports),
	}}
	for i, part := range step.parts {
		rec, err := recordOf(ctx, s, r, part)
		if errors.Is(err, storage.ErrNotExist) {
			err = fmt.Errorf("%w: step %d of level %d is not done: %w", pipeline.ErrNotReady, part.Index, part.Level, err)
		}
		if err == nil {
			err = m.add(ctx, s, r, part, rec)
		}
		if err != nil {
			return nil, nil, err
		}
		m.parts[i] = rec.Partial
		if progress != nil {
			progress(i+1, len(step.parts))
		}
	}
	sort.Sort(byReport{m.res})
	return m.res, m.parts, m.res.OnePerVehicle(ctx, s, r)
}

type merger struct {
	res   *aggregator.Result
	parts []schema.Digest
}

// add adds the partial sum of one part, whose list must be what the plan says less what the record refuses.
func (m *merger) add(ctx context.Context, s storage.Store, r *pipeline.Round, part *Step, rec schema.StepRecord) error {
	m.res.Refused = append(m.res.Refused, rec.Refused...)
	p := &aggregator.PartialSum{}
	if !rec.Partial.IsZero() {
		var err error
		if p, err = aggregator.Load(ctx, s, r, rec.Partial); err != nil {
			return err
		}
	}
	all := slices.Clone(p.Reports)
	for _, f := range rec.Refused {
		all = append(all, f.Report)
	}
	slices.SortFunc(all, schema.CompareReports)
	if !slices.Equal(all, part.Below()) || len(p.Reports) != len(rec.Vehicles) {
		return pipeline.Untrusted(pipeline.StepKey(r.Name, part.ID), errors.New("its partial sum and its refused reports are not those of the plan"))
	}
	m.res.Reports, m.res.Vehicles = append(m.res.Reports, p.Reports...), append(m.res.Vehicles, rec.Vehicles...)
	if p.Sum == nil {
		return nil
	}
	return m.res.Sum.Merge(p.Sum)
}

// byReport sorts reports together with their vehicles, where they are.
type byReport struct{ *aggregator.Result }

// Len implements sort.Interface.
func (r byReport) Len() int { return len(r.Reports) }

// Less implements sort.Interface.
func (r byReport) Less(i, j int) bool { return schema.CompareReports(r.Reports[i], r.Reports[j]) < 0 }

// Swap implements sort.Interface.
func (r byReport) Swap(i, j int) {
	r.Reports[i], r.Reports[j] = r.Reports[j], r.Reports[i]
	r.Vehicles[i], r.Vehicles[j] = r.Vehicles[j], r.Vehicles[i]
}

// commit writes the partial sum and then the record. Both are the same bytes whoever writes them; if others are
// there, somebody saw other reports, and the error says so.
func commit(ctx context.Context, s storage.Store, r *pipeline.Round, step *Step, res *aggregator.Result, parts []schema.Digest) (*Done, error) {
	rec := schema.StepRecord{
		Version: schema.Version, RoundID: r.ID, Step: step.ID, Level: step.Level, Inputs: step.count(),
		Parts: append([]schema.Digest{}, parts...), Vehicles: res.Vehicles, Refused: append([]schema.Refusal{}, res.Refused...),
	}
	if len(res.Reports) > 0 {
		raw, id, err := res.Encode(r)
		if err != nil {
			return nil, err
		}
		if _, err := s.PutOnce(ctx, pipeline.PartialKey(r.Name, id), raw); err != nil {
			return nil, err
		}
		rec.Partial, rec.Bytes = id, int64(len(raw))
	}
	raw, err := rec.Encode()
	if err != nil {
		return nil, err
	}
	if _, err := s.PutOnce(ctx, pipeline.StepKey(r.Name, step.ID), raw); err != nil {
		return nil, err
	}
	return &Done{Step: step, Record: rec}, nil
}
