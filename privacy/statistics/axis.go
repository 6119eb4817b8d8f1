package statistics

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"strconv"
)

// Axis splits the values of a local field into cells: by Keys, with one more cell for
// every other text, or by Edges, with one cell below the first edge and one from the last.
type Axis struct {
	Field string
	// Keys are distinct texts, 1 to 4096; numbers and truth values are compared by how JSON spells them: 1500000, 0.25.
	Keys []string
	// Edges rise, 1 to 4096; a cell holds its lower edge. Exactly one of Keys and Edges is given.
	Edges []float64
}

// Other is the key of the cell for every text that is no key of its axis.
const Other = "other"

func (a Axis) validate() error {
	switch {
	case a.Field == "":
		return fmt.Errorf("%w: an axis has no field", ErrQuery)
	case (len(a.Keys) > 0) == (len(a.Edges) > 0) || len(a.Keys)+len(a.Edges) > maxKeys:
		return fmt.Errorf("%w: axis %.40q: %d keys and %d edges, want 1 to 4096 of one", ErrQuery, a.Field, len(a.Keys), len(a.Edges))
	}
	seen := map[string]bool{Other: true}
	for _, k := range a.Keys {
		if seen[k] || len(k) > maxText {
			return fmt.Errorf("%w: axis %.40q: key %.40q: want distinct texts of at most 64 bytes, none of them \"other\"", ErrQuery, a.Field, k)
		}
		seen[k] = true
	}
	for i, e := range a.Edges {
		if math.IsNaN(e) || math.Abs(e) > maxMagnitude || i > 0 && !(e > a.Edges[i-1]) {
			return fmt.Errorf("%w: axis %.40q: edge %d: want rising finite numbers", ErrQuery, a.Field, i)
		}
	}
	return nil
}

// Cells is the number of cells.
func (a Axis) Cells() int { return len(a.Keys) + len(a.Edges) + 1 }

// Label names cell i: its key, or its bounds, of which the outermost are infinite.
func (a Axis) Label(i int) (key string, lower, upper float64) {
	if len(a.Keys) > 0 {
		if i < len(a.Keys) {
			return a.Keys[i], math.NaN(), math.NaN()
		}
		return Other, math.NaN(), math.NaN()
	}
	lower, upper = math.Inf(-1), math.Inf(1)
	if i > 0 {
		lower = a.Edges[i-1]
	}
	if i < len(a.Edges) {
		upper = a.Edges[i]
	}
	return "", lower, upper
}

// cell finds the cell of a record; ok is false if it has no such field.
func (a Axis) cell(r Record) (i int, ok bool, err error) {
	v, ok := r[a.Field]
	if !ok {
		return 0, false, nil
	}
	if len(a.Edges) > 0 {
		x, err := number(a.Field, v)
		return sort.Search(len(a.Edges), func(i int) bool { return a.Edges[i] > x }), true, err
	}
	key, err := text(a.Field, v)
	if i = slices.Index(a.Keys, key); i < 0 {
		i = len(a.Keys)
	}
	return i, true, err
}

// number reads a value as a number; a truth value is 0 or 1.
func number(field string, v any) (float64, error) {
	switch v := v.(type) {
	case float64:
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			return v, nil
		}
	case bool:
		if v {
			return 1, nil
		}
		return 0, nil
	}
	return 0, fmt.Errorf("%w: %.40q is no finite number", ErrValue, field)
}

// text reads a value as a key.
func text(field string, v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case bool:
		return strconv.FormatBool(v), nil
	case float64:
		return spelled(v), nil
	}
	return "", fmt.Errorf("%w: %.40q is no text, number or truth value", ErrValue, field)
}

// spelled is a number as JSON and people write it: the shortest digits, with an exponent only for the very large and the very small.
func spelled(x float64) string {
	switch size := math.Abs(x); {
	case x == 0:
		return "0" // of either sign
	case size >= 1e-6 && size < 1e21:
		return strconv.FormatFloat(x, 'f', -1, 64)
	}
	return strconv.FormatFloat(x, 'g', -1, 64)
}
