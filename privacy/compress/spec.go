package compress

import (
	"errors"
	"fmt"
	"math"
	"sort"
)

// ErrSpec reports a map that does not exist. The message names field, value and range.
var ErrSpec = errors.New("compress: invalid compression")

// Kind names a family of maps.
type Kind string

// The kinds.
const (
	// RandomK sends a random k of the d values themselves. The cheapest; an
	// update with few large values loses most of them in most rounds.
	RandomK Kind = "random_k"
	// SRHT sends a random k of the values after a random rotation (subsampled
	// randomized Hadamard transform; Ailon and Chazelle 2009, Tropp 2011): every
	// update keeps its norm closely.
	SRHT Kind = "srht"
	// CountSketch adds every value, with a random sign, into one of k/Rows places of
	// each of Rows rows (Charikar, Chen and Farach-Colton 2002). Decoded by the mean of the rows.
	CountSketch Kind = "count_sketch"
	// LowRank multiplies each matrix from its longer side with a random factor of Rank
	// orthogonal columns, the same for all vehicles; other tensors are sent whole.
	LowRank Kind = "low_rank"
)

// Kinds are all kinds.
var kinds = []Kind{RandomK, SRHT, CountSketch, LowRank}

// Kinds returns all kinds.
func Kinds() []Kind { return append([]Kind(nil), kinds...) }

// MaxRows is the most rows of a count sketch.
const MaxRows = 16

// Spec says which maps a task uses.
type Spec struct {
	Kind Kind
	// Values is d >= 1, the length of an update.
	Values int
	// Keep is k, the numbers sent, 1 to Values. [LowRank] ignores it.
	Keep int
	// Rows of a [CountSketch]; divides Keep; 1 to 16, 0 means 1. Others ignore it.
	Rows int
	// Rank of the factors of [LowRank], at least 1. Others ignore it.
	Rank int
	// Shapes are the tensors in order, Values numbers in all, for [LowRank].
	Shapes [][]int
}

// Validate refuses what is no map; the error wraps [ErrSpec].
func (s Spec) Validate() error {
	if s.Values < 1 {
		return fmt.Errorf("%w: Values is %d, want 1 or more", ErrSpec, s.Values)
	}
	switch s.Kind {
	case RandomK, SRHT, CountSketch:
		if s.Keep < 1 || s.Keep > s.Values {
			return fmt.Errorf("%w: Keep is %d, want 1 to %d", ErrSpec, s.Keep, s.Values)
		}
	case LowRank:
		return s.validateRank()
	default:
		return fmt.Errorf("%w: Kind is %.20q, want one of %q", ErrSpec, string(s.Kind), kinds)
	}
	if s.Kind == CountSketch && (s.Rows < 0 || s.Rows > MaxRows || s.Keep%s.rows() != 0) {
		return fmt.Errorf("%w: Rows is %d, want 1 to %d, and a divisor of Keep = %d", ErrSpec, s.Rows, MaxRows, s.Keep)
	}
	return nil
}

func (s Spec) validateRank() error {
	if s.Rank < 1 {
		return fmt.Errorf("%w: Rank is %d, want 1 or more", ErrSpec, s.Rank)
	}
	at := 0
	for i, shape := range s.Shapes {
		size := 1
		for _, n := range shape {
			if n < 0 || n > 0 && size > s.Values/n {
				return fmt.Errorf("%w: Shapes[%d] is %v, more than Values = %d", ErrSpec, i, shape, s.Values)
			}
			size *= n
		}
		if at += size; at > s.Values {
			break
		}
	}
	if at != s.Values {
		return fmt.Errorf("%w: Shapes hold %d values, want %d", ErrSpec, at, s.Values)
	}
	return nil
}

func (s Spec) rows() int { return max(1, s.Rows) }

// Sent is k, the numbers that are sent; 0 for what is no map.
func (s Spec) Sent() int {
	if s.Validate() != nil {
		return 0
	}
	if s.Kind != LowRank {
		return s.Keep
	}
	sent := 0
	for _, f := range s.folds() {
		sent += f.sent()
	}
	return sent
}

