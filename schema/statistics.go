package schema

import "fmt"

// Statistics is what a task of fleet statistics asks: its queries are answered by one
// vector, whose norm the task clips to 1. Each query is one tensor of the task, in this
// order. What the queries mean is privacy/GUARANTEE.md section 9; package pipeline checks
// that they are whole and fit the tensors.
type Statistics struct {
	Queries []Query `json:"queries" yaml:"queries"` // 1 to 64
	// MinCount is how many vehicles a cell surely has if a release shows it; 0 shows all.
	MinCount int `json:"min_count,omitempty" yaml:"min_count,omitempty"`
}

// Query is one question to the fleet. Which fields a kind takes FORMAT.md section 3.10 says; the others are absent.
type Query struct {
	Name   string `json:"name" yaml:"name"` // 1 to 64 bytes, unique
	Kind   string `json:"kind" yaml:"kind"` // count, sum, mean, variance, histogram, quantiles, prefixes, sketch
	Weight Real   `json:"weight" yaml:"weight"`
	Field  string `json:"field,omitempty" yaml:"field,omitempty"` // of the vehicle's records
	Range  *Range `json:"range,omitempty" yaml:"range,omitempty"`
	Axes   []Axis `json:"axes,omitempty" yaml:"axes,omitempty"`
	Tree   *Tree  `json:"tree,omitempty" yaml:"tree,omitempty"`
	Text   *Text  `json:"text,omitempty" yaml:"text,omitempty"`
	// Records says how several records of a vehicle count: average, first or total.
	Records    string `json:"records" yaml:"records"`
	MaxRecords int    `json:"max_records,omitempty" yaml:"max_records,omitempty"`
	// Role makes the histogram part of an evaluation: confusion, calibration or drift, which has a reference.
	Role      string `json:"role,omitempty" yaml:"role,omitempty"`
	Reference []Real `json:"reference,omitempty" yaml:"reference,omitempty"`
}

// Range clips values.
type Range struct {
	Low  Real `json:"low" yaml:"low"`
	High Real `json:"high" yaml:"high"`
}

// Axis splits records into cells by keys or by edges.
type Axis struct {
	Field string   `json:"field" yaml:"field"`
	Keys  []string `json:"keys,omitempty" yaml:"keys,omitempty"`
	Edges []Real   `json:"edges,omitempty" yaml:"edges,omitempty"`
}

// Tree is the hierarchical histogram of quantiles.
type Tree struct {
	Branching int    `json:"branching" yaml:"branching"`
	Levels    int    `json:"levels" yaml:"levels"`
	Ranks     []Real `json:"ranks" yaml:"ranks"`
}

// Text is a search for frequent texts: by prefixes, or by a sketch of rows and width.
type Text struct {
	Alphabet string   `json:"alphabet" yaml:"alphabet"`
	Symbols  int      `json:"symbols" yaml:"symbols"`
	Prefixes []string `json:"prefixes,omitempty" yaml:"prefixes,omitempty"`
	Length   int      `json:"length,omitempty" yaml:"length,omitempty"`
	Rows     int      `json:"rows,omitempty" yaml:"rows,omitempty"`
	Width    int      `json:"width,omitempty" yaml:"width,omitempty"`
}

// MaxQueries bounds the queries of one task.
const MaxQueries = 64

// maxStatisticTexts bounds the lists of one query.
const maxStatisticTexts = 4096

// validate checks what lets people trust the texts; package pipeline checks that the queries are whole.
func (s *Statistics) validate() error {
	if s == nil {
		return nil
	}
	if len(s.Queries) < 1 || len(s.Queries) > MaxQueries {
		return field("statistics", "queries", len(s.Queries), "1 to 64")
	}
	if s.MinCount < 0 || s.MinCount > MaxReports {
		return field("statistics", "min_count", s.MinCount, "0 to 1048576")
	}
	for _, q := range s.Queries {
		if err := q.validate(); err != nil {
			return err
		}
	}
	return nil
}

func (q Query) validate() error {
	if err := name("query", "name", q.Name); err != nil {
		return err
	}
	if q.Field != "" {
		if err := name("query", "field", q.Field); err != nil {
			return err
		}
	}
	if len(q.Axes) > 2 || len(q.Reference) > maxStatisticTexts+1 {
		return field("query", "axes, reference", fmt.Sprint(len(q.Axes), len(q.Reference)), "at most 2 axes and 4097 shares")
	}
	for _, a := range q.Axes {
		if err := a.validate(); err != nil {
			return err
		}
	}
	if q.Tree != nil && (len(q.Tree.Ranks) < 1 || len(q.Tree.Ranks) > 999) {
		return field("query", "tree.ranks", len(q.Tree.Ranks), "1 to 999")
	}
	return q.Text.validate()
}

func (a Axis) validate() error {
	if err := name("axis", "field", a.Field); err != nil {
		return err
	}
	if len(a.Keys) > maxStatisticTexts || len(a.Edges) > maxStatisticTexts {
		return field("axis", "keys, edges", fmt.Sprint(len(a.Keys), len(a.Edges)), "at most 4096")
	}
	return names("axis", "keys", a.Keys)
}

// names checks keys that people read; the empty text is one.
func names(object, what string, all []string) error {
	for _, s := range all {
		if s == "" {
			continue
		}
		if err := name(object, what, s); err != nil {
			return err
		}
	}
	return nil
}

func (t *Text) validate() error {
	switch {
	case t == nil:
		return nil
	case len(t.Alphabet) > 1024 || !readable(t.Alphabet, ""):
		return field("query", "text.alphabet", fmt.Sprintf("%.20q", t.Alphabet), "at most 1024 bytes of UTF-8 without control characters")
	case len(t.Prefixes) > maxStatisticTexts:
		return field("query", "text.prefixes", len(t.Prefixes), "at most 4096")
	}
	return names("query", "text.prefixes", t.Prefixes)
}
