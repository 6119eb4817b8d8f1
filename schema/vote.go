package schema

import (
	"bytes"
	"fmt"
	"slices"
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

func (e Event) validate(object string) error {
	if err := mechanism(object, e.TrustModel, e.Mechanism); err != nil {
		return err
	}
	switch {
	case e.Sensitivity < 1:
		return field(object, "sensitivity", e.Sensitivity, "1 or more")
	case !localStdDev(e.LocalStdDev):
		return field(object, "local_std_dev", float64(e.LocalStdDev), "6.4 to 2^20")
	case e.HonestMin < 1 || e.HonestMin > MaxReports:
		return field(object, "honest_min", e.HonestMin, "1 to 2^20 vehicles")
	case e.Values < 1 || e.Values > MaxValues:
		return field(object, "values", e.Values, "1 to 2^31-1")
	case e.MaxBatch < e.HonestMin || e.MaxBatch > MaxReports:
		return field(object, "max_batch_size", e.MaxBatch, "honest_min to 2^20")
	case !(e.NoiseMultiplier > 0):
		return field(object, "noise_multiplier", float64(e.NoiseMultiplier), "a number above 0")
	}
	return nil
}

// localStdDev checks the range of sigma_e, PROTOCOL.md section 2.
func localStdDev(s Real) bool { return s >= 6.4 && s <= 1<<20 }

// Reservation names the vehicles that one manifest charges to the BudgetScope, and the event. It is
// signed by the Collector. It counts from the moment an entry of the scope's ledger names its identity.
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

// A vehicle has 35 bytes with quotes and comma.
func (Reservation) bytesPerComma() int { return 32 }

func (r Reservation) validate() error {
	if err := version("reservation", r.Version); err != nil {
		return err
	}
	if err := present("reservation", named{"scope", r.Scope.Digest}, named{"task_id", r.TaskID.Digest},
		named{"round_id", r.RoundID.Digest}, named{"manifest", r.Manifest.Digest}); err != nil {
		return err
	}
	if len(r.Vehicles) < 1 || len(r.Vehicles) > MaxReports {
		return field("reservation", "vehicles", len(r.Vehicles), "1 to 2^20")
	}
	for i := 1; i < len(r.Vehicles); i++ {
		if bytes.Compare(r.Vehicles[i-1][:], r.Vehicles[i][:]) >= 0 {
			return field("reservation", "vehicles", i, "sorted and distinct pseudonyms")
		}
	}
	return r.Event.validate("reservation.event")
}

// Vote is a decryptor's one consent for its round key: to this manifest, paid by this checkpoint.
type Vote struct {
	Version    int        `json:"version"`
	RoundID    RoundID    `json:"round_id"`
	Index      int        `json:"index"`
	Manifest   ManifestID `json:"manifest"`
	Checkpoint Digest     `json:"checkpoint"`
}

func (Vote) label() string      { return "vote" }
func (Vote) maxBytes() int      { return 4 << 10 }
func (Vote) bytesPerComma() int { return 8 }

func (v Vote) validate() error {
	if err := version("vote", v.Version); err != nil {
		return err
	}
	if err := index("vote", v.Index); err != nil {
		return err
	}
	// A vote without a checkpoint would consent to a sum that nothing pays for.
	return present("vote", named{"round_id", v.RoundID.Digest}, named{"manifest", v.Manifest.Digest}, named{"checkpoint", v.Checkpoint})
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

// A share has at least 2732 bytes of base64.
func (Answer) bytesPerComma() int { return 2000 }

func (a Answer) validate() error {
	if err := version("answer", a.Version); err != nil {
		return err
	}
	if err := index("answer", a.Index); err != nil {
		return err
	}
	if err := present("answer", named{"round_id", a.RoundID.Digest}, named{"manifest", a.Manifest.Digest}); err != nil {
		return err
	}
	if len(a.Shares) < 1 || len(a.Shares) > maxShares {
		return field("answer", "shares", len(a.Shares), "one for each set held, 1 to 6435")
	}
	for _, s := range a.Shares {
		if len(s) != len(a.Shares[0]) || !packedBlock(len(s)) {
			return field("answer", "shares", fmt.Sprintf("%d bytes", len(s)), "packed blocks of one allowed modulus, N*F/8 bytes each")
		}
	}
	return nil
}

// maxShares is C(15,8), the sets that one member of the committee (16,9) holds.
const maxShares = 6435

// packedBlock tells whether n is the size of a packed block of some allowed modulus.
func packedBlock(n int) bool {
	return slices.ContainsFunc(moduli, func(m modulus) bool { return Header{N: m.n, Q: m.q}.BlockBytes() == n })
}
