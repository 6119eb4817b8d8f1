package dir

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/veilsum/veilsum/storage"
)

var _ storage.Streamer = (*Store)(nil)

// A stream is in memory through one buffer: a small one while it waits for bytes, so that thousands of slow
// streams take little, and one of the size of a TLS record while more has arrived than that.
const (
	slowBuffer   = 2 << 10
	streamBuffer = 16 << 10
)

var streamBuffers = sync.Pool{New: func() any { return new([streamBuffer]byte) }}

// PutOnceFrom implements [storage.Streamer]: the content goes through one small buffer into the
// temporary file, and gets its name only if its hash is right. A key that exists is compared without
// reading r.
func (s *Store) PutOnceFrom(ctx context.Context, key string, size int64, sum [sha256.Size]byte, r io.Reader) (storage.Outcome, error) {
	if err := check(ctx, key); err != nil {
		return 0, err
	}
	if err := s.makeParents(key); err != nil {
		return 0, err
	}
	if _, err := os.Lstat(s.path(key)); err == nil {
		return s.compare(ctx, key, sum)
	}
	temp, err := s.writeTemp(func(w io.Writer) error { return stream(ctx, w, storage.NewChecker(r, size, sum)) })
	if err != nil {
		return 0, fmt.Errorf("dir: write %q: %w", key, err)
	}
	return s.publish(ctx, key, temp, func() [sha256.Size]byte { return sum })
}

func stream(ctx context.Context, w io.Writer, c *storage.Checker) error {
	small := make([]byte, slowBuffer)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := c.Read(small)
		if _, failed := w.Write(small[:n]); failed != nil {
			return failed
		}
		if err == nil && n == len(small) {
			err = burst(w, c)
		}
		if err == io.EOF {
			return c.End()
		}
		if err != nil {
			return err
		}
	}
}

// burst copies with the large buffer for as long as the stream fills it.
func burst(w io.Writer, c *storage.Checker) error {
	buf := streamBuffers.Get().(*[streamBuffer]byte)
	defer streamBuffers.Put(buf)
	for {
		n, err := c.Read(buf[:])
		if _, failed := w.Write(buf[:n]); failed != nil {
			return failed
		}
		if err != nil || n < len(buf) {
			return err
		}
	}
}
