package statistics

import (
	"fmt"
	"math"
)

// z95 is the two-sided 95 % point of the normal distribution.
const z95 = 1.959963984540054

// Cell says where on an axis, or on two, an estimate belongs.
type Cell struct {
	Key          string  // of an axis of keys, a text, or a quantile's rank; else ""
	Lower, Upper float64 // of an axis of edges; else NaN
}

// Estimate is one answer.
type Estimate struct {
	Query   string
	Measure string // "count", "sum", "mean", "variance", "quantile", or what [Evaluate] computes
	Cells   [2]Cell
	// Value estimates what the reports of the round say; StdErr and [Low, High], of 95 %, cover the noise
	// alone, and not that these vehicles may differ from others. NaN if Suppressed, or if there is too little to tell.
	Value, StdErr, Low, High float64
	// Suppressed: fewer vehicles than the release asks for, as far as the noise lets one tell.
	Suppressed bool
}

// Release says how [Set.Decode] reads a mean.
type Release struct {
	Mean    []float64 // d values: the mean of the vehicles' vectors, with noise
	Reports int       // n, the vehicles in it
	Noise   float64   // standard deviation of the noise of one value of Mean
	// MinCount suppresses the cells whose count is not surely (97.5 %) at least as large; 0 shows all.
	// It is post-processing: it hides what says little of few vehicles, and protects nobody whom the noise does not.
	MinCount int
	// Candidates are public texts whose frequency a [Sketch] is asked for beside those it finds.
	Candidates []string
}

// Decode returns the estimates of all queries, in their order. It never fails for the
// values of the mean, whatever they are. Errors wrap [ErrLength].
func (s *Set) Decode(r Release) ([]Estimate, error) {
	if err := s.check(r); err != nil {
		return nil, err
	}
	var all []Estimate
	for i := range s.queries {
		d := s.decoder(i, r)
		found := d.decode()
		for k := range found {
			found[k].Query = d.Name
		}
		all = append(all, found...)
	}
	return all, nil
}

// check refuses a mean that is none of this set's.
func (s *Set) check(r Release) error {
	if len(r.Mean) != s.Values() || r.Reports < 1 || !(r.Noise >= 0) {
		return fmt.Errorf("%w: %d values of %d reports with noise %g, want %d values", ErrLength, len(r.Mean), r.Reports, r.Noise, s.Values())
	}
	return nil
}

// decoder holds the block of one query in vehicles: the sum of what they encoded.
type decoder struct {
	*Query
	Release
	block []float64
	noise float64 // standard deviation of one value of block
}

func (s *Set) decoder(i int, r Release) *decoder {
	q := &s.queries[i]
	k := float64(r.Reports) * q.copies() / s.scale[i]
	d := &decoder{Query: q, Release: r, noise: r.Noise * k}
	for _, v := range r.Mean[s.from[i]:s.from[i+1]] {
		d.block = append(d.block, v*k)
	}
	return d
}

func (d *decoder) decode() []Estimate {
	switch d.Kind {
	case Quantiles:
		return d.quantiles()
	case Prefixes:
		return d.prefixes()
	case Sketch:
		return d.sketch()
	}
	var all []Estimate
	for c := range d.cells() {
		e := d.cell(c)
		e.Cells = d.labels(c)
		all = append(all, e)
	}
	return all
}

// keyed is the place of what belongs to no cell but has a key, or "".
func keyed(key string) [2]Cell {
	none := Cell{Lower: math.NaN(), Upper: math.NaN()}
	cells := [2]Cell{none, none}
	cells[0].Key = key
	return cells
}

// labels names cell c.
func (q *Query) labels(c int) [2]Cell {
	cells := keyed("")
	for i := len(q.Axes) - 1; i >= 0; i-- {
		n := q.Axes[i].Cells()
		cells[i].Key, cells[i].Lower, cells[i].Upper = q.Axes[i].Label(c % n)
		c /= n
	}
	return cells
}

// measured is an estimate with its interval.
func measured(measure string, value, stdErr float64) Estimate {
	return Estimate{Measure: measure, Value: value, StdErr: stdErr, Low: value - z95*stdErr, High: value + z95*stdErr}
}

// within keeps an estimate and its interval inside the range that it has.
func (e Estimate) within(low, high float64) Estimate {
	for _, v := range []*float64{&e.Value, &e.Low, &e.High} {
		*v = min(max(*v, low), high)
	}
	return e
}

// counted is a count, which is suppressed if it may be below MinCount.
func (d *decoder) counted(value, stdErr float64) Estimate {
	return d.hide(measured("count", value, stdErr), value, stdErr)
}

// least is the count from which a cell surely has MinCount vehicles: under [Total] one vehicle counts up to MaxRecords times.
func (d *decoder) least() float64 { return float64(d.MinCount) * d.copies() }

