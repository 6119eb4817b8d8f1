package committee

import (
	"errors"
	"fmt"

	"github.com/veilsum/veilsum/secagg"
)

// Why a record refuses a step. None of them changes the record.
var (
	// ErrVotedOther: the record voted for another manifest or checkpoint. It
	// will never vote for a second one: two certified lists would share an
	// honest voter, so at most one list is ever opened.
	ErrVotedOther = errors.New("committee: voted for another manifest")
	// ErrNotVoted: no answer without an own vote.
	ErrNotVoted = errors.New("committee: not voted")
	// ErrTooFewVotes: fewer than t members voted for the own manifest and
	// checkpoint.
	ErrTooFewVotes = errors.New("committee: too few votes")
	// ErrErased: the key is gone; no vote or answer can come any more.
	ErrErased = errors.New("committee: round key erased")
	// ErrRecord: bytes or a snapshot are not a record.
	ErrRecord = errors.New("committee: bad record")
)

// State is where a record stands (section 7).
type State string

// The states in order. Erased is reached from Fresh and Voted at key expiry.
// An Answered record holds neither key nor seeds and stays as it is, so that a
// late collector still gets the same answer.
const (
	Fresh    State = "fresh"
	Voted    State = "voted"
	Answered State = "answered"
	Erased   State = "erased"
)

// VoteRef is what one member's vote names. Only votes whose signature the
// caller has verified may become one.
type VoteRef struct {
	Index      int      // the member, 0 to n_c-1
	Manifest   [32]byte // hash of the manifest
	Checkpoint [32]byte // ledger checkpoint that holds the reservation
}

// Record is a decryptor's memory of one round key: an immutable value, whose
// methods return the next one. The caller makes that durable before anything
// that depends on it leaves, and destroys the older one. It prints as
// "[redacted]". It comes from [NewRecord], [Restore] or [DecodeRecord]; the
// zero value behaves as erased.
type Record struct {
	secret
	c *content
}

// content is never changed once a Record points to it.
type content struct {
	p          secagg.Params
	index      int
	roundID    [32]byte
	state      State
	key        secagg.RoundKey // zero unless fresh or voted
	manifest   [32]byte        // from voted on
	checkpoint [32]byte
	shares     [][]byte // answered only
}

// NewRecord returns the fresh record of decryptor index, 0 to n_c-1, for a
// round key that was never in a record before.
func NewRecord(p secagg.Params, index int, roundID [32]byte, key secagg.RoundKey) (Record, error) {
	if _, err := ringOf(p); err != nil {
		return Record{}, err
	}
	if index < 0 || index >= p.Committee().Size {
		return Record{}, fmt.Errorf("%w: no decryptor %d", ErrRecord, index)
	}
	if key.Suite() != p.Suite() {
		return Record{}, fmt.Errorf("%w: key of another suite", ErrRecord)
	}
	return Record{c: &content{p: p, index: index, roundID: roundID, state: Fresh, key: key}}, nil
}

// State returns where the record stands.
func (r Record) State() State {
	if r.c == nil {
		return Erased
	}
	return r.c.state
}

// Key returns the round key, ErrErased once it is gone.
func (r Record) Key() (secagg.RoundKey, error) {
	if s := r.State(); s != Fresh && s != Voted {
		return secagg.RoundKey{}, ErrErased
	}
	return r.c.key, nil
}

// Choice returns the manifest hash and the checkpoint the record voted for; ok
// is false if it never voted.
func (r Record) Choice() (manifest, checkpoint [32]byte, ok bool) {
	if r.c == nil {
		return manifest, checkpoint, false
	}
	return r.c.manifest, r.c.checkpoint, r.c.hasVoted()
}

// hasVoted tells an erased record that voted from one that did not: the hash
// of a manifest is not zero.
func (c *content) hasVoted() bool {
	return c.state == Voted || c.state == Answered || c.manifest != [32]byte{}
}

// Vote moves a fresh record to voted. Before it is called, the decryptor must
// have accepted every report of the manifest and checked the reservation
// (section 7). The vote may leave only after the returned record is durable.
// Asked again for the same pair it returns the record unchanged, for any other
// ErrVotedOther.
func (r Record) Vote(manifest, checkpoint [32]byte) (Record, error) {
	switch r.State() {
	case Erased:
		return Record{}, ErrErased
	case Fresh:
		if manifest == ([32]byte{}) {
			return Record{}, fmt.Errorf("%w: zero manifest hash", ErrRecord)
		}
		next := *r.c
		next.state, next.manifest, next.checkpoint = Voted, manifest, checkpoint
		return Record{c: &next}, nil
	}
	if manifest != r.c.manifest || checkpoint != r.c.checkpoint {
		return Record{}, ErrVotedOther
	}
	return r, nil
}

// Answer moves a voted record to answered: the returned record holds shares
// and no key. It is to replace the old one in a single durable write, together
// with any seeds kept outside; only then may the answer leave.
//
// votes are verified votes; those for another manifest or checkpoint, of
// unknown members, or of a member counted before do not count. At least t must
// remain, for (n_c, t, f) of the gate guarantees that two sets of t voters
// share an honest one. shares are [Shares.Packed] over exactly the manifest's
// list. Asked again, an answered record returns itself, whatever the shares:
// the same bytes leave again.
func (r Record) Answer(manifest, checkpoint [32]byte, votes []VoteRef, shares [][]byte) (Record, error) {
	switch s := r.State(); {
	case s == Erased:
		return Record{}, ErrErased
	case s == Fresh:
		return Record{}, ErrNotVoted
	case manifest != r.c.manifest || checkpoint != r.c.checkpoint:
		return Record{}, ErrVotedOther
	}
	if n, t := r.c.supporters(votes), r.c.p.Committee().Threshold; n < t {
		return Record{}, fmt.Errorf("%w: %d of %d", ErrTooFewVotes, n, t)
	}
	if r.c.state == Answered {
		return r, nil
	}
	next := *r.c
	next.state, next.key, next.shares = Answered, secagg.RoundKey{}, cloneShares(shares)
	if err := next.validate(); err != nil {
		return Record{}, err
	}
	return Record{c: &next}, nil
}

// supporters counts the distinct members whose votes name the own choice.
func (c *content) supporters(votes []VoteRef) int {
	seen := make(map[int]bool)
	for _, v := range votes {
		member := v.Index >= 0 && v.Index < c.p.Committee().Size
		if member && v.Manifest == c.manifest && v.Checkpoint == c.checkpoint {
			seen[v.Index] = true
		}
	}
	return len(seen)
}

// Answered returns the answer, once there is one: the same bytes each time.
func (r Record) Answered() (Answer, bool) {
	if r.State() != Answered {
		return Answer{}, false
	}
	return Answer{Index: r.c.index, Shares: cloneShares(r.c.shares)}, true
}

// Erase returns the record without its key, for key expiry. An answered record
// has none and is returned unchanged.
func (r Record) Erase() Record {
	if s := r.State(); s == Answered || s == Erased {
		return r
	}
	next := *r.c
	next.state, next.key = Erased, secagg.RoundKey{}
	return Record{c: &next}
}

func cloneShares(shares [][]byte) [][]byte {
	out := make([][]byte, len(shares))
	for i, b := range shares {
		out[i] = append([]byte(nil), b...)
	}
	return out
}
