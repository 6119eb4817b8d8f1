package schema

import (
	"fmt"
	"math"
)

// RoundKey is one decryptor's HPKE public key for one (task, epoch, lane),
// signed by the decryptor. Coin is H(coin), the commitment to a random value
// that a later protocol step reveals.
type RoundKey struct {
	Version   int    `json:"version"`
	TaskID    TaskID `json:"task_id"`
	Epoch     uint64 `json:"epoch"`
	Lane      uint32 `json:"lane"`
	Index     int    `json:"index"`
	PublicKey []byte `json:"public_key"` // base64; 1216 bytes in suite 1, 32 in suite 2
	// Expiry is the latest key expiry a descriptor may state, seconds since 1970 UTC.
	Expiry int64  `json:"expiry"`
	Coin   Digest `json:"coin"`
}

func (RoundKey) label() string      { return "round-key" }
func (RoundKey) maxBytes() int      { return 8 << 10 }
func (RoundKey) bytesPerComma() int { return 8 }

func (k RoundKey) validate() error {
	if err := version("round-key", k.Version); err != nil {
		return err
	}
	if err := index("round-key", k.Index); err != nil {
		return err
	}
	switch {
	case len(k.PublicKey) != hybridKey && len(k.PublicKey) != x25519Key:
		return field("round-key", "public_key", len(k.PublicKey), "1216 bytes (suite 1) or 32 bytes (suite 2)")
	case k.Expiry < 0 || k.Expiry > maxTime:
		return field("round-key", "expiry", k.Expiry, "seconds since 1970, up to the year 9999")
	}
	return present("round-key", named{"task_id", k.TaskID.Digest})
}

const (
	hybridKey = 1184 + 32 // ML-KEM-768 (FIPS 203) and X25519 (RFC 7748)
	x25519Key = 32
	// maxTime is the last second of the year 9999, so that times can be printed and added.
	maxTime = 253402300799
)

// Descriptor opens one round of a task. It is signed by the Collector; its hash
// is the RoundID. Clients and decryptors accept one per (TaskID, epoch, lane).
type Descriptor struct {
	Version int    `json:"version"`
	TaskID  TaskID `json:"task_id"`
	Epoch   uint64 `json:"epoch"`
	Lane    uint32 `json:"lane"`
	// ModelHash is H("model"; model bytes), the model that updates start from.
	ModelHash Digest `json:"model_hash"`
	// OldestModel is the earliest epoch whose descriptor's model is still accepted.
	OldestModel uint64 `json:"oldest_model"`
	// ClippingNorm is this round's C if the task adapts it, else 0.
	ClippingNorm Real `json:"clipping_norm"`
	// ClippingRound is the committed round of an earlier epoch that ClippingNorm follows from; absent if the task
	// does not adapt it, and while no round is committed: then ClippingNorm is the task's.
	ClippingRound RoundID `json:"clipping_round,omitzero"`
	// Deadline is advice to clients, KeyExpiry a rule; seconds since 1970 UTC.
	Deadline  int64 `json:"deadline"`
	KeyExpiry int64 `json:"key_expiry"`
	// Snapshot is the root of the enrollment snapshot.
	Snapshot Digest `json:"snapshot"`
	// Release is the release whose model this is; absent if it is none.
	Release *ReleaseRef `json:"release,omitempty"`
	// Staleness says by how much an update that starts from an older model counts less, before it is clipped:
	// [StalenessInverseSqrt], or absent: not at all.
	Staleness string             `json:"staleness,omitempty"`
	RoundKeys []Signed[RoundKey] `json:"round_keys"` // in the order of the decryptors
	// Regions are sorted by name; absent if all vehicles report to the round's own store.
	Regions []Region `json:"regions,omitempty"`
}

func (Descriptor) label() string      { return "descriptor" }
func (Descriptor) maxBytes() int      { return 256 << 10 }
func (Descriptor) bytesPerComma() int { return 8 }

func (d Descriptor) validate() error {
	if err := version("descriptor", d.Version); err != nil {
		return err
	}
	switch {
	case d.OldestModel > d.Epoch:
		return field("descriptor", "oldest_model", d.OldestModel, "an epoch up to this round's")
	case d.ClippingNorm < 0:
		return field("descriptor", "clipping_norm", float64(d.ClippingNorm), "0 or more")
	case d.ClippingNorm == 0 && !d.ClippingRound.IsZero():
		return field("descriptor", "clipping_round", d.ClippingRound.Short(), "none without a clipping_norm")
	case d.Deadline < 0 || d.KeyExpiry < d.Deadline || d.KeyExpiry > maxTime:
		return field("descriptor", "deadline, key_expiry", [2]int64{d.Deadline, d.KeyExpiry}, "0 <= deadline <= key_expiry, up to the year 9999")
	case d.Staleness != "" && d.Staleness != StalenessInverseSqrt:
		return field("descriptor", "staleness", fmt.Sprintf("%.20q", d.Staleness), `"inverse_sqrt" or none`)
	case len(d.RoundKeys) < 2 || len(d.RoundKeys) > MaxCommittee:
		return field("descriptor", "round_keys", len(d.RoundKeys), "2 to 16 keys")
	}
	if err := checkRegions(d.Regions, d.KeyExpiry); err != nil {
		return err
	}
	if err := d.Release.validate("descriptor"); err != nil {
		return err
	}
	return present("descriptor", named{"task_id", d.TaskID.Digest}, named{"snapshot", d.Snapshot})
}

// StalenessInverseSqrt weights an update by 1/sqrt(1+s), where s is how many epochs its model is
// older than the round (Nguyen et al. 2022, FedBuff).
const StalenessInverseSqrt = "inverse_sqrt"

// StalenessWeight returns the factor in (0,1] of an update that starts from the model of an epoch up to the round's own;
// that of a later one counts as the round's. It is applied before clipping, so the
// sensitivity does not depend on it.
func (d Descriptor) StalenessWeight(model uint64) float64 {
	if d.Staleness != StalenessInverseSqrt || model >= d.Epoch {
		return 1
	}
	return 1 / math.Sqrt(1+float64(d.Epoch-model))
}

// NewRoundID returns the identity of a descriptor.
func NewRoundID(d Signed[Descriptor]) RoundID { return RoundID{d.ID()} }

// NewTaskID returns the identity of a task.
func NewTaskID(t Signed[Task]) TaskID { return TaskID{t.ID()} }

// NewManifestID returns the identity of a manifest.
func NewManifestID(m Signed[Manifest]) ManifestID { return ManifestID{m.ID()} }

// HashModel is H("model"; model), what a descriptor and an update refer to.
func HashModel(model []byte) Digest { return Hash("model", model) }
