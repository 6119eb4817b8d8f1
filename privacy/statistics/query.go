package statistics

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Sentinel errors of this package.
var (
	// ErrQuery reports a query outside what the package supports; the message names field, value and range.
	ErrQuery = errors.New("statistics: invalid query")
	// ErrValue reports a local record that cannot be read as the queries ask; the message never quotes a value.
	ErrValue = errors.New("statistics: invalid record")
	// ErrLength reports a mean of another length than the set's.
	ErrLength = errors.New("statistics: wrong length")
)

// Kind says what a query asks.
type Kind string

// The kinds.
const (
	// Count asks how many vehicles have Field; a false does not count.
	Count Kind = "count"
	// Sum asks for the sum of Field, each value clipped to [Low, High].
	Sum Kind = "sum"
	// Mean and Variance ask for those of Field over the vehicles that have it, clipped to [Low, High].
	Mean     Kind = "mean"
	Variance Kind = "variance"
	// Histogram asks how many vehicles lie in each cell of one or two axes.
	Histogram Kind = "histogram"
	// Quantiles asks for quantiles of Field by a tree of histograms over [Low, High].
	Quantiles Kind = "quantiles"
	// Prefixes asks how the vehicles whose text Field begins with one of Prefixes go on: one round of a search for frequent texts.
	Prefixes Kind = "prefixes"
	// Sketch asks for the frequent texts of Field in one round, by count sketches of its prefixes.
	Sketch Kind = "sketch"
)

// Rule says how a vehicle with several records makes one vector of them.
type Rule string

// The rules. Whichever holds, the vehicle's vector has norm at most 1.
const (
	// Average takes the mean over all records that answer the query: every vehicle weighs the same.
	Average Rule = "average"
	// First takes the first record that answers the query.
	First Rule = "first"
	// Total adds the first MaxRecords records that answer the query; the noise grows by MaxRecords.
	Total Rule = "total"
)

// Role says what [Evaluate] reads from a histogram.
type Role string

// The roles.
const (
	// Confusion: axis 0 is the true class, axis 1 the predicted one, with the same keys.
	Confusion Role = "confusion"
	// Calibration: axis 0 is the confidence, in edges, axis 1 whether it was right, with the keys "true" and "false".
	Calibration Role = "calibration"
	// Drift: one axis, compared with Reference.
	Drift Role = "drift"
)

// Query is one question. Which fields a kind takes is said at each; the others are empty.
type Query struct {
	// Name is unique in its set, 1 to 64 bytes.
	Name string
	Kind Kind
	// Weight is the query's share of the squared norm relative to the others, > 0.
	Weight float64
	// Field names the local value that is asked for; all kinds but Histogram.
	Field string
	// Low and High bound the values of Sum, Mean, Variance and Quantiles; Low < High.
	Low, High float64
	// Axes split the vehicles into cells: one or two of Histogram, none to two of Count, Sum, Mean and Variance.
	Axes []Axis
	// Branching and Levels shape the tree of Quantiles: Branching^Levels leaves, at most 2^16.
	Branching, Levels int
	// Ranks are the quantiles asked for, inside (0, 1), rising.
	Ranks []float64
	// Alphabet holds the symbols of a text in Prefixes and Sketch, each once. Every other symbol ends the text as "?".
	Alphabet string
	// Symbols is by how many symbols a round (Prefixes) or a level (Sketch) extends a prefix, at least 1.
	Symbols int
	// Prefixes are the texts of equal length that a round extends; [""] in the first.
	Prefixes []string
	// Length is the symbols of a text that a Sketch looks at, a multiple of Symbols.
	Length int
	// Rows (odd, at most 9) and Width shape the count sketch of each level.
	Rows, Width int
	// Records says how several records of a vehicle count; MaxRecords belongs to [Total].
	Records    Rule
	MaxRecords int
	// Role makes a Histogram part of an evaluation; Reference are the shares of its cells that [Drift] compares with.
	Role      Role
	Reference []float64
}

// Limits of a set.
const (
	maxQueries = 64
	maxCells   = 1 << 20 // of one query
	maxLeaves  = 1 << 16
	maxKeys    = 4096
	maxText    = 64
)

func (q *Query) validate() error {
	checks := []error{
		q.need(q.Name != "" && len(q.Name) <= 64, "Name", len(q.Name), "1 to 64 bytes"),
		q.need(q.Weight > 0 && q.Weight <= 1e6, "Weight", q.Weight, "above 0, at most 1e6"),
		q.need(q.Kind == Histogram || q.Field != "", "Field", "absent", "the name of a local value"),
		q.need(q.Records == Average || q.Records == First || q.Records == Total, "Records", q.Records, `"average", "first" or "total"`),
		q.need((q.Records == Total) == (q.MaxRecords != 0) && q.MaxRecords >= 0 && q.MaxRecords <= 1<<16, "MaxRecords", q.MaxRecords, `1 to 65536 with "total", else 0`),
		q.validateKind(),
		q.validateAxes(),
		q.validateRole(),
	}
	for _, err := range checks {
		if err != nil {
			return err
		}
	}
	return q.need(q.size() <= maxCells, "cells", q.size(), "at most 2^20")
}

