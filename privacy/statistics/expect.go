package statistics

import "math"

// Expectation is the error that the noise alone leaves in a query's answers.
type Expectation struct {
	Query string
	// Measure says of what, in which unit: "count" and "sum" as they are, "mean" in the middle of the
	// range, "variance" at an eighth of the squared width, "rank" as a share of the vehicles.
	Measure string
	StdErr  float64
}

// Expect returns, for n reports that all answer each query once and noise of a value of the
// mean, the standard error of one cell.
func (s *Set) Expect(n int, noise float64) []Expectation {
	var all []Expectation
	for i := range s.queries {
		q := &s.queries[i]
		all = append(all, q.expect(float64(n), noise*float64(n)*q.copies()/s.scale[i]))
	}
	return all
}

// expect takes the noise of one value of the block, in vehicles.
func (q *Query) expect(n, noise float64) Expectation {
	e := Expectation{Query: q.Name, Measure: "count", StdErr: noise}
	answers := n / float64(q.cells()) * q.copies()
	switch q.Kind {
	case Sum:
		e.Measure, e.StdErr = "sum", noise*q.magnitude()
		if q.centered() {
			e.StdErr = noise * q.half()
		}
	case Mean:
		e.Measure, e.StdErr = "mean", noise*q.half()/meanValue/answers
	case Variance:
		e.Measure, e.StdErr = "variance", noise/varianceEntry*q.half()*q.half()/answers/2
	case Quantiles:
		e.Measure, e.StdErr = "rank", noise*math.Sqrt(float64(q.Levels))*q.rankStdErr(q.leaves()/2, 0.5)/answers
	case Sketch:
		e.StdErr = noise * math.Sqrt(float64(q.sketchLevels()*q.Rows)*medianVariance[q.Rows/2])
	}
	return e
}
