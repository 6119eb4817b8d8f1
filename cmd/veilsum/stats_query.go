package main

import (
	_ "embed"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/privacy/statistics"
	"github.com/veilsum/veilsum/schema"
)

//go:embed query.example.yaml
var exampleQuery string

// queryFile is what a person writes to ask a fleet.
type queryFile struct {
	Name            string        `yaml:"name"`
	NoiseMultiplier schema.Real   `yaml:"noise_multiplier"`
	MinCount        int           `yaml:"min_count"`
	Batch           *schema.Batch `yaml:"batch"`
	Records         string        `yaml:"records"`
	MaxRecords      int           `yaml:"max_records"`
	Queries         []question    `yaml:"queries"`
}

// question is one query, with defaults and with templates that make several.
type question struct {
	Name       string         `yaml:"name"`
	Kind       string         `yaml:"kind"`
	Weight     schema.Real    `yaml:"weight"`
	Field      string         `yaml:"field"`
	Low        *schema.Real   `yaml:"low"`
	High       *schema.Real   `yaml:"high"`
	Axes       []questionAxis `yaml:"axes"`
	Quantiles  []schema.Real  `yaml:"quantiles"`
	Resolution int            `yaml:"resolution"`
	Alphabet   string         `yaml:"alphabet"`
	Length     int            `yaml:"length"`
	Method     string         `yaml:"method"`
	Width      int            `yaml:"width"`
	Rows       int            `yaml:"rows"`
	Symbols    int            `yaml:"symbols"`
	Records    string         `yaml:"records"`
	MaxRecords int            `yaml:"max_records"`
	Classes    []string       `yaml:"classes"`
	LossEdges  []schema.Real  `yaml:"loss_edges"`
	Bins       int            `yaml:"bins"`
	Drift      *questionAxis  `yaml:"drift"`
	Reference  []schema.Real  `yaml:"reference"`
}

// questionAxis is an axis, by keys, by edges, or by equal bins.
type questionAxis struct {
	Field string        `yaml:"field"`
	Keys  []string      `yaml:"keys"`
	Edges []schema.Real `yaml:"edges"`
	Low   *schema.Real  `yaml:"low"`
	High  *schema.Real  `yaml:"high"`
	Bins  int           `yaml:"bins"`
}

func readQueries(raw []byte) (*queryFile, error) {
	f := &queryFile{}
	return f, readYAML(raw, f, "query file", `"veilsum stats define --example" explains every field`)
}

// statistics writes the file out as a task holds it. notes tell what was chosen.
func (f *queryFile) statistics() (s *schema.Statistics, notes []string, err error) {
	s = &schema.Statistics{MinCount: f.MinCount}
	for i, q := range f.Queries {
		if q.Weight == 0 {
			q.Weight = 1
		}
		if q.Records == "" {
			q.Records, q.MaxRecords = f.Records, f.MaxRecords
		}
		if q.Records == "" {
			q.Records = string(statistics.Average)
		}
		all, note, err := q.expand()
		if err != nil {
			return nil, nil, &usageError{Err: fmt.Errorf("query file: query %d (%.40q): %w", i, q.Name, err), Hint: `"veilsum stats define --example" explains every field`}
		}
		for _, x := range all {
			s.Queries = append(s.Queries, pipeline.FromQuery(x))
		}
		if note != "" {
			notes = append(notes, q.Name+": "+note)
		}
	}
	return s, notes, nil
}

// expand makes the queries of one question.
func (q *question) expand() ([]statistics.Query, string, error) {
	out := statistics.Query{
		Name: q.Name, Kind: statistics.Kind(q.Kind), Weight: float64(q.Weight), Field: q.Field,
		Records: statistics.Rule(q.Records), MaxRecords: q.MaxRecords,
	}
	for _, a := range q.Axes {
		axis, err := a.axis()
		if err != nil {
			return nil, "", err
		}
		out.Axes = append(out.Axes, axis)
	}
	if err := q.refuseForeign(); err != nil {
		return nil, "", err
	}
	switch q.Kind {
	case "sum", "mean", "variance", "quantiles":
		if q.Low == nil || q.High == nil {
			return nil, "", errors.New("low and high are required: values are clipped to them")
		}
		out.Low, out.High = float64(*q.Low), float64(*q.High)
	}
	switch q.Kind {
	case "quantiles":
		return q.quantiles(out)
	case "heavy_hitters":
		return q.hitters(out)
	case "evaluation":
		return q.evaluation(out)
	}
	return []statistics.Query{out}, "", nil
}

// refuseForeign refuses fields that the kind does not read: they would change nothing.
func (q *question) refuseForeign() error {
	for _, x := range []struct {
		given bool
		name  string
		kinds string
	}{
		{q.Low != nil || q.High != nil, "low, high", "sum mean variance quantiles"},
		{len(q.Quantiles) > 0 || q.Resolution != 0, "quantiles, resolution", "quantiles"},
		{q.Alphabet != "" || q.Length != 0 || q.Method != "" || q.Width != 0 || q.Rows != 0 || q.Symbols != 0, "alphabet, length, method, symbols, rows, width", "heavy_hitters"},
		{len(q.Classes) > 0 || len(q.LossEdges) > 0 || q.Bins != 0 || q.Drift != nil, "classes, loss_edges, bins, drift", "evaluation"},
		{len(q.Reference) > 0, "reference", "evaluation histogram"},
	} {
		if x.given && !strings.Contains(" "+x.kinds+" ", " "+q.Kind+" ") {
			return fmt.Errorf("%s: not for kind %.40q", x.name, q.Kind)
		}
	}
	return nil
}

