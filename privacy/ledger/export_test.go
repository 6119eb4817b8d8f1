package ledger

import (
	"context"
	"crypto/ed25519"
	"testing"
)

// ForceReserve appends a reservation without asking the budget, as a dishonest Collector does.
func ForceReserve(t testing.TB, l *Ledger, key ed25519.PrivateKey, req Request) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if won, err := l.put(t.Context(), key, &Entry{Kind: KindReserve, Request: req}); err != nil || !won {
		t.Fatal(won, err)
	}
}

// Publish stores what bundles and tiles are missing.
func Publish(ctx context.Context, l *Ledger) error {
	l.bundled = 0
	return l.publish(ctx)
}

// SignEntry encodes and signs an entry.
func SignEntry(e *Entry, scope ID, key ed25519.PrivateKey) []byte { return e.sign(scope, key) }

// EncodeEntry encodes an entry with the signature that it has.
func EncodeEntry(e *Entry) []byte { return e.envelope(e.appendBody([]byte(envelopeHead))) }

// For fuzzing and for logs that no Ledger would write.
var (
	SplitBundle  = splitBundle
	AppendBundle = appendBundle
)
