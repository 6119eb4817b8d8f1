package statistics

import (
	"fmt"
	"math"
	"slices"
)

// Set is a validated list of queries that one vector answers. It is immutable and safe for
// concurrent use; the zero value answers nothing.
type Set struct {
	queries []Query
	scale   []float64        // sqrt of a query's share of the squared norm
	from    []int            // first value of a query's block; one more holds d
	starts  []map[string]int // of prefixes: the number of each
}

// New validates queries. Errors wrap [ErrQuery].
func New(queries []Query) (*Set, error) {
	if len(queries) < 1 || len(queries) > maxQueries {
		return nil, fmt.Errorf("%w: %d queries, want 1 to %d", ErrQuery, len(queries), maxQueries)
	}
	s := &Set{queries: clone(queries), from: []int{0}, starts: make([]map[string]int, len(queries))}
	names, weights := map[string]bool{}, 0.0
	for i := range s.queries {
		q := &s.queries[i]
		if err := q.validate(); err != nil {
			return nil, err
		}
		if names[q.Name] {
			return nil, q.need(false, "Name", "there twice", "unique names")
		}
		names[q.Name] = true
		weights += q.Weight
		s.from = append(s.from, s.from[i]+q.size())
		if q.Kind == Prefixes {
			s.starts[i] = indices(q.Prefixes)
		}
	}
	for _, q := range s.queries {
		s.scale = append(s.scale, math.Sqrt(q.Weight/weights))
	}
	return s, nil
}

func indices(list []string) map[string]int {
	m := make(map[string]int, len(list))
	for i, x := range list {
		m[x] = i
	}
	return m
}

// clone takes a copy of all that queries point to.
func clone(queries []Query) []Query {
	out := slices.Clone(queries)
	for i := range out {
		q := &out[i]
		q.Axes, q.Ranks, q.Prefixes, q.Reference = slices.Clone(q.Axes), slices.Clone(q.Ranks), slices.Clone(q.Prefixes), slices.Clone(q.Reference)
		for k := range q.Axes {
			q.Axes[k].Keys, q.Axes[k].Edges = slices.Clone(q.Axes[k].Keys), slices.Clone(q.Axes[k].Edges)
		}
	}
	return out
}

// Queries returns a copy of the queries.
func (s *Set) Queries() []Query { return clone(s.queries) }

// Name is the name of query i, which must be in range.
func (s *Set) Name(i int) string { return s.queries[i].Name }

// Values is d, the length of a vehicle's vector.
func (s *Set) Values() int { return s.from[len(s.queries)] }

// Sizes is the number of values of each query, in order; they sum to [Set.Values].
func (s *Set) Sizes() []int {
	var sizes []int
	for i := range s.queries {
		sizes = append(sizes, s.from[i+1]-s.from[i])
	}
	return sizes
}

// Fields lists the local values that the queries ask for, sorted: what a vehicle has to agree to.
func (s *Set) Fields() []string {
	var all []string
	for _, q := range s.queries {
		if q.Field != "" {
			all = append(all, q.Field)
		}
		for _, a := range q.Axes {
			all = append(all, a.Field)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Bound says how much one vehicle moves a query's block in the sum.
type Bound struct {
	Query string
	// L2 and Linf bound the block of one vehicle in the units of the vector, whose whole norm is at most 1.
	L2, Linf float64
	// Sentence states why, for people.
	Sentence string
}

// Bounds states the sensitivity of each query.
func (s *Set) Bounds() []Bound {
	var all []Bound
	for i, q := range s.queries {
		all = append(all, Bound{Query: q.Name, L2: s.scale[i], Linf: s.scale[i] * q.largest(), Sentence: q.sentence()})
	}
	return all
}

// largest bounds one value of the block before scaling.
func (q *Query) largest() float64 {
	switch q.Kind {
	case Mean:
		return math.Max(meanValue, meanCount)
	case Variance:
		return varianceEntry
	case Quantiles:
		return 1 / math.Sqrt(float64(q.Levels))
	case Sketch:
		return 1 / math.Sqrt(float64(q.sketchLevels()*q.Rows))
	}
	return 1
}

// sentence states the sensitivity of one vehicle before scaling by the weight.
func (q *Query) sentence() string {
	switch q.Kind {
	case Count:
		return "a vehicle adds at most 1 to one cell: L2 norm 1" + q.rule()
	case Sum:
		if q.centered() {
			return fmt.Sprintf("a vehicle's value is clipped to [%g, %g], less the middle and over half the width: L2 norm 1", q.Low, q.High) + q.rule()
		}
		return fmt.Sprintf("a vehicle's value is clipped to [%g, %g] and over %g, in one cell: L2 norm 1", q.Low, q.High, q.magnitude()) + q.rule()
	case Mean:
		return fmt.Sprintf("a vehicle's value, clipped to [%g, %g] and centered, has at most %.3f of the norm and its count %.3f, in one cell: L2 norm 1", q.Low, q.High, meanValue, meanCount) + q.rule()
	case Variance:
		return fmt.Sprintf("a vehicle's value, clipped to [%g, %g] and centered, its square and its count have at most a third of the squared norm each, in one cell: L2 norm 1", q.Low, q.High) + q.rule()
	case Histogram:
		return fmt.Sprintf("a vehicle is in one of %d cells (one-hot): L2 norm 1", q.cells()) + q.rule()
	case Quantiles:
		return fmt.Sprintf("a vehicle is in one part of each of %d levels, with 1/sqrt(%d): L2 norm 1", q.Levels, q.Levels) + q.rule()
	case Prefixes:
		return fmt.Sprintf("a vehicle's text goes on in one of %d ways (one-hot): L2 norm 1", q.size()) + q.rule()
	case Sketch:
		return fmt.Sprintf("a vehicle's text is +-1/sqrt(%d) in each of %d rows of each of %d levels: L2 norm 1", q.sketchLevels()*q.Rows, q.Rows, q.sketchLevels()) + q.rule()
	}
	return ""
}

func (q *Query) rule() string {
	switch q.Records {
	case First:
		return "; of several records only the first counts"
	case Total:
		return fmt.Sprintf("; of several records the first %d count, each with 1/%d", q.MaxRecords, q.MaxRecords)
	}
	return "; several records are averaged, which keeps the norm"
}
