package statistics

import (
	"fmt"
	"math"
)

// Evaluation says which queries evaluate a model of Classes; its zero values take the defaults.
type Evaluation struct {
	Name    string    // prefix of the queries' names, "NAME.confusion"
	Classes []string  // as in [FieldLabel] and [FieldPredicted]; at least one
	Loss    []float64 // edges of the loss; default 0.1 to 5 in ten steps
	Bins    int       // of the confidence; default 10
	// Drift is the axis compared with Reference; without a reference there is no such query.
	Drift     Axis
	Reference []float64
	// Weight, Records and MaxRecords hold for each of the queries.
	Weight     float64
	Records    Rule
	MaxRecords int
}

// Queries returns the loss as a histogram and a mean, the confusion matrix, the calibration and the drift.
func (e Evaluation) Queries() []Query {
	if len(e.Loss) == 0 {
		e.Loss = []float64{0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5}
	}
	if e.Bins == 0 {
		e.Bins = 10
	}
	var bins []float64
	for i := 1; i < e.Bins; i++ {
		bins = append(bins, float64(i)/float64(e.Bins))
	}
	q := func(name string, kind Kind) Query {
		return Query{Name: e.Name + "." + name, Kind: kind, Weight: e.Weight, Records: e.Records, MaxRecords: e.MaxRecords}
	}
	loss, mean, confusion, calibration, drift := q("loss", Histogram), q("mean_loss", Mean), q("confusion", Histogram), q("calibration", Histogram), q("drift", Histogram)
	loss.Axes = []Axis{{Field: FieldLoss, Edges: e.Loss}}
	mean.Field, mean.High = FieldLoss, e.Loss[len(e.Loss)-1]
	confusion.Axes = []Axis{{Field: FieldLabel, Keys: e.Classes}, {Field: FieldPredicted, Keys: e.Classes}}
	confusion.Role = Confusion
	calibration.Axes = []Axis{{Field: FieldConfidence, Edges: bins}, {Field: FieldCorrect, Keys: []string{"true", "false"}}}
	calibration.Role = Calibration
	all := []Query{loss, mean, confusion, calibration}
	if len(e.Reference) > 0 {
		drift.Axes, drift.Reference, drift.Role = []Axis{e.Drift}, e.Reference, Drift
		all = append(all, drift)
	}
	return all
}

// Hitters says how to look for frequent texts.
type Hitters struct {
	Alphabet string
	Length   int // symbols that are told apart
}

// Sizes that [Hitters] aims at.
const (
	wholeDomain = 4096 // cells up to which one round asks for all texts
	roundCells  = 8192 // of one round of prefixes
	survivors   = 16   // prefixes that are expected to go on
	sketchRows  = 5
	sketchWidth = 1024
	sketchStep  = 8192 // ways that a level of a sketch goes on
)

// Prefixes returns a first round of a search by prefixes, and the rounds it takes. If all texts
// fit, one round asks for them all: no search has a smaller error.
func (h Hitters) Prefixes(q Query) (Query, int, error) {
	n := len([]rune(h.Alphabet))
	q.Kind, q.Alphabet, q.Prefixes = Prefixes, h.Alphabet, []string{""}
	if h.Length < 1 || n < 1 {
		return q, 0, fmt.Errorf("%w: %.64q: a text needs an alphabet and a length of at least 1", ErrQuery, q.Name)
	}
	if suffixes(n, h.Length) <= wholeDomain {
		q.Symbols = h.Length
		return q, 1, nil
	}
	for q.Symbols = 1; survivors*suffixes(n, q.Symbols+1) <= roundCells; q.Symbols++ {
	}
	return q, (h.Length + q.Symbols - 1) / q.Symbols, nil
}

// Sketch returns the search in one round.
func (h Hitters) Sketch(q Query) (Query, error) {
	n := len([]rune(h.Alphabet))
	q.Kind, q.Alphabet, q.Rows, q.Width, q.Length = Sketch, h.Alphabet, sketchRows, sketchWidth, h.Length
	if h.Length < 1 || n < 1 {
		return q, fmt.Errorf("%w: %.64q: a text needs an alphabet and a length of at least 1", ErrQuery, q.Name)
	}
	for q.Symbols = 1; q.Symbols < h.Length && suffixes(n, q.Symbols+1) <= sketchStep; q.Symbols++ {
	}
	q.Length = (h.Length + q.Symbols - 1) / q.Symbols * q.Symbols
	return q, nil
}

// Choose takes the search with the smaller error of one text at the same total cost: T rounds
// of prefixes each have sqrt(T) times the noise of one, a sketch of L levels has
// sqrt(L rows) times it, less what the median of the rows wins back, and collisions on top.
// errors are the two, in units of the noise of one round of one-hot; rounds is what the chosen one takes.
func (h Hitters) Choose(q Query) (chosen Query, rounds int, errors [2]float64, err error) {
	p, rounds, err := h.Prefixes(q)
	if err != nil {
		return q, 0, errors, err
	}
	k, err := h.Sketch(q)
	if err != nil {
		return q, 0, errors, err
	}
	errors = [2]float64{math.Sqrt(float64(rounds)), math.Sqrt(float64(k.sketchLevels()*k.Rows) * medianVariance[k.Rows/2])}
	if errors[1] < errors[0] {
		return k, 1, errors, nil
	}
	return p, rounds, errors, nil
}

// Next returns the query of the next round of a search by prefixes: those texts of r that
// surely (97.5 %) have at least least vehicles and stand out of the noise of all that were asked for,
// at most most of them, the most frequent first. It returns the query unchanged and false if none goes on.
func (s *Set) Next(i int, r Release, least float64, most int) (Query, bool, error) {
	if i < 0 || i >= len(s.queries) || s.queries[i].Kind != Prefixes {
		return Query{}, false, fmt.Errorf("%w: query %d is no search by prefixes", ErrQuery, i)
	}
	if err := s.check(r); err != nil {
		return Query{}, false, err
	}
	d := s.decoder(i, r)
	bar := max(least*d.copies()+z95*d.noise, d.noise*math.Sqrt(2*math.Log(20*float64(len(d.block)))))
	var open []hitter
	for k, c := range d.endings() {
		if !ended(c) && d.block[k] >= bar {
			open = append(open, hitter{code: c, value: d.block[k]})
		}
	}
	next := clone(s.queries)[i]
	if len(open) == 0 {
		return next, false, nil
	}
	next.Prefixes = nil
	for _, h := range largest(open, most) {
		next.Prefixes = append(next.Prefixes, h.code)
	}
	return next, true, nil
}
