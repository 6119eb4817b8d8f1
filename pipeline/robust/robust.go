// Package robust merges the opened means of several lanes into one when some vehicles lie.
//
// A secure sum hides each update, so nobody can leave out a single bad one: one vehicle with an update a hundred times
// too long poisons its whole lane. Lanes bound the damage. Vehicles fall into them by a hash that nobody chooses, a
// rule looks at the lanes' means, and what most lanes agree on counts. All of it is post-processing of what was opened and costs no privacy. It
// costs accuracy: L lanes carry sqrt(L) times the noise of one over the same vehicles, see [NoiseStdDev].
//
// Start with [Parse] or build a [Rule] from [Mean], [TrimmedMean], [GeometricMedian] and [Gate]; [Choose] says how many lanes a
// fleet with a share of malicious vehicles wants. No rule here sees a vehicle that lies within the
// clipping norm, or a majority of lanes that lie alike.
package robust

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// ErrRule: a rule's name or parameter is not one of the known, or too few lanes are left for it.
var ErrRule = errors.New("robust: bad rule")

// ErrLanes: the lanes do not fit together, or hold values that are not finite or beyond 1e140.
var ErrLanes = errors.New("robust: bad lanes")

// Lane is what one lane's round opened.
type Lane struct {
	Reports int       // in its list
	Mean    []float64 // d values, the same d in all lanes
	// StdDev is the declared noise in each value of Mean, in the units of the update.
	StdDev float64
}

// Merged is what a rule made of the lanes.
type Merged struct {
	Mean     []float64
	Used     []int // the lanes that counted, by their index, ascending
	Rejected []Rejection
}

// Rejection says why a lane did not count.
type Rejection struct {
	Lane   int    `json:"lane"` // its index
	Reason string `json:"reason"`
}

// Rule merges lanes. It must not change them. It is a pure function: who applies it to the same published aggregates gets the same mean.
type Rule func(lanes []Lane) (*Merged, error)

// Parse reads a rule: "mean", "median", "trimmed:SHARE" with a share above 0 and below 1/2, "geometric", or one of them
// behind "gate+". norm is the clipping norm, for the gate.
func Parse(text string, norm float64) (Rule, error) {
	if rest, ok := strings.CutPrefix(text, "gate+"); ok && !strings.HasPrefix(rest, "gate+") {
		next, err := Parse(rest, norm)
		if err != nil {
			return nil, err
		}
		return Gate(norm, next), nil
	}
	name, share, given := strings.Cut(text, ":")
	switch {
	case name == "mean" && !given:
		return Mean, nil
	case name == "median" && !given:
		return TrimmedMean(0.5), nil
	case name == "geometric" && !given:
		return GeometricMedian, nil
	case name == "trimmed" && given:
		if f, err := strconv.ParseFloat(share, 64); err == nil && f > 0 && f < 0.5 {
			return TrimmedMean(f), nil
		}
	}
	return nil, fmt.Errorf("%w: %.60q; want mean, median, trimmed:SHARE below 0.5, geometric, or gate+ one of them", ErrRule, text)
}

// largest is far above any value of an update, and its square times any number of values is still a number: distances never overflow.
const largest = 1e140

// check refuses lanes that do not fit together.
func check(lanes []Lane) error {
	if len(lanes) == 0 {
		return fmt.Errorf("%w: no lane is left", ErrLanes)
	}
	for i, l := range lanes {
		switch {
		case l.Reports < 1 || len(l.Mean) != len(lanes[0].Mean) || len(l.Mean) == 0:
			return fmt.Errorf("%w: lane %d has %d reports and %d values", ErrLanes, i, l.Reports, len(l.Mean))
		case !(l.StdDev >= 0 && l.StdDev <= largest):
			return fmt.Errorf("%w: lane %d has noise of standard deviation %g", ErrLanes, i, l.StdDev)
		}
		for j, x := range l.Mean {
			if !(math.Abs(x) <= largest) {
				return fmt.Errorf("%w: value %d of lane %d is %g", ErrLanes, j, i, x)
			}
		}
	}
	return nil
}

func all(lanes []Lane) []int {
	used := make([]int, len(lanes))
	for i := range used {
		used[i] = i
	}
	return used
}

// Mean is the mean over all reports: each lane counts by its number of reports. One lie decides it.
func Mean(lanes []Lane) (*Merged, error) {
	if err := check(lanes); err != nil {
		return nil, err
	}
	weights := make([]float64, len(lanes))
	for i, l := range lanes {
		weights[i] = float64(l.Reports)
	}
	return &Merged{Mean: weighted(lanes, weights), Used: all(lanes)}, nil
}

func weighted(lanes []Lane, weights []float64) []float64 {
	out, total := make([]float64, len(lanes[0].Mean)), 0.0
	for i, l := range lanes {
		for j, x := range l.Mean {
			out[j] += weights[i] * x
		}
		total += weights[i]
	}
	for j := range out {
		out[j] /= total
	}
	return out
}

