package robust

import (
	"fmt"
	"math"
	"sort"

	"gonum.org/v1/gonum/stat/distuv"
)

// Choice is a number of lanes with the batch limits that go with it.
type Choice struct {
	Lanes        int
	Min          int     // min_batch_size of a lane: 99 lanes of 100 reach it
	MaxDishonest int     // F_c of a lane: more malicious vehicles fall into any lane of an epoch with a chance of at most 1e-3
	Clean        float64 // expected share of the lanes without any malicious vehicle
	// Noise is the standard deviation in each value of the mean over the clean lanes, as a multiple of noise multiplier times clipping norm over
	// the number of vehicles, which is what one lane of all of them would carry at least.
	Noise float64

	size float64 // expected reports of a lane
}

// maxLanes is what a task may have.
const maxLanes = 4096

const (
	shortLane    = 0.01 // chance that a lane stays below Min
	dishonestTop = 1e-3 // chance that any lane holds more than MaxDishonest
)

// Evaluate says what a number of lanes gives for a fleet of reports vehicles that report in an epoch, of which a share is malicious. Vehicles fall
// into lanes by a hash, so a lane's size and its malicious vehicles are binomial.
func Evaluate(reports int, malicious float64, lanes int) (Choice, error) {
	if reports < 1 || lanes < 1 || lanes > reports || !(malicious >= 0 && malicious < 0.5) {
		return Choice{}, fmt.Errorf("%w: %d reports, %d lanes, malicious share %g below 0.5", ErrRule, reports, lanes, malicious)
	}
	q := 1 / float64(lanes)
	size := float64(reports) * q
	in, bad := distuv.Binomial{N: float64(reports), P: q}, distuv.Binomial{N: float64(reports), P: q * malicious}
	c := Choice{
		Lanes: lanes, size: size,
		Min:          sort.Search(reports, func(k int) bool { return in.CDF(float64(k)) > shortLane }),
		MaxDishonest: sort.Search(reports, func(k int) bool { return bad.Survival(float64(k))*float64(lanes) <= dishonestTop }),
	}
	if lanes == 1 {
		c.Min = reports // nothing is left to chance
	}
	// Without its malicious vehicles: a lane of n reports is clean with (1-malicious)^n; binomial sizes average to this.
	c.Clean = math.Pow(1-malicious*q, float64(reports))
	honest := c.Min - c.MaxDishonest
	if honest < 2 {
		return c, fmt.Errorf("%w: %d lanes of some %.0f reports leave fewer than two honest ones for sure", ErrRule, lanes, size)
	}
	// One lane's mean carries z C / sqrt(honest size); the mean of the clean ones is that over sqrt of their number.
	c.Noise = float64(reports) / math.Sqrt(float64(honest)*size*math.Max(c.Clean*float64(lanes), 1))
	return c, nil
}

// Visible is the length, in clipping norms, from which on one vehicle's update makes the [Gate] reject its lane with a chance of 97 %, if it
// is orthogonal to the honest ones: d values at a noise multiplier.
func (c Choice) Visible(noiseMultiplier float64, d int) float64 {
	sd := noiseMultiplier / math.Sqrt(float64(c.Min-c.MaxDishonest)*c.size)
	longest := Longest(1, sd, d)
	excess := longest*longest - sd*sd*float64(d)
	// The squared norm of a mean of length l with noise has standard deviation sqrt(2 d sd^4 + 4 l^2 sd^2); two of them are 97 %.
	length := math.Sqrt(excess)
	for range 20 { // a contraction: the spread grows slower than the square
		length = math.Sqrt(excess + 2*math.Sqrt(2*float64(d)*sd*sd*sd*sd+4*length*length*sd*sd))
	}
	return length * c.size
}

// Choose returns the number of lanes that leaves the least noise in the mean over the clean lanes, among those that expect a clean
// one and where an update of factor clipping norms is [Choice.Visible] with a fifth to spare: it may be opposed to the honest ones.
func Choose(reports int, malicious, factor, noiseMultiplier float64, d int) (Choice, error) {
	var best Choice
	for lanes := 1; lanes <= min(reports, maxLanes); lanes += 1 + lanes/16 {
		c, err := Evaluate(reports, malicious, lanes)
		if err != nil || c.Clean*float64(lanes) < 1 || malicious > 0 && c.Visible(noiseMultiplier, d) > factor/1.2 {
			continue
		}
		if best.Lanes == 0 || c.Noise < best.Noise {
			best = c
		}
	}
	if best.Lanes == 0 {
		return best, fmt.Errorf("%w: no number of lanes shows an update of %g clipping norms among %d reports with a malicious share of %g and leaves clean lanes", ErrRule, factor, reports, malicious)
	}
	return best, nil
}

// NoiseStdDev is the standard deviation in each value of the weighted mean of the used lanes.
func NoiseStdDev(lanes []Lane, used []int) float64 {
	sum, n := 0.0, 0.0
	for _, i := range used {
		w := float64(lanes[i].Reports)
		sum += w * w * lanes[i].StdDev * lanes[i].StdDev
		n += w
	}
	return math.Sqrt(sum) / n
}
