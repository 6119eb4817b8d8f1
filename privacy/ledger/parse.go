package ledger

import (
	"bytes"
	"fmt"
	"math"
)

// ParseEntry decodes the bytes of an entry other than the opening one. Only the
// bytes that [Ledger] writes for the same content are accepted. Neither the
// signature nor the place in a log is checked.
func ParseEntry(data []byte) (Entry, error) {
	r, err := parseRaw(data)
	if err != nil {
		return Entry{}, err
	}
	if r.Kind == KindReserve {
		var ok bool
		if r.Event, ok = parseEvent(r.event); !ok {
			return Entry{}, fmt.Errorf("%w: unknown event", ErrEntry)
		}
	}
	return r.Entry, nil
}

// raw is an entry whose event is not decoded yet: a log repeats few events
// very often. event and body point into the encoded entry.
type raw struct {
	Entry
	event, body []byte
}

// parseRaw decodes everything but the event, whose bytes it only delimits.
func parseRaw(data []byte) (raw, error) {
	var r raw
	if len(data) > maxEntry {
		return r, fmt.Errorf("%w: %d bytes, at most %d", ErrEntry, len(data), maxEntry)
	}
	inner, ok := bytes.CutPrefix(data, []byte(envelopeHead))
	if !ok || len(inner) < envelopeAfter {
		return r, fmt.Errorf(`%w: want {"body":…,"signature":"…"}`, ErrEntry)
	}
	var after []byte
	r.body, after = inner[:len(inner)-envelopeAfter], inner[len(inner)-envelopeAfter:]
	s := scanner{rest: after}
	s.want(envelopeMid)
	s.hex(r.Signature[:])
	s.want(envelopeTail)
	if s.bad || !parseBody(&r) {
		return r, fmt.Errorf("%w: not in canonical form", ErrEntry)
	}
	return r, nil
}

func parseBody(r *raw) bool {
	s := scanner{rest: r.body}
	s.want(`{"version":1,"kind":"`)
	kind := s.until('"')
	r.Index = s.number(`,"index":`, maxIndex)
	s.digest(`,"prev":"`, &r.Prev)
	switch string(kind) { // allocates nothing
	case string(KindReserve):
		r.Kind = KindReserve
		parseReserve(&s, r)
	case string(KindSettle):
		r.Kind = KindSettle
		r.Reserve = s.number(`,"reserve":`, maxIndex)
		s.digest(`,"receipt":"`, &r.Receipt)
		s.want(`,"status":"`)
		s.status(r)
		s.want(`}`)
	case string(KindVoid):
		r.Kind = KindVoid
		r.Reserve = s.number(`,"reserve":`, maxIndex)
		s.digest(`,"evidence":"`, &r.Evidence)
		s.want(`,"reason":"`)
		r.Reason = string(s.until('"'))
		s.bad = s.bad || !validReason(r.Reason)
		s.want(`}`)
	default:
		return false
	}
	return !s.bad && len(s.rest) == 0
}

func parseReserve(s *scanner, r *raw) {
	s.digest(`,"task_id":"`, &r.Task)
	s.digest(`,"round_id":"`, &r.Round)
	r.Epoch = s.unsigned(`,"epoch":`, math.MaxUint64)
	r.Lane = uint32(s.unsigned(`,"lane":`, math.MaxUint32))
	s.digest(`,"manifest":"`, &r.Manifest)
	r.Reports = int(s.number(`,"reports":`, maxReports))
	s.digest(`,"reservation":"`, &r.Reservation)
	s.want(`,"event":`)
	if n := len(s.rest) - 1; n > 0 && s.rest[n] == '}' {
		r.event, s.rest = s.rest[:n], nil
	} else {
		s.bad = true
	}
	s.bad = s.bad || r.Reports < 1 || r.Task.IsZero() || r.Round.IsZero() || r.Manifest.IsZero() || r.Reservation.IsZero()
}

// validReason keeps a text for people harmless in JSON and on a terminal.
func validReason(reason string) bool {
	for _, c := range []byte(reason) {
		if c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			return false
		}
	}
	return len(reason) >= 1 && len(reason) <= maxReason
}

// scanner reads one fixed spelling. After the first deviation bad is set and
// what it returns has no meaning.
type scanner struct {
	rest []byte
	bad  bool
}

func (s *scanner) want(text string) {
	if len(s.rest) < len(text) || string(s.rest[:len(text)]) != text {
		s.bad = true
		s.rest = nil
		return
	}
	s.rest = s.rest[len(text):]
}

// until returns what comes before the next c and skips both.
func (s *scanner) until(c byte) []byte {
	i := bytes.IndexByte(s.rest, c)
	if i < 0 {
		s.bad = true
		return nil
	}
	text := s.rest[:i]
	s.rest = s.rest[i+1:]
	return text
}

func (s *scanner) hex(dst []byte) {
	n := 2 * len(dst)
	if len(s.rest) < n || !unhex(dst, s.rest[:n]) {
		s.bad = true
		return
	}
	s.rest = s.rest[n:]
}

func (s *scanner) digest(before string, d *ID) {
	s.want(before)
	s.hex(d[:])
	s.want(`"`)
}

func (s *scanner) number(before string, most int64) int64 {
	return int64(s.unsigned(before, uint64(most)))
}

// unsigned reads a decimal number without leading zeros.
func (s *scanner) unsigned(before string, most uint64) uint64 {
	s.want(before)
	var v uint64
	n := 0
	for ; n < len(s.rest) && n < 20 && s.rest[n] >= '0' && s.rest[n] <= '9'; n++ {
		digit := uint64(s.rest[n] - '0')
		if v > (math.MaxUint64-digit)/10 {
			s.bad = true
		}
		v = v*10 + digit
	}
	if n == 0 || n > 1 && s.rest[0] == '0' || v > most {
		s.bad = true
	}
	s.rest = s.rest[n:]
	return v
}

func (s *scanner) status(r *raw) {
	switch string(s.until('"')) {
	case StatusCommitted:
		r.Status = StatusCommitted
	case StatusVoid:
		r.Status = StatusVoid
	default:
		s.bad = true
	}
}
