package schema

import "fmt"

// The states of a receipt.
const (
	StatusCommitted = "committed"
	StatusVoid      = "void"
)

// Receipt ends a round: it is the commit point. Committed and void exclude each
// other because both are written, create-only, under the same name.
type Receipt struct {
	Version    int        `json:"version"`
	Status     string     `json:"status"` // committed or void
	Reason     string     `json:"reason"` // why a round is void, for people; empty if committed
	TaskID     TaskID     `json:"task_id"`
	RoundID    RoundID    `json:"round_id"`
	Epoch      uint64     `json:"epoch"`
	Lane       uint32     `json:"lane"`
	Manifest   ManifestID `json:"manifest"`
	Checkpoint Digest     `json:"checkpoint"` // zero: nothing was reserved, nothing is charged
	Reports    int        `json:"reports"`
	Event      Event      `json:"event"`
	// Aggregate is the SHA-256 and the size of the Arrow file; zero if void.
	Aggregate     Digest `json:"aggregate"`
	AggregateSize int64  `json:"aggregate_size"`
	// Sum is the SHA-256 of the partial sum that was opened.
	Sum Digest `json:"sum"`
	// Votes and Answers are H("vote"; body) and H("answer"; body) of what certified and opened the list, in the order of the decryptors.
	Votes   []Digest `json:"votes"`
	Answers []Digest `json:"answers"`
	// Dropped are decryptors whose answers were left out as wrong.
	Dropped []int `json:"dropped"`
	// Confirmed tells that more than t answers agreed.
	Confirmed       bool `json:"confirmed"`
	WitnessVariance Real `json:"witness_variance"`
	WitnessFloor    Real `json:"witness_floor"`
}

func (Receipt) label() string { return "receipt" }
func (Receipt) maxBytes() int { return 64 << 10 }

func (r Receipt) validate() error {
	if r.Version != Version {
		return fmt.Errorf("%w: receipt.version %d", ErrVersion, r.Version)
	}
	if r.Votes == nil || r.Answers == nil || r.Dropped == nil {
		return field("receipt", "votes, answers, dropped", "null", "lists")
	}
	if len(r.Reason) > 1024 || r.Reports < 0 || r.Reports > MaxReports || len(r.Votes) > MaxCommittee || len(r.Answers) > MaxCommittee || len(r.Dropped) > MaxCommittee {
		return field("receipt", "reason, reports, lists", r.Reports, "values within the format's bounds")
	}
	switch {
	case r.Status == StatusCommitted && r.Reason == "" && !r.Aggregate.IsZero() && r.AggregateSize > 0 && r.Reports > 0 && !r.Checkpoint.IsZero():
		return nil
	case r.Status == StatusVoid && r.Reason != "" && r.Aggregate.IsZero() && r.AggregateSize == 0:
		return nil
	}
	return field("receipt", "status", fmt.Sprintf("%.20q", r.Status), "committed with an aggregate, or void with a reason")
}
