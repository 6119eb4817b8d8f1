// Package record is a decryptor's second memory: one append-only file that
// names everything its key ever signed, and every round that it accepted, before any of
// it leaves.
//
// It holds no secret and needs none of the state's files, so it may lie on another disk. Whoever
// compares it with the state directory and with the store sees that one of them was
// restored from a backup: whatever was signed is in the record first. An entry is written once for
// each name and never changes; the record refuses a second one, whatever the state directory says.
//
// The file has one JSON line an entry, each with a hash over all lines before it. Its format
// is in STATES.md.
package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/state"
	"github.com/veilsum/veilsum/schema"
)

// Errors that decide what the decryptor may do.
var (
	// ErrTwice: the record names something else that was signed, or accepted, in this place.
	ErrTwice = errors.New("record: something else was signed here")
	// ErrDamaged: the file is not a record, or not this decryptor's; it must not be repaired by hand.
	ErrDamaged = errors.New("record: damaged")
)

// Kind is what an entry is about.
type Kind string

// The kinds of entries. A reader refuses others: a newer program wrote them, and knows what they forbid.
const (
	Key    Kind = "key"    // a round key was signed
	Accept Kind = "accept" // a descriptor was accepted as the round of its (task, epoch, lane)
	Check  Kind = "check"  // a check was signed: evidence only, there may be several
	Vote   Kind = "vote"   // a vote was signed
	Answer Kind = "answer" // an answer was signed
	// Handover: the end of voting with a committee was signed; there may be several, of larger and larger checkpoints.
	Handover Kind = "handover"
)

// Entry is one thing that was signed or accepted.
type Entry struct {
	Kind       Kind           `json:"kind"`
	Task       schema.TaskID  `json:"task_id"`
	Epoch      uint64         `json:"epoch"`
	Lane       uint32         `json:"lane"`
	Round      schema.RoundID `json:"round_id,omitzero"`    // all but keys and handovers
	List       schema.Digest  `json:"list,omitzero"`        // of a check the candidates, of vote and answer the manifest, of a handover the committee
	Scope      schema.ScopeID `json:"scope_id,omitzero"`    // of an accepted round, a vote and a handover
	Checkpoint string         `json:"checkpoint,omitempty"` // of a vote and a handover: text of the ledger's checkpoint
	Object     schema.Digest  `json:"object,omitzero"`      // SHA-256 of the signed object
	Time       int64          `json:"time"`                 // Unix seconds, for people and quotas; no safety rests on it
}

// Name returns the round that the entry is about.
func (e Entry) Name() pipeline.RoundName {
	return pipeline.RoundName{Task: e.Task, Epoch: e.Epoch, Lane: e.Lane}
}

// same tells whether two entries say the same, whenever they were written.
func (e Entry) same(x Entry) bool {
	e.Time = x.Time
	return e == x
}

type place struct {
	kind Kind
	name pipeline.RoundName
}

func (e Entry) place() place { return place{e.Kind, e.Name()} }

// Record is the record of one decryptor. It is not safe for concurrent use.
type Record struct {
	own     schema.PublicKey
	dir     *state.Dir
	entries []Entry
	at      map[place][]int
	objects map[schema.Digest]bool
	chain   schema.Digest
	broken  error // an append failed: what is on the disk is not known
}

// File is the name of the record in its directory.
const File = "record.jsonl"

const (
	version = 1
	// maxFile bounds what is read: some hundred thousand rounds.
	maxFile = 1 << 30
)

// first is the first line: whose record it is.
type first struct {
	Record    int              `json:"record"` // version
	Decryptor schema.PublicKey `json:"decryptor"`
}

// line is any other.
type line struct {
	Entry json.RawMessage `json:"entry"`
	Chain schema.Digest   `json:"chain"` // over this entry and the chain before it
}

// Open reads a decryptor's record from a directory of its own, which it locks for this process; own is
// the decryptor's public key. An entry that a crash cut in the middle was never acted upon, and is
// dropped. Any other damage is [ErrDamaged].
func Open(dir *state.Dir, own schema.PublicKey) (*Record, error) {
	head, err := json.Marshal(first{version, own})
	if err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	raw, err := dir.Read(File)
	if errors.Is(err, fs.ErrNotExist) {
		raw, err = append(head, '\n'), nil
		err = dir.Create(File, raw)
	}
	if err != nil {
		return nil, err
	}
	r, whole, err := decode(raw, head)
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, dir.Path(File))
	}
	if r.dir, r.own = dir, own; whole < len(raw) {
		err = dir.Replace(File, raw[:whole])
	}
	return r, err
}

