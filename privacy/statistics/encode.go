package statistics

import (
	"fmt"
	"math"
	"unicode/utf8"
)

// Record is one local record of a vehicle: values by their names. A value is a float64, a
// string or a bool; [Predict] also reads lists and maps of probabilities.
type Record map[string]any

// How a mean and a variance share the norm. The error of a mean at t half widths from the
// middle is sqrt(1/meanValue^2 + t^2/meanCount^2) times that of a sum; with
// meanValue^2/meanCount^2 = sqrt(3) its square is least on average over t in [-1, 1].
var (
	meanValue = math.Sqrt(math.Sqrt(3) / (1 + math.Sqrt(3)))
	meanCount = math.Sqrt(1 / (1 + math.Sqrt(3)))
	// A variance has value, square and count, a third of the squared norm each.
	varianceEntry = 1 / math.Sqrt(3)
)

// Encode returns a vehicle's vector: d values of L2 norm at most 1, but for the rounding to
// float32, and zero where no record answers a query. The result is private. Errors wrap
// [ErrValue] and name a field, never a value.
func (s *Set) Encode(records []Record) ([]float32, error) {
	out := make([]float32, s.Values())
	for i := range s.queries {
		block, err := s.encodeQuery(i, records)
		if err != nil {
			return nil, fmt.Errorf("%w (query %.64q)", err, s.queries[i].Name)
		}
		norm := s.scale[i]
		if square := squares(block); square > 1 { // rounding only: never let one query take from another
			norm /= math.Sqrt(square)
		}
		for k, v := range block {
			out[s.from[i]+k] = float32(norm * v)
		}
	}
	return out, nil
}

func squares(x []float64) (sum float64) {
	for _, v := range x {
		sum += v * v
	}
	return sum
}

// encodeQuery combines the records of one query by its rule.
func (s *Set) encodeQuery(i int, records []Record) ([]float64, error) {
	q := &s.queries[i]
	block, used := make([]float64, q.size()), 0
	for _, r := range records {
		ok, err := s.add(i, r, block)
		if err != nil {
			return nil, err
		}
		if ok {
			used++
		}
		if ok && (q.Records == First || used == q.MaxRecords) {
			break
		}
	}
	if used == 0 && q.centered() { // absent is the value nearest to zero
		block[0] = q.unit(0)
		return block, nil
	}
	share := 1.0
	switch {
	case q.Records == Average && used > 0:
		share = 1 / float64(used)
	case q.Records == Total:
		share = 1 / float64(q.MaxRecords)
	}
	for k := range block {
		block[k] *= share
	}
	return block, nil
}

// add adds one record's vector, of norm at most 1, to block; false if it does not answer the query.
func (s *Set) add(i int, r Record, block []float64) (bool, error) {
	q := &s.queries[i]
	at := 0
	for _, a := range q.Axes {
		c, ok, err := a.cell(r)
		if err != nil || !ok {
			return false, err
		}
		at = at*a.Cells() + c
	}
	if q.Kind == Histogram {
		block[at]++
		return true, nil
	}
	v, ok := r[q.Field]
	if !ok {
		return false, nil
	}
	switch q.Kind {
	case Prefixes, Sketch:
		return true, s.addText(i, v, block)
	}
	if q.Kind == Count {
		if v != false { // a false is an answer that adds nothing
			block[at]++
		}
		return true, nil
	}
	x, err := number(q.Field, v)
	if err != nil {
		return false, err
	}
	q.addNumber(x, at, block)
	return true, nil
}

func (q *Query) addNumber(x float64, at int, block []float64) {
	u := q.unit(x)
	switch q.Kind {
	case Sum:
		if q.centered() {
			block[at] += u
		} else {
			block[at] += min(max(x, q.Low), q.High) / q.magnitude()
		}
	case Mean:
		block[2*at] += meanValue * u
		block[2*at+1] += meanCount
	case Variance:
		block[3*at] += varianceEntry * u
		block[3*at+1] += varianceEntry * (2*u*u - 1)
		block[3*at+2] += varianceEntry
	case Quantiles:
		q.encodeTree(x, block)
	}
}

// ending is the cell of a text in a round of prefixes, rest if it begins with none of them. It is
// computed, as a list of all cells could be long for a small vehicle.
func (s *Set) ending(i int, t string, rest int) int {
	q := &s.queries[i]
	c, n := code(t, q.Alphabet, q.prefixLength()+q.Symbols), q.prefixLength()
	cut := 0
	for at := range c {
		if n == 0 {
			break
		}
		n--
		cut = at + utf8.RuneLen([]rune(c[at:])[0])
	}
	if n > 0 {
		return rest
	}
	start, ok := s.starts[i][c[:cut]]
	if !ok {
		return rest
	}
	return start*suffixes(utf8.RuneCountInString(q.Alphabet), q.Symbols) + extension(c[cut:], q.Alphabet, q.Symbols)
}

func (s *Set) addText(i int, v any, block []float64) error {
	q := &s.queries[i]
	t, err := text(q.Field, v)
	if err != nil {
		return err
	}
	if q.Kind == Sketch {
		q.encodeSketch(t, block)
		return nil
	}
	block[s.ending(i, t, len(block)-1)]++
	return nil
}

// unit maps a value, clipped to [Low, High], to [-1, 1].
func (q *Query) unit(x float64) float64 {
	return min(max((x-q.middle())/q.half(), -1), 1)
}

func (q *Query) middle() float64 { return q.Low/2 + q.High/2 }
func (q *Query) half() float64   { return q.High/2 - q.Low/2 }

// magnitude bounds the clipped value.
func (q *Query) magnitude() float64 { return math.Max(math.Abs(q.Low), math.Abs(q.High)) }

// centered tells whether a sum counts from the middle of its range, which halves the bound
// at best. It needs to know how many values there are: one of each vehicle.
func (q *Query) centered() bool {
	return q.Kind == Sum && len(q.Axes) == 0 && q.Records != Total
}
