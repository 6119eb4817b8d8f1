package schema

import (
	"fmt"
)

// MaxLineage bounds the committees that one BudgetScope may have had.
const MaxLineage = 1024

// maxEntries bounds the size of a ledger.
const maxEntries = 1 << 53

// Renewal says whom a task's committee replaces in its BudgetScope, and where:
// enough members of the old one promised to vote no more in the scope and named one
// checkpoint of its ledger that holds all they voted for. The first committee of a scope has none.
type Renewal struct {
	// Committee is the one that is replaced.
	Committee Committee `json:"committee"`
	// Lineage are all committees that the scope had, oldest first; the last is Committee.
	Lineage []Predecessor `json:"lineage"`
	// Root is that of the ledger at the last size of Lineage: together they name the checkpoint.
	Root Digest `json:"root"`
	// Handovers are the signatures of members of Committee, sorted by index.
	Handovers []HandoverSignature `json:"handovers"`
}

// Predecessor is a committee with the size of the ledger at which it was replaced.
type Predecessor struct {
	Committee Digest `json:"committee"` // [Committee.ID]
	Size      int64  `json:"size"`      // entries
}

// HandoverSignature is what a [Handover] adds to what the [Renewal] says.
type HandoverSignature struct {
	Index     int       `json:"index"`
	Signature Signature `json:"signature"`
}

// Handover is a decryptor's word that it votes no more with this committee in
// the BudgetScope, and that the ledger up to the checkpoint holds, and does not void, all that it voted for.
type Handover struct {
	Version   int     `json:"version"`
	Scope     ScopeID `json:"scope"`
	Committee Digest  `json:"committee"` // [Committee.ID]
	Index     int     `json:"index"`     // whose word
	Size      int64   `json:"size"`      // entries of the ledger, at least the opening one
	Root      Digest  `json:"root"`      // of the tree of that size
}

func (Handover) label() string      { return "handover" }
func (Handover) maxBytes() int      { return 4 << 10 }
func (Handover) bytesPerComma() int { return 8 }

func (h Handover) validate() error {
	if err := version("handover", h.Version); err != nil {
		return err
	}
	if err := index("handover", h.Index); err != nil {
		return err
	}
	if err := present("handover", named{"scope", h.Scope.Digest}, named{"committee", h.Committee}); err != nil {
		return err
	}
	if h.Size < 1 || h.Size > maxEntries {
		return field("handover", "size", h.Size, "1 to 2^53 entries")
	}
	return present("handover", named{"root", h.Root})
}

// ID returns the identity of a committee: sizes and keys in their order.
func (c Committee) ID() Digest {
	raw, err := marshal(c)
	if err != nil { // unreachable: integers and digests
		return Digest{}
	}
	return Hash("committee", raw)
}

// MinHandovers is how many members must hand over before their committee may be replaced, n_c - t + f + 1.
// With f of them lying, fewer than t others are left to vote, and of any t that ever
// voted for one list at least one handed over honestly.
func (c Committee) MinHandovers() int { return c.Size - c.Threshold + c.Malicious + 1 }

// Size returns the entries of the ledger at the checkpoint.
func (r Renewal) Size() int64 { return r.Lineage[len(r.Lineage)-1].Size }

// Handover returns what member index signed.
func (r Renewal) Handover(scope ScopeID, index int) Handover {
	return Handover{Version: Version, Scope: scope, Committee: r.Committee.ID(), Index: index, Size: r.Size(), Root: r.Root}
}

// Verify checks the signatures of all handovers, for the scope.
func (r Renewal) Verify(scope ScopeID) error {
	for _, s := range r.Handovers {
		h := r.Handover(scope, s.Index)
		raw, err := marshal(h)
		if err != nil {
			return fmt.Errorf("schema: encode handover: %w", err)
		}
		if err := Verify(r.Committee.Keys[s.Index], s.Signature, h.label(), raw); err != nil {
			return fmt.Errorf("%w (handover of decryptor %d)", err, s.Index)
		}
	}
	return nil
}

func (r *Renewal) validate(now Committee) error {
	if r == nil {
		return nil
	}
	if err := r.Committee.validate(); err != nil {
		return err
	}
	if err := r.validateLineage(now); err != nil {
		return err
	}
	if err := present("renewal", named{"root", r.Root}); err != nil {
		return err
	}
	if n := len(r.Handovers); n < r.Committee.MinHandovers() || n > r.Committee.Size {
		return field("renewal", "handovers", n, fmt.Sprintf("those of %d to %d members", r.Committee.MinHandovers(), r.Committee.Size))
	}
	for i, s := range r.Handovers {
		if s.Index < 0 || s.Index >= r.Committee.Size || i > 0 && s.Index <= r.Handovers[i-1].Index {
			return field("renewal", "handovers", s.Index, "indices of the replaced committee, sorted and distinct")
		}
	}
	return nil
}

func (r *Renewal) validateLineage(now Committee) error {
	if n := len(r.Lineage); n < 1 || n > MaxLineage || r.Lineage[n-1].Committee != r.Committee.ID() {
		return field("renewal", "lineage", len(r.Lineage), "1 to 1024 committees, the last the replaced one")
	}
	seen, size := map[Digest]bool{{}: true, now.ID(): true}, int64(1)
	for i, p := range r.Lineage {
		if seen[p.Committee] {
			return field("renewal", "lineage", i, "distinct committees, and not the task's own: one that handed over never comes back")
		}
		if p.Size < size || p.Size > maxEntries {
			return field("renewal", "lineage", p.Size, "sizes of 1 to 2^53 entries that do not fall")
		}
		seen[p.Committee], size = true, p.Size
	}
	return nil
}
