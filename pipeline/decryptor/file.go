package decryptor

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/secagg"
	"github.com/veilsum/veilsum/secagg/committee"
)

// roundFile is all that a decryptor keeps of one round key, in one file, so
// that one rename moves it from {key, seeds, H} to {H, V}. It prints as "[redacted]".
type roundFile struct {
	Expiry    int64         `json:"expiry"` // of the key; from the first check on, of the descriptor
	Coin      schema.Digest `json:"coin"`
	Published []byte        `json:"published"` // the signed round key
	// Key is the private key until the first check binds it to a RoundID; then Record holds it.
	Key      []byte         `json:"key,omitempty"`
	RoundID  schema.RoundID `json:"round_id"`
	Record   []byte         `json:"record,omitempty"`
	Accepted []accepted     `json:"accepted,omitempty"` // sorted; erased with the key
	// Checkpoint is the text of the one that the vote names.
	Checkpoint string `json:"checkpoint,omitempty"`

	record committee.Record
}

// accepted is a report that this decryptor checked, with the seeds of its box.
type accepted struct {
	Report  schema.ReportID  `json:"report"`
	Vehicle schema.VehicleID `json:"vehicle"`
	Seeds   []byte           `json:"seeds"`
}

func (f *roundFile) holdsSecrets() bool {
	_, err := f.record.Key()
	return len(f.Key) > 0 || len(f.Accepted) > 0 || err == nil
}

func (f *roundFile) erase() {
	f.Key, f.Accepted, f.record = nil, nil, f.record.Erase()
}

// bind ties the key to the first round that uses it, for good.
func (f *roundFile) bind(r *pipeline.Round, k int) error {
	if len(f.Record) > 0 {
		if f.RoundID != r.ID {
			return fmt.Errorf("%w: %s, not %s", ErrForked, f.RoundID.Short(), r.ID.Short())
		}
		return nil
	}
	if len(f.Key) == 0 {
		return ErrNoKey
	}
	key, err := secagg.ParseRoundKey(r.Secagg.Suite(), f.Key)
	if err != nil {
		return err
	}
	f.record, err = committee.NewRecord(r.Secagg, k, r.ID.Digest, key)
	f.RoundID, f.Key, f.Expiry = r.ID, nil, min(f.Expiry, r.Descriptor.KeyExpiry)
	return err
}

func fileOf(n pipeline.RoundName) string {
	return "rounds/" + n.Task.String() + "/" + n.String() + ".json"
}

func (d *Decryptor) load(p *pipeline.Plan, n pipeline.RoundName) (*roundFile, error) {
	b, err := d.state.Read(fileOf(n))
	if err != nil {
		return nil, err
	}
	f, err := decodeRoundFile(p.Secagg, b)
	if err != nil {
		return nil, damaged(n)
	}
	return f, nil
}

func decodeRoundFile(p secagg.Params, b []byte) (*roundFile, error) {
	f := &roundFile{}
	err := json.Unmarshal(b, f)
	if err == nil && len(f.Record) > 0 {
		f.record, err = committee.DecodeRecord(p, f.Record)
	}
	sorted := slices.IsSortedFunc(f.Accepted, func(a, b accepted) int { return schema.CompareReports(a.Report, b.Report) })
	if err == nil && !sorted {
		err = errors.New("accepted reports are out of order")
	}
	return f, err
}

// damaged does not quote the file: it may hold a key.
func damaged(n pipeline.RoundName) error {
	return fmt.Errorf("decryptor: state of round %s is damaged: its key counts as lost; do not restore a backup", n)
}

func (d *Decryptor) encode(f *roundFile) ([]byte, error) {
	if len(f.Record) > 0 || f.RoundID != (schema.RoundID{}) {
		b, err := f.record.Encode()
		if err != nil {
			return nil, err
		}
		f.Record = b
	}
	b, err := json.Marshal(f)
	if err != nil {
		return nil, errors.New("decryptor: encode round state")
	}
	return b, nil
}

func (d *Decryptor) save(n pipeline.RoundName, f *roundFile) error {
	b, err := d.encode(f)
	if err != nil {
		return err
	}
	return d.state.Replace(fileOf(n), b)
}

func (d *Decryptor) create(n pipeline.RoundName, f *roundFile) error {
	b, err := d.encode(f)
	if err != nil {
		return err
	}
	return d.state.Create(fileOf(n), b)
}

// tasks lists the tasks with a state file.
func (d *Decryptor) tasks() ([]schema.TaskID, error) {
	folders, err := d.state.Folders("rounds")
	if err != nil {
		return nil, err
	}
	var ids []schema.TaskID
	for _, f := range folders {
		if id, err := schema.ParseDigest(f); err == nil {
			ids = append(ids, schema.TaskID{Digest: id})
		}
	}
	return ids, nil
}

// rounds lists the rounds of a task with a state file.
func (d *Decryptor) rounds(id schema.TaskID) ([]pipeline.RoundName, error) {
	files, err := d.state.Names("rounds/" + id.String())
	if err != nil {
		return nil, err
	}
	var names []pipeline.RoundName
	for _, f := range files {
		if n, ok := pipeline.ParseRoundName(id, strings.TrimSuffix(f, ".json")); ok {
			names = append(names, n)
		}
	}
	return names, nil
}