// hide suppresses e if the count it rests on may be that of fewer vehicles than MinCount.
func (d *decoder) hide(e Estimate, count, stdErr float64) Estimate {
	if d.MinCount > 0 && !(count-z95*stdErr >= d.least()) {
		nan := math.NaN()
		e.Value, e.StdErr, e.Low, e.High, e.Suppressed = nan, nan, nan, nan, true
	}
	return e
}

// cell reads one cell of a count, histogram, sum, mean or variance.
func (d *decoder) cell(c int) Estimate {
	switch d.Kind {
	case Sum:
		if d.centered() { // every vehicle is in it
			return d.hide(measured("sum", d.half()*d.block[c]+d.middle()*float64(d.Reports), d.half()*d.noise), float64(d.Reports), 0)
		}
		// There is no count beside it, but nobody moves it by more than the magnitude.
		return d.hide(measured("sum", d.magnitude()*d.block[c], d.magnitude()*d.noise), math.Abs(d.block[c]), d.noise)
	case Mean:
		return d.mean(c)
	case Variance:
		return d.variance(c)
	}
	return d.counted(d.block[c], d.noise)
}

// unknown is an estimate of which the noise left nothing: fewer than one vehicle, or none.
func unknown(measure string) Estimate {
	nan := math.NaN()
	return Estimate{Measure: measure, Value: nan, StdErr: nan, Low: nan, High: nan}
}

// mean is a ratio of two noisy sums; its error follows by the delta method.
func (d *decoder) mean(c int) Estimate {
	count, countErr := d.block[2*c+1]/meanCount, d.noise/meanCount
	if !(count >= 1) {
		return d.hide(unknown("mean"), count, countErr)
	}
	u := d.block[2*c] / meanValue / count
	stdErr := d.half() / count * math.Hypot(d.noise/meanValue, u*countErr)
	e := measured("mean", d.middle()+d.half()*u, stdErr).within(d.Low, d.High) // where the mean of clipped values is
	return d.hide(e, count, countErr)
}

// variance is half^2 (E[u^2] - E[u]^2); its error follows by the delta method from three equal noises.
func (d *decoder) variance(c int) Estimate {
	count := d.block[3*c+2] / varianceEntry
	noise := d.noise / varianceEntry
	if !(count >= 1) {
		return d.hide(unknown("variance"), count, noise)
	}
	u := d.block[3*c] / varianceEntry / count
	v := d.block[3*c+1] / varianceEntry / count // of 2 u^2 - 1
	value := (v+1)/2 - u*u
	byCount := -v/2 + 2*u*u
	stdErr := noise / count * math.Sqrt(4*u*u+0.25+byCount*byCount)
	square := d.half() * d.half()
	e := measured("variance", square*max(value, 0), square*stdErr)
	e.Low = max(e.Low, 0)
	return d.hide(e, count, noise)
}

func (d *decoder) quantiles() []Estimate {
	dist := newDistribution(d.Query, d.block, d.noise)
	countErr := dist.noise * d.rankStdErr(d.leaves(), 0)
	var all []Estimate
	for _, rank := range d.Ranks {
		v, low, high := dist.quantile(rank)
		e := Estimate{Measure: "quantile", Value: v, StdErr: (high - low) / (2 * z95), Low: low, High: high}
		e.Cells = keyed(fmt.Sprintf("%g", rank))
		if !(dist.count >= 1) {
			e.Value, e.StdErr, e.Low, e.High = math.NaN(), math.NaN(), math.NaN(), math.NaN()
		}
		all = append(all, d.hide(e, dist.count, countErr))
	}
	return all
}

// texted is the count of a text.
func (d *decoder) texted(key string, value, stdErr float64) Estimate {
	e := d.counted(value, stdErr)
	e.Cells = keyed(key)
	return e
}

// rest is the name of the cell of all texts that begin with no prefix.
const rest = "(other prefixes)"

func (d *decoder) prefixes() []Estimate {
	var all []Estimate
	for i, c := range d.endings() {
		all = append(all, d.texted(shown(c, true), d.block[i], d.noise))
	}
	return append(all, d.texted(rest, d.block[len(d.block)-1], d.noise))
}

func (d *decoder) sketch() []Estimate {
	s, seen := newSketched(d.Query, d.block, d.noise), map[string]bool{}
	var all []Estimate
	for _, h := range s.frequent(d.least()) {
		// The text itself was found in the vehicles' answers: it is not named if its count is suppressed.
		if e := d.texted(shown(h.code, false), h.value, h.stdErr); !e.Suppressed {
			all = append(all, e)
			seen[h.code] = true
		}
	}
	for _, t := range d.Candidates {
		c := code(t, d.Alphabet, d.Length)
		if seen[c] {
			continue
		}
		seen[c] = true
		v, e := s.estimate(d.sketchLevels()-1, c)
		all = append(all, d.texted(shown(c, false), v, e))
	}
	return all
}
