package decryptor

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/state"
	"github.com/veilsum/veilsum/secagg/committee"
)

// Erase destroys the keys and seeds of every round, of every task, whose key
// has expired by this decryptor's clock, and returns how many. It needs nothing but
// the state directory: no store and no Collector can keep a key alive. A file
// that cannot be read counts as a lost key: it is replaced by one without secrets, and named
// in the error. Call it before every step.
func (d *Decryptor) Erase() (int, error) {
	return Erase(d.state, d.now)
}

// Erase is [Decryptor.Erase] for whoever holds the state directory only, and no key.
func Erase(dir *state.Dir, now func() time.Time) (int, error) {
	d := &Decryptor{state: dir, now: now}
	tasks, err := d.tasks()
	if err != nil {
		return 0, err
	}
	erased, failed := 0, []error(nil)
	for _, id := range tasks {
		names, err := d.rounds(id)
		failed = append(failed, err)
		for _, n := range names {
			done, err := d.erase(n, false)
			if done {
				erased++
			}
			failed = append(failed, err)
		}
	}
	return erased, errors.Join(failed...)
}

// erase destroys a round's key and seeds if they have expired, or now.
func (d *Decryptor) erase(n pipeline.RoundName, now bool) (bool, error) {
	raw, err := d.state.Read(fileOf(n))
	if err != nil {
		return false, err
	}
	f, record := &roundFile{}, &committee.Snapshot{}
	if json.Unmarshal(raw, f) != nil || len(f.Record) > 0 && json.Unmarshal(f.Record, record) != nil {
		return false, errors.Join(damaged(n), d.state.Replace(fileOf(n), []byte("{}")))
	}
	secret := len(f.Key) > 0 || len(f.Accepted) > 0 || len(record.Key) > 0
	if !secret || !now && d.now().Unix() < f.Expiry {
		return false, nil
	}
	f.Key, f.Accepted = nil, nil
	if len(record.Key) > 0 {
		if f.Record, err = erasedRecord(*record); err != nil {
			return false, err
		}
	}
	b, err := json.Marshal(f)
	if err != nil {
		return false, errors.New("decryptor: encode round state")
	}
	return true, d.state.Replace(fileOf(n), b)
}

// erasedRecord is committee.Record.Erase for a record whose parameters are not
// at hand: what it voted for stays, the key goes.
func erasedRecord(s committee.Snapshot) ([]byte, error) {
	s.State, s.Key = committee.Erased, nil
	b, err := json.Marshal(s)
	if err != nil {
		return nil, errors.New("decryptor: encode record")
	}
	return append(b, '\n'), nil
}

const redacted = "[redacted]"

// Format implements fmt.Formatter: a decryptor never prints its keys.
func (Decryptor) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// LogValue implements slog.LogValuer.
func (Decryptor) LogValue() slog.Value { return slog.StringValue(redacted) }

// Format implements fmt.Formatter.
func (Config) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// LogValue implements slog.LogValuer.
func (Config) LogValue() slog.Value { return slog.StringValue(redacted) }

// Format implements fmt.Formatter.
func (roundFile) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// Format implements fmt.Formatter.
func (accepted) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }
