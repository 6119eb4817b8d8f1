package storage

import (
	"crypto/sha256"
	"errors"
	"fmt"
)

var (
	// ErrNotExist: no object has this key.
	ErrNotExist = errors.New("storage: object does not exist")
	// ErrConflict: other bytes hold the key. See [ConflictError].
	ErrConflict = errors.New("storage: key is taken by other bytes")
	// ErrKey: the string is no key, or the store cannot hold it beside the keys
	// it has.
	ErrKey = errors.New("storage: bad key")
	// ErrTooLarge: the object is larger than the reader or the store accepts.
	ErrTooLarge = errors.New("storage: object too large")
	// ErrDamaged: the object is there but cannot be read as it was written: its
	// content differs from its checksum, or the store refuses this one object.
	// Whoever wrote it is to blame, not the store; to a protocol it is as if absent.
	ErrDamaged = errors.New("storage: object is damaged")
	// ErrDigest: the bytes to be written are not those that their writer announced.
	ErrDigest = errors.New("storage: bytes differ from their SHA-256")
	// ErrLies: the store breaks a promise of [Store], such as that it overwrites.
	ErrLies = errors.New("storage: the store breaks a promise")
	// ErrRange: the range is not wholly inside the object.
	ErrRange = errors.New("storage: range outside the object")
)

// ConflictError is returned (as *ConflictError) by [Store.PutOnce] when the key
// holds other bytes. It matches [ErrConflict].
type ConflictError struct {
	Key  string
	Have [sha256.Size]byte // SHA-256 of the winner; all zero if unknown
	Want [sha256.Size]byte // SHA-256 of the loser, the body of this call
}

// Error names the key and both hashes.
func (e *ConflictError) Error() string {
	have := "unknown"
	if e.Have != [sha256.Size]byte{} {
		have = fmt.Sprintf("%x", e.Have)
	}
	return fmt.Sprintf("storage: key %q is taken by other bytes (sha256 %s, not %x)", e.Key, have, e.Want)
}

// Is makes errors.Is(err, ErrConflict) true.
func (e *ConflictError) Is(target error) bool { return target == ErrConflict }
