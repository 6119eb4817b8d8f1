package statistics

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"slices"
)

// medianVariance is the variance of the median of 1, 3, 5, 7, 9 standard normal values
// (David and Nagaraja, Order Statistics, 2003).
var medianVariance = [5]float64{1, 0.44867, 0.28683, 0.21045, 0.16610}

func (q *Query) validateSketch() error {
	if err := q.need(q.Rows >= 1 && q.Rows <= 9 && q.Rows%2 == 1, "Rows", q.Rows, "1, 3, 5, 7 or 9"); err != nil {
		return err
	}
	if err := q.need(q.Width >= 2 && q.Width <= 1<<16, "Width", q.Width, "2 to 65536"); err != nil {
		return err
	}
	return q.need(q.Length >= q.Symbols && q.Length <= maxText && q.Length%max(1, q.Symbols) == 0, "Length", q.Length, "a multiple of Symbols, at most 64")
}

func (q *Query) sketchLevels() int { return q.Length / q.Symbols }

// bucket is where a code lies in a row of the sketch of a level, and its sign. The hash is
// public and the same for all vehicles: a task's own hash would gain nothing, as whoever
// would choose colliding texts knows the task.
func (q *Query) bucket(level, row int, code string) (at int, sign float64) {
	var head [2]byte
	head[0], head[1] = byte(level), byte(row)
	sum := sha256.Sum256(append(head[:], code...))
	at = int(binary.LittleEndian.Uint64(sum[:8]) % uint64(q.Width))
	sign = 1
	if sum[8]&1 == 1 {
		sign = -1
	}
	return (level*q.Rows+row)*q.Width + at, sign
}

// encodeSketch puts one text into every row of every level: sqrt(levels * rows) entries of norm 1 together.
func (q *Query) encodeSketch(s string, block []float64) {
	entry := 1 / math.Sqrt(float64(q.sketchLevels()*q.Rows))
	for level := range q.sketchLevels() {
		c := code(s, q.Alphabet, (level+1)*q.Symbols)
		for row := range q.Rows {
			at, sign := q.bucket(level, row, c)
			block[at] += sign * entry
		}
	}
}

// trimmed is the mean square of a standard normal value among the nine tenths nearest to zero: that of the
// buckets over it is the variance of a row's estimate by noise and by the many rarer texts that collide. What
// a frequent text does to the one row in which it collides, the median of the rows removes.
const trimmed = 0.62297

// sketched reads a decoded sketch.
type sketched struct {
	*Query
	block  []float64 // in vehicles
	noise  float64   // standard deviation of one value
	spread []float64 // for each level, of a row's estimate: noise and collisions
}

func newSketched(q *Query, block []float64, noise float64) *sketched {
	scale := math.Sqrt(float64(q.sketchLevels() * q.Rows))
	s := &sketched{Query: q, block: make([]float64, len(block)), noise: noise * scale}
	for i, v := range block {
		s.block[i] = v * scale
	}
	per := q.Rows * q.Width
	for level := range q.sketchLevels() {
		sizes := make([]float64, per)
		for i, v := range s.block[level*per : (level+1)*per] {
			sizes[i] = math.Abs(v)
		}
		slices.Sort(sizes)
		kept := sizes[:(9*per+9)/10]
		s.spread = append(s.spread, math.Max(s.noise, math.Sqrt(squares(kept)/float64(len(kept))/trimmed)))
	}
	return s
}

// estimate is the median of what the rows say of a code, with its standard error.
func (s *sketched) estimate(level int, code string) (value, stdErr float64) {
	rows := make([]float64, s.Rows)
	for row := range rows {
		at, sign := s.bucket(level, row, code)
		rows[row] = sign * s.block[at]
	}
	slices.Sort(rows)
	return rows[s.Rows/2], s.spread[level] * math.Sqrt(medianVariance[s.Rows/2])
}

// beam is how many prefixes the search keeps at each level, fewer if each can go on in many ways.
const (
	beam      = 256
	maxSearch = 1 << 22 // candidates of a level
)

// hitter is a frequent text.
type hitter struct {
	code          string
	value, stdErr float64
}

// frequent searches level by level for the codes whose estimate stands out of the noise of
// all candidates of its level: above stdErr sqrt(2 ln(20 m)) for m of them, so that fewer
// than one level in 20 lets in a text that nobody has; and not below least.
func (s *sketched) frequent(least float64) []hitter {
	var found []hitter
	open, suffix := []string{""}, extensions(s.Alphabet, s.Symbols)
	for level := range s.sketchLevels() {
		var kept []hitter
		bar := math.Sqrt(2 * math.Log(20*float64(len(open)*len(suffix))))
		for _, p := range open {
			for _, x := range suffix {
				v, e := s.estimate(level, p+x)
				if v >= math.Max(least, bar*e) {
					kept = append(kept, hitter{p + x, v, e})
				}
			}
		}
		open = open[:0:0]
		for _, h := range largest(kept, max(1, min(beam, maxSearch/len(suffix)))) {
			if last := level == s.sketchLevels()-1; ended(h.code) || last {
				found = append(found, h)
			} else {
				open = append(open, h.code)
			}
		}
	}
	return largest(found, len(found))
}

// largest returns the n most frequent, the first of them first; equal ones keep their order.
func largest(all []hitter, n int) []hitter {
	slices.SortStableFunc(all, func(a, b hitter) int { return cmp.Compare(b.value, a.value) })
	return all[:max(0, min(len(all), n))]
}
