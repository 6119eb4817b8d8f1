package dir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// recorder stands between a store and the two system calls that durability
// depends on. It is inside the package to get there.
type recorder struct {
	root  string
	calls []string
	fail  string // the call that fails
}

var errInjected = errors.New("injected")

func (r *recorder) option(s *Store) {
	r.root = s.root
	s.sync = func(f *os.File) error { return r.call("sync "+r.name(f.Name()), f.Sync) }
	s.link = func(from, to string) error {
		return r.call("link "+r.name(to), func() error { return os.Link(from, to) })
	}
}

func (r *recorder) name(path string) string {
	rel, err := filepath.Rel(r.root, path)
	if err != nil || strings.HasPrefix(rel, "..") {
		return "outside"
	}
	if strings.HasPrefix(rel, tmpName+"/") {
		return "temp"
	}
	return rel
}

func (r *recorder) call(name string, do func() error) error {
	r.calls = append(r.calls, name)
	if name == r.fail {
		return errInjected
	}
	return do()
}

func openRecorded(t *testing.T) (*recorder, *Store) {
	t.Helper()
	var r recorder
	s, err := Open(t.TempDir(), r.option)
	if err != nil {
		t.Fatal(err)
	}
	r.calls = nil
	return &r, s
}

// TestOrder: content before name, folders before what is in them, all before
// PutOnce returns, and the loser of a race syncs the winner's name.
func TestOrder(t *testing.T) {
	r, s := openRecorded(t)
	steps := []struct {
		key  string
		want []string
	}{
		{"a/b/x", []string{"sync .", "sync a", "sync temp", "link a/b/x", "sync a/b"}},
		{"a/b/y", []string{"sync temp", "link a/b/y", "sync a/b"}},
		{"a/b/y", []string{"sync a/b"}}, // identical
		{"z", []string{"sync temp", "link z", "sync ."}},
	}
	for _, step := range steps {
		r.calls = nil
		if _, err := s.PutOnce(t.Context(), step.key, []byte("x")); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(r.calls, step.want) {
			t.Errorf("%s: %q, want %q", step.key, r.calls, step.want)
		}
	}
	// Another process made the folders and may have died before the sync.
	var other recorder
	s2, err := Open(s.root, other.option)
	if err != nil {
		t.Fatal(err)
	}
	other.calls = nil
	if _, err := s2.PutOnce(t.Context(), "a/b/z", nil); err != nil {
		t.Fatal(err)
	}
	if want := []string{"sync .", "sync a", "sync temp", "link a/b/z", "sync a/b"}; !slices.Equal(other.calls, want) {
		t.Errorf("other handle: %q, want %q", other.calls, want)
	}
}

// TestFailures: when one of the calls fails, PutOnce reports neither success nor
// conflict, leaves no temporary file, and succeeds when called again.
func TestFailures(t *testing.T) {
	calls := []string{"sync .", "sync a", "sync temp", "link a/b/x", "sync a/b"}
	for i, call := range calls {
		t.Run(call, func(t *testing.T) {
			r, s := openRecorded(t)
			r.fail = call
			for range 2 {
				outcome, err := s.PutOnce(t.Context(), "a/b/x", []byte("x"))
				if outcome != 0 || !errors.Is(err, errInjected) {
					t.Fatalf("PutOnce: %v, %v; want the failure", outcome, err)
				}
			}
			_, err := s.Stat(t.Context(), "a/b/x")
			if linked := i > slices.Index(calls, "link a/b/x"); linked != (err == nil) {
				t.Errorf("Stat: %v", err)
			}
			left, err := os.ReadDir(filepath.Join(s.root, tmpName))
			if err != nil || len(left) != 0 {
				t.Errorf("temporary files: %v, %v", left, err)
			}
			r.fail = ""
			if _, err := s.PutOnce(t.Context(), "a/b/x", []byte("x")); err != nil {
				t.Errorf("again: %v", err)
			}
		})
	}
}

// TestNoHardLinks: file systems without link(2), or with one that overwrites,
// are refused.
func TestNoHardLinks(t *testing.T) {
	links := map[string]func(string, string) error{
		"none":       func(string, string) error { return errInjected },
		"overwrites": func(string, string) error { return nil },
	}
	for name, link := range links {
		root := t.TempDir()
		_, err := Open(root, func(s *Store) { s.link = link })
		if err == nil || !strings.Contains(err.Error(), root) || !strings.Contains(err.Error(), "link") {
			t.Errorf("%s: %v", name, err)
		}
		if left, _ := os.ReadDir(filepath.Join(root, tmpName)); len(left) != 0 {
			t.Errorf("%s: Open leaves %v", name, left)
		}
	}
}

// TestForgetFolders: the memory of synced folders is bounded.
func TestForgetFolders(t *testing.T) {
	_, s := openRecorded(t)
	for i := range maxDurable + 10 {
		s.remember(fmt.Sprint(i))
	}
	if n := len(s.durable); n > maxDurable {
		t.Errorf("%d folders are remembered", n)
	}
}

// TestFolderRemoved: folders that somebody removed are made and synced again.
func TestFolderRemoved(t *testing.T) {
	r, s := openRecorded(t)
	for range 2 {
		if _, err := s.PutOnce(t.Context(), "a/b/x", nil); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(filepath.Join(s.root, "a")); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"sync temp", "link a/b/x", "sync .", "sync a", "link a/b/x", "sync a/b"}
	if have := r.calls[len(r.calls)-len(want):]; !slices.Equal(have, want) {
		t.Errorf("%q, want %q", have, want)
	}
}
