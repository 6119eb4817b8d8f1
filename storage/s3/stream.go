package s3

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"

	"github.com/veilsum/veilsum/storage"
)

var _ storage.Streamer = (*Store)(nil)

// PutOnceFrom implements [storage.Streamer]. Size and hash are part of the signed request, so the body is
// spooled first, to a file without a name in the directory of temporary files (TMPDIR), and sent from there. Nothing is sent
// before the hash was right.
func (s *Store) PutOnceFrom(ctx context.Context, key string, size int64, sum [sha256.Size]byte, r io.Reader) (storage.Outcome, error) {
	if _, err := s.object(key); err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	content, done, err := spool(size, sum, r)
	if err != nil {
		return 0, fmt.Errorf("s3: put %q: %w", key, err)
	}
	defer done()
	return s.PutOnce(ctx, key, content)
}

// spool writes a stream to a file and returns it as memory that the system may drop and read again.
// It is valid until done is called; PutOnce reads nothing after it returned.
func spool(size int64, sum [sha256.Size]byte, r io.Reader) (content []byte, done func(), err error) {
	f, err := os.CreateTemp("", "veilsum-spool-")
	if err != nil {
		return nil, nil, err
	}
	// Without a name it is gone with the process, however that ends; where open files keep theirs, it goes later.
	_ = os.Remove(f.Name())
	defer func() { _ = f.Close(); _ = os.Remove(f.Name()) }()
	c := storage.NewChecker(r, size, sum)
	if _, err := io.CopyBuffer(onlyWriter{f}, c, make([]byte, 16<<10)); err != nil {
		return nil, nil, err
	}
	if err := c.End(); err != nil {
		return nil, nil, err
	}
	if size == 0 {
		return nil, func() {}, nil
	}
	if int64(int(size)) != size {
		return nil, nil, storage.ErrTooLarge
	}
	return mapFile(f, int(size))
}

// onlyWriter hides ReadFrom, which would use a buffer of its own.
type onlyWriter struct{ io.Writer }
