// Package exit is how our programs end: the table of exit statuses, mistakes
// of the caller, and what each sentinel error means with its cure.
//
// A program has a table of [Meaning]s and calls [Explain] once, in main.
package exit

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"syscall"
)

// The exit statuses. Unknown ones must be read as failure.
const (
	Done        = 0
	Failed      = 1
	Mistake     = 2   // on the command line or in a file of the caller's
	Refused     = 3   // done, but some reports were refused or came too late
	Budget      = 4   // privacy budget or participation limit would be exceeded
	Verify      = 5   // an object does not verify
	Decryptors  = 6   // not enough decryptors
	NotReady    = 75  // try later
	Interrupted = 130 // SIGINT or SIGTERM
)

// Help is the section of every command's help that explains the statuses.
const Help = `
EXIT STATUS
  0 done   1 failed   2 usage   3 done, some reports refused   4 privacy budget or participation
  limit would be exceeded   5 verification failed   6 not enough decryptors
  75 not ready, try later   130 interrupted. Read any other as failure.`

// Usage is a mistake on the command line or in a file of the caller's.
type Usage struct {
	Err  error
	Hint string // how to cure it; may be empty
}

// Error implements error.
func (u *Usage) Error() string { return u.Err.Error() }

// Unwrap returns the cause.
func (u *Usage) Unwrap() error { return u.Err }

// Usagef returns a mistake without a hint.
func Usagef(format string, args ...any) error { return &Usage{Err: fmt.Errorf(format, args...)} }

// hinted adds a cure to an error.
type hinted struct {
	error
	hint string
}

// Unwrap returns the error without the hint.
func (h hinted) Unwrap() error { return h.error }

// WithHint adds a cure to an error.
func WithHint(err error, format string, args ...any) error {
	return hinted{err, fmt.Sprintf(format, args...)}
}

// Meaning is what a sentinel error means to the caller of the program.
type Meaning struct {
	Err  error
	Code int
	Hint string
}

// Explain returns the exit status of an error and how to cure it. The table is
// tried in order, so the more telling errors come first.
func Explain(ctx context.Context, err error, table []Meaning) (code int, hint string) {
	var h hinted
	given := errors.As(err, &h)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		if given {
			return Interrupted, h.hint
		}
		return Interrupted, "run the same command again: a step that was done is not done twice"
	}
	var u *Usage
	if errors.As(err, &u) {
		return Mistake, u.Hint
	}
	code = Failed
	for _, m := range table {
		if errors.Is(err, m.Err) {
			code, hint = m.Code, m.Hint
			break
		}
	}
	switch {
	case code == Failed && untrusted(err):
		hint = "nothing was sent; --store must name a host that the certificate is for, and --ca a file that vouches for a gateway's"
	case code == Failed && unreachable(err):
		code, hint = NotReady, "the store cannot be reached; check --store and the link, then run this again"
	case code == Failed && (errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)):
		hint = "the disk is full: free some space, then run this again; what was half written is removed"
	}
	if given {
		hint = h.hint
	}
	return code, hint
}

// untrusted tells a server whose certificate was not accepted.
func untrusted(err error) bool {
	var cert *tls.CertificateVerificationError
	return errors.As(err, &cert)
}

// unreachable tells a link that is down. (Every syscall.Errno calls itself a
// net.Error, so that interface would take a missing file for a broken link.)
func unreachable(err error) bool {
	var op *net.OpError
	var dns *net.DNSError
	return errors.As(err, &op) || errors.As(err, &dns) || errors.Is(err, context.DeadlineExceeded)
}
