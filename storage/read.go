package storage

import (
	"context"
	"fmt"
	"io"
)

// ReadAll returns the bytes of an object of at most max bytes; a larger one is
// refused with [ErrTooLarge] before any of it is read. It checks that the store
// delivers as many bytes as it announced.
func ReadAll(ctx context.Context, s Store, key string, max int64) ([]byte, error) {
	return ReadInto(ctx, s, key, max, nil)
}

// ReadInto is [ReadAll] into the memory of buf, if it has room for the object.
func ReadInto(ctx context.Context, s Store, key string, max int64, buf []byte) ([]byte, error) {
	r, info, err := s.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if info.Size < 0 || info.Size > max {
		return nil, fmt.Errorf("%w: %q has %d bytes, at most %d are accepted", ErrTooLarge, key, info.Size, max)
	}
	body := buf[:0]
	if int64(cap(body)) < info.Size {
		body = make([]byte, info.Size)
	}
	body = body[:info.Size]
	if n, err := io.ReadFull(r, body); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("storage: read %q: %d of %d bytes: %w", key, n, info.Size, err)
	}
	// One more read: some stores can only vouch for the content at its end.
	if n, err := io.ReadFull(r, make([]byte, 1)); err != io.EOF {
		if n > 0 {
			return nil, fmt.Errorf("storage: read %q: more than the announced %d bytes", key, info.Size)
		}
		return nil, fmt.Errorf("storage: read %q: %w", key, err)
	}
	return body, nil
}
