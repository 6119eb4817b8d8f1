package exit_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/veilsum/veilsum/cmd/internal/exit"
)

var (
	errBudget = errors.New("budget")
	errOther  = errors.New("other")
	table     = []exit.Meaning{{Err: errBudget, Code: exit.Budget, Hint: "spend less"}, {Err: errOther, Code: exit.Failed, Hint: "try"}}
)

// TestExplain: the first meaning decides, a mistake and a given hint go before it.
func TestExplain(t *testing.T) {
	full := &os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}
	link := &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	for _, c := range []struct {
		err  error
		code int
		hint string
	}{
		{fmt.Errorf("a: %w", errBudget), exit.Budget, "spend less"},
		{errors.Join(errOther, errBudget), exit.Budget, "spend less"},
		{exit.WithHint(errBudget, "save %d", 2), exit.Budget, "save 2"},
		{fmt.Errorf("a: %w", exit.WithHint(errOther, "b")), exit.Failed, "b"},
		{exit.Usagef("flag %w", errBudget), exit.Mistake, ""},
		{fmt.Errorf("a: %w", &exit.Usage{Err: errOther, Hint: "c"}), exit.Mistake, "c"},
		{errors.New("unknown"), exit.Failed, ""},
		{fmt.Errorf("a: %w", full), exit.Failed, "the disk is full: free some space, then run this again; what was half written is removed"},
		{fmt.Errorf("a: %w", link), exit.NotReady, "the store cannot be reached; check --store and the link, then run this again"},
		{&os.PathError{Op: "open", Path: "x", Err: syscall.ENOENT}, exit.Failed, ""}, // a missing file is no broken link
		{fmt.Errorf("a: %w", &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}), exit.Failed, "nothing was sent; --store must name a host that the certificate is for, and --ca a file that vouches for a gateway's"},
		{context.DeadlineExceeded, exit.NotReady, "the store cannot be reached; check --store and the link, then run this again"},
	} {
		if code, hint := exit.Explain(context.Background(), c.err, table); code != c.code || hint != c.hint {
			t.Errorf("%v: %d %q, want %d %q", c.err, code, hint, c.code, c.hint)
		}
	}
}

// TestInterrupted: only the caller's own signal is an interruption.
func TestInterrupted(t *testing.T) {
	stopped, stop := context.WithCancel(context.Background())
	stop()
	if code, _ := exit.Explain(stopped, fmt.Errorf("a: %w", context.Canceled), table); code != exit.Interrupted {
		t.Error(code)
	}
	if code, hint := exit.Explain(stopped, exit.WithHint(context.Canceled, "go on"), table); code != exit.Interrupted || hint != "go on" {
		t.Error(code, hint)
	}
	if code, _ := exit.Explain(context.Background(), context.Canceled, table); code != exit.Failed {
		t.Error(code)
	}
	if code, _ := exit.Explain(stopped, errBudget, table); code != exit.Budget {
		t.Error(code)
	}
}
