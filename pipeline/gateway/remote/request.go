package remote

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/gateway/internal/wire"
	"github.com/veilsum/veilsum/storage"
)

// call is one request, over all its tries.
type call struct {
	method, path string
	body         []byte
	header       map[string]string
	session      *session // sends its token; nil: none
	announced    []byte   // is announced again if the gateway forgot it
	into         any      // takes the JSON of a success; nil: the caller reads the body
}

// put sends one piece or header object.
func (s *Store) put(ctx context.Context, o pipeline.Object, body []byte) (storage.Outcome, error) {
	x := s.session(o.Round)
	x.mu.Lock()
	announced, presign := x.announce[o.Report], x.presign && len(s.config.Buckets) > 0
	x.mu.Unlock()
	if announced == nil {
		return 0, fmt.Errorf("remote: put %s: the report was not announced: %w", o.Key(), errors.ErrUnsupported)
	}
	path := wire.PathHeader(o.Report)
	if o.Kind == pipeline.KindPiece {
		path = wire.PathPiece(o.Report, o.Index)
	}
	sum := sha256.Sum256(body)
	var stored wire.Stored
	c := call{
		method: http.MethodPut, path: path, body: body, session: x, announced: announced, into: &stored,
		header: map[string]string{wire.HeaderDigest: "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"},
	}
	// Whatever goes wrong with the bucket, the gateway's own way remains, which tells what is there.
	if o.Kind == pipeline.KindPiece && presign && s.putPresigned(ctx, c) == nil {
		return storage.Created, nil
	}
	err := s.do(ctx, c)
	switch {
	case errors.Is(err, storage.ErrConflict):
		return 0, errors.Join(&storage.ConflictError{Key: o.Key(), Want: sum}, err)
	case err != nil:
		return 0, err
	case stored.Outcome == storage.Created.String():
		return storage.Created, nil
	case stored.Outcome == storage.Identical.String():
		return storage.Identical, nil
	}
	return 0, fmt.Errorf("%w: outcome %.20q", errProtocol, stored.Outcome)
}

// do sends a call until it succeeds, cannot succeed, or has been tried often enough.
func (s *Store) do(ctx context.Context, c call) error {
	r, err := s.open(ctx, c)
	if err != nil {
		return err
	}
	defer r.Close()
	return nil
}

// open is do for a caller that reads the body, unless c.into takes it.
func (s *Store) open(ctx context.Context, c call) (*reply, error) {
	return s.retry(ctx, c, func() (*reply, error) { return s.once(ctx, c) })
}

// retry runs the tries of a call.
func (s *Store) retry(ctx context.Context, c call, once func() (*reply, error)) (*reply, error) {
	var last error
	damaged := false
	for try, favors := 0, 0; try-favors < s.config.Tries; try++ {
		if err := s.pause(ctx, try-favors, last); err != nil {
			return nil, errors.Join(err, last)
		}
		r, err := once()
		if err == nil {
			return r, nil
		}
		last = err
		// A token that expired and a report that was forgotten are mended at once, a few times.
		if favors < maxFavors && s.mend(ctx, c, err) {
			favors++
			continue
		}
		// Damage on the way happens once; twice it is on this side.
		if !retriable(ctx, err) || isDamage(err) && damaged {
			return nil, last
		}
		damaged = damaged || isDamage(err)
	}
	return nil, fmt.Errorf("remote: %d tries: %w: %w", s.config.Tries, pipeline.ErrNotReady, last)
}

const maxFavors = 2

// mend makes good what a restarted gateway has forgotten.
func (s *Store) mend(ctx context.Context, c call, err error) bool {
	var e *Error
	if !errors.As(err, &e) || c.session == nil {
		return false
	}
	switch e.Code {
	case wire.CodeLogin:
		c.session.mu.Lock()
		c.session.token = ""
		c.session.mu.Unlock()
		return s.config.Key != nil
	case wire.CodeAnnounce:
		if c.announced == nil {
			return false
		}
		_, err := s.announce(ctx, c.session, c.announced)
		return err == nil
	}
	return false
}

