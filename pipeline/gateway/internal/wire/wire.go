// Package wire is what gateway and vehicle say to each other: paths, messages and
// the bytes that a login signs. GATEWAY.md is its page.
package wire

import (
	"crypto/ed25519"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/veilsum/veilsum/schema"
)

// The paths of protocol version 1.
const (
	PathChallenge = "/v1/challenge"
	PathLogin     = "/v1/login"
	PathObjects   = "/v1/objects/"
	PathReports   = "/v1/reports"
)

// PathPiece is where piece j of a report is put.
func PathPiece(id schema.ReportID, j int) string {
	return fmt.Sprintf("%s/%s/pieces/%d", PathReports, id, j)
}

// PathHeader is where the header object of a report is put.
func PathHeader(id schema.ReportID) string { return PathReports + "/" + id.String() + "/header" }

// Version is the version of all messages.
const Version = 1

// The codes of refusals, each with its one status.
const (
	CodeMalformed   = "malformed"   // 400
	CodeLogin       = "login"       // 401: no token, or one that has expired
	CodeRefused     = "refused"     // 403: this vehicle may not do this, now or ever in this round
	CodeNotFound    = "not_found"   // 404
	CodeSlow        = "slow"        // 408: the body came too slowly
	CodeConflict    = "conflict"    // 409: other bytes, or another report of this vehicle
	CodeLength      = "length"      // 411: no Content-Length
	CodeTooLarge    = "too_large"   // 413
	CodeGateway     = "gateway"     // 421: the login names another gateway
	CodeDigest      = "digest"      // 422: the bytes are not those that were announced
	CodeAnnounce    = "announce"    // 428: announce the report first (again, after a restart)
	CodeRate        = "rate"        // 429
	CodeUnavailable = "unavailable" // 503: busy, stopping, or the store fails
	CodeNotReady    = "not_ready"   // 425: the round is not open yet
	CodeNoMethod    = "no_method"   // 405
	CodeIncomplete  = "incomplete"  // 412: pieces are missing; announce again to learn which
	CodeRange       = "range"       // 416
)

// Refusal is the body of every answer that is not a success.
type Refusal struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Challenge is the answer to POST /v1/challenge.
type Challenge struct {
	Challenge string `json:"challenge"`  // opaque, at most MaxChallenge bytes
	ExpiresIn int    `json:"expires_in"` // seconds
}

// MaxChallenge bounds a challenge, MaxToken a token, MaxLogin the body of a login, MaxReply
// the body of any answer but objects; bytes.
const (
	MaxChallenge = 256
	MaxToken     = 1024
	MaxLogin     = 2048
	MaxReply     = 1 << 20
)

// Login is the body of POST /v1/login.
type Login struct {
	Version   int              `json:"version"`
	Challenge string           `json:"challenge"`
	TaskID    schema.TaskID    `json:"task_id"`
	RoundID   schema.RoundID   `json:"round_id"`
	Epoch     uint64           `json:"epoch"`
	Lane      uint32           `json:"lane"`
	Vehicle   schema.VehicleID `json:"vehicle"`
	Signature schema.Signature `json:"signature"`
}

// loginLabel separates this signature from all others of a vehicle's key.
const loginLabel = "gateway-login"

func (l Login) fields(gateway string) [][]byte {
	le := binary.LittleEndian
	return [][]byte{
		[]byte(gateway), []byte(l.Challenge), l.TaskID.Digest[:], l.RoundID.Digest[:],
		le.AppendUint64(nil, l.Epoch), le.AppendUint32(nil, l.Lane), l.Vehicle[:],
	}
}

// Sign fills in the signature for the gateway of that name.
func (l *Login) Sign(key ed25519.PrivateKey, gateway string) {
	l.Signature = schema.Sign(key, loginLabel, l.fields(gateway)...)
}

// Verify checks the signature with the enrolled key and the gateway's own name.
func (l Login) Verify(key schema.PublicKey, gateway string) error {
	return schema.Verify(key, l.Signature, loginLabel, l.fields(gateway)...)
}

// Token is the answer to a login.
type Token struct {
	Token     string `json:"token"`      // opaque, at most MaxToken bytes
	ExpiresIn int    `json:"expires_in"` // seconds
}

// Missing is the answer to an announcement: what the gateway still lacks.
type Missing struct {
	Report    schema.ReportID `json:"report_id"`
	Committed bool            `json:"committed"`         // the header object is there: nothing is missing
	Pieces    [][2]int        `json:"pieces"`            // first and last index of each run of missing pieces, ascending
	Presign   bool            `json:"presign,omitempty"` // POST to a piece gives a [Location]
}

// Stored is the answer to a PUT.
type Stored struct {
	Outcome string `json:"outcome"` // "created" (201) or "identical" (200)
}

// Location is the answer to a POST to a piece: a presigned URL. It is a credential.
type Location struct {
	URL    string            `json:"url"`    // where the piece may be put instead
	Header map[string]string `json:"header"` // that have to be sent with it, exactly
}

// HeaderDigest carries the SHA-256 of a body, as RFC 9530 has it.
const HeaderDigest = "Content-Digest"

// MaxPieces bounds the pieces of one announcement.
const MaxPieces = 1 << 15

// MaxAnnouncement bounds the body of an announcement, bytes.
const MaxAnnouncement = schema.HeadBytes + 32*MaxPieces

// ErrAnnouncement: the bytes announce no report.
var ErrAnnouncement = errors.New("gateway: malformed announcement")

// AppendAnnouncement returns the bytes that announce a report: its head (header, box hashes,
// signature) and the hashes of its pieces.
func AppendAnnouncement(head []byte, pieces []schema.Digest) []byte {
	b := append(make([]byte, 0, len(head)+32*len(pieces)), head...)
	for _, p := range pieces {
		b = append(b, p[:]...)
	}
	return b
}

// ParseAnnouncement reads them, keeps nothing of data, and checks that the hashes of the pieces
// are those that the header stands for. The signature is not checked.
func ParseAnnouncement(data []byte) (*schema.Report, []schema.Digest, error) {
	rep, err := schema.DecodeReportHead(data)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrAnnouncement, err)
	}
	head, _ := rep.Header.BoxOffset(0)
	n := rep.Header.Pieces()
	if n > MaxPieces || int64(len(data)) != head+32*int64(n) {
		return nil, nil, fmt.Errorf("%w: %d bytes for %d pieces", ErrAnnouncement, len(data), n)
	}
	pieces := make([]schema.Digest, n)
	for j := range pieces {
		pieces[j] = schema.Digest(data[head+32*int64(j):])
	}
	if !schema.PieceRoot(pieces).Equal(rep.Header.Root) {
		return nil, nil, fmt.Errorf("%w: the hashes of the pieces are not those of the header", ErrAnnouncement)
	}
	return rep, pieces, nil
}

// GatewayName is the name that a login is for: the host of the gateway's URL in lower case,
// without the port.
func GatewayName(u *url.URL) string { return strings.ToLower(u.Hostname()) }

// ReadJSON reads one JSON message of at most limit bytes and nothing behind it. Unknown
// fields are passed over: answers may get more.
func ReadJSON(r io.Reader, limit int64, into any) error {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return err
	}
	if int64(len(b)) > limit {
		return fmt.Errorf("gateway: message of more than %d bytes", limit)
	}
	return json.Unmarshal(b, into)
}
