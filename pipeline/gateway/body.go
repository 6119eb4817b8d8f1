package gateway

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/veilsum/veilsum/pipeline/gateway/internal/wire"
	"github.com/veilsum/veilsum/schema"
)

// errBody: the connection or the body failed, not the store.
var errBody = errors.New("gateway: read the body")

// guard reads a body and gives up on one that comes too slowly. The time for the next byte ends with
// the longest silence, or when the bytes so far would be fewer than the slowest rate.
type guard struct {
	x       *exchange
	limits  Limits
	control *http.ResponseController
	start   time.Time
}

func (g *Gateway) guard(x *exchange) *guard {
	return &guard{x: x, limits: g.config.Limits, control: http.NewResponseController(x), start: time.Now()}
}

// Read implements io.Reader.
func (b *guard) Read(p []byte) (int, error) {
	idle := time.Now().Add(b.limits.Idle)
	due := b.start.Add(b.limits.Grace + time.Duration(float64(b.x.read)/float64(b.limits.MinRate)*float64(time.Second)))
	if due.Before(idle) {
		idle = due
	}
	// Not every ResponseWriter has deadlines; those of real servers have.
	_ = b.control.SetReadDeadline(idle)
	n, err := b.x.request.Body.Read(p)
	b.x.read += int64(n)
	if err == io.EOF && b.x.read < b.x.request.ContentLength {
		err = io.ErrUnexpectedEOF
	}
	if err == io.EOF {
		// The body is over. A deadline that passed while the store works would end the connection.
		_ = b.control.SetReadDeadline(time.Time{})
	} else if err != nil {
		err = fmt.Errorf("%w: %w", errBody, err)
	}
	return n, err
}

// length wants a Content-Length of at most most.
func (x *exchange) length(most int64) (int64, error) {
	n := x.request.ContentLength
	if n < 0 {
		return 0, refuse(wire.CodeLength, "Content-Length is required")
	}
	if n > most {
		return 0, refuse(wire.CodeTooLarge, "%d bytes, at most %d are taken here", n, most)
	}
	return n, nil
}

// exactly wants a body of n bytes.
func (x *exchange) exactly(n int64) error {
	have, err := x.length(n)
	if err == nil && have < n {
		err = refuse(wire.CodeMalformed, "%d bytes, the task says %d", have, n)
	}
	return err
}

// digest reads Content-Digest (RFC 9530), of which only the one form with SHA-256 is taken.
func (x *exchange) digest() (sum [sha256.Size]byte, err error) {
	s, ok := strings.CutPrefix(x.request.Header.Get(wire.HeaderDigest), "sha-256=:")
	s, end := strings.CutSuffix(s, ":")
	b, failed := base64.StdEncoding.Strict().DecodeString(s)
	if !ok || !end || failed != nil || len(b) != len(sum) {
		return sum, refuse(wire.CodeMalformed, "%s: sha-256=:BASE64: is required", wire.HeaderDigest)
	}
	return [sha256.Size]byte(b), nil
}

// small reads a whole body that is parsed in memory: logins, announcements and header objects.
func (g *Gateway) small(x *exchange, most int64) ([]byte, error) {
	n, err := x.length(most)
	if err != nil {
		return nil, err
	}
	release, err := g.place(x)
	if err != nil {
		return nil, err
	}
	defer release()
	b := g.guard(x)
	body := make([]byte, n)
	if _, err := io.ReadFull(b, body); err != nil {
		return nil, bodyError(err)
	}
	if _, err := b.Read(make([]byte, 1)); err != io.EOF {
		return nil, bodyError(errors.Join(errBody, err))
	}
	return body, nil
}

// pieceReader ends with a refusal unless the bytes are the announced piece.
type pieceReader struct {
	r    io.Reader
	h    hash.Hash
	want schema.Digest
	good bool // all bytes were read and are right
}

// Read implements io.Reader.
func (p *pieceReader) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	p.h.Write(b[:n])
	if err != io.EOF {
		return n, err
	}
	if !schema.Digest(p.h.Sum(nil)).Equal(p.want) {
		return n, refuse(wire.CodeDigest, "the bytes are not those of the announced piece")
	}
	p.good = true
	return n, io.EOF
}
