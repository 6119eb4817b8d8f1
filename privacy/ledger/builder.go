package ledger

import "crypto/ed25519"

// Builder makes a long log fast, for tests and measurements: it judges nothing and
// signs only where it is told, so no role uses it. An [Audit] of what it made says
// what that is worth. Not safe for concurrent use.
type Builder struct {
	scope   Scope
	entries [][]byte
	tree    tree
	err     error
}

// NewBuilder starts with the opening entry.
func NewBuilder(scope Scope) *Builder {
	b := &Builder{scope: scope}
	b.add(scope.opening())
	return b
}

func (b *Builder) add(data []byte) {
	if b.err != nil {
		return
	}
	b.entries = append(b.entries, data)
	b.err = b.tree.add(leafHash(data))
}

// Size returns the number of entries.
func (b *Builder) Size() int { return len(b.entries) }

// Add appends an entry. Its index and the hash of the one before are filled in.
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

// Store writes full bundles, the entries behind them and the last checkpoint. The error is
// the first of the whole log.
func (b *Builder) Store(put func(string, []byte), key ed25519.PrivateKey) error {
	if b.err != nil {
		return b.err
	}
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
		return err
	}
	c := Checkpoint{b.scope.Origin(), b.tree.size, root}
	data, err := c.Sign(key)
	if err != nil {
		return err
	}
	put(CheckpointKey(c.Size), data)
	return nil
}
