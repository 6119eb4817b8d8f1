package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/gateway/internal/wire"
	"github.com/veilsum/veilsum/storage"
)

// refusal is an error that is told to the vehicle; its cause is not.
type refusal struct {
	code    string
	message string
	after   int // seconds, 0: no Retry-After
	cause   error
}

// Error implements error.
func (r *refusal) Error() string { return "gateway: " + r.code + ": " + r.message }

// Unwrap returns the cause.
func (r *refusal) Unwrap() error { return r.cause }

func refuse(code, format string, args ...any) error {
	return &refusal{code: code, message: fmt.Sprintf(format, args...)}
}

// retrySeconds is when a vehicle may come again after a 429 or 503; it adds jitter of its own.
const retrySeconds = 5

func unavailable(cause error, message string) error {
	return &refusal{code: wire.CodeUnavailable, message: message, after: retrySeconds, cause: cause}
}

var statuses = map[string]int{
	wire.CodeMalformed: http.StatusBadRequest, wire.CodeLogin: http.StatusUnauthorized, wire.CodeRefused: http.StatusForbidden,
	wire.CodeNotFound: http.StatusNotFound, wire.CodeNoMethod: http.StatusMethodNotAllowed, wire.CodeSlow: http.StatusRequestTimeout,
	wire.CodeConflict: http.StatusConflict, wire.CodeLength: http.StatusLengthRequired, wire.CodeIncomplete: http.StatusPreconditionFailed,
	wire.CodeTooLarge: http.StatusRequestEntityTooLarge, wire.CodeRange: http.StatusRequestedRangeNotSatisfiable, wire.CodeGateway: http.StatusMisdirectedRequest,
	wire.CodeDigest: http.StatusUnprocessableEntity, wire.CodeNotReady: http.StatusTooEarly, wire.CodeAnnounce: http.StatusPreconditionRequired,
	wire.CodeRate: http.StatusTooManyRequests, wire.CodeUnavailable: http.StatusServiceUnavailable,
}

// refuse answers with the error and returns its code. What is no refusal is a store that fails.
func (g *Gateway) refuse(x *exchange, err error) string {
	var r *refusal
	if !errors.As(err, &r) {
		r = &refusal{code: wire.CodeUnavailable, message: "the store does not answer", after: retrySeconds, cause: err}
	}
	if x.status != 0 { // an answer is under way: it ends short of its length
		return r.code
	}
	body, err := json.Marshal(wire.Refusal{Code: r.code, Message: r.message})
	if err != nil { // two strings: impossible
		body = nil
	}
	h := x.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if r.after > 0 {
		h.Set("Retry-After", strconv.Itoa(r.after))
	}
	x.answering()
	x.WriteHeader(statuses[r.code])
	if x.request.Method != http.MethodHead {
		_, _ = x.Write(body) // a client that is gone needs no answer
	}
	return r.code
}

// causeOf is what the operator is told of a refusal, or of a store that fails, beyond the answer. It
// quotes no body.
func causeOf(err error) error {
	var r *refusal
	if errors.As(err, &r) {
		return r.cause
	}
	return err
}

// bodyError tells a vehicle's mistake from a store that fails, after a body was streamed into the store. A
// store's connection may break as a vehicle's does: only what the guard of the body, or the comparison with the digest, says is
// told to the vehicle, which would give up.
func bodyError(err error) error {
	var r *refusal
	switch {
	case errors.As(err, &r):
		return r
	case errors.Is(err, errBody) && errors.Is(err, os.ErrDeadlineExceeded):
		return &refusal{code: wire.CodeSlow, message: "the body came too slowly", after: retrySeconds} // the cause names addresses
	case errors.Is(err, errBody):
		return refuse(wire.CodeMalformed, "the body ended early")
	case errors.Is(err, storage.ErrDigest):
		return refuse(wire.CodeDigest, "the bytes are not those of %s", wire.HeaderDigest)
	case errors.Is(err, storage.ErrConflict):
		return refuse(wire.CodeConflict, "other bytes have this name")
	case errors.Is(err, context.Canceled):
		return unavailable(err, "canceled")
	}
	return err
}

// roundError tells the vehicle why a round cannot be had.
func roundError(err error) error {
	switch {
	case errors.Is(err, pipeline.ErrNotReady):
		return &refusal{code: wire.CodeNotReady, message: "the round is not open", after: retrySeconds, cause: err}
	case errors.Is(err, storage.ErrNotExist), errors.Is(err, errTask):
		return &refusal{code: wire.CodeNotFound, message: "no such task or round", cause: err}
	case errors.Is(err, pipeline.ErrEnded):
		return &refusal{code: wire.CodeRefused, message: "the round has ended", cause: err}
	case errors.Is(err, pipeline.ErrUntrusted):
		return &refusal{code: wire.CodeRefused, message: "the round's objects do not verify", cause: err}
	}
	return err
}
