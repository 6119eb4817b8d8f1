package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/gateway/internal/wire"
	"github.com/veilsum/veilsum/storage"
)

// object is the call that reads a key. Models and deltas are for vehicles that have logged in to a round of the task.
func (s *Store) object(ctx context.Context, method, key string) (call, error) {
	if err := storage.CheckKey(key); err != nil {
		return call{}, err
	}
	if err := ctx.Err(); err != nil {
		return call{}, err
	}
	c := call{method: method, path: wire.PathObjects + key}
	if o, ok := pipeline.ParseObject(key); ok && (o.Kind == pipeline.KindModel || o.Kind == pipeline.KindDelta) {
		if c.session = s.sessionOf(o.Round.Task); c.session == nil {
			return call{}, fmt.Errorf("%w: log in to a round before its model is read", ErrRefused)
		}
	}
	return c, nil
}

// Get implements [storage.Store] for the public objects: tasks, round keys, descriptors, receipts, releases and,
// after a login, models and deltas. Reading goes on only while the link is faster than MinRate.
func (s *Store) Get(ctx context.Context, key string) (io.ReadCloser, storage.Info, error) {
	c, err := s.object(ctx, http.MethodGet, key)
	if err != nil {
		return nil, storage.Info{}, err
	}
	r, err := s.open(ctx, c)
	if err != nil {
		return nil, storage.Info{}, notFound(key, err)
	}
	info, err := info(key, r)
	if err != nil {
		r.Close()
		return nil, storage.Info{}, err
	}
	return r, info, nil
}

// GetRange implements [storage.Store].
func (s *Store) GetRange(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	if off < 0 || n < 0 || off > math.MaxInt64-n {
		return nil, fmt.Errorf("%w: %d bytes at %d", storage.ErrRange, n, off)
	}
	if n == 0 { // HTTP cannot ask for nothing
		have, err := s.Stat(ctx, key)
		if err == nil && off > have.Size {
			err = fmt.Errorf("%w: 0 bytes at %d of %d", storage.ErrRange, off, have.Size)
		}
		return io.NopCloser(strings.NewReader("")), err
	}
	c, err := s.object(ctx, http.MethodGet, key)
	if err != nil {
		return nil, err
	}
	c.header = map[string]string{"Range": fmt.Sprintf("bytes=%d-%d", off, off+n-1)}
	r, err := s.open(ctx, c)
	var e *Error
	if errors.As(err, &e) && e.Status == http.StatusRequestedRangeNotSatisfiable {
		return nil, fmt.Errorf("%w: %d bytes at %d", storage.ErrRange, n, off)
	}
	if err != nil {
		return nil, notFound(key, err)
	}
	var first, last, size int64
	_, err = fmt.Sscanf(r.Header.Get("Content-Range"), "bytes %d-%d/%d", &first, &last, &size)
	switch {
	case r.StatusCode != http.StatusPartialContent || err != nil || first != off:
		err = fmt.Errorf("%w: it does not honor the range", errProtocol)
	case n > size-off:
		err = fmt.Errorf("%w: %d bytes at %d of %d", storage.ErrRange, n, off, size)
	case r.ContentLength != n || last != off+n-1:
		err = fmt.Errorf("%w: it does not honor the range", errProtocol)
	default:
		return r, nil
	}
	r.Close()
	return nil, err
}

// Stat implements [storage.Store].
func (s *Store) Stat(ctx context.Context, key string) (storage.Info, error) {
	c, err := s.object(ctx, http.MethodHead, key)
	if err != nil {
		return storage.Info{}, err
	}
	r, err := s.open(ctx, c)
	if err != nil {
		return storage.Info{}, notFound(key, err)
	}
	defer r.Close()
	return info(key, r)
}

func info(key string, r *reply) (storage.Info, error) {
	if r.ContentLength < 0 {
		return storage.Info{}, fmt.Errorf("%w: %s has no length", errProtocol, key)
	}
	modified, _ := http.ParseTime(r.Header.Get("Last-Modified")) // for people
	if modified.IsZero() {
		modified = time.Now()
	}
	return storage.Info{Key: key, Size: r.ContentLength, Modified: modified}, nil
}

// notFound gives a missing object the store's own error.
func notFound(key string, err error) error {
	if errors.Is(err, storage.ErrNotExist) {
		return fmt.Errorf("%w: %q", storage.ErrNotExist, key)
	}
	return err
}
