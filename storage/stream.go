package storage

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
)

// Streamer is a [Store] that takes an object from a reader, in bounded memory whatever its size.
// Use [PutOnceFrom], which works with any store.
type Streamer interface {
	Store
	// PutOnceFrom is PutOnce of the size bytes that r delivers, whose SHA-256 is sum.
	// If r fails, ends early, goes on too long or delivers other bytes, nothing is created, and the
	// error matches r's, io.ErrUnexpectedEOF, ErrTooLarge or ErrDigest. If the key is taken already r may
	// not be read at all: size and sum tell what this writer means.
	PutOnceFrom(ctx context.Context, key string, size int64, sum [sha256.Size]byte, r io.Reader) (Outcome, error)
}

// PutOnceFrom creates key with the size bytes that r delivers, as [Streamer] has it. For a
// store that is none the object is held in memory.
func PutOnceFrom(ctx context.Context, s Store, key string, size int64, sum [sha256.Size]byte, r io.Reader) (Outcome, error) {
	if x, ok := s.(Streamer); ok {
		return x.PutOnceFrom(ctx, key, size, sum, r)
	}
	c := NewChecker(r, size, sum)
	body := make([]byte, size)
	if _, err := io.ReadFull(c, body); err != nil {
		return 0, fmt.Errorf("storage: put %q: %w", key, unexpected(err))
	}
	if err := c.End(); err != nil {
		return 0, fmt.Errorf("storage: put %q: %w", key, err)
	}
	return s.PutOnce(ctx, key, body)
}

// Checker delivers at most size bytes of a reader and compares them with a SHA-256.
type Checker struct {
	r    io.Reader
	left int64
	h    hash.Hash
	sum  [sha256.Size]byte
}

// NewChecker returns a Checker for r, which has to deliver size bytes with the SHA-256 sum.
func NewChecker(r io.Reader, size int64, sum [sha256.Size]byte) *Checker {
	return &Checker{r: r, left: size, h: sha256.New(), sum: sum}
}

// Read implements [io.Reader]. It never delivers more than size bytes; io.EOF comes after size bytes or too early: call End.
func (c *Checker) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, io.EOF
	}
	n, err := c.r.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	c.h.Write(p[:n])
	return n, err
}

// End returns nil if exactly the promised bytes were read and the reader is at its end.
func (c *Checker) End() error {
	if c.left > 0 {
		return io.ErrUnexpectedEOF
	}
	var extra [1]byte
	switch n, err := io.ReadFull(c.r, extra[:]); {
	case n > 0:
		return fmt.Errorf("%w: more bytes than announced", ErrTooLarge)
	case err != io.EOF:
		return err
	}
	if [sha256.Size]byte(c.h.Sum(nil)) != c.sum {
		return ErrDigest
	}
	return nil
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
