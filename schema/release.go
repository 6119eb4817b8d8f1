package schema

import "fmt"

// Limits of a [Release].
const (
	// MaxReleaseRounds bounds the rounds that one release names: all lanes of one epoch.
	MaxReleaseRounds = 4096
	// MaxDeltas bounds the deltas of one release.
	MaxDeltas = 16
)

// Release gives a model that the rounds of a task trained to the vehicles, which
// load nothing else. It is signed with the task's release key ([Task.ReleaseKey]) and stored
// create-only under its serial number, so that the releases of a task are one chain.
type Release struct {
	Version int    `json:"version"`
	TaskID  TaskID `json:"task_id"`
	// Serial is the rollback counter: 1, then one more than that of the release before.
	Serial uint64 `json:"serial"`
	// Previous is the identity of the release before; absent in the first.
	Previous Digest `json:"previous,omitzero"`
	// Model is H("model"; bytes) of the released model, Size its bytes.
	Model Digest `json:"model"`
	Size  int64  `json:"size"`
	// Deltas give the model from older ones, by rising base; absent if there is none.
	Deltas []Delta `json:"deltas,omitempty"`
	// Rounds are the committed rounds that went into the model and into no release
	// before, by rising (epoch, lane).
	Rounds []ReleaseRound `json:"rounds"`
	// Spent is what the scope had spent when the model was released.
	Spent Spent `json:"spent"`
	// Note says in words how the model was made; may be empty.
	Note string `json:"note"`
}

// Delta is one way to a released model from a model that a vehicle has.
type Delta struct {
	Base Digest `json:"base"` // H("model"; bytes) of the model to start from
	Hash Digest `json:"hash"` // H("delta"; bytes) of the delta
	Size int64  `json:"size"` // its bytes, fewer than the model's
}

// ReleaseRound names a round by its receipt.
type ReleaseRound struct {
	Epoch   uint64  `json:"epoch"`
	Lane    uint32  `json:"lane"`
	RoundID RoundID `json:"round_id"`
	Receipt Digest  `json:"receipt"` // H("receipt"; body)
}

// Spent is the guarantee of everything that a BudgetScope's ledger charged up to an entry.
type Spent struct {
	Epsilon  Real   `json:"epsilon"`
	Delta    Real   `json:"delta"`
	Relation string `json:"relation"`
	Unit     string `json:"unit"`
	// Entries of the ledger that are counted; Root is the root of its tree over them.
	Entries int64  `json:"entries"`
	Root    Digest `json:"root"`
}

// ReleaseRef names a release.
type ReleaseRef struct {
	Serial uint64 `json:"serial"`
	ID     Digest `json:"id"` // H("release"; body)
}

// ReleaseKey is the key that signs the task's releases: the releaser's, or the Collector's if the task names none.
func (t Task) ReleaseKey() PublicKey {
	if t.Releaser.IsZero() {
		return t.Collector
	}
	return t.Releaser
}

// MaxModelBytes bounds a released model: twice the values at 8 bytes each, for a model may hold more than
// what is trained, and 1 MiB for what describes it. Nobody decompresses more.
func (t Task) MaxModelBytes() int64 { return 16*int64(t.Derived.Values) + 1<<20 }

// HashDelta is H("delta"; bytes).
func HashDelta(delta []byte) Digest { return Hash("delta", delta) }

func (Release) label() string      { return "release" }
func (Release) maxBytes() int      { return 2 << 20 }
func (Release) bytesPerComma() int { return 8 }

func (r Release) validate() error {
	if err := version("release", r.Version); err != nil {
		return err
	}
	switch {
	case r.Serial < 1:
		return field("release", "serial", r.Serial, "1 or more")
	case (r.Serial == 1) != r.Previous.IsZero():
		return field("release", "previous", r.Previous.Short(), "none in the first release, the identity of the one before in all others")
	case r.Size < 0:
		return field("release", "size", r.Size, "0 or more")
	case r.Rounds == nil || len(r.Rounds) > MaxReleaseRounds:
		return field("release", "rounds", len(r.Rounds), "a list of at most 4096, not null")
	}
	for _, check := range []func() error{r.validateDeltas, r.validateRounds, r.Spent.validate} {
		if err := check(); err != nil {
			return err
		}
	}
	if err := prose("release", "note", r.Note); err != nil {
		return err
	}
	return present("release", named{"task_id", r.TaskID.Digest}, named{"model", r.Model})
}

func (r Release) validateDeltas() error {
	if len(r.Deltas) > MaxDeltas {
		return field("release", "deltas", len(r.Deltas), "at most 16")
	}
	for i, d := range r.Deltas {
		switch {
		case d.Size < 1 || d.Size >= r.Size:
			return field("release", "deltas.size", d.Size, "1 or more, fewer than the model's bytes")
		case i > 0 && string(r.Deltas[i-1].Base[:]) >= string(d.Base[:]) || d.Base == r.Model:
			return field("release", "deltas.base", d.Base.Short(), "distinct other models, sorted")
		}
		if err := present("release", named{"deltas.base", d.Base}, named{"deltas.hash", d.Hash}); err != nil {
			return err
		}
	}
	return nil
}

func (r Release) validateRounds() error {
	for i, x := range r.Rounds {
		if i > 0 {
			last := r.Rounds[i-1]
			if x.Epoch < last.Epoch || x.Epoch == last.Epoch && x.Lane <= last.Lane {
				return field("release", "rounds", fmt.Sprintf("%d-%d", x.Epoch, x.Lane), "distinct rounds by epoch and lane")
			}
		}
		if err := present("release", named{"rounds.round_id", x.RoundID.Digest}, named{"rounds.receipt", x.Receipt}); err != nil {
			return err
		}
	}
	return nil
}

func (s Spent) validate() error {
	switch {
	case !(s.Epsilon >= 0):
		return field("release", "spent.epsilon", float64(s.Epsilon), "0 or more")
	case !(s.Delta > 0 && s.Delta < 1):
		return field("release", "spent.delta", float64(s.Delta), "a number between 0 and 1")
	case s.Relation != "zero_out" && s.Relation != "replace_one":
		return field("release", "spent.relation", fmt.Sprintf("%.20q", s.Relation), `"zero_out" or "replace_one"`)
	case s.Unit != "vehicle":
		return field("release", "spent.unit", fmt.Sprintf("%.20q", s.Unit), `"vehicle"`)
	case s.Entries < 1 || s.Entries > maxEntries:
		return field("release", "spent.entries", s.Entries, "1 to 2^53")
	}
	return present("release", named{"spent.root", s.Root})
}

func (r *ReleaseRef) validate(object string) error {
	if r == nil {
		return nil
	}
	if r.Serial < 1 {
		return field(object, "release.serial", r.Serial, "1 or more")
	}
	return present(object, named{"release.id", r.ID})
}
