package planet

import (
	"fmt"
	"math"
	"time"
)

// Outcome is what became of an invitation.
type Outcome uint8

// The outcomes, each final.
const (
	Counted Outcome = iota // the report is in the round's list
	Late                   // the whole report arrived after the list was closed
	Cut                    // broke off, in training or upload, and found the round over when it could go on
	Lost                   // gave up after the download: a crash, a lack of memory, a user
	Offline                // never online while it could start
	Missed                 // online only when the round was over
	Stale                  // had trained on a model too old for the round that was open (buffered only)
)

// Outcomes counts the constants above.
const Outcomes = int(Stale) + 1

// String returns the outcome in few words.
func (o Outcome) String() string {
	names := [Outcomes]string{"counted", "late", "cut off", "lost", "offline", "missed", "stale"}
	if int(o) >= Outcomes {
		return fmt.Sprintf("outcome(%d)", o)
	}
	return names[o]
}

// Attempt is one invitation of a watched vehicle. Times are since the start of the simulation; those that
// never came are negative.
type Attempt struct {
	Vehicle, Region, Profile int
	Round                    int // index into Result.Rounds that it was invited for, or sealed for while buffered; -1 if for none
	Invited, Started         time.Duration
	Sealed, Arrived          time.Duration
	Model                    int // version that it started from, the one its round was opened with; -1 if it never started
	Staleness                int // versions that came out from the opening with that model to the close of its round; 0 unless Counted
	Outcome                  Outcome
	Sent                     int64 // bytes, with repetitions and connections
	Again                    int64 // bytes of pieces that broke off and were sent again
	Breaks                   int
	Joules                   float64
}

// Round is one list of reports.
type Round struct {
	Epoch, Lane    int
	Model          int // version at its opening
	Opened, Closed time.Duration
	Full           bool // closed by the K-th report, else by the deadline
	Void           bool // too few reports: nothing is opened, nothing charged
	Counted        int
	Late           int
	Invited        int     // 0 while buffered
	Started        int     // 0 while buffered
	Staleness      float64 // mean over the counted reports
	MaxStaleness   int
	stale          []versionCount
	contributions  []Attempt
	open           bool
	deadline       tick
}

// versionCount is how many reports started from a version.
type versionCount struct{ version, count int }

// Hour is what happened in one region in one hour since the start (UTC, as it starts at midnight).
type Hour struct {
	Region, Hour           int
	Invited, Started       int
	Sealed, Counted, Late  int
	Cut, Lost, Breaks      int
	BytesUp, BytesAgain    float64
	Joules                 float64
	DrivingShare           float64 // of the region's vehicles, mean over the hour
	UploadSeconds, uploads float64 // mean from sealing to arrival, of the reports that arrived
}

// Tally sums up one profile, or all.
type Tally struct {
	Name     string
	Vehicles int
	Outcomes [Outcomes]int
	// Started counts the attempts that downloaded the model, Sealed those that sealed a report.
	Started, Sealed int
	Uploads         int // that arrived, in time or not
	BytesUp         float64
	BytesAgain      float64
	BytesDown       float64
	Breaks          int
	LinkJoules      float64 // for transfers
	TrainJoules     float64
	// UploadSeconds is a histogram of the times from sealing to arrival, see HistogramAt.
	UploadSeconds [HistogramBins]int
}

// HistogramBins is the number of bins of a histogram of times: ten for each factor of ten from a millisecond on.
const HistogramBins = 101

// HistogramAt returns the lower edge of a bin, in seconds.
func HistogramAt(bin int) float64 { return 1e-3 * math.Pow(10, float64(bin)/10) }

func binOf(s float64) int {
	return max(0, min(HistogramBins-1, int(10*math.Log10(max(s, 1e-3)/1e-3))))
}

// Quantile returns a time that a share q of the uploads stayed below, to within a bin; NaN without uploads.
func (t *Tally) Quantile(q float64) float64 {
	n, want := 0, q*float64(t.Uploads)
	for i, c := range t.UploadSeconds {
		if n += c; c > 0 && float64(n) >= want {
			return HistogramAt(i + 1)
		}
	}
	return math.NaN()
}

// Result is what was simulated.
type Result struct {
	Scenario  Scenario
	Cells     []Cell
	PerCell   []CellTally
	Regions   []int // vehicles of each region
	Profiles  []Tally
	Rounds    []Round
	Hours     []Hour // by hour, then region
	Versions  int    // of the model that came out after the first
	Committed int    // epochs of which at least one lane was opened: what the ledger charges
	Events    uint64
	Span      time.Duration // until the last event
	Beams     Beams
	Checks    []Check // figures of this run with a closed form, see [Result.Sanity]
}

// Beams sums up the beams of all profiles.
type Beams struct {
	Count     int     `json:"count"`
	Most      int     `json:"most_uploads"`    // in one beam at one time
	Busy      float64 `json:"busy_hours"`      // of all beams, with at least one upload
	Saturated float64 `json:"saturated_hours"` // of these, with uploads that slowed each other down
}

// CellTally counts in one cell of the map.
type CellTally struct{ Vehicles, Invited, Counted int }

// All sums the profiles up.
func (r *Result) All() Tally {
	all := Tally{Name: "all"}
	for i := range r.Profiles {
		p := &r.Profiles[i]
		all.Vehicles += p.Vehicles
		for o, n := range p.Outcomes {
			all.Outcomes[o] += n
		}
		for b, n := range p.UploadSeconds {
			all.UploadSeconds[b] += n
		}
		all.Started, all.Sealed, all.Uploads, all.Breaks = all.Started+p.Started, all.Sealed+p.Sealed, all.Uploads+p.Uploads, all.Breaks+p.Breaks
		all.BytesUp, all.BytesAgain, all.BytesDown = all.BytesUp+p.BytesUp, all.BytesAgain+p.BytesAgain, all.BytesDown+p.BytesDown
		all.LinkJoules, all.TrainJoules = all.LinkJoules+p.LinkJoules, all.TrainJoules+p.TrainJoules
	}
	return all
}

func (t tick) duration() time.Duration { return time.Duration(t) * time.Microsecond }
