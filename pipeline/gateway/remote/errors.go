package remote

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/gateway/internal/wire"
	"github.com/veilsum/veilsum/storage"
)

// ErrRefused: the gateway takes nothing from this vehicle in this round: it is not enrolled, its lane is
// another one, it has a report already, or the round takes none any more. Trying again does not help.
var ErrRefused = errors.New("remote: the gateway refuses this vehicle")

// errSlow ends a request that took longer than the slowest allowed link would.
var errSlow = errors.New("remote: the link is too slow or dead")

// Error is what a gateway answered instead of a success. It matches [ErrRefused], pipeline.ErrNotReady (try again
// later), or the storage error of the same meaning.
type Error struct {
	Status  int
	Code    string // of GATEWAY.md; "" if the answer was not a gateway's
	Message string
	after   time.Duration
}

// Error implements error.
func (e *Error) Error() string {
	if e.Code == "" {
		return fmt.Sprintf("remote: unexpected answer: %d %s", e.Status, http.StatusText(e.Status))
	}
	return fmt.Sprintf("remote: the gateway answers %d %s: %s", e.Status, e.Code, e.Message)
}

// Is matches the sentinel errors.
func (e *Error) Is(target error) bool {
	switch target {
	case ErrRefused:
		return e.Code == wire.CodeRefused || e.Code == wire.CodeLogin
	case pipeline.ErrNotReady:
		return e.Code == wire.CodeNotReady || e.again()
	case storage.ErrNotExist:
		return e.Code == wire.CodeNotFound
	case storage.ErrConflict:
		return e.Code == wire.CodeConflict
	case storage.ErrTooLarge:
		return e.Code == wire.CodeTooLarge
	}
	return false
}

// again tells whether the same request may succeed later. A digest that did not fit is damage on the way.
func (e *Error) again() bool {
	switch e.Code {
	case wire.CodeSlow, wire.CodeRate, wire.CodeUnavailable, wire.CodeDigest:
		return true
	}
	return e.Code == "" && (e.Status >= 500 || e.Status == http.StatusTooManyRequests || e.Status == http.StatusRequestTimeout)
}

// retriable tells whether a request may be sent again: after answers that say so, and after
// all failures of the link, but not when the caller gave up.
func retriable(ctx context.Context, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	var e *Error
	if errors.As(err, &e) {
		return e.again()
	}
	return !errors.Is(err, errProtocol) && !errors.Is(err, ErrRefused) && !untrustedPeer(err)
}

// errProtocol: the other side is no gateway of this version.
var errProtocol = errors.New("remote: not a gateway's answer")

func isDamage(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == wire.CodeDigest
}
