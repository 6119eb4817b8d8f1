package ledger

import (
	"context"
	"fmt"
	"iter"
)

// Outcome says how a PutOnce ended. The zero value accompanies errors.
type Outcome int

// The outcomes of [Objects.PutOnce].
const (
	// Created: this call created the object.
	Created Outcome = iota + 1
	// Identical: the key already held exactly these bytes.
	Identical
	// Conflict: the key holds other bytes, and keeps them.
	Conflict
)

// Objects is what the ledger needs of a store: create-only objects under keys
// that are relative to the scope (the caller's adapter puts a prefix that names
// the scope before them). Of racing writers of one key exactly one MUST be told
// Created or Identical, and what the key then holds MUST survive a crash. An error of
// PutOnce means "unknown, ask again". All methods MUST be safe for concurrent use.
// The objects MUST NOT be deleted: create-only is what puts the entries in order.
//
// The store is trusted for progress only: whatever it shows is verified.
type Objects interface {
	// PutOnce creates key with exactly body, or says what holds it.
	PutOnce(ctx context.Context, key string, body []byte) (Outcome, error)

	// Get reads a whole object of at most limit bytes (more is an error). A
	// missing key is an error that matches io/fs.ErrNotExist.
	Get(ctx context.Context, key string, limit int64) ([]byte, error)

	// List yields the keys that start with prefix and are greater than
	// startAfter, in byte order. An error is yielded last.
	List(ctx context.Context, prefix, startAfter string) iter.Seq2[string, error]
}

// The names of objects, relative to the scope.
const (
	entryPrefix      = "entry/"
	checkpointPrefix = "checkpoint/"
	maxIndex         = 999_999_999_999 // 12 digits, so that names sort as numbers do
	maxEntry         = 4 << 10         // bytes of one entry; C2SP bundles allow 65535
	maxNote          = 64 << 10        // bytes of a checkpoint with all its signatures
)

// EntryKey is where entry i lies; creating it is what appends.
func EntryKey(i int64) string { return fmt.Sprintf("%s%012d", entryPrefix, i) }

// CheckpointKey is where the signed checkpoint of the first size entries lies.
func CheckpointKey(size int64) string { return fmt.Sprintf("%s%012d", checkpointPrefix, size) }
