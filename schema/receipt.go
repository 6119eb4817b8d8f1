package schema

import (
	"fmt"
	"slices"
)

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
	// Dropped are decryptors whose answers were left out. Convicted are those among
	// them that lied under every explanation: only these may be accused.
	Dropped   []int `json:"dropped"`
	Convicted []int `json:"convicted"`
	// Confirmed tells that more than t answers agreed.
	Confirmed       bool `json:"confirmed"`
	WitnessVariance Real `json:"witness_variance"`
	WitnessFloor    Real `json:"witness_floor"`
	// Unclipped is the noisy fraction of updates within the round's clipping norm; present if committed and the
	// task adapts the norm. The noise may take it outside [0,1].
	Unclipped *Real `json:"unclipped,omitempty"`
}

func (Receipt) label() string      { return "receipt" }
func (Receipt) maxBytes() int      { return 64 << 10 }
func (Receipt) bytesPerComma() int { return 1 } // dropped holds single digits; 64 KiB bound it anyway

func (r Receipt) validate() error {
	if err := version("receipt", r.Version); err != nil {
		return err
	}
	if err := present("receipt", named{"task_id", r.TaskID.Digest}, named{"round_id", r.RoundID.Digest}); err != nil {
		return err
	}
	if err := r.Event.validate("receipt.event"); err != nil {
		return err
	}
	if err := r.validateLists(); err != nil {
		return err
	}
	switch r.Status {
	case StatusCommitted:
		return r.validateCommitted()
	case StatusVoid:
		return r.validateVoid()
	}
	return field("receipt", "status", fmt.Sprintf("%.20q", r.Status), `"committed" or "void"`)
}

func (r Receipt) validateLists() error {
	switch {
	case r.Reports < 0 || r.Reports > MaxReports:
		return field("receipt", "reports", r.Reports, "0 to 2^20")
	case r.Votes == nil || len(r.Votes) > MaxCommittee:
		return field("receipt", "votes", len(r.Votes), "a list of at most 16, not null")
	case r.Answers == nil || len(r.Answers) > MaxCommittee:
		return field("receipt", "answers", len(r.Answers), "a list of at most 16, not null")
	}
	if err := indices("dropped", r.Dropped); err != nil {
		return err
	}
	if err := indices("convicted", r.Convicted); err != nil {
		return err
	}
	for _, k := range r.Convicted {
		if !slices.Contains(r.Dropped, k) {
			return field("receipt", "convicted", r.Convicted, "decryptors that were dropped")
		}
	}
	return nil
}

func indices(what string, list []int) error {
	if list == nil || len(list) > MaxCommittee {
		return field("receipt", what, len(list), "a list of at most 16, not null")
	}
	for i, k := range list {
		if index("receipt", k) != nil || i > 0 && list[i-1] >= k {
			return field("receipt", what, list, "sorted, distinct indices of decryptors")
		}
	}
	return nil
}

func (r Receipt) validateCommitted() error {
	switch {
	case r.Reason != "":
		return field("receipt", "reason", fmt.Sprintf("%.20q", r.Reason), "none if committed")
	case r.Aggregate.IsZero() || r.AggregateSize < 1:
		return field("receipt", "aggregate", r.AggregateSize, "the hash and size of an aggregate if committed")
	case r.Reports < 2:
		return field("receipt", "reports", r.Reports, "2 or more if committed")
	case len(r.Votes) < 2 || len(r.Answers) < 2:
		return field("receipt", "votes, answers", [2]int{len(r.Votes), len(r.Answers)}, "at least 2 of each if committed")
	case !(r.WitnessFloor >= 0 && r.WitnessVariance >= r.WitnessFloor):
		return field("receipt", "witness_variance, witness_floor", [2]float64{float64(r.WitnessVariance), float64(r.WitnessFloor)}, "0 <= floor <= variance if committed")
	}
	return present("receipt", named{"manifest", r.Manifest.Digest}, named{"checkpoint", r.Checkpoint}, named{"sum", r.Sum})
}

func (r Receipt) validateVoid() error {
	if r.Reason == "" {
		return field("receipt", "reason", `""`, "why the round is void")
	}
	if err := prose("receipt", "reason", r.Reason); err != nil {
		return err
	}
	if !r.Aggregate.IsZero() || r.AggregateSize != 0 || !r.Sum.IsZero() || len(r.Dropped) > 0 || len(r.Convicted) > 0 || r.Confirmed || r.WitnessVariance != 0 || r.WitnessFloor != 0 || r.Unclipped != nil {
		return field("receipt", "aggregate", r.AggregateSize, "no trace of an opened sum if void")
	}
	// No checkpoint means that nothing is charged. It would be a lie after any vote.
	voted := len(r.Votes) > 0 && !r.Manifest.IsZero()
	unused := len(r.Votes) == 0 && len(r.Answers) == 0 && r.Manifest.IsZero() && r.Reports == 0
	if charged := !r.Checkpoint.IsZero(); charged && !voted || !charged && !unused {
		return field("receipt", "checkpoint", r.Checkpoint.Short(), "zero if nobody voted, else the checkpoint that was voted for")
	}
	return nil
}
