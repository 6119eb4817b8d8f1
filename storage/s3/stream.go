package s3

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

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
	defer f.Close()
	if err := os.Remove(f.Name()); err != nil { // gone with the process, however it ends
		return nil, nil, err
	}
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
	content, err = syscall.Mmap(int(f.Fd()), 0, int(size), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return nil, nil, errors.Join(errors.New("map the spool file"), err)
	}
	return content, func() { _ = syscall.Munmap(content) }, nil
}

// onlyWriter hides ReadFrom, which would use a buffer of its own.
type onlyWriter struct{ io.Writer }
