// Package body has the reader that all drivers hand out: it delivers exactly
// the announced number of bytes or an error, and stops when its context ends.
package body

import (
	"context"
	"fmt"
	"io"
)

// Reader delivers exactly size bytes of the reader it wraps.
type Reader struct {
	ctx    context.Context
	r      io.ReadCloser
	left   int64
	verify func() error
	done   error
}

// New wraps r, of which size bytes are due. After the last byte verify (if not
// nil) decides whether the end is io.EOF or its error.
func New(ctx context.Context, r io.ReadCloser, size int64, verify func() error) *Reader {
	return &Reader{ctx: ctx, r: r, left: size, verify: verify}
}

// Read implements [io.Reader]. A source that ends early gives
// io.ErrUnexpectedEOF, one that goes on too long an error.
func (b *Reader) Read(p []byte) (int, error) {
	if b.done != nil {
		return 0, b.done
	}
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	if len(p) == 0 {
		return 0, nil
	}
	if b.left == 0 {
		b.done = b.end()
		return 0, b.done
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	if err == io.EOF {
		err = nil // end decides; left tells whether it came too early
		if b.left > 0 {
			err = io.ErrUnexpectedEOF
		}
	}
	if err != nil {
		b.done = err
	}
	return n, err
}

// end is asked once, when all bytes were delivered.
func (b *Reader) end() error {
	var extra [1]byte
	n, err := io.ReadFull(b.r, extra[:])
	if n > 0 {
		return fmt.Errorf("storage: more bytes than announced")
	}
	if err != io.EOF {
		return err
	}
	if b.verify != nil {
		if err := b.verify(); err != nil {
			return err
		}
	}
	return io.EOF
}

// Close closes the wrapped reader.
func (b *Reader) Close() error { return b.r.Close() }