// pause waits before every try but the first: as long as the gateway asked, or longer each time, with jitter.
func (s *Store) pause(ctx context.Context, try int, last error) error {
	if try <= 0 {
		return ctx.Err()
	}
	wait := min(s.config.Backoff<<min(try-1, 16), MaxBackoff)
	var e *Error
	if errors.As(last, &e) && e.after > 0 {
		wait = max(wait, e.after)
	}
	var r [2]byte
	if _, err := rand.Read(r[:]); err != nil {
		return fmt.Errorf("remote: %w", err)
	}
	// Up to half as long again: vehicles that were sent away together do not come back together.
	wait += wait / 2 * time.Duration(binary.LittleEndian.Uint16(r[:])) / (1 << 16)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// once sends a call once. The time it may take grows with its bytes.
func (s *Store) once(ctx context.Context, c call) (*reply, error) {
	token, err := s.token(ctx, c.session)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(s.allow(int64(len(c.body))), func() { cancel(errSlow) })
	r := &reply{cancel: cancel, timer: timer, ctx: ctx}
	req, err := http.NewRequestWithContext(ctx, c.method, s.base.String()+c.path, bytes.NewReader(c.body))
	if err != nil {
		r.Close()
		return nil, fmt.Errorf("remote: %w", err)
	}
	for k, v := range c.header {
		req.Header.Set(k, v)
	}
	if len(c.body) >= expectBytes {
		req.Header.Set("Expect", "100-continue")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := s.http.Do(req)
	if err != nil {
		r.Close()
		return nil, fmt.Errorf("remote: %w", r.why(err))
	}
	r.Response = response
	if err := s.accept(r, c); err != nil {
		r.Close()
		return nil, r.why(err)
	}
	return r, nil
}

// accept reads a refusal or a message; the body of an object is left for the caller.
func (s *Store) accept(r *reply, c call) error {
	status := r.Response.StatusCode
	if status != http.StatusOK && status != http.StatusCreated && status != http.StatusPartialContent {
		return refusal(r.Response, c.method)
	}
	if c.into == nil {
		r.timer.Reset(s.allow(max(r.Response.ContentLength, 0)))
		return nil
	}
	b, err := io.ReadAll(io.LimitReader(r.Response.Body, wire.MaxReply+1))
	if err != nil {
		return fmt.Errorf("remote: %w", err)
	}
	if len(b) > wire.MaxReply || json.Unmarshal(b, c.into) != nil {
		return errProtocol
	}
	return nil
}

func refusal(r *http.Response, method string) error {
	e := &Error{Status: r.StatusCode}
	if seconds, err := strconv.Atoi(r.Header.Get("Retry-After")); err == nil && seconds > 0 {
		e.after = min(time.Duration(min(seconds, 1<<20))*time.Second, MaxRetryAfter)
	}
	var body wire.Refusal
	if method == http.MethodHead { // has no body
		if e.Status == http.StatusNotFound {
			e.Code, e.Message = wire.CodeNotFound, "no such object"
		}
		return e
	}
	if wire.ReadJSON(r.Body, 16<<10, &body) == nil && len(body.Code) < 32 {
		e.Code, e.Message = printable(body.Code), printable(body.Message)
	}
	return e
}

// printable bounds what a gateway can make a vehicle print.
func printable(s string) string {
	s = s[:min(len(s), 300)]
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}

// untrustedPeer tells a gateway whose certificate is not good: trying again does not help.
func untrustedPeer(err error) bool {
	var bad *tls.CertificateVerificationError
	return errors.As(err, &bad)
}

// reply is an answer with its deadline, which ends at Close.
type reply struct {
	*http.Response
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
}

// why names the deadline if it was the cause.
func (r *reply) why(err error) error {
	if cause := context.Cause(r.ctx); errors.Is(cause, errSlow) {
		return errors.Join(errSlow, err)
	}
	return err
}

// Read implements io.Reader over the body. A body that ends early is io.ErrUnexpectedEOF.
func (r *reply) Read(p []byte) (int, error) {
	n, err := r.Body.Read(p)
	if err != nil && err != io.EOF {
		err = r.why(err)
	}
	return n, err
}

// Close ends the request.
func (r *reply) Close() error {
	r.timer.Stop()
	var err error
	if r.Response != nil {
		err = r.Body.Close()
	}
	r.cancel(nil)
	return err
}

func encode(message any) ([]byte, error) {
	if message == nil {
		return nil, nil
	}
	b, err := json.Marshal(message)
	if err != nil {
		return nil, fmt.Errorf("remote: %w", err)
	}
	return b, nil
}
