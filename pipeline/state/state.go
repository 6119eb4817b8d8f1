// Package state keeps what one role must not forget in a private directory:
// small files that are replaced atomically and durably, so that a crash at any
// point leaves the old file or the new one, never a part.
//
// It is the local counterpart of package storage, whose objects never change.
// Files are readable by their owner only (0600 in directories 0700); they may hold secrets.
package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// ErrLocked is returned by Open when another process uses the directory: two
// processes with one identity could vote twice.
var ErrLocked = errors.New("state: the directory is in use by another process")

// Dir is one role's directory. It is safe for concurrent use by distinct file names.
type Dir struct {
	root string
	sync bool
	hook func(name string, done bool) error
	disk func(name string, n int) error
	lock *os.File
}

// An Option changes how a directory is opened.
type Option func(*Dir)

// WithoutSync skips every fsync: a power cut may lose or tear files. It is for
// simulations whose state nobody needs after a crash.
func WithoutSync() Option { return func(d *Dir) { d.sync = false } }

// WithHook calls f before each file appears or disappears and again after it
// did. An error of f ends the operation there and is returned: tests cut the power so.
func WithHook(f func(name string, done bool) error) Option { return func(d *Dir) { d.hook = f } }

// WithDisk calls f before n bytes of a file are written, with n = 0 before the file is made and before it is
// synced. An error of f is that of the disk, after half of the bytes: tests fill the disk so.
func WithDisk(f func(name string, n int) error) Option { return func(d *Dir) { d.disk = f } }

// Open creates the directory if needed and locks it for this process until Close.
func Open(root string, opts ...Option) (*Dir, error) {
	d := &Dir{root: root, sync: true, hook: func(string, bool) error { return nil }, disk: func(string, int) error { return nil }}
	for _, o := range opts {
		o(d)
	}
	if err := d.mkdir(root); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(root, ".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s", ErrLocked, root)
		}
		return nil, fmt.Errorf("state: lock %s: %w", root, err) // a disk that fails, a file system without locks
	}
	d.lock = f
	if err := d.sweep(); err != nil {
		d.Close()
		return nil, fmt.Errorf("state: %w", err)
	}
	return d, nil
}

// Close releases the lock.
func (d *Dir) Close() error { return d.lock.Close() }

// Path returns the path of a file, for messages and for streaming writers.
func (d *Dir) Path(name string) string { return filepath.Join(d.root, filepath.FromSlash(name)) }

// Read returns a file's content; an absent file is fs.ErrNotExist.
func (d *Dir) Read(name string) ([]byte, error) {
	b, err := os.ReadFile(d.Path(name))
	if err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	return b, nil
}

// Replace writes the file whole: after it returns nil the new content survives a power cut.
func (d *Dir) Replace(name string, data []byte) error {
	w, err := d.NewWriter(name)
	if err != nil {
		return err
	}
	defer w.Abort()
	if _, err := w.Write(data); err != nil {
		return fmt.Errorf("state: %w", err)
	}
	return w.Commit()
}

// Create is Replace for a file that must not exist yet; else the error is fs.ErrExist.
func (d *Dir) Create(name string, data []byte) error {
	w, err := d.NewWriter(name)
	if err != nil {
		return err
	}
	defer w.Abort()
	if _, err := w.Write(data); err != nil {
		return fmt.Errorf("state: %w", err)
	}
	return w.commit(os.Link)
}

// Append adds data to the end of a file, made if absent: after it returns nil the data
// survives a power cut. A crash, or an error, may leave a part of the data there, and nothing else.
func (d *Dir) Append(name string, data []byte) error {
	if err := d.mkdir(filepath.Dir(d.Path(name))); err != nil {
		return err
	}
	if err := d.hook(name, false); err != nil {
		return err
	}
	f, err := os.OpenFile(d.Path(name), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	_, err = f.Write(data)
	if err == nil && d.sync {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("state: %w", err)
	}
	if err := d.syncDir(filepath.Dir(d.Path(name))); err != nil {
		return err
	}
	return d.hook(name, true)
}

// Remove deletes a file durably; an absent file is not an error.
func (d *Dir) Remove(name string) error {
	if err := d.hook(name, false); err != nil {
		return err
	}
	err := os.Remove(d.Path(name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("state: %w", err)
	}
	if err := d.syncDir(filepath.Dir(d.Path(name))); err != nil {
		return err
	}
	return d.hook(name, true)
}

// Names lists the files directly inside a subdirectory, sorted; an absent directory has none.
func (d *Dir) Names(sub string) ([]string, error) { return d.entries(sub, false) }

// Folders lists the directories directly inside a subdirectory, sorted.
func (d *Dir) Folders(sub string) ([]string, error) { return d.entries(sub, true) }

func (d *Dir) entries(sub string, folders bool) ([]string, error) {
	entries, err := os.ReadDir(d.Path(sub))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() == folders && !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// sweep removes the temporary files of writers that died.
func (d *Dir) sweep() error {
	return filepath.WalkDir(d.root, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && strings.HasPrefix(e.Name(), tempPrefix) {
			return os.Remove(path)
		}
		return err
	})
}

func (d *Dir) syncDir(dir string) error {
	if !d.sync {
		return nil
	}
	f, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("state: %w", err)
	}
	return nil
}
