package ledger

import (
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
