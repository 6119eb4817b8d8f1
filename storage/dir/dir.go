// Package dir is a [storage.Store] in a local directory: one file per object,
// the key is the path.
//
// An object is written to a temporary file in .tmp, synced, and given its name
// by link(2), which, unlike rename(2), fails if the name exists: so exactly one
// of any number of racing processes wins and nobody sees half an object. The
// file system must have hard links; Open refuses one that has not. Network file
// systems are as safe as their link(2) and fsync(2).
//
// Names that are no keys (hidden files, say) are ignored. On a file system that
// folds case, keys that differ only in case collide. PutOnce and Delete never
// remove a directory: a name that was once a folder becomes free for an object only by
// RemoveEmptyFolders.
package dir

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/veilsum/veilsum/storage"
	"github.com/veilsum/veilsum/storage/internal/body"
)

// tmpName is no key, so List and Get cannot see what is below.
const tmpName = ".tmp"

// Store is a store in a directory. It is safe for concurrent use by any number
// of goroutines and processes. Make one with Open.
type Store struct {
	root string // absolute
	link func(from, to string) error
	sync func(*os.File) error // nil: never

	mu      sync.Mutex
	durable map[string]bool // directories whose entry in their parent is known to be synced
}

var _ storage.Store = (*Store)(nil)

// Option changes how Open opens a store.
type Option func(*Store)

// WithoutSync skips every fsync. UNSAFE: after a power cut objects that PutOnce
// reported may be gone, empty or torn, so two different votes of one member
// could both exist over time. Only for tests and demonstrations. Safe against
// the death of processes all the same.
func WithoutSync() Option { return func(s *Store) { s.sync = nil } }

// Open opens the store in the directory root, which it creates if needed. A
// directory that may only be read can be opened too; PutOnce then fails.
func Open(root string, options ...Option) (*Store, error) {
	if root == "" {
		return nil, errors.New("dir: empty path")
	}
	abs, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("dir: %w", err)
	}
	s := &Store{root: abs, link: os.Link, sync: (*os.File).Sync, durable: make(map[string]bool)}
	for _, option := range options {
		option(s)
	}
	if err := os.MkdirAll(abs, 0o777); err != nil {
		return nil, fmt.Errorf("dir: %w", err)
	}
	if err := s.probe(); err != nil {
		return nil, err
	}
	return s, nil
}

// probe makes the temporary directory and proves that link works and refuses an
// existing name.
func (s *Store) probe() error {
	err := os.Mkdir(filepath.Join(s.root, tmpName), 0o777)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return readOnlyIsFine(err)
	}
	from, err := s.writeTemp(func(io.Writer) error { return nil })
	if err != nil {
		return readOnlyIsFine(err)
	}
	defer os.Remove(from)
	to := from + "-probe"
	defer os.Remove(to)
	if err := s.link(from, to); err != nil {
		return fmt.Errorf("dir: hard links, which create-only writes need, fail in %s: %w", s.root, err)
	}
	err = s.link(from, to)
	if err == nil {
		return fmt.Errorf("dir: the file system of %s links over an existing name", s.root)
	}
	if !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("dir: hard links, which create-only writes need, fail in %s: %w", s.root, err)
	}
	return s.syncDir(filepath.Dir(s.root))
}

// readOnlyIsFine lets an auditor open a copy without write permission.
func readOnlyIsFine(err error) error {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return nil
	}
	return fmt.Errorf("dir: %w", err)
}

// String returns the file URL of the directory.
func (s *Store) String() string {
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(s.root)}).String()
}

// Get implements [storage.Store].
func (s *Store) Get(ctx context.Context, key string) (io.ReadCloser, storage.Info, error) {
	f, info, err := s.open(ctx, key)
	if err != nil {
		return nil, storage.Info{}, err
	}
	return body.New(ctx, f, info.Size, nil), info, nil
}

// GetRange implements [storage.Store].
func (s *Store) GetRange(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	f, info, err := s.open(ctx, key)
	if err != nil {
		return nil, err
	}
	if off < 0 || n < 0 || off > info.Size || n > info.Size-off {
		f.Close()
		return nil, fmt.Errorf("%w: %d bytes at %d of %d", storage.ErrRange, n, off, info.Size)
	}
	part := section{io.NewSectionReader(f, off, n), f}
	return body.New(ctx, part, n, nil), nil
}

// section is a part of a file that closes the file.
type section struct {
	io.Reader
	io.Closer
}

// Stat implements [storage.Store].
func (s *Store) Stat(ctx context.Context, key string) (storage.Info, error) {
	if err := check(ctx, key); err != nil {
		return storage.Info{}, err
	}
	fi, err := os.Lstat(s.path(key))
	if err != nil {
		return storage.Info{}, keyError(key, err)
	}
	return regular(key, fi)
}

func (s *Store) open(ctx context.Context, key string) (*os.File, storage.Info, error) {
	if _, err := s.Stat(ctx, key); err != nil { // opening a named pipe would block
		return nil, storage.Info{}, err
	}
	f, err := os.Open(s.path(key))
	if errors.Is(err, fs.ErrPermission) { // a reader that may list, but not read, this object
		return nil, storage.Info{}, fmt.Errorf("%w: %w", storage.ErrDamaged, keyError(key, err))
	}
	if err != nil {
		return nil, storage.Info{}, keyError(key, err)
	}
	fi, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, storage.Info{}, keyError(key, err)
	}
	info, err := regular(key, fi)
	if err != nil {
		f.Close()
		return nil, storage.Info{}, err
	}
	return f, info, nil
}

// Delete implements [storage.Store].
func (s *Store) Delete(ctx context.Context, key string) error {
	_, err := s.Stat(ctx, key)
	if errors.Is(err, storage.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := os.Remove(s.path(key)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return keyError(key, err)
	}
	return s.syncDir(filepath.Dir(s.path(key)))
}

// RemoveTemp removes temporary files older than age, which killed writers leave
// behind, and returns how many. Choose an age longer than any write takes: a
// writer that loses its file fails with an error and may try again.
func (s *Store) RemoveTemp(ctx context.Context, age time.Duration) (int, error) {
	left, err := s.Leftovers(ctx, time.Now().Add(-age))
	for i, l := range left {
		if err := s.RemoveLeftover(ctx, l); err != nil {
			return i, err
		}
	}
	return len(left), err
}

// path is below root for every key that CheckKey accepts.
func (s *Store) path(key string) string { return filepath.Join(s.root, filepath.FromSlash(key)) }

func (s *Store) newTemp() (*os.File, error) {
	name := filepath.Join(s.root, tmpName, rand.Text())
	// Read-only from the start: objects never change.
	return os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o444)
}

func regular(key string, fi fs.FileInfo) (storage.Info, error) {
	if !fi.Mode().IsRegular() {
		return storage.Info{}, fmt.Errorf("%w: %q", storage.ErrNotExist, key)
	}
	return storage.Info{Key: key, Size: fi.Size(), Modified: fi.ModTime()}, nil
}

// keyError maps "no such file", also when a parent is a file, to ErrNotExist.
func keyError(key string, err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return fmt.Errorf("%w: %q", storage.ErrNotExist, key)
	}
	return fmt.Errorf("dir: %w", err)
}

func check(ctx context.Context, key string) error {
	if err := storage.CheckKey(key); err != nil {
		return err
	}
	return ctx.Err()
}