// TrimmedMean leaves out, in each coordinate, the share of the lanes with the largest and that with the smallest values, and
// takes the plain mean of the rest (Yin et al. 2018, section 4): fewer than that share of lying lanes move it by no more than the honest ones spread. A share of 1/2 is the
// median; other shares than 0 to 1/2 are ErrRule. Lanes count alike whatever their size, else a lie about the size would weigh.
func TrimmedMean(share float64) Rule {
	return func(lanes []Lane) (*Merged, error) {
		if err := check(lanes); err != nil {
			return nil, err
		}
		if !(share >= 0 && share <= 0.5) {
			return nil, fmt.Errorf("%w: a share of %g to trim, want 0 to 1/2", ErrRule, share)
		}
		n := len(lanes)
		cut := min(int(math.Ceil(share*float64(n))), (n-1)/2)
		column, out := make([]float64, n), make([]float64, len(lanes[0].Mean))
		for j := range out {
			for i, l := range lanes {
				column[i] = l.Mean[j]
			}
			slices.Sort(column)
			for _, x := range column[cut : n-cut] {
				out[j] += x / float64(n-2*cut)
			}
		}
		return &Merged{Mean: out, Used: all(lanes)}, nil
	}
}

const (
	weiszfeldSteps = 200
	weiszfeldTol   = 1e-7 // of the step's length to the median lane's distance
)

// GeometricMedian is the point with the least sum of distances to the lanes' means (Pillutla et al. 2022, RFA), each lane counted by its
// number of reports, by Weiszfeld's iteration smoothed at a millionth of the median distance, to a relative step of 1e-7 or 200 steps.
// Lanes that lie must hold half of all reports to carry it away.
func GeometricMedian(lanes []Lane) (*Merged, error) {
	m, err := Mean(lanes)
	if err != nil {
		return nil, err
	}
	distances, weights := make([]float64, len(lanes)), make([]float64, len(lanes))
	for range weiszfeldSteps {
		for i, l := range lanes {
			distances[i] = distance(l.Mean, m.Mean)
		}
		middle := median(distances)
		if middle == 0 {
			return m, nil // half of the lanes are this point
		}
		for i, l := range lanes {
			weights[i] = float64(l.Reports) / max(distances[i], 1e-6*middle)
		}
		next := weighted(lanes, weights)
		step := distance(next, m.Mean)
		m.Mean = next
		if step <= weiszfeldTol*middle {
			break
		}
	}
	return m, nil
}

func distance(a, b []float64) float64 {
	sum := 0.0
	for j := range a {
		sum += (a[j] - b[j]) * (a[j] - b[j])
	}
	return math.Sqrt(sum)
}

// median is the middle value, of an even number the lower one.
func median(v []float64) float64 {
	sorted := slices.Sorted(slices.Values(v))
	return sorted[(len(sorted)-1)/2]
}

// FalseAlarm bounds the chance that [Gate] rejects one honest lane. It is not smaller, because a lane in a thousand is a cheap price for
// seeing more of the lanes that lie.
const FalseAlarm = 1e-3

// Gate rejects each lane whose mean is longer than [Longest] allows, and gives the rest to next. An honest lane is rejected with
// a chance of at most [FalseAlarm]. It needs no majority: it judges each lane by what clipping and declared noise
// allow (the norm bound of Sun et al. 2019, for a lane instead of a client). [ErrRule] if it rejects all, or if norm is no number above 0.
func Gate(norm float64, next Rule) Rule {
	return func(lanes []Lane) (*Merged, error) {
		if err := check(lanes); err != nil {
			return nil, err
		}
		if !(norm > 0) || math.IsInf(norm, 0) { // NaN would let every lane pass
			return nil, fmt.Errorf("%w: a gate at norm %g", ErrRule, norm)
		}
		var kept []Lane
		var index []int
		var rejected []Rejection
		for i, l := range lanes {
			length, longest := distance(l.Mean, make([]float64, len(l.Mean))), Longest(norm, l.StdDev, len(l.Mean))
			if length > longest {
				rejected = append(rejected, Rejection{i, fmt.Sprintf("the mean has norm %.4g, honest updates and the declared noise give at most %.4g", length, longest)})
				continue
			}
			kept, index = append(kept, l), append(index, i)
		}
		if len(kept) == 0 {
			return &Merged{Rejected: rejected}, fmt.Errorf("%w: the gate rejects all %d lanes", ErrRule, len(lanes))
		}
		m, err := next(kept)
		if err != nil {
			return nil, err
		}
		for k := range m.Used {
			m.Used[k] = index[m.Used[k]]
		}
		for _, r := range m.Rejected {
			rejected = append(rejected, Rejection{index[r.Lane], r.Reason})
		}
		m.Rejected = rejected
		return m, nil
	}
}

// roundingSlack is what rounding to the grid may add to the norm of an update: eps_norm of GUARANTEE.md.
const roundingSlack = 1.01

// Longest is the norm that the mean of clipped updates plus Gaussian noise of standard deviation sd in each of d values
// exceeds with a chance of at most [FalseAlarm]. With m the mean of updates, |m| <= C, and noise z: |m+z|² = |m|² + 2<m,z> + |z|²,
// <m,z> is Gaussian, and |z|² is bounded as in Laurent and Massart 2000, lemma 1; half the chance goes to each.
func Longest(norm, sd float64, d int) float64 {
	t := math.Log(2 / FalseAlarm)
	c, n := norm*roundingSlack, float64(d)
	return math.Sqrt(c*c + 2*c*sd*math.Sqrt(2*t) + sd*sd*(n+2*math.Sqrt(n*t)+2*t))
}