// ErrorFactor is v in E|A^T A x - x|^2 = v |x|^2, over the random maps: d/k - 1
// (exactly) for [RandomK] and [SRHT], (d-1)/k for [CountSketch]; for
// [LowRank], where it depends on x, that of an x spread evenly over all values.
func (s Spec) ErrorFactor() float64 {
	if s.Validate() != nil {
		return math.NaN()
	}
	d := float64(s.Values)
	switch s.Kind {
	case CountSketch:
		return (d - 1) / float64(s.Keep)
	case LowRank:
		total := 0.0
		for _, f := range s.folds() {
			total += float64(f.size()) / d * (float64(f.length)/float64(f.keep) - 1)
		}
		return total
	}
	return d/float64(s.Keep) - 1
}

// Growth is how many times longer than x, but for a chance of 2^-40 over the maps, A x is at most. Behind a rotation
// the kept values are taken for independent normal ones; a vector that lies in few values can grow as much as the map scales.
func (s Spec) Growth() float64 {
	if s.Validate() != nil {
		return math.NaN()
	}
	rotated := func(length, keep int) float64 {
		return math.Min(math.Sqrt(float64(length)/float64(keep)), 1+tail/math.Sqrt(float64(keep)))
	}
	switch s.Kind {
	case SRHT:
		return rotated(s.Values, s.Keep)
	case RandomK:
		return math.Sqrt(float64(s.Values) / float64(s.Keep))
	case CountSketch: // all values in one place, with the same sign
		return math.Sqrt(float64(s.Values))
	}
	most := 1.0
	for _, f := range s.folds() {
		most = math.Max(most, rotated(f.length, f.keep))
	}
	return most
}

// tail is how many standard deviations leave 2^-40 outside.
const tail = 7.54

// KeepFor is the least k with which the error of a [RandomK] or [SRHT] map of a mean of
// norm meanNorm grows the noise's, stdDev in each of d values, by at most the factor
// 1 + tolerance in root mean square; from d/k - 1 <= ((1+tolerance)^2 - 1) d stdDev^2/meanNorm^2.
// With stdDev = z C/n and meanNorm = kappa C and small d/n it is the min(d, n^2 epsilon^2) of
// Chen et al. 2022 (abstract) with a constant: (kappa n/z)^2/(2 tolerance). It is 1 to d; the arguments are positive.
func KeepFor(d int, stdDev, meanNorm, tolerance float64) int {
	room := ((1+tolerance)*(1+tolerance) - 1) * float64(d) * stdDev * stdDev / (meanNorm * meanNorm)
	k := math.Ceil(float64(d) / (1 + room))
	if !(k >= 1) {
		return d
	}
	return min(d, int(k))
}

// Fit returns s with the most numbers that are at most `most`: it sets Keep, or the Rank of [LowRank].
// The error wraps [ErrSpec] if there is no such map.
func Fit(s Spec, most int) (Spec, error) {
	if s.Kind != LowRank {
		s.Keep = min(most, s.Values) / s.rows() * s.rows()
		return s, s.Validate()
	}
	s.Keep, s.Rank = 0, 1
	if err := s.Validate(); err != nil {
		return s, err
	}
	if least := s.Sent(); least > most {
		return s, fmt.Errorf("%w: Rank 1 sends %d numbers, more than %d", ErrSpec, least, most)
	}
	longest := 1
	for _, f := range s.folds() {
		longest = max(longest, f.length)
	}
	// What is sent grows with the rank; the first rank that sends too much ends the search.
	s.Rank = sort.Search(longest, func(i int) bool {
		next := s
		next.Rank = i + 2
		return next.Sent() > most
	}) + 1
	s.Rank = min(s.Rank, longest)
	return s, nil
}

// fold is one tensor as `vectors` vectors of `length` values, of which a map keeps `keep`.
// keep = length sends the tensor whole.
type fold struct {
	from, vectors, length, keep int
	strided                     bool // value i of vector v lies at i*vectors + v, else at v*length + i
}

func (f fold) size() int { return f.vectors * f.length }
func (f fold) sent() int { return f.vectors * f.keep }

// folds are the tensors as matrices: the first dimension against the others.
func (s Spec) folds() []fold {
	var folds []fold
	at := 0
	for _, shape := range s.Shapes {
		rows, columns := 1, 1
		for i, n := range shape {
			if i == 0 {
				rows = n
			} else {
				columns *= n
			}
		}
		f := fold{from: at, vectors: rows, length: columns}
		if rows > columns {
			f = fold{from: at, vectors: columns, length: rows, strided: true}
		}
		f.keep = f.length
		if len(shape) > 1 {
			f.keep = min(s.Rank, f.length)
		}
		if at += rows * columns; f.size() > 0 {
			folds = append(folds, f)
		}
	}
	return folds
}
