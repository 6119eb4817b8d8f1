package dir

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/veilsum/veilsum/storage"
)

// chunk is how much is written between two looks at the context.
const chunk = 1 << 20

// PutOnce implements [storage.Store]. Order matters: the content is on disk
// before the name exists, and the name before PutOnce returns.
func (s *Store) PutOnce(ctx context.Context, key string, content []byte) (storage.Outcome, error) {
	if err := check(ctx, key); err != nil {
		return 0, err
	}
	if err := s.makeParents(key); err != nil {
		return 0, err
	}
	// The common retry: do not write it all just to be told.
	if _, err := os.Lstat(s.path(key)); err == nil {
		return s.compare(ctx, key, sha256.Sum256(content))
	}
	temp, err := s.writeTemp(func(f io.Writer) error { return writeChunks(ctx, f, content) })
	if err != nil {
		return 0, fmt.Errorf("dir: write %q: %w", key, err)
	}
	return s.publish(ctx, key, temp, func() [sha256.Size]byte { return sha256.Sum256(content) })
}

// publish gives a complete temporary file its name, or says who has it.
func (s *Store) publish(ctx context.Context, key, temp string, sum func() [sha256.Size]byte) (storage.Outcome, error) {
	defer os.Remove(temp)
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	err := s.link(temp, s.path(key))
	if errors.Is(err, fs.ErrNotExist) { // somebody tidied up a folder we knew
		s.forget()
		if err := s.makeParents(key); err != nil {
			return 0, err
		}
		err = s.link(temp, s.path(key))
	}
	if errors.Is(err, fs.ErrExist) {
		return s.compare(ctx, key, sum())
	}
	if err != nil {
		return 0, fmt.Errorf("dir: link %q: %w", key, err)
	}
	if err := s.syncDir(filepath.Dir(s.path(key))); err != nil {
		return 0, err
	}
	return storage.Created, nil
}

// writeTemp writes and syncs a temporary file and returns its path.
func (s *Store) writeTemp(write func(io.Writer) error) (string, error) {
	f, err := s.newTemp()
	if err != nil {
		return "", err
	}
	err = write(f)
	if err == nil && s.sync != nil {
		err = s.sync(f)
	}
	// A failed close may be the only news of a failed write.
	err = errors.Join(err, f.Close())
	if err != nil {
		os.Remove(f.Name())
		return "", err
	}
	return f.Name(), nil
}

func writeChunks(ctx context.Context, w io.Writer, content []byte) error {
	for len(content) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := w.Write(content[:min(chunk, len(content))])
		if err != nil {
			return err
		}
		content = content[n:]
	}
	return nil
}

// compare tells the loser of a race what won. The directory is synced first: the
// winner may not have come to that yet, and what we report must last.
func (s *Store) compare(ctx context.Context, key string, want [sha256.Size]byte) (storage.Outcome, error) {
	f, info, err := s.open(ctx, key)
	if errors.Is(err, storage.ErrNotExist) {
		return 0, s.notAnObject(key)
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if err := s.syncDir(filepath.Dir(s.path(key))); err != nil {
		return 0, err
	}
	hash := sha256.New()
	if n, err := io.Copy(hash, f); err != nil || n != info.Size {
		return 0, fmt.Errorf("dir: compare %q: read %d of %d bytes: %w", key, n, info.Size, errors.Join(err, ctx.Err()))
	}
	have := [sha256.Size]byte(hash.Sum(nil))
	if have == want {
		return storage.Identical, nil
	}
	return 0, &storage.ConflictError{Key: key, Have: have, Want: want}
}

// notAnObject explains a name that exists but is no object.
func (s *Store) notAnObject(key string) error {
	if fi, err := os.Lstat(s.path(key)); err == nil {
		return fmt.Errorf("%w: %q is a %s in %s", storage.ErrKey, key, kind(fi), s.root)
	}
	return fmt.Errorf("dir: %q was deleted during the write; try again", key)
}

func kind(fi fs.FileInfo) string {
	if fi.IsDir() {
		return "folder"
	}
	return "special file"
}

// maxDurable bounds the memory of makeParents; forgetting costs an fsync.
const maxDurable = 1 << 16

// makeParents makes the folders of key and syncs their entries, also those that
// another process made: it may die before it syncs them, and our object with it.
func (s *Store) makeParents(key string) error {
	for i := range len(key) {
		if key[i] != '/' {
			continue
		}
		if err := s.makeFolder(key[:i]); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) makeFolder(name string) error {
	s.mu.Lock()
	known := s.durable[name]
	s.mu.Unlock()
	if known {
		return nil
	}
	path := s.path(name)
	err := os.Mkdir(path, 0o777)
	if errors.Is(err, fs.ErrExist) {
		fi, statErr := os.Stat(path)
		if statErr == nil && !fi.IsDir() {
			return fmt.Errorf("%w: %q is an object in %s, so nothing can lie below it", storage.ErrKey, name, s.root)
		}
		err = statErr
	}
	if err != nil {
		return fmt.Errorf("dir: %w", err)
	}
	if err := s.syncDir(filepath.Dir(path)); err != nil {
		return err
	}
	s.remember(name)
	return nil
}

func (s *Store) remember(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.durable) >= maxDurable {
		clear(s.durable)
	}
	s.durable[strings.Clone(name)] = true
}

func (s *Store) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.durable)
}

// syncDir makes the entries of a directory last.
func (s *Store) syncDir(path string) error {
	if s.sync == nil {
		return nil
	}
	d, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("dir: %w", err)
	}
	err = errors.Join(s.sync(d), d.Close())
	if err != nil {
		return fmt.Errorf("dir: sync %s: %w", path, err)
	}
	return nil
}
