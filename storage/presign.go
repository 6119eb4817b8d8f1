package storage

import (
	"context"
	"crypto/sha256"
	"time"
)

// Presigner is a [Store] that can let somebody without credentials create one object.
type Presigner interface {
	Store
	// PresignPut returns a URL, valid for the given time, and header fields. Whoever sends a PUT of size bytes with the
	// SHA-256 sum to the URL, with exactly these fields, creates key; other bytes and a key
	// that exists are refused by the store. It is a credential: never log it.
	PresignPut(ctx context.Context, key string, size int64, sum [sha256.Size]byte, life time.Duration) (url string, header map[string]string, err error)
}