// defaultRanks are the quantiles that are asked for if none are named.
var defaultRanks = []float64{0.05, 0.25, 0.5, 0.75, 0.95}

// quantiles takes the branching whose rank error in the middle is the least, of trees with at least the resolution.
func (q *question) quantiles(out statistics.Query) ([]statistics.Query, string, error) {
	if out.Ranks = realsOf(q.Quantiles); len(out.Ranks) == 0 {
		out.Ranks = defaultRanks
	}
	if q.Resolution == 0 {
		q.Resolution = 1024
	}
	if q.Resolution < 2 || q.Resolution > 1<<16 {
		return nil, "", fmt.Errorf("resolution is %d, want 2 to 65536", q.Resolution)
	}
	best, least := out, math.Inf(1)
	var reason error
	for _, b := range []int{2, 4, 8, 16, 32, 64, 128, 256} {
		t := out
		t.Branching = b
		for leaves := 1; leaves < q.Resolution; leaves *= b {
			t.Levels++
		}
		s, err := statistics.New([]statistics.Query{t})
		if err != nil {
			reason = err
			continue
		}
		if e := s.Expect(1, 1)[0].StdErr; e < least {
			best, least = t, e
		}
	}
	if math.IsInf(least, 1) {
		return nil, "", reason
	}
	return []statistics.Query{best}, fmt.Sprintf("a tree of %d levels of %d", best.Levels, best.Branching), nil
}

// hitters takes the search with the smaller error, or the one that is asked for.
func (q *question) hitters(out statistics.Query) ([]statistics.Query, string, error) {
	h := statistics.Hitters{Alphabet: q.Alphabet, Length: q.Length}
	chosen, rounds, errs, err := h.Choose(out)
	if err == nil && q.Method == "prefix" {
		chosen, rounds, err = h.Prefixes(out)
	}
	if err == nil && q.Method == "sketch" {
		rounds = 1
		chosen, err = h.Sketch(out)
	}
	if err == nil && q.Method != "" && q.Method != "prefix" && q.Method != "sketch" {
		err = fmt.Errorf("method is %.40q, want prefix or sketch", q.Method)
	}
	if err != nil {
		return nil, "", err
	}
	q.shape(&chosen)
	if chosen.Kind == statistics.Prefixes && q.Symbols > 0 {
		rounds = (q.Length + q.Symbols - 1) / q.Symbols
	}
	what := fmt.Sprintf("a sketch of %d rows of %d, in one round", chosen.Rows, chosen.Width)
	if chosen.Kind == statistics.Prefixes {
		what = fmt.Sprintf("prefixes, %d symbols a round, %s", chosen.Symbols, many(rounds, "round"))
		if rounds > 1 {
			what += " (\"veilsum stats next\" goes on)"
		}
	}
	return []statistics.Query{chosen}, fmt.Sprintf("%s; at equal cost prefixes have %.2f times the error of one histogram, a sketch %.2f times it and its collisions", what, errs[0], errs[1]), nil
}

// shape puts a person's sizes in place of the defaults.
func (q *question) shape(out *statistics.Query) {
	if q.Symbols > 0 {
		out.Symbols = q.Symbols
		if out.Kind == statistics.Sketch {
			out.Length = (q.Length + q.Symbols - 1) / q.Symbols * q.Symbols
		}
	}
	if out.Kind == statistics.Sketch && q.Rows > 0 {
		out.Rows = q.Rows
	}
	if out.Kind == statistics.Sketch && q.Width > 0 {
		out.Width = q.Width
	}
}

func (q *question) evaluation(out statistics.Query) ([]statistics.Query, string, error) {
	e := statistics.Evaluation{
		Name: q.Name, Classes: q.Classes, Loss: realsOf(q.LossEdges), Bins: q.Bins, Reference: realsOf(q.Reference),
		Weight: out.Weight, Records: out.Records, MaxRecords: out.MaxRecords,
	}
	switch {
	case q.Bins < 0 || q.Bins > 1000:
		return nil, "", fmt.Errorf("bins is %d, want 0 (10) to 1000", q.Bins)
	case (q.Drift == nil) != (len(q.Reference) == 0):
		return nil, "", errors.New("drift and reference belong together")
	case q.Drift != nil:
		axis, err := q.Drift.axis()
		if err != nil {
			return nil, "", err
		}
		e.Drift = axis
	}
	all := e.Queries()
	return all, fmt.Sprintf("%d queries of a model's predictions", len(all)), nil
}

func (a questionAxis) axis() (statistics.Axis, error) {
	out := statistics.Axis{Field: a.Field, Keys: a.Keys, Edges: realsOf(a.Edges)}
	if a.Bins == 0 && a.Low == nil && a.High == nil {
		return out, nil
	}
	if a.Low == nil || a.High == nil || a.Bins < 1 || a.Bins > 4095 || len(out.Keys)+len(out.Edges) > 0 || !(*a.Low < *a.High) {
		return out, fmt.Errorf("axis %.40q: want keys, or edges, or low below high and 1 to 4095 bins", a.Field)
	}
	low, high := float64(*a.Low), float64(*a.High)
	for i := range a.Bins {
		out.Edges = append(out.Edges, low+(high-low)*float64(i)/float64(a.Bins))
	}
	out.Edges = append(out.Edges, high)
	return out, nil
}

func realsOf(r []schema.Real) []float64 {
	var out []float64
	for _, x := range r {
		out = append(out, float64(x))
	}
	return out
}
