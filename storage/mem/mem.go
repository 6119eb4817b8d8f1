// Package mem is a [storage.Store] in the memory of one process, for tests and
// examples. It keeps every promise except durability.
package mem

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/veilsum/veilsum/storage"
	"github.com/veilsum/veilsum/storage/internal/body"
)

// Store is an in-memory store. It is safe for concurrent use. Make one with New.
type Store struct {
	mu      sync.RWMutex
	objects map[string]object
	keys    []string // sorted, the keys of objects
}

type object struct {
	body     []byte // never changed
	modified time.Time
}

var _ storage.Store = (*Store)(nil)

// New returns an empty store.
func New() *Store { return &Store{objects: make(map[string]object)} }

// String returns "mem:".
func (s *Store) String() string { return "mem:" }

// PutOnce implements [storage.Store].
func (s *Store) PutOnce(ctx context.Context, key string, content []byte) (storage.Outcome, error) {
	if err := check(ctx, key); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if have, ok := s.objects[key]; ok {
		if bytes.Equal(have.body, content) {
			return storage.Identical, nil
		}
		return 0, &storage.ConflictError{Key: key, Have: sha256.Sum256(have.body), Want: sha256.Sum256(content)}
	}
	if err := s.fits(key); err != nil {
		return 0, err
	}
	at, _ := slices.BinarySearch(s.keys, key)
	s.keys = slices.Insert(s.keys, at, key)
	s.objects[key] = object{body: bytes.Clone(content), modified: time.Now()}
	return storage.Created, nil
}

// fits refuses what a directory could not hold, so that code tested here does
// not fail there: a key that is also the folder of another.
func (s *Store) fits(key string) error {
	for i := range len(key) {
		if key[i] != '/' {
			continue
		}
		if _, ok := s.objects[key[:i]]; ok {
			return fmt.Errorf("%w: %q lies below the object %q", storage.ErrKey, key, key[:i])
		}
	}
	at, _ := slices.BinarySearch(s.keys, key+"/")
	if at < len(s.keys) && strings.HasPrefix(s.keys[at], key+"/") {
		return fmt.Errorf("%w: %q lies above the object %q", storage.ErrKey, key, s.keys[at])
	}
	return nil
}

// Get implements [storage.Store].
func (s *Store) Get(ctx context.Context, key string) (io.ReadCloser, storage.Info, error) {
	have, err := s.find(ctx, key)
	if err != nil {
		return nil, storage.Info{}, err
	}
	return reader(ctx, have.body), have.info(key), nil
}

// GetRange implements [storage.Store].
func (s *Store) GetRange(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	have, err := s.find(ctx, key)
	if err != nil {
		return nil, err
	}
	size := int64(len(have.body))
	if off < 0 || n < 0 || off > size || n > size-off {
		return nil, fmt.Errorf("%w: %d bytes at %d of %d", storage.ErrRange, n, off, size)
	}
	return reader(ctx, have.body[off:off+n]), nil
}

// Stat implements [storage.Store].
func (s *Store) Stat(ctx context.Context, key string) (storage.Info, error) {
	have, err := s.find(ctx, key)
	if err != nil {
		return storage.Info{}, err
	}
	return have.info(key), nil
}

// List implements [storage.Store]. The lock is not held while the caller works.
func (s *Store) List(ctx context.Context, prefix, startAfter string) iter.Seq2[storage.Info, error] {
	return func(yield func(storage.Info, error) bool) {
		for after := startAfter; ; {
			if err := ctx.Err(); err != nil {
				yield(storage.Info{}, err)
				return
			}
			info, ok := s.next(prefix, after)
			if !ok || !yield(info, nil) {
				return
			}
			after = info.Key
		}
	}
}

// next returns the first object with the prefix after the key.
func (s *Store) next(prefix, after string) (storage.Info, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	at, found := slices.BinarySearch(s.keys, max(prefix, after))
	if found && after >= prefix {
		at++
	}
	if at == len(s.keys) || !strings.HasPrefix(s.keys[at], prefix) {
		return storage.Info{}, false
	}
	return s.objects[s.keys[at]].info(s.keys[at]), true
}

// Delete implements [storage.Store].
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := check(ctx, key); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if at, found := slices.BinarySearch(s.keys, key); found {
		s.keys = slices.Delete(s.keys, at, at+1)
		delete(s.objects, key)
	}
	return nil
}

func (s *Store) find(ctx context.Context, key string) (object, error) {
	if err := check(ctx, key); err != nil {
		return object{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	have, ok := s.objects[key]
	if !ok {
		return object{}, fmt.Errorf("%w: %q", storage.ErrNotExist, key)
	}
	return have, nil
}

func (o object) info(key string) storage.Info {
	return storage.Info{Key: key, Size: int64(len(o.body)), Modified: o.modified}
}

func reader(ctx context.Context, content []byte) io.ReadCloser {
	return body.New(ctx, io.NopCloser(bytes.NewReader(content)), int64(len(content)), nil)
}

func check(ctx context.Context, key string) error {
	if err := storage.CheckKey(key); err != nil {
		return err
	}
	return ctx.Err()
}
