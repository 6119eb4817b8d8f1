package committee

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/veilsum/veilsum/secagg"
)

const snapshotVersion = 1

// Snapshot is the content of a [Record] for durable storage. It holds the
// round key as long as there is one, prints as "[redacted]" and must be stored
// like a key: in no backup, with permissions for its decryptor alone.
type Snapshot struct {
	secret
	Version    int      `json:"version"` // 1
	State      State    `json:"state"`
	Index      int      `json:"index"` // the decryptor, 0 to n_c-1
	RoundID    string   `json:"round_id"`
	Key        []byte   `json:"key,omitempty"`        // private round key; fresh and voted only
	Manifest   string   `json:"manifest,omitempty"`   // hex, once voted
	Checkpoint string   `json:"checkpoint,omitempty"` // hex, once voted
	Shares     [][]byte `json:"shares,omitempty"`     // packed V_T, answered only
}

// Snapshot returns the content of the record; ErrRecord for the zero value.
func (r Record) Snapshot() (Snapshot, error) {
	if r.c == nil {
		return Snapshot{}, fmt.Errorf("%w: zero value", ErrRecord)
	}
	s := Snapshot{
		Version: snapshotVersion,
		State:   r.c.state,
		Index:   r.c.index,
		RoundID: hex.EncodeToString(r.c.roundID[:]),
	}
	if manifest, checkpoint, ok := r.Choice(); ok {
		s.Manifest = hex.EncodeToString(manifest[:])
		s.Checkpoint = hex.EncodeToString(checkpoint[:])
	}
	if key, err := r.Key(); err == nil {
		if s.Key, err = key.Bytes(); err != nil {
			return Snapshot{}, fmt.Errorf("%w: %w", ErrRecord, err)
		}
	}
	if a, ok := r.Answered(); ok {
		s.Shares = a.Shares
	}
	return s, nil
}

// Restore returns the record of a snapshot, or ErrRecord if its parts do not
// go together under p.
func Restore(p secagg.Params, s Snapshot) (Record, error) {
	if _, err := ringOf(p); err != nil {
		return Record{}, err
	}
	if s.Version != snapshotVersion {
		return Record{}, fmt.Errorf("%w: version %d", ErrRecord, s.Version)
	}
	c := &content{p: p, index: s.Index, state: s.State, shares: cloneShares(s.Shares)}
	if !decodeHash(&c.roundID, s.RoundID) {
		return Record{}, fmt.Errorf("%w: round_id", ErrRecord)
	}
	if s.Manifest != "" || s.Checkpoint != "" {
		if !decodeHash(&c.manifest, s.Manifest) || !decodeHash(&c.checkpoint, s.Checkpoint) {
			return Record{}, fmt.Errorf("%w: manifest or checkpoint", ErrRecord)
		}
	}
	if len(s.Key) > 0 {
		key, err := secagg.ParseRoundKey(p.Suite(), s.Key)
		if err != nil {
			return Record{}, fmt.Errorf("%w: key", ErrRecord)
		}
		c.key = key
	}
	if err := c.validate(); err != nil {
		return Record{}, err
	}
	return Record{c: c}, nil
}

// validate checks that what is present is what the state allows: above all,
// that an answered or erased record holds no key.
func (c *content) validate() error {
	key, chosen, shares := c.key.Suite() != 0, c.manifest != [32]byte{}, len(c.shares) > 0
	var ok bool
	switch c.state {
	case Fresh:
		ok = key && !chosen && !shares && c.checkpoint == [32]byte{}
	case Voted:
		ok = key && chosen && !shares
	case Answered:
		ok = !key && chosen
	case Erased:
		ok = !key && !shares && (chosen || c.checkpoint == [32]byte{})
	}
	if !ok || c.index < 0 || c.index >= c.p.Committee().Size {
		return fmt.Errorf("%w: state %q does not go with its content", ErrRecord, c.state)
	}
	if c.state != Answered {
		return nil
	}
	r, err := ringOf(c.p)
	if err != nil {
		return err
	}
	if err := checkShares(c.p, r, c.shares); err != nil {
		return fmt.Errorf("%w: %w", ErrRecord, err)
	}
	return nil
}

// decodeHash reads 64 hexadecimal digits.
func decodeHash(dst *[32]byte, s string) bool {
	if len(s) != 2*len(dst) {
		return false
	}
	_, err := hex.Decode(dst[:], []byte(s))
	return err == nil
}

// Encode returns the record as one line of JSON, to be written to a temporary
// file, synced and renamed over the old one.
func (r Record) Encode() ([]byte, error) {
	s, err := r.Snapshot()
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	return append(b, '\n'), nil
}

// DecodeRecord reads what [Record.Encode] wrote and nothing else: unknown
// fields, other spacing or a longer file are ErrRecord. A decryptor with an
// unreadable record must treat its key as lost, never as fresh.
func DecodeRecord(p secagg.Params, b []byte) (Record, error) {
	if limit := 1024 + p.HeldSets()*(p.BlockBytes()*4/3+8); len(b) > limit {
		return Record{}, fmt.Errorf("%w: %d bytes, at most %d", ErrRecord, len(b), limit)
	}
	var s Snapshot
	if err := json.Unmarshal(b, &s); err != nil {
		return Record{}, fmt.Errorf("%w: not JSON of a record", ErrRecord) // the cause could quote a key
	}
	r, err := Restore(p, s)
	if err != nil {
		return Record{}, err
	}
	if again, err := r.Encode(); err != nil || !bytes.Equal(again, b) {
		return Record{}, fmt.Errorf("%w: not in canonical form", ErrRecord)
	}
	return r, nil
}