// Parse reads the content of [File] to look at it, also while a decryptor writes it. Nothing can be added.
func Parse(raw []byte) (*Record, error) {
	head, _, _ := bytes.Cut(raw, []byte("\n"))
	var f first
	if err := strict(head, &f); err != nil || f.Record != version {
		return nil, fmt.Errorf("%w: it is another version's, or none", ErrDamaged)
	}
	r, _, err := decode(raw, head)
	if err != nil {
		return nil, err
	}
	r.own, r.broken = f.Decryptor, errors.New("record: it was opened for reading")
	return r, nil
}

// decode reads the lines of a file, whose first must be head, and returns how many bytes are whole lines.
func decode(raw, head []byte) (*Record, int, error) {
	if len(raw) > maxFile {
		return nil, 0, fmt.Errorf("%w: %d bytes", ErrDamaged, len(raw))
	}
	whole := bytes.LastIndexByte(raw, '\n') + 1
	lines := bytes.Split(raw[:whole], []byte("\n"))
	if !bytes.Equal(lines[0], head) {
		return nil, 0, fmt.Errorf("%w: it is another decryptor's or another version's", ErrDamaged)
	}
	r := &Record{at: map[place][]int{}, objects: map[schema.Digest]bool{}, chain: sha256.Sum256(head)}
	for i, text := range lines[1 : len(lines)-1] {
		if err := r.read(text); err != nil {
			return nil, 0, fmt.Errorf("%w: line %d: %w", ErrDamaged, i+2, err)
		}
	}
	return r, whole, nil
}

func (r *Record) read(text []byte) error {
	var l line
	if err := strict(text, &l); err != nil {
		return err
	}
	if next(r.chain, l.Entry) != l.Chain {
		return errors.New("it does not continue the lines before it")
	}
	var e Entry
	if err := strict(l.Entry, &e); err != nil {
		return err
	}
	if !slices.Contains([]Kind{Key, Accept, Check, Vote, Answer, Handover}, e.Kind) {
		return fmt.Errorf("unknown kind %.20q", e.Kind)
	}
	if known, err := r.find(e); err != nil || known {
		return errors.Join(err, errors.New("it repeats an entry"))
	}
	r.keep(e, l.Chain)
	return nil
}

func strict(text []byte, v any) error {
	if !json.Valid(text) {
		return errors.New("it is not one JSON value")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	return d.Decode(v)
}

func next(chain schema.Digest, entry []byte) schema.Digest {
	return sha256.Sum256(append(chain[:], entry...))
}

func (r *Record) keep(e Entry, chain schema.Digest) {
	r.at[e.place()] = append(r.at[e.place()], len(r.entries))
	r.entries, r.chain = append(r.entries, e), chain
	if !e.Object.IsZero() {
		r.objects[e.Object] = true
	}
}

// find tells whether the record holds the entry already, and refuses one that contradicts it.
func (r *Record) find(e Entry) (bool, error) {
	for _, i := range r.at[e.place()] {
		if r.entries[i].same(e) {
			return true, nil
		}
	}
	if e.Kind != Check && e.Kind != Handover && len(r.at[e.place()]) > 0 {
		return false, fmt.Errorf("%w: %s of round %s", ErrTwice, e.Kind, e.Name())
	}
	return false, nil
}

// Add makes an entry durable; what it is about may leave only after Add returned nil. The
// same entry again changes nothing; another one in its place is [ErrTwice], except for checks and handovers.
func (r *Record) Add(e Entry, now time.Time) error {
	if r.broken != nil {
		return r.broken
	}
	if known, err := r.find(e); known || err != nil {
		return err
	}
	e.Time = now.Unix()
	text, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("record: %w", err)
	}
	chain := next(r.chain, text)
	b, err := json.Marshal(line{text, chain})
	if err != nil {
		return fmt.Errorf("record: %w", err)
	}
	if err := r.dir.Append(File, append(b, '\n')); err != nil {
		r.broken = fmt.Errorf("record: it must be opened again: %w", err)
		return err
	}
	r.keep(e, chain)
	return nil
}

// Find returns the entry of a kind for a round; of several checks the last.
func (r *Record) Find(kind Kind, name pipeline.RoundName) (Entry, bool) {
	all := r.at[place{kind, name}]
	if len(all) == 0 {
		return Entry{}, false
	}
	return r.entries[all[len(all)-1]], true
}

// Signed tells whether the record names a signed object, by its SHA-256: for whatever
// place, since anybody may copy it to another.
func (r *Record) Signed(object schema.Digest) bool { return r.objects[object] }

// Decryptor returns whose record it is.
func (r *Record) Decryptor() schema.PublicKey { return r.own }

// Entries returns all entries, oldest first. They must not be changed.
func (r *Record) Entries() []Entry { return r.entries }

// Head is a hash over the whole record: two records with one head are the same.
func (r *Record) Head() schema.Digest { return r.chain }
