package dir_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/veilsum/veilsum/storage"
	"github.com/veilsum/veilsum/storage/dir"
	"github.com/veilsum/veilsum/storage/storagetest"
)

func open(t *testing.T, root string, options ...dir.Option) *dir.Store {
	t.Helper()
	store, err := dir.Open(root, options...)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func TestConformance(t *testing.T) {
	root := t.TempDir()
	storagetest.Run(t, func(t *testing.T) storage.Store { return open(t, root) })
}

func TestConformanceWithoutSync(t *testing.T) {
	root := t.TempDir()
	storagetest.Run(t, func(t *testing.T) storage.Store { return open(t, root, dir.WithoutSync()) })
}

// TestForeignFiles: what is no object is neither listed nor opened.
func TestForeignFiles(t *testing.T) {
	root := t.TempDir()
	store := open(t, root)
	if _, err := store.PutOnce(t.Context(), "a/object", []byte("x")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".DS_Store", "a/.hidden", "a/with space", ".tmp/leftover", "a/ü"} {
		if err := os.WriteFile(filepath.Join(root, name), []byte("foreign"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(root, "a", "link")); err != nil {
		t.Fatal(err)
	}
	var keys []string
	for info, err := range store.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, info.Key)
	}
	if len(keys) != 1 || keys[0] != "a/object" {
		t.Errorf("listed %q", keys)
	}
	if _, _, err := store.Get(t.Context(), "a/link"); !errors.Is(err, storage.ErrNotExist) {
		t.Errorf("Get of a symbolic link: %v", err)
	}
	if _, err := store.PutOnce(t.Context(), "a/link", nil); !errors.Is(err, storage.ErrKey) {
		t.Errorf("PutOnce over a symbolic link: %v", err)
	}
}

func TestRemoveTemp(t *testing.T) {
	root := t.TempDir()
	store := open(t, root)
	now := time.Now()
	for name, age := range map[string]time.Duration{"old": 2 * time.Hour, "new": time.Minute} {
		file := filepath.Join(root, ".tmp", name)
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, now.Add(-age), now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []int{1, 0} {
		if removed, err := store.RemoveTemp(t.Context(), time.Hour); err != nil || removed != want {
			t.Errorf("RemoveTemp: %d, %v; want %d", removed, err, want)
		}
	}
	if _, err := os.Stat(filepath.Join(root, ".tmp", "new")); err != nil {
		t.Error(err)
	}
}

func TestOpen(t *testing.T) {
	if _, err := dir.Open(""); err == nil {
		t.Error("an empty path is accepted")
	}
	root := t.TempDir()
	file := filepath.Join(root, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, filepath.Join(file, "below")} {
		if _, err := dir.Open(path); err == nil {
			t.Errorf("%s is accepted", path)
		}
	}
	store := open(t, filepath.Join(root, "new", "deep folder"))
	if have := store.String(); !strings.HasPrefix(have, "file:///") || !strings.HasSuffix(have, "/new/deep%20folder") {
		t.Errorf("String: %q", have)
	}
}

// TestObjectsAreReadOnly: an object cannot be changed by opening its file.
func TestObjectsAreReadOnly(t *testing.T) {
	root := t.TempDir()
	store := open(t, root)
	if _, err := store.PutOnce(t.Context(), "x", nil); err != nil {
		t.Fatal(err)
	}
	fi, err := os.Stat(filepath.Join(root, "x"))
	if err != nil || fi.Mode().Perm()&0o222 != 0 {
		t.Errorf("mode %v, %v", fi.Mode(), err)
	}
}

func BenchmarkPutOnce(b *testing.B) {
	for name, options := range map[string][]dir.Option{"sync": nil, "nosync": {dir.WithoutSync()}} {
		b.Run(name, func(b *testing.B) {
			store, err := dir.Open(b.TempDir(), options...)
			if err != nil {
				b.Fatal(err)
			}
			content := make([]byte, 4096)
			b.SetBytes(int64(len(content)))
			for i := 0; b.Loop(); i++ {
				if _, err := store.PutOnce(b.Context(), fmt.Sprintf("k/%d", i), content); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
