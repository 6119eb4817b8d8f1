package lanes

import "math"

// GoodBatch is the batch that lanes are cut for: beyond it the noise of the mean gains little, and a lost round costs much.
const GoodBatch = 10_000

// spread is how many standard deviations a lane may differ from the mean: a vehicle's lane is a hash, so the size of a lane
// is binomial. Beyond 6 lies less than 10^-8.
const spread = 6

// Suggestion is how to cut a fleet into lanes.
type Suggestion struct {
	Reports int     `json:"reports"` // expected in an epoch
	Lanes   int     `json:"lanes"`
	Mean    float64 `json:"mean_batch"`  // expected in a lane
	Least   int     `json:"least_batch"` // within six standard deviations
	Most    int     `json:"most_batch"`
	// Fits tells that Least and Most are within the task's batch sizes.
	Fits bool `json:"fits"`
}

// maxLanes is the most lanes of a task.
const maxLanes = 4096

// Suggest cuts an epoch of so many reports into the fewest lanes whose batches are at most about GoodBatch, and
// hardly ever above most. A batch below least never opens: Fits is false if that must be feared.
func Suggest(reports, least, most int) Suggestion {
	s := at(reports, 1)
	target := GoodBatch
	for s.Lanes < maxLanes && (s.Mean > float64(target) || s.Most > most) {
		s = at(reports, s.Lanes+1)
	}
	s.Fits = s.Least >= least && s.Most <= most
	return s
}

// at describes a number of lanes.
func at(reports, lanes int) Suggestion {
	mean := float64(reports) / float64(lanes)
	d := spread * math.Sqrt(mean*(1-1/float64(lanes)))
	return Suggestion{
		Reports: reports, Lanes: lanes, Mean: mean, Least: int(math.Max(0, math.Floor(mean-d))), Most: int(math.Min(float64(reports), math.Ceil(mean+d))),
	}
}
