package dir

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/veilsum/veilsum/storage"
)

// List implements [storage.Store]. It reads one directory at a time and only
// those that can hold a key of the answer.
func (s *Store) List(ctx context.Context, prefix, startAfter string) iter.Seq2[storage.Info, error] {
	return func(yield func(storage.Info, error) bool) {
		folder := prefix[:strings.LastIndexByte(prefix, '/')+1]
		if folder != "" && storage.CheckKey(folder[:len(folder)-1]) != nil {
			return // no key starts so; and never walk a path made of "..".
		}
		w := walk{ctx: ctx, store: s, prefix: prefix, after: startAfter, yield: yield}
		if err := w.folder(folder); err != nil && err != errStop {
			yield(storage.Info{}, err)
		}
	}
}

// errStop ends a walk whose caller has seen enough.
var errStop = errors.New("stop")

type walk struct {
	ctx           context.Context
	store         *Store
	prefix, after string
	yield         func(storage.Info, error) bool
}

// folder lists what is below name, which is empty or ends with a slash.
func (w *walk) folder(name string) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	entries, err := os.ReadDir(w.store.path(strings.TrimSuffix(name, "/")))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("dir: %w", err)
	}
	// In byte order of whole keys "a-b" < "a/b" though "a" < "a-b".
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return cmp.Compare(sortName(a), sortName(b)) })
	for _, entry := range entries {
		if err := w.entry(name+entry.Name(), entry); err != nil {
			return err
		}
	}
	return nil
}

func sortName(entry fs.DirEntry) string {
	if entry.IsDir() {
		return entry.Name() + "/"
	}
	return entry.Name()
}

func (w *walk) entry(key string, entry fs.DirEntry) error {
	if storage.CheckKey(key) != nil {
		return nil
	}
	if entry.IsDir() {
		if !w.mayHold(key + "/") {
			return nil
		}
		return w.folder(key + "/")
	}
	if key <= w.after || !strings.HasPrefix(key, w.prefix) {
		return nil
	}
	return w.object(key, entry)
}

// mayHold reports whether a key of the answer can start with folder.
func (w *walk) mayHold(folder string) bool {
	if !strings.HasPrefix(folder, w.prefix) && !strings.HasPrefix(w.prefix, folder) {
		return false
	}
	return folder > w.after || strings.HasPrefix(w.after, folder)
}

func (w *walk) object(key string, entry fs.DirEntry) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	fi, err := entry.Info()
	if errors.Is(err, fs.ErrNotExist) {
		return nil // deleted meanwhile
	}
	if err != nil {
		return fmt.Errorf("dir: %w", err)
	}
	info, err := regular(key, fi)
	if err != nil {
		return nil // a symbolic link, say: no object
	}
	if !w.yield(info, nil) {
		return errStop
	}
	return nil
}
