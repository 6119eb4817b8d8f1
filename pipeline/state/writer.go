package state

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
)

const tempPrefix = ".tmp-"

// Writer streams a file that appears, whole and durable, at Commit.
type Writer struct {
	*os.File
	dir  *Dir
	name string
	done bool
}

// NewWriter starts a file. Call Commit, and Abort in a defer.
func (d *Dir) NewWriter(name string) (*Writer, error) {
	if err := d.disk(name, 0); err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	parent := filepath.Dir(d.Path(name))
	if err := d.mkdir(parent); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(parent, tempPrefix)
	if err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	return &Writer{File: f, dir: d, name: name}, nil
}

// Write implements io.Writer.
func (w *Writer) Write(p []byte) (int, error) {
	if err := w.dir.disk(w.name, len(p)); err != nil {
		n, _ := w.File.Write(p[:len(p)/2]) // as a full disk takes what still fits
		return n, err
	}
	return w.File.Write(p)
}

// WriteString implements io.StringWriter.
func (w *Writer) WriteString(s string) (int, error) { return w.Write([]byte(s)) }

// ReadFrom hides that of os.File, which would write past Write.
func (w *Writer) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{w}, r)
}

// mkdir creates parents and makes their names durable, deepest last.
func (d *Dir) mkdir(path string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	if err := d.mkdir(filepath.Dir(path)); err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o700); err != nil && !os.IsExist(err) {
		return fmt.Errorf("state: %w", err)
	}
	return d.syncDir(filepath.Dir(path))
}

// Commit makes the content durable, then visible under its name.
func (w *Writer) Commit() error { return w.commit(os.Rename) }

func (w *Writer) commit(publish func(from, to string) error) error {
	if err := w.flush(); err != nil {
		return fmt.Errorf("state: %w", err)
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("state: %w", err)
	}
	if err := w.dir.hook(w.name, false); err != nil {
		return err
	}
	if err := publish(w.File.Name(), w.dir.Path(w.name)); err != nil {
		return fmt.Errorf("state: %w", err)
	}
	os.Remove(w.File.Name()) // only a linked file still has this name
	w.done = true
	if err := w.dir.syncDir(filepath.Dir(w.dir.Path(w.name))); err != nil {
		return err
	}
	return w.dir.hook(w.name, true)
}

// flush makes the content durable. A disk may say only here that it is full.
func (w *Writer) flush() error {
	if err := w.dir.disk(w.name, 0); err != nil {
		return err
	}
	if !w.dir.sync {
		return nil
	}
	return w.Sync()
}

// Abort drops an uncommitted file; after Commit it does nothing.
func (w *Writer) Abort() {
	if !w.done {
		w.Close()
		os.Remove(w.File.Name())
	}
}
