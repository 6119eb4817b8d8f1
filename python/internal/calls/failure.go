package calls

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"syscall"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/auditor"
	"github.com/veilsum/veilsum/pipeline/client"
	"github.com/veilsum/veilsum/pipeline/collector"
	"github.com/veilsum/veilsum/pipeline/decryptor"
	"github.com/veilsum/veilsum/pipeline/decryptor/record"
	"github.com/veilsum/veilsum/pipeline/state"
	"github.com/veilsum/veilsum/privacy"
	"github.com/veilsum/veilsum/privacy/accountant"
	"github.com/veilsum/veilsum/privacy/ledger"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/schema/arrowipc"
	"github.com/veilsum/veilsum/storage"
)

// The codes are the exit statuses of the program "veilsum"; unknown ones are failures.
const (
	codeFailed     = 1
	codeMistake    = 2
	codeBudget     = 4
	codeVerify     = 5
	codeDecryptors = 6
	codeNotReady   = 75
)

// Failure is why a call failed.
type Failure struct {
	Code    int    `json:"code"`
	Kind    string `json:"kind,omitempty"` // a narrower class of error in Python
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
	Reason  string `json:"reason,omitempty"` // of a refused report
	Report  any    `json:"report,omitempty"` // of a failed audit
}

func (f Failure) text() []byte {
	b, err := json.Marshal(f)
	if err != nil { // a number in the audit's report that JSON does not know
		f.Report = nil
		b, _ = json.Marshal(f)
	}
	return b
}

// caller is a mistake of the caller's.
type caller struct{ error }

func (c caller) Unwrap() error { return c.error }

func mistake(format string, args ...any) error { return caller{fmt.Errorf(format, args...)} }

// Malformed answers a call that cannot even be read.
func Malformed(err error) (status int, text []byte) {
	f := Failure{Code: codeMistake, Message: err.Error()}
	return f.Code, f.text()
}

// meaning is what a sentinel error means to the caller.
type meaning struct {
	err  error
	code int
	kind string
	hint string
}

// meanings in the order they are tried: the more telling one first.
var meanings = []meaning{
	{pipeline.ErrStore, codeFailed, "", `nothing was written; "veilsum store doctor" shows what is wrong`},
	{pipeline.ErrFormat, codeFailed, "", "use the version that made this store, or a newer one"},
	{auditor.ErrFlaw, codeVerify, "AuditFlaw", "nothing in this store is proven"},
	{auditor.ErrNothing, codeFailed, "", "check store and owner"},
	{ledger.ErrVoided, codeVerify, "", "this member votes no more in this scope: tell the privacy owner"},
	{pipeline.ErrFork, codeVerify, "", "two ledgers exist, or one was rolled back: tell the privacy owner, and keep both"},
	{pipeline.ErrBudget, codeBudget, "", "nothing was reserved or opened"},
	{pipeline.ErrLimit, codeBudget, "ParticipationLimit", "this client has given what the task allows for now, or for good"},
	{pipeline.ErrDecryptors, codeDecryptors, "", "wait for the missing committee members, then call again"},
	{pipeline.ErrTooFew, codeFailed, "TooFewReports", "the list is frozen, waiting does not help: abort the round and open the next epoch"},
	{pipeline.ErrOpened, codeFailed, "RoundExists", "a round's model cannot change: open the next epoch"},
	{pipeline.ErrKey, codeMistake, "", "pass the key of the role that the task names"},
	{accountant.ErrNoGuarantee, codeMistake, "", "raise noise_multiplier"},
	{accountant.ErrEvent, codeMistake, "", "no accountant has a bound for this event; it is not guessed"},
	{pipeline.ErrEnded, codeFailed, "RoundEnded", ""},
	{pipeline.ErrNotReady, codeNotReady, "", "call again later; nothing was changed"},
	{pipeline.ErrTask, codeMistake, "", ""},
	{client.ErrHistory, codeFailed, "", "a client that forgot what it gave must be enrolled anew in another scope"},
	{client.ErrFloor, codeVerify, "BelowFloor", "the client's owner set a floor; this task is below it"},
	{client.ErrEpoch, codeFailed, "EpochUsed", "one report per epoch: wait for the next round"},
	{client.ErrModel, codeFailed, "WrongModel", "pass the model that the round announces, or its hash"},
	{client.ErrExpired, codeFailed, "RoundExpired", "wait for the next round"},
	{client.ErrDamaged, codeVerify, "ReportRefused", ""},
	{state.ErrLocked, codeFailed, "Locked", "another process, or another object of this one, uses the directory"},
	{privacy.ErrNotFinite, codeMistake, "", "find where the training diverged, and send nothing this epoch"},
	{decryptor.ErrManifest, codeVerify, "", "this member votes for none of the proposed lists"},
	{decryptor.ErrForked, codeVerify, "", "two descriptors exist for one round: tell the privacy owner"},
	{decryptor.ErrRestored, codeFailed, "", "a member that forgot what it signed must not go on: tell the privacy owner"},
	{record.ErrDamaged, codeFailed, "", "a member without its record must not go on: tell the privacy owner"},
	{decryptor.ErrStale, codeVerify, "", "open the round with the newest snapshot"},
	{collector.ErrVoted, codeNotReady, "", "collect the round, or let its keys expire"},
	{arrowipc.ErrNotAuthentic, codeVerify, "", ""},
	{pipeline.ErrUntrusted, codeVerify, "", "an object is not what its signer made"},
	{schema.ErrSignature, codeVerify, "", ""},
	{schema.ErrFormat, codeVerify, "", ""},
	{storage.ErrConflict, codeFailed, "", "another writer was first and wrote other bytes; nothing was overwritten"},
	{storage.ErrNotExist, codeFailed, "NotFound", "check store, task and epoch"},
	{fs.ErrNotExist, codeFailed, "NotFound", ""},
	{syscall.ENOSPC, codeFailed, "", "the disk is full"},
}

// explain tells a caller what an error means.
func explain(ctx context.Context, err error) Failure {
	f := Failure{Code: codeFailed, Message: err.Error()}
	var own caller
	if errors.As(err, &own) {
		f.Code = codeMistake
		return f
	}
	for _, m := range meanings {
		if errors.Is(err, m.err) {
			f.Code, f.Kind, f.Hint = m.code, m.kind, m.hint
			break
		}
	}
	var refused *pipeline.Refused
	if errors.As(err, &refused) {
		f.Kind, f.Reason = "ReportRefused", refused.Reason
	}
	var flawed *flawError
	if errors.As(err, &flawed) {
		f.Report = flawed.report
	}
	if f.Code == codeFailed && f.Kind == "" && unreachable(err) {
		f.Code, f.Hint = codeNotReady, "the store cannot be reached; call again"
	}
	return f
}

// unreachable tells a link that is down.
func unreachable(err error) bool {
	var op *net.OpError
	var dns *net.DNSError
	return errors.As(err, &op) || errors.As(err, &dns) || errors.Is(err, context.DeadlineExceeded)
}
