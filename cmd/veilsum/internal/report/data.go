package report

// Data is everything the page shows. The zero value of an optional field leaves its
// part out. All strings are escaped.
type Data struct {
	// Title heads the page. Required.
	Title string
	// Created is when and by what the page was made, as text ("2026-11-24, veilsum
	// v0.1.0"). Optional.
	Created string
	// DataSet says in a sentence what was learned from which data; Credit is its line
	// of credit.
	DataSet, Credit string
	// TestRows is how many held-out rows the accuracy is measured on. Optional.
	TestRows int
	// Vehicles is the size of the fleet.
	Vehicles int
	// Guarantee is what the whole run promises; Budget is the epsilon allowed.
	Guarantee Guarantee
	Budget    float64
	// Committee is who opened the sums.
	Committee Committee
	// MinBatchSize is the fewest reports a round may open; MaxDishonest is F_c.
	MinBatchSize, MaxDishonest int
	// Suite names the cryptography in words; PostQuantum says whether it is meant to
	// resist a quantum computer, and the page warns if not.
	Suite       string
	PostQuantum bool
	// Regions names the regional aggregators, in the order of Round.Regions.
	Regions []string
	// Rounds in order of time.
	Rounds []Round
	// Bytes compares sizes: what a vehicle sends a round, first, then yardsticks such
	// as the same values as float32.
	Bytes []Size
	// Repeats holds the final accuracies of repeated runs with other seeds. Optional.
	Repeats []Repeat
	// Seconds is the wall time of the whole run. Optional.
	Seconds float64
	// Parameters are listed as given.
	Parameters []Parameter
	// NotProtected adds to the page's own list of what is not protected.
	NotProtected []string
	// Warnings are shown at the top of the page.
	Warnings []string
}

// Guarantee is a differential-privacy guarantee in full.
type Guarantee struct {
	// Epsilon was spent by all rounds together, with failure probability Delta.
	Epsilon, Delta float64
	// Relation is the neighboring relation in words ("zero-out: one vehicle's update
	// is replaced by zero in every round").
	Relation string
	// Unit is what is protected ("one vehicle, all rounds").
	Unit string
	// TrustModel in full ("distributed differential privacy").
	TrustModel string
	// Accountant and what it assumed ("RDP of the discrete Gaussian, no amplification
	// by sampling").
	Accountant string
}

// Committee describes the decryptors: Members of them, Threshold needed to open a
// sum, at most MaxMalicious assumed malicious.
type Committee struct {
	Members, Threshold, MaxMalicious int
}

// Round is one round of training. A number that is unknown is NaN.
type Round struct {
	// Number as shown, counted by the caller.
	Number int
	// Accuracy on the test rows after this round, 0 to 1, and that of the same
	// training without privacy.
	Accuracy, PlainAccuracy float64
	// Epsilon is the total spent up to and including this round.
	Epsilon float64
	// Regions holds the fate of each region's vehicles.
	Regions []Tally
	// NoiseStdDev is the standard deviation of the noise in one value of the mean
	// update, and AggregateRMS the root mean square of the opened mean, noise
	// included. Both are public.
	NoiseStdDev, AggregateRMS float64
	// Seconds is the wall time of the round. Optional.
	Seconds float64
	// Void says why nothing was opened; empty if the sum was opened.
	Void string
	// Receipt, Manifest and Aggregate are hashes in hexadecimal.
	Receipt, Manifest, Aggregate string
}

// Tally counts the vehicles of one region in one round; the five add up to its fleet.
type Tally struct {
	// Accepted reports are in the list, and in the sum if the round was opened; Refused
	// ones arrived and were turned away.
	Accepted, Refused int
	// BeforeSealing vehicles made no report, MidUpload ones broke off, Late ones
	// arrived after the list was closed.
	BeforeSealing, MidUpload, Late int
}

// Lost counts the vehicles whose report is not in the sum.
func (t Tally) Lost() int { return t.Refused + t.BeforeSealing + t.MidUpload + t.Late }

// Size is a named number of bytes.
type Size struct {
	Name  string
	Bytes int64
	// Note is a short remark beside the bar. Optional.
	Note string
}

// Repeat is one repeated run: the seed and both final accuracies, 0 to 1.
type Repeat struct {
	Seed                    uint64
	Accuracy, PlainAccuracy float64
}

// Parameter is one line of the table of parameters.
type Parameter struct {
	Name, Value, Meaning string
}
