package schema

import (
	"bytes"
	"fmt"
)

// Event is what one round spends, in the integers of the protocol; epsilon is
// always recomputed from it.
type Event struct {
	// Mechanism is "discrete_gaussian", "gaussian" or "laplace".
	Mechanism   string `json:"mechanism"`
	TrustModel  string `json:"trust_model"`
	Sensitivity int64  `json:"sensitivity"`   // D
	LocalStdDev Real   `json:"local_std_dev"` // sigma_e
	HonestMin   int    `json:"honest_min"`    // h
	Values      int    `json:"values"`        // d
	MaxBatch    int    `json:"max_batch_size"`
	// NoiseMultiplier is z; for the mechanisms of the local model it is the noise's own scale over D.
	NoiseMultiplier Real `json:"noise_multiplier"`
}

// Reservation charges one manifest to the BudgetScope before anybody votes for
// it. It is signed by the Collector. Until a ledger exists, its hash stands for the ledger checkpoint.
type Reservation struct {
	Version  int         `json:"version"`
	Scope    ScopeID     `json:"scope"`
	TaskID   TaskID      `json:"task_id"`
	RoundID  RoundID     `json:"round_id"`
	Epoch    uint64      `json:"epoch"`
	Lane     uint32      `json:"lane"`
	Manifest ManifestID  `json:"manifest"`
	Vehicles []VehicleID `json:"vehicles"` // sorted, distinct: each is charged one participation
	Event    Event       `json:"event"`
}

func (Reservation) label() string { return "reservation" }
func (Reservation) maxBytes() int { return MaxObject }

func (r Reservation) validate() error {
	if r.Version != Version {
		return fmt.Errorf("%w: reservation.version %d", ErrVersion, r.Version)
	}
	if len(r.Vehicles) < 1 || len(r.Vehicles) > MaxReports {
		return field("reservation", "vehicles", len(r.Vehicles), "1 to 2^20")
	}
	for i := 1; i < len(r.Vehicles); i++ {
		if bytes.Compare(r.Vehicles[i-1][:], r.Vehicles[i][:]) >= 0 {
			return field("reservation", "vehicles", i, "sorted and distinct")
		}
	}
	return nil
}

// Vote is a decryptor's one consent for its round key: to this manifest, paid by this checkpoint.
type Vote struct {
	Version    int        `json:"version"`
	RoundID    RoundID    `json:"round_id"`
	Index      int        `json:"index"`
	Manifest   ManifestID `json:"manifest"`
	Checkpoint Digest     `json:"checkpoint"`
}

func (Vote) label() string { return "vote" }
func (Vote) maxBytes() int { return 4 << 10 }

func (v Vote) validate() error {
	if v.Version != Version {
		return fmt.Errorf("%w: vote.version %d", ErrVersion, v.Version)
	}
	return index("vote", v.Index)
}

// Answer carries a decryptor's sums of seed expansions over one certified manifest.
type Answer struct {
	Version  int        `json:"version"`
	RoundID  RoundID    `json:"round_id"`
	Index    int        `json:"index"`
	Manifest ManifestID `json:"manifest"`
	// Shares holds V_T as one packed block (base64) for each set without this
	// decryptor, in the order of PROTOCOL.md section 4.
	Shares [][]byte `json:"shares"`
}

func (Answer) label() string { return "answer" }
func (Answer) maxBytes() int { return 72 << 20 }

func (a Answer) validate() error {
	if a.Version != Version {
		return fmt.Errorf("%w: answer.version %d", ErrVersion, a.Version)
	}
	if len(a.Shares) < 1 || len(a.Shares) > 6435 {
		return field("answer", "shares", len(a.Shares), "one for each set held")
	}
	for _, s := range a.Shares {
		if len(s) < 2048 || len(s) > 8192 {
			return field("answer", "shares", len(s), "packed blocks")
		}
	}
	return index("answer", a.Index)
}

func index(object string, i int) error {
	if i < 0 || i >= MaxCommittee {
		return field(object, "index", i, "0 to 15")
	}
	return nil
}
