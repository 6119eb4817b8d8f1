package ledger

import (
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// leafHash is the RFC 6962 hash of an entry.
func leafHash(entry []byte) tlog.Hash { return tlog.RecordHash(entry) }

// tree holds the hashes of all complete subtrees of a log, in the order of
// tlog.StoredHashIndex: 64 bytes an entry.
type tree struct {
	size   int64
	stored []tlog.Hash
}

// add appends a leaf.
func (t *tree) add(leaf tlog.Hash) error {
	h, err := tlog.StoredHashesForRecordHash(t.size, leaf, t)
	if err != nil {
		return err
	}
	t.stored = append(t.stored, h...)
	t.size++
	return nil
}

// ReadHashes implements tlog.HashReader.
func (t *tree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		if x < 0 || x >= int64(len(t.stored)) {
			return nil, fmt.Errorf("ledger: hash %d of %d", x, len(t.stored))
		}
		out[i] = t.stored[x]
	}
	return out, nil
}

// root returns the hash of the tree of the first size entries.
func (t *tree) root(size int64) (ID, error) {
	h, err := tlog.TreeHash(size, t)
	return ID(h), err
}

// leaf returns the hash of entry i.
func (t *tree) leaf(i int64) tlog.Hash { return t.stored[tlog.StoredHashIndex(0, i)] }
