package doctor_test

import (
	"context"
	"errors"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/veilsum/veilsum/storage"
	"github.com/veilsum/veilsum/storage/dir"
	"github.com/veilsum/veilsum/storage/doctor"
	"github.com/veilsum/veilsum/storage/mem"
	"github.com/veilsum/veilsum/storage/s3"
	"github.com/veilsum/veilsum/storage/storagetest"
)

// examine returns what is found by check.
func examine(t *testing.T, s storage.Store) (map[string]storage.Finding, error) {
	t.Helper()
	found := map[string]storage.Finding{}
	err := doctor.Examine(t.Context(), s, func(f storage.Finding) {
		if f.Check == "" || f.Detail == "" || f.Level < storage.OK || f.Level > storage.Failure {
			t.Errorf("odd finding %+v", f)
		}
		if _, twice := found[f.Check]; twice {
			t.Errorf("two findings of %s", f.Check)
		}
		found[f.Check] = f
	})
	for info, listErr := range s.List(t.Context(), doctor.Folder, "") {
		t.Errorf("left behind: %s, %v", info.Key, listErr)
	}
	return found, err
}

// worse returns the checks of at least a level.
func worse(found map[string]storage.Finding, level storage.Level) (names []string) {
	for name, f := range found {
		if f.Level >= level {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func TestHealthy(t *testing.T) {
	directory, err := dir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []storage.Store{mem.New(), directory} {
		found, err := examine(t, s)
		if bad := worse(found, storage.Failure); err != nil || len(bad) > 0 || len(found) < 8 {
			t.Errorf("%s: %v fail of %d, %v", s, bad, len(found), err)
		}
		if err := doctor.Trust(t.Context(), s); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
	left, err := filepath.Glob(strings.TrimPrefix(directory.String(), "file://") + "/[^.]*")
	if err != nil || len(left) > 0 {
		t.Errorf("folders are left: %v, %v", left, err)
	}
}

// liar breaks one promise of a store.
type liar struct {
	storage.Store
	put    func(ctx context.Context, key string, body []byte) (storage.Outcome, error)
	list   func(ctx context.Context, prefix, after string) iter.Seq2[storage.Info, error]
	get    func(ctx context.Context, key string, off, n int64) (io.ReadCloser, error)
	delete func(ctx context.Context, key string) error
	stat   func(ctx context.Context, key string) (storage.Info, error)
}

func (l liar) PutOnce(ctx context.Context, key string, body []byte) (storage.Outcome, error) {
	if l.put != nil {
		return l.put(ctx, key, body)
	}
	return l.Store.PutOnce(ctx, key, body)
}

func (l liar) List(ctx context.Context, prefix, after string) iter.Seq2[storage.Info, error] {
	if l.list != nil {
		return l.list(ctx, prefix, after)
	}
	return l.Store.List(ctx, prefix, after)
}

func (l liar) GetRange(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	if l.get != nil {
		return l.get(ctx, key, off, n)
	}
	return l.Store.GetRange(ctx, key, off, n)
}

func (l liar) Delete(ctx context.Context, key string) error {
	if l.delete != nil {
		return l.delete(ctx, key)
	}
	return l.Store.Delete(ctx, key)
}

func (l liar) Stat(ctx context.Context, key string) (storage.Info, error) {
	if l.stat != nil {
		return l.stat(ctx, key)
	}
	return l.Store.Stat(ctx, key)
}

// overwriting is a store as s3proxy 2.6.0 is one.
func overwriting() liar {
	s := mem.New()
	return liar{Store: s, put: func(ctx context.Context, key string, body []byte) (storage.Outcome, error) {
		if err := s.Delete(ctx, key); err != nil {
			return 0, err
		}
		return s.PutOnce(ctx, key, body)
	}}
}

// racy forgets the lock between the look and the write, so that racing writers all win.
func racy() liar {
	s, mu, waiting := mem.New(), sync.Mutex{}, map[string]chan struct{}{}
	return liar{Store: s, put: func(ctx context.Context, key string, body []byte) (storage.Outcome, error) {
		if !strings.Contains(key, "/race-0") {
			return s.PutOnce(ctx, key, body)
		}
		mu.Lock()
		both, second := waiting[key]
		if !second {
			both = make(chan struct{})
			waiting[key] = both
		} else {
			delete(waiting, key)
			close(both)
		}
		mu.Unlock()
		<-both
		_, _ = s.PutOnce(ctx, key, body)
		return storage.Created, nil
	}}
}

// TestLiars: each broken promise is found, and named.
func TestLiars(t *testing.T) {
	tests := map[string]func() (storage.Store, string){
		"overwrites":     func() (storage.Store, string) { return overwriting(), "create-only" },
		"two winners":    func() (storage.Store, string) { return racy(), "race" },
		"wrong hash":     wrongHash,
		"forgets":        forgets,
		"list hides":     listHides,
		"list unordered": listUnordered,
		"wrong range":    wrongRange,
		"keeps":          keeps,
	}
	for name, make := range tests {
		t.Run(name, func(t *testing.T) {
			s, check := make()
			found := map[string]storage.Finding{}
			err := doctor.Examine(t.Context(), s, func(f storage.Finding) { found[f.Check] = f })
			if !errors.Is(err, storage.ErrLies) || found[check].Level != storage.Failure {
				t.Errorf("%v; %s: %+v", err, check, found[check])
			}
		})
	}
	if err := doctor.Trust(t.Context(), overwriting()); !errors.Is(err, storage.ErrLies) {
		t.Errorf("trusted: %v", err)
	}
}

func wrongHash() (storage.Store, string) {
	s := mem.New()
	return liar{Store: s, put: func(ctx context.Context, key string, body []byte) (storage.Outcome, error) {
		outcome, err := s.PutOnce(ctx, key, body)
		if c := (*storage.ConflictError)(nil); errors.As(err, &c) {
			c.Have[0]++
		}
		return outcome, err
	}}, "create-only"
}

func forgets() (storage.Store, string) {
	s := mem.New()
	return liar{Store: s, put: func(ctx context.Context, key string, body []byte) (storage.Outcome, error) {
		if strings.Contains(key, "/back/") {
			return storage.Created, nil
		}
		return s.PutOnce(ctx, key, body)
	}}, "read-after-write"
}

func listHides() (storage.Store, string) {
	s := mem.New()
	return liar{Store: s, list: func(ctx context.Context, prefix, after string) iter.Seq2[storage.Info, error] {
		return func(yield func(storage.Info, error) bool) {
			for info, err := range s.List(ctx, prefix, after) {
				if strings.HasSuffix(info.Key, "/back/x") {
					continue
				}
				if !yield(info, err) {
					return
				}
			}
		}
	}}, "read-after-write"
}

func listUnordered() (storage.Store, string) {
	s := mem.New()
	return liar{Store: s, list: func(ctx context.Context, prefix, after string) iter.Seq2[storage.Info, error] {
		return func(yield func(storage.Info, error) bool) {
			var all []storage.Info
			for info := range s.List(ctx, prefix, after) {
				all = append(all, info)
			}
			slices.Reverse(all)
			for _, info := range all {
				if !yield(info, nil) {
					return
				}
			}
		}
	}}, "list"
}

func wrongRange() (storage.Store, string) {
	s := mem.New()
	return liar{Store: s, get: func(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
		return s.GetRange(ctx, key, off+1, n)
	}}, "range"
}

func keeps() (storage.Store, string) {
	return liar{Store: mem.New(), delete: func(context.Context, string) error { return nil }}, "delete"
}

func TestClock(t *testing.T) {
	s := mem.New()
	for _, skew := range []time.Duration{-time.Hour, time.Hour} {
		found, err := examine(t, liar{Store: s, stat: func(ctx context.Context, key string) (storage.Info, error) {
			info, err := s.Stat(ctx, key)
			info.Modified = info.Modified.Add(skew)
			return info, err
		}})
		if f := found["clock"]; err != nil || f.Level != storage.Warning || !strings.Contains(f.Detail, "differ by 59m") && !strings.Contains(f.Detail, "differ by 1h") {
			t.Errorf("skew %v: %+v, %v", skew, f, err)
		}
	}
}

// TestBroken: a store that fails is no liar.
func TestBroken(t *testing.T) {
	down := errors.New("down")
	s := liar{Store: mem.New(), put: func(context.Context, string, []byte) (storage.Outcome, error) { return 0, down }}
	if _, err := examine(t, s); !errors.Is(err, down) || errors.Is(err, storage.ErrLies) {
		t.Error(err)
	}
	if err := doctor.Trust(t.Context(), s); !errors.Is(err, down) || errors.Is(err, storage.ErrLies) {
		t.Error(err)
	}
}

func TestDirectory(t *testing.T) {
	root := t.TempDir()
	s, err := dir.Open(root, dir.WithoutSync())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(root, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(t.TempDir(), filepath.Join(root, "tasks")); err != nil {
		t.Fatal(err)
	}
	found, err := examine(t, s)
	if err != nil {
		t.Fatal(err)
	}
	for _, check := range []string{"permissions", "symbolic-links", "fsync"} {
		if found[check].Level != storage.Warning {
			t.Errorf("%s: %+v", check, found[check])
		}
	}
}

func open(t *testing.T, raw string) *s3.Store {
	t.Helper()
	config, err := s3.ParseURL(raw)
	if err != nil {
		t.Fatal(err)
	}
	s, err := s3.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestVersityGW: it keeps every promise; that it takes SSE-C without encrypting is seen.
func TestVersityGW(t *testing.T) {
	for name, secure := range map[string]bool{"http": false, "tls": true} {
		t.Run(name, func(t *testing.T) {
			s := open(t, storagetest.StartVersityGW(t, secure))
			found, err := examine(t, s)
			want := []string{"server-side-encryption"}
			if !secure {
				want = append(want, "transport")
			}
			if warned := worse(found, storage.Warning); err != nil || !slices.Equal(warned, want) {
				t.Errorf("%v, want %v (%v): %v", warned, want, err, found)
			}
		})
	}
}

// TestS3Proxy: the current version passes, the old one is refused.
func TestS3Proxy(t *testing.T) {
	if testing.Short() {
		t.Skip("s3proxy takes seconds to start")
	}
	t.Run("new", func(t *testing.T) {
		found, err := examine(t, open(t, storagetest.StartS3Proxy(t, storagetest.S3ProxyEnv)))
		if bad := worse(found, storage.Failure); err != nil || len(bad) > 0 {
			t.Errorf("%v, %v: %v", bad, err, found)
		}
		t.Logf("warnings: %v", worse(found, storage.Warning))
	})
	t.Run("old", func(t *testing.T) {
		s := open(t, storagetest.StartS3Proxy(t, storagetest.OldS3ProxyEnv))
		if err := doctor.Trust(t.Context(), s); !errors.Is(err, storage.ErrLies) {
			t.Errorf("trusted: %v", err)
		}
		found, err := examine(t, s)
		bad := worse(found, storage.Failure)
		if !errors.Is(err, storage.ErrLies) || !slices.Contains(bad, "create-only") || !slices.Contains(bad, "race") {
			t.Errorf("%v fail, %v", bad, err)
		}
		t.Logf("failures: %v", bad)
	})
}
