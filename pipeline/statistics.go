package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/veilsum/veilsum/privacy"
	"github.com/veilsum/veilsum/privacy/statistics"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// ErrNoStatistics: the task trains a model and asks no questions.
var ErrNoStatistics = errors.New("pipeline: the task asks no statistics")

// StatisticsSet validates the queries of a task. It is nil for a task without. Errors wrap [ErrTask].
func StatisticsSet(t schema.Task) (*statistics.Set, error) {
	if t.Statistics == nil {
		return nil, nil
	}
	var queries []statistics.Query
	for _, q := range t.Statistics.Queries {
		queries = append(queries, toQuery(q))
	}
	s, err := statistics.New(queries)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTask, err)
	}
	for i, q := range queries { // a field that the kind does not take would be read by nobody
		if err := sameQuery(t.Statistics.Queries[i], FromQuery(q)); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// sameQuery refuses a query that says more, or less, than its kind takes: want is what was understood of it.
func sameQuery(have, want schema.Query) error {
	a, err := json.Marshal(have)
	if err != nil {
		return fmt.Errorf("%w: statistics: query %.64q: %w", ErrTask, have.Name, err)
	}
	if b, err := json.Marshal(want); err != nil || !bytes.Equal(a, b) {
		return fmt.Errorf("%w: statistics: query %.64q: a field does not belong to kind %.40q, or is missing", ErrTask, have.Name, have.Kind)
	}
	return nil
}

// StatisticsTensors are the tensors of a task of these queries: one of float64 each.
func StatisticsTensors(s *statistics.Set) []schema.Tensor {
	var all []schema.Tensor
	for i, n := range s.Sizes() {
		all = append(all, schema.Tensor{Name: s.Name(i), DType: "float64", Shape: []int{n}})
	}
	return all
}

// Ask returns the completed task that asks questions in the scope of t, with its batch, noise, committee and roles.
// Everything that belongs to t's model is replaced: the tensors are those of the queries, and the norm is 1.
func Ask(t schema.Task, questions *schema.Statistics) (schema.Task, error) {
	t.Statistics = questions
	t, err := AskWithoutKeys(t)
	if err != nil {
		return t, err
	}
	return Complete(t)
}

// AskWithoutKeys does the same to a task that holds its questions and is not complete: it has no keys yet.
func AskWithoutKeys(t schema.Task) (schema.Task, error) {
	s, err := StatisticsSet(t)
	if err != nil {
		return t, err
	}
	if s == nil {
		return t, ErrNoStatistics
	}
	t.Tensors, t.PieceBlocks = StatisticsTensors(s), 0
	t.Privacy.ClippingNorm, t.Privacy.Groups, t.Privacy.Adaptive, t.Compression = 1, nil, nil, nil
	t.Privacy.Kappa, t.Privacy.KappaInf, t.Privacy.MaxInf = 1, 1, 0
	return t, nil
}

// AskParams returns the privacy parameters of such a task, for who plans or simulates it.
func AskParams(t schema.Task) (privacy.Params, error) {
	t, err := AskWithoutKeys(t)
	if err != nil {
		return privacy.Params{}, err
	}
	return privacyParams(t)
}

// checkStatistics refuses a task whose vectors would not be what its queries say: other
// tensors, another norm than 1, or one that moves from round to round.
func checkStatistics(t schema.Task) (*statistics.Set, error) {
	s, err := StatisticsSet(t)
	if err != nil || s == nil {
		return nil, err
	}
	switch {
	case !slices.EqualFunc(t.Tensors, StatisticsTensors(s), schema.Tensor.Equal):
		return nil, fmt.Errorf("%w: tensors: the queries need one float64 tensor each, by their names and sizes, in their order", ErrTask)
	case t.Privacy.ClippingNorm != 1 || len(t.Privacy.Groups) > 0 || t.Privacy.Adaptive != nil || t.Compression != nil:
		return nil, fmt.Errorf("%w: privacy: statistics need a clipping_norm of 1, without groups, adaptive and compression", ErrTask)
	}
	return s, nil
}

func toQuery(q schema.Query) statistics.Query {
	out := statistics.Query{
		Name: q.Name, Kind: statistics.Kind(q.Kind), Weight: float64(q.Weight), Field: q.Field,
		Records: statistics.Rule(q.Records), MaxRecords: q.MaxRecords, Role: statistics.Role(q.Role), Reference: floats(q.Reference),
	}
	if q.Range != nil {
		out.Low, out.High = float64(q.Range.Low), float64(q.Range.High)
	}
	for _, a := range q.Axes {
		out.Axes = append(out.Axes, statistics.Axis{Field: a.Field, Keys: a.Keys, Edges: floats(a.Edges)})
	}
	if q.Tree != nil {
		out.Branching, out.Levels, out.Ranks = q.Tree.Branching, q.Tree.Levels, floats(q.Tree.Ranks)
	}
	if t := q.Text; t != nil {
		out.Alphabet, out.Symbols, out.Prefixes, out.Length, out.Rows, out.Width = t.Alphabet, t.Symbols, t.Prefixes, t.Length, t.Rows, t.Width
	}
	return out
}

// FromQuery writes a query as tasks hold it, with the fields of its kind alone.
func FromQuery(q statistics.Query) schema.Query {
	out := schema.Query{
		Name: q.Name, Kind: string(q.Kind), Weight: schema.Real(q.Weight), Field: q.Field,
		Records: string(q.Records), MaxRecords: q.MaxRecords, Role: string(q.Role), Reference: reals(q.Reference),
	}
	for _, a := range q.Axes {
		out.Axes = append(out.Axes, schema.Axis{Field: a.Field, Keys: a.Keys, Edges: reals(a.Edges)})
	}
	switch q.Kind {
	case statistics.Sum, statistics.Mean, statistics.Variance, statistics.Quantiles:
		out.Range = &schema.Range{Low: schema.Real(q.Low), High: schema.Real(q.High)}
	}
	switch q.Kind {
	case statistics.Quantiles:
		out.Tree = &schema.Tree{Branching: q.Branching, Levels: q.Levels, Ranks: reals(q.Ranks)}
	case statistics.Prefixes:
		out.Text = &schema.Text{Alphabet: q.Alphabet, Symbols: q.Symbols, Prefixes: q.Prefixes}
	case statistics.Sketch:
		out.Text = &schema.Text{Alphabet: q.Alphabet, Symbols: q.Symbols, Length: q.Length, Rows: q.Rows, Width: q.Width}
	}
	return out
}

func floats(r []schema.Real) []float64 {
	var out []float64
	for _, x := range r {
		out = append(out, float64(x))
	}
	return out
}

func reals(f []float64) []schema.Real {
	var out []schema.Real
	for _, x := range f {
		out = append(out, schema.Real(x))
	}
	return out
}

// Released is what the committed rounds of one epoch of a task say together.
type Released struct {
	Set     *statistics.Set
	Release statistics.Release
	Rounds  []*Round         // in the order of their lanes
	Receipt []schema.Receipt // of each
	Void    []uint32         // lanes that published nothing
}

// LoadRelease verifies and joins the aggregates of all lanes of an epoch: the mean over all
// reports, and its noise. A lane that has no receipt yet is [ErrNotReady]; one that ended void is left
// out and named. read checks a lane's aggregate and returns its values and their noise. The
// result does not depend on the order of anything.
func LoadRelease(ctx context.Context, s storage.Store, p *Plan, task schema.TaskID, epoch uint64, read func(*Round, schema.Receipt) ([]float64, float64, error)) (*Released, error) {
	if p.Statistics == nil {
		return nil, ErrNoStatistics
	}
	out := &Released{Set: p.Statistics, Release: statistics.Release{Mean: make([]float64, p.Privacy.Values()), MinCount: p.Task.Statistics.MinCount}}
	var variance float64
	for lane := range uint32(p.Task.Batch.Lanes) {
		r, err := LoadRound(ctx, s, p, RoundName{Task: task, Epoch: epoch, Lane: lane})
		if err != nil {
			return nil, err
		}
		receipt, err := LoadReceipt(ctx, s, r)
		if errors.Is(err, storage.ErrNotExist) {
			return nil, fmt.Errorf("%w: round %s has no receipt", ErrNotReady, r.Name)
		}
		if err != nil {
			return nil, err
		}
		if receipt.Status != schema.StatusCommitted {
			out.Void = append(out.Void, lane)
			continue
		}
		mean, noise, err := read(r, receipt)
		if err != nil {
			return nil, err
		}
		if len(mean) != len(out.Release.Mean) { // the collector signed its hash, nobody its shape
			return nil, fmt.Errorf("%w: the aggregate of round %s has %d values, the task %d", ErrUntrusted, r.Name, len(mean), len(out.Release.Mean))
		}
		out.Rounds, out.Receipt = append(out.Rounds, r), append(out.Receipt, receipt)
		out.Release.Reports += receipt.Reports
		n := float64(receipt.Reports)
		variance += n * n * noise * noise
		for i, v := range mean {
			out.Release.Mean[i] += n * v
		}
	}
	if len(out.Rounds) == 0 {
		return nil, fmt.Errorf("%w: every round of epoch %d is void", ErrEnded, epoch)
	}
	out.finish(variance)
	return out, nil
}

// finish divides the sums by the reports.
func (r *Released) finish(variance float64) {
	n := float64(r.Release.Reports)
	for i := range r.Release.Mean {
		r.Release.Mean[i] /= n
	}
	r.Release.Noise = math.Sqrt(variance) / n
}
