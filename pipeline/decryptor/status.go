package decryptor

import (
	"encoding/json"
	"errors"
	"io/fs"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/secagg/committee"
)

// Status is what the state directory says of one round key.
type Status struct {
	Name     pipeline.RoundName
	Expiry   int64          // of the key, Unix seconds
	Live     bool           // the key is there: votes and answers are possible
	Round    schema.RoundID // the round that uses the key; zero if none does yet
	Accepted int            // reports that were accepted and may still be summed
	Voted    bool
	Manifest schema.ManifestID // of the vote
	Answered bool
}

// Rounds returns the round keys of a task that have a file, by epoch and lane. Damaged
// files are left out: they hold nothing that could be used.
func (d *Decryptor) Rounds(id schema.TaskID) ([]Status, error) {
	names, err := d.rounds(id)
	if err != nil {
		return nil, err
	}
	var all []Status
	for _, n := range names {
		s, err := d.status(n)
		if errors.Is(err, errDamaged) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// Round returns the status of one round key; its error is fs.ErrNotExist if there is none.
func (d *Decryptor) Round(n pipeline.RoundName) (Status, error) { return d.status(n) }

var errDamaged = errors.New("decryptor: damaged state file")

// status needs no parameters of the task, as erasing does not.
func (d *Decryptor) status(n pipeline.RoundName) (Status, error) {
	raw, err := d.state.Read(fileOf(n))
	if err != nil {
		return Status{}, err
	}
	f, rec := &roundFile{}, &committee.Snapshot{}
	if json.Unmarshal(raw, f) != nil || len(f.Published) == 0 || len(f.Record) > 0 && json.Unmarshal(f.Record, rec) != nil {
		return Status{}, errDamaged
	}
	s := Status{
		Name: n, Expiry: f.Expiry, Live: len(f.Key) > 0 || len(rec.Key) > 0, Round: f.RoundID, Accepted: len(f.Accepted),
		Answered: rec.State == committee.Answered,
	}
	if d, err := schema.ParseDigest(rec.Manifest); err == nil {
		s.Voted, s.Manifest = true, schema.ManifestID{Digest: d}
	}
	return s, nil
}

// statusIfAny is status, with ok false for a round whose file is lost or damaged.
func (d *Decryptor) statusIfAny(n pipeline.RoundName) (Status, bool, error) {
	s, err := d.status(n)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errDamaged) {
		return Status{}, false, nil
	}
	return s, err == nil, err
}