// need returns an error unless the field holds what it must.
func (q *Query) need(ok bool, field string, have any, want string) error {
	if ok {
		return nil
	}
	return fmt.Errorf("%w: %.64q: %s is %.40s, want %s", ErrQuery, q.Name, field, fmt.Sprint(have), want)
}

func (q *Query) validateKind() error {
	switch q.Kind {
	case Count:
		return nil
	case Histogram:
		return q.need(len(q.Axes) > 0 && q.Field == "", "Axes", len(q.Axes), "1 or 2, and no field beside them")
	case Sum, Mean, Variance:
		return q.validateRange()
	case Quantiles:
		return errors.Join(q.validateRange(), q.validateTree())
	case Prefixes:
		return errors.Join(q.validateAlphabet(), q.validatePrefixes())
	case Sketch:
		return errors.Join(q.validateAlphabet(), q.validateSketch())
	}
	return q.need(false, "Kind", q.Kind, "count, sum, mean, variance, histogram, quantiles, prefixes or sketch")
}

// maxMagnitude keeps squares of bounds finite.
const maxMagnitude = 1e100

func (q *Query) validateRange() error {
	ok := q.half() > 0 && math.Abs(q.Low) <= maxMagnitude && math.Abs(q.High) <= maxMagnitude // half of the least numbers is none
	return q.need(ok, "range", [2]float64{q.Low, q.High}, "low below high, both at most 1e100")
}

func (q *Query) validateTree() error {
	if err := q.need(q.Branching >= 2 && q.Branching <= 256 && q.Levels >= 1 && q.Levels <= 16, "tree", [2]int{q.Branching, q.Levels}, "branching 2 to 256, levels 1 to 16"); err != nil {
		return err
	}
	leaves := 1
	for range q.Levels {
		if leaves *= q.Branching; leaves > maxLeaves {
			return q.need(false, "tree", [2]int{q.Branching, q.Levels}, "at most 2^16 leaves")
		}
	}
	if err := q.need(len(q.Ranks) > 0 && len(q.Ranks) <= 999, "Ranks", len(q.Ranks), "1 to 999"); err != nil {
		return err
	}
	last := 0.0
	for _, r := range q.Ranks {
		if !(r > last && r < 1) {
			return q.need(false, "Ranks", r, "numbers between 0 and 1, rising")
		}
		last = r
	}
	return nil
}

func (q *Query) validateAxes() error {
	most := 2
	if q.Kind == Quantiles || q.Kind == Prefixes || q.Kind == Sketch {
		most = 0
	}
	if len(q.Axes) > most {
		return q.need(false, "Axes", len(q.Axes), fmt.Sprintf("at most %d", most))
	}
	for _, a := range q.Axes {
		if err := a.validate(); err != nil {
			return q.need(false, "Axes", err, "a valid axis")
		}
	}
	return nil
}

func (q *Query) validateRole() error {
	switch q.Role {
	case "":
		return q.need(len(q.Reference) == 0, "Reference", len(q.Reference), "none without a role of drift")
	case Confusion:
		ok := q.Kind == Histogram && len(q.Axes) == 2 && len(q.Axes[0].Keys) > 0 && slices.Equal(q.Axes[0].Keys, q.Axes[1].Keys)
		return q.need(ok, "Role", q.Role, "a histogram of two axes with the same keys")
	case Calibration:
		ok := q.Kind == Histogram && len(q.Axes) == 2 && len(q.Axes[0].Edges) > 0 && slices.Equal(q.Axes[1].Keys, []string{"true", "false"})
		return q.need(ok, "Role", q.Role, `a histogram of edges of the confidence and the keys "true", "false"`)
	case Drift:
		ok := q.Kind == Histogram && len(q.Axes) == 1 && len(q.Reference) == q.Axes[0].Cells()
		if !ok {
			return q.need(false, "Reference", len(q.Reference), "one share for each cell of a histogram's only axis")
		}
		var sum float64
		for _, r := range q.Reference {
			if !(r > 0 && r < 1) {
				return q.need(false, "Reference", r, "shares above 0 and below 1")
			}
			sum += r
		}
		return q.need(math.Abs(sum-1) < 1e-6, "Reference", sum, "shares that sum to 1")
	}
	return q.need(false, "Role", q.Role, "confusion, calibration or drift")
}

// cells is the number of cells of all axes together, 1 without axes.
func (q *Query) cells() int {
	n := 1
	for _, a := range q.Axes {
		n *= a.Cells()
	}
	return n
}

// size is the number of values of the query's block.
func (q *Query) size() int {
	switch q.Kind {
	case Mean:
		return 2 * q.cells()
	case Variance:
		return 3 * q.cells()
	case Quantiles:
		n, level := 0, 1
		for range q.Levels {
			level *= q.Branching
			n += level
		}
		return n
	case Prefixes:
		return len(q.Prefixes)*suffixes(len([]rune(q.Alphabet)), q.Symbols) + 1
	case Sketch:
		return q.Length / q.Symbols * q.Rows * q.Width
	}
	return q.cells()
}

// copies is by how much a decoded total is larger than what the vectors hold: MaxRecords under [Total].
func (q *Query) copies() float64 { return float64(max(1, q.MaxRecords)) }
