package ledger

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/veilsum/veilsum/privacy/accountant"
)

// Kind says what an entry does.
type Kind string

// The kinds of entries.
const (
	// KindOpen is entry 0: the scope and its budget.
	KindOpen Kind = "open"
	// KindReserve charges a manifest before it can be voted for.
	KindReserve Kind = "reserve"
	// KindSettle ends a reservation with the receipt of its round; the charge stays.
	KindSettle Kind = "settle"
	// KindVoid ends a reservation that nobody voted for.
	KindVoid Kind = "void"
)

// The ways a settled round ended.
const (
	StatusCommitted = "committed" // its aggregate was published
	StatusVoid      = "void"      // it failed after the votes; it is charged all the same
)

// Entry is one decoded entry. Which fields belong to which kind is said there;
// the others are zero.
type Entry struct {
	Kind  Kind
	Index int64 // its place in the log
	Prev  ID    // RFC 6962 leaf hash of the entry before it, and so of all before it

	Request // of KindReserve

	// Reserve is, of KindSettle and KindVoid, the index of the reservation that they end.
	Reserve int64
	Receipt ID     // of KindSettle: hash of the receipt
	Status  string // of KindSettle: StatusCommitted or StatusVoid
	// Evidence is, of KindVoid, the hash of what shows that the round ended without
	// votes (a void receipt); may be zero.
	Evidence ID
	Reason   string // of KindVoid: 1 to 200 printable ASCII characters but '"' and '\'

	// Signature is Ed25519 by the Collector of the reservation's task.
	Signature [ed25519.SignatureSize]byte
}

// Request is what a reservation says: this round may open this manifest, and
// that costs this event.
type Request struct {
	Task     ID
	Round    ID
	Epoch    uint64
	Lane     uint32
	Manifest ID
	Reports  int // reports in the manifest, at least 1
	// Reservation is the hash of the object that lists the vehicles, signed by the
	// Collector and stored before the entry.
	Reservation ID
	// Event is what the round spends; at most 2 KiB as JSON.
	Event accountant.Event
}

const (
	maxReports = 1 << 20
	maxReason  = 200
)

func (r Request) validate() error {
	if r.Task.IsZero() || r.Round.IsZero() || r.Manifest.IsZero() || r.Reservation.IsZero() {
		return fmt.Errorf("%w: a reservation needs task, round, manifest and reservation", ErrEntry)
	}
	if r.Reports < 1 || r.Reports > maxReports {
		return fmt.Errorf("%w: reports is %d, want 1 to 2^20", ErrEntry, r.Reports)
	}
	_, err := encodeEvent(r.Event)
	return err
}

// same tells whether two requests would be one entry.
func (r Request) same(o Request) bool {
	a, b := Entry{Kind: KindReserve, Request: r}, Entry{Kind: KindReserve, Request: o}
	return bytes.Equal(a.appendBody(nil), b.appendBody(nil))
}

// appendBody encodes the signed part of an entry. It is JSON, but written
// by hand in one spelling, so that there is one canonical form by construction.
func (e *Entry) appendBody(b []byte) []byte {
	b = fmt.Appendf(b, `{"version":1,"kind":"%s","index":%d,"prev":"%s",`, e.Kind, e.Index, e.Prev)
	switch e.Kind {
	case KindReserve:
		b = fmt.Appendf(b, `"task_id":"%s","round_id":"%s","epoch":%d,"lane":%d,"manifest":"%s","reports":%d,"reservation":"%s","event":`,
			e.Task, e.Round, e.Epoch, e.Lane, e.Manifest, e.Reports, e.Reservation)
		event, _ := encodeEvent(e.Event) // validated before; nothing is no entry
		b = append(b, event...)
	case KindSettle:
		b = fmt.Appendf(b, `"reserve":%d,"receipt":"%s","status":"%s"`, e.Reserve, e.Receipt, e.Status)
	case KindVoid:
		b = fmt.Appendf(b, `"reserve":%d,"evidence":"%s","reason":"%s"`, e.Reserve, e.Evidence, e.Reason)
	}
	return append(b, '}')
}

// The envelope around a signed body.
const (
	envelopeHead  = `{"body":`
	envelopeMid   = `,"signature":"`
	envelopeTail  = `"}`
	envelopeAfter = len(envelopeMid) + 2*ed25519.SignatureSize + len(envelopeTail)
)

// sign encodes and signs the entry for the log of a scope: the bytes that are
// stored and hashed.
func (e *Entry) sign(scope ID, key ed25519.PrivateKey) []byte {
	b := e.appendBody([]byte(envelopeHead))
	copy(e.Signature[:], ed25519.Sign(key, signedHash(scope, b[len(envelopeHead):])))
	return e.envelope(b)
}

// envelope closes the envelope around a body.
func (e *Entry) envelope(b []byte) []byte {
	b = append(b, envelopeMid...)
	b = hex.AppendEncode(b, e.Signature[:])
	return append(b, envelopeTail...)
}

// signedHash is H("sig/ledger"; scope, body) of PROTOCOL.md section 1: each field
// behind its length, so that no two lists of fields collide.
func signedHash(scope ID, body []byte) []byte {
	h := sha256.New()
	for _, field := range [][]byte{[]byte("veilsum/1/sig/ledger"), scope[:], body} {
		writeField(h, field)
	}
	return h.Sum(nil)
}

func writeField(w io.Writer, field []byte) {
	var n [8]byte
	binary.LittleEndian.PutUint64(n[:], uint64(len(field)))
	w.Write(n[:])
	w.Write(field)
}
