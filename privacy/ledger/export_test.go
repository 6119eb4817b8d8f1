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

// Builder makes a long log fast: it judges nothing and signs where it is told.
type Builder struct {
	scope   Scope
	entries [][]byte
	tree    tree
}

// NewBuilder starts with the opening entry.
func NewBuilder(scope Scope) *Builder {
	b := &Builder{scope: scope}
	b.add(scope.opening())
	return b
}

func (b *Builder) add(data []byte) {
	b.entries = append(b.entries, data)
	if err := b.tree.add(leafHash(data)); err != nil {
		panic(err)
	}
}

// Size returns the number of entries.
func (b *Builder) Size() int { return len(b.entries) }

// Add appends an entry.
func (b *Builder) Add(e *Entry, key ed25519.PrivateKey, sign bool) {
	e.Index, e.Prev = b.tree.size, ID(b.tree.leaf(b.tree.size-1))
	if sign {
		b.add(e.sign(b.scope.ID, key))
	} else {
		b.add(e.envelope(e.appendBody([]byte(envelopeHead))))
	}
}

// Singles writes single entries only, without a checkpoint.
func (b *Builder) Singles(put func(string, []byte)) {
	for i, e := range b.entries {
		put(EntryKey(int64(i)), e)
	}
}

// Store writes full bundles, the entries behind them and the last checkpoint.
func (b *Builder) Store(put func(string, []byte), key ed25519.PrivateKey) {
	n := len(b.entries) / bundleSize
	for i := range n {
		put(bundleKey(int64(i)), appendBundle(nil, b.entries[i*bundleSize:(i+1)*bundleSize]))
	}
	for i := n * bundleSize; i < len(b.entries); i++ {
		put(EntryKey(int64(i)), b.entries[i])
	}
	put(EntryKey(0), b.entries[0])
	root, err := b.tree.root(b.tree.size)
	if err != nil {
		panic(err)
	}
	c := Checkpoint{b.scope.Origin(), b.tree.size, root}
	data, err := c.Sign(key)
	if err != nil {
		panic(err)
	}
	put(CheckpointKey(c.Size), data)
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
