package dir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/veilsum/veilsum/storage"
)

var (
	_ storage.Examiner = (*Store)(nil)
	_ storage.Janitor  = (*Store)(nil)
	_ storage.Folders  = (*Store)(nil)
)

// maxWalk bounds how many names Examine looks at.
const maxWalk = 100_000

// Examine implements [storage.Examiner]: hard links (which Open has tried
// already), the file system, who may write, and symbolic links in the store.
func (s *Store) Examine(ctx context.Context, _ string, report func(storage.Finding)) error {
	report(storage.Finding{Check: "hard-links", Level: storage.OK, Detail: "link(2) works and refuses a name that exists"})
	report(s.fileSystem())
	report(s.permissions())
	if s.sync == nil {
		report(storage.Finding{Check: "fsync", Level: storage.Warning, Detail: "this handle never syncs: a power cut may undo what was reported"})
	}
	f, err := s.symlinks(ctx)
	if err == nil {
		report(f)
	}
	return err
}

func (s *Store) fileSystem() storage.Finding {
	f := storage.Finding{Check: "file-system", Level: storage.OK}
	name, network, volatile := fileSystemOf(s.root)
	switch {
	case network:
		f.Level, f.Detail = storage.Warning, name+" is a network file system: create-only writes are as safe as its link(2), and durability as its fsync(2); use it from one machine, or use S3"
	case volatile:
		f.Level, f.Detail = storage.Warning, name+" is lost with the machine: only for tests"
	default:
		f.Detail = name
	}
	return f
}

func (s *Store) permissions() storage.Finding {
	f := storage.Finding{Check: "permissions", Level: storage.OK, Detail: "not everybody may write"}
	fi, err := os.Stat(s.root)
	if err == nil && fi.Mode().Perm()&0o002 != 0 {
		f.Level, f.Detail = storage.Warning, "every user of this machine may write: who takes a name first keeps it"
	}
	return f
}

// symlinks finds symbolic links, which are no objects: what lies behind them is not in the store.
func (s *Store) symlinks(ctx context.Context) (storage.Finding, error) {
	f := storage.Finding{Check: "symbolic-links", Level: storage.OK, Detail: "none"}
	seen := 0
	err := filepath.WalkDir(s.root, func(path string, entry fs.DirEntry, err error) error {
		if seen++; seen > maxWalk {
			f.Detail = fmt.Sprintf("none among the first %d names", maxWalk)
			return fs.SkipAll
		}
		if err == nil {
			err = ctx.Err()
		}
		if err == nil && entry.Type()&fs.ModeSymlink != 0 {
			f.Level, f.Detail = storage.Warning, fmt.Sprintf("%s is one: it is no object, and what lies behind it is not in the store", path)
			return fs.SkipAll
		}
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			return nil
		}
		return err
	})
	return f, err
}

// Leftovers implements [storage.Janitor]: temporary files of writers that died.
func (s *Store) Leftovers(ctx context.Context, before time.Time) (all []storage.Leftover, err error) {
	entries, err := os.ReadDir(filepath.Join(s.root, tmpName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("dir: %w", err)
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err == nil && info.Mode().IsRegular() && !info.ModTime().After(before) {
			all = append(all, storage.Leftover{Name: tmpName + "/" + entry.Name(), Size: info.Size(), Modified: info.ModTime()})
		}
	}
	return all, ctx.Err()
}

// RemoveLeftover implements [storage.Janitor].
func (s *Store) RemoveLeftover(ctx context.Context, l storage.Leftover) error {
	name, ok := strings.CutPrefix(l.Name, tmpName+"/")
	if !ok || strings.ContainsRune(name, '/') || name == "" || name == "." || name == ".." {
		return fmt.Errorf("%w: %q is no temporary file", storage.ErrKey, l.Name)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(s.root, tmpName, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("dir: %w", err)
	}
	return nil
}

// RemoveEmptyFolders implements [storage.Folders]: rmdir(2) refuses what is not empty.
func (s *Store) RemoveEmptyFolders(ctx context.Context, prefix string) error {
	folder, ok := strings.CutSuffix(prefix, "/")
	if !ok {
		return fmt.Errorf("%w: %q is no folder", storage.ErrKey, prefix)
	}
	if err := check(ctx, folder); err != nil {
		return err
	}
	var folders []string
	err := filepath.WalkDir(s.path(folder), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			folders = append(folders, path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return errors.Join(err, ctx.Err())
	})
	if err != nil {
		return fmt.Errorf("dir: %w", err)
	}
	slices.Reverse(folders) // what lies deeper first
	for _, path := range folders {
		err := os.Remove(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTEMPTY) && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("dir: %w", err)
		}
	}
	s.forget()
	return nil
}
