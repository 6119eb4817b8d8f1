package storage_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"regexp"
	"strings"
	"testing"

	"github.com/veilsum/veilsum/storage"
)

func TestCheckKey(t *testing.T) {
	good := []string{
		"a", "A-z_0.9", "a/b/c", "-", "_", "a.", "a..b", "tasks/T/rounds/000000000001-0/reports/0f/R/piece-1",
		strings.Repeat("s", 255), strings.Repeat("s/", 511) + "ss",
	}
	for _, key := range good {
		if err := storage.CheckKey(key); err != nil {
			t.Errorf("%q: %v", key, err)
		}
	}
	bad := []string{
		"", "/", "/a", "a/", "a//b", ".", "..", "a/..", "../a", ".a", "a/.b", "a b", "a\\b", "a:b", "a\x00", "a\n",
		"ä", "a%2f", "a?b", "a#b", "~", "a*", strings.Repeat("s", 256), strings.Repeat("s/", 512) + "s",
	}
	for _, key := range bad {
		if err := storage.CheckKey(key); !errors.Is(err, storage.ErrKey) {
			t.Errorf("%q: %v; want ErrKey", key, err)
		}
	}
}

// FuzzCheckKey compares with the definition as a regular expression, and with
// what io/fs calls a valid path.
func FuzzCheckKey(f *testing.F) {
	f.Add("a/b.c")
	f.Add("a/../b")
	f.Add("a/.b")
	f.Add("a//")
	definition := regexp.MustCompile(`\A[A-Za-z0-9_-][A-Za-z0-9._-]{0,254}(/[A-Za-z0-9_-][A-Za-z0-9._-]{0,254})*\z`)
	f.Fuzz(func(t *testing.T, key string) {
		want := len(key) <= 1024 && definition.MatchString(key)
		if err := storage.CheckKey(key); (err == nil) != want {
			t.Fatalf("%q: %v; want valid = %v", key, err, want)
		}
		if want && !fs.ValidPath(key) {
			t.Fatalf("%q is a key but no path", key)
		}
	})
}

// liar announces one size and delivers another.
type liar struct {
	storage.Store
	announced int64
	body      io.Reader
}

func (l liar) Get(context.Context, string) (io.ReadCloser, storage.Info, error) {
	return io.NopCloser(l.body), storage.Info{Key: "k", Size: l.announced}, nil
}

func TestReadAll(t *testing.T) {
	errLate := errors.New("damaged")
	tests := map[string]struct {
		announced, max int64
		body           io.Reader
		err            error
	}{
		"exact":      {3, 3, strings.NewReader("abc"), nil},
		"empty":      {0, 0, strings.NewReader(""), nil},
		"too large":  {4, 3, strings.NewReader("abcd"), storage.ErrTooLarge},
		"huge":       {1 << 62, 3, strings.NewReader("abcd"), storage.ErrTooLarge},
		"negative":   {-1, 3, strings.NewReader("abc"), storage.ErrTooLarge},
		"short":      {4, 9, strings.NewReader("abc"), io.ErrUnexpectedEOF},
		"nothing":    {4, 9, strings.NewReader(""), io.ErrUnexpectedEOF},
		"late error": {3, 9, io.MultiReader(strings.NewReader("abc"), &failing{errLate}), errLate},
	}
	for name, test := range tests {
		have, err := storage.ReadAll(t.Context(), liar{nil, test.announced, test.body}, "k", test.max)
		if !errors.Is(err, test.err) || (err == nil) != (test.err == nil) || err != nil && have != nil {
			t.Errorf("%s: %q, %v; want %v", name, have, err, test.err)
		}
	}
	if _, err := storage.ReadAll(t.Context(), liar{nil, 3, strings.NewReader("abcd")}, "k", 9); err == nil {
		t.Error("more than announced is accepted")
	}
}

type failing struct{ err error }

func (f *failing) Read([]byte) (int, error) { return 0, f.err }

func TestConflictError(t *testing.T) {
	e := &storage.ConflictError{Key: "a/b", Have: [32]byte(bytes.Repeat([]byte{0xaa}, 32)), Want: [32]byte(bytes.Repeat([]byte{0xbb}, 32))}
	if !errors.Is(e, storage.ErrConflict) || errors.Is(e, storage.ErrNotExist) {
		t.Error("matches the wrong sentinel")
	}
	for _, part := range []string{"a/b", strings.Repeat("aa", 32), strings.Repeat("bb", 32)} {
		if !strings.Contains(e.Error(), part) {
			t.Errorf("%q does not name %s", e, part)
		}
	}
	e.Have = [32]byte{}
	if !strings.Contains(e.Error(), "unknown") {
		t.Errorf("%q does not say unknown", e)
	}
}

func TestOutcomeString(t *testing.T) {
	for outcome, want := range map[storage.Outcome]string{storage.Created: "created", storage.Identical: "identical", 0: "unknown", 7: "unknown"} {
		if have := outcome.String(); have != want {
			t.Errorf("%d: %q, want %q", int(outcome), have, want)
		}
	}
}
