package record_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/decryptor/record"
	"github.com/veilsum/veilsum/pipeline/state"
	"github.com/veilsum/veilsum/schema"
)

var (
	own = schema.NewPublicKey(ed25519.NewKeyFromSeed(make([]byte, 32)))
	now = time.Unix(1_800_000_000, 0)
)

// shelf is a directory with a record, which is opened as a process that starts does.
type shelf struct {
	t interface {
		Helper()
		Fatal(args ...any)
	}
	root string
	dir  *state.Dir
}

func (s *shelf) open(options ...state.Option) (*record.Record, error) {
	s.t.Helper()
	s.close()
	dir, err := state.Open(s.root, append(options, state.WithoutSync())...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.dir = dir
	return record.Open(dir, own)
}

func (s *shelf) must(options ...state.Option) *record.Record {
	s.t.Helper()
	r, err := s.open(options...)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

func (s *shelf) close() {
	if s.dir != nil {
		s.dir.Close()
		s.dir = nil
	}
}

func (s *shelf) file() string { return filepath.Join(s.root, "record.jsonl") }

func newShelf(t testing.TB) *shelf {
	s := &shelf{t: t, root: t.TempDir()}
	t.Cleanup(s.close)
	return s
}

func digest(b byte) schema.Digest { return schema.Digest{31: b} }

func vote(epoch uint64, list byte) record.Entry {
	return record.Entry{
		Kind: record.Vote, Epoch: epoch, Round: schema.RoundID{Digest: digest(byte(epoch))}, List: digest(list),
		Checkpoint: "a\n1\nAA==\n", Object: digest(list + 100),
	}
}

// TestOnce: one vote a round, whenever it is asked; checks may differ.
func TestOnce(t *testing.T) {
	s := newShelf(t)
	r := s.must()
	for range 2 {
		if err := r.Add(vote(1, 1), now); err != nil {
			t.Fatal(err)
		}
		if err := r.Add(vote(1, 2), now); !errors.Is(err, record.ErrTwice) {
			t.Error("a second vote:", err)
		}
		if err := r.Add(vote(2, 2), now.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		for list := range byte(2) {
			c := vote(1, list)
			c.Kind = record.Check
			if err := r.Add(c, now); err != nil {
				t.Error("a second check:", err)
			}
		}
		if n := len(r.Entries()); n != 4 {
			t.Errorf("%d entries", n)
		}
		r = s.must()
	}
	e, ok := r.Find(record.Vote, pipeline.RoundName{Epoch: 2})
	if !ok || e.Time != now.Add(time.Hour).Unix() || !r.Signed(e.Object) || r.Signed(digest(0)) {
		t.Error(e, ok)
	}
}

// TestReopen: what was added is there after any cut of the file's last line, and only that.
func TestReopen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		root, err := os.MkdirTemp("", "record-")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(root)
		s := &shelf{t: t, root: root}
		defer s.close()
		r := s.must()
		var sizes []int
		n := rapid.IntRange(1, 6).Draw(t, "entries")
		for i := range n {
			if err := r.Add(vote(uint64(i), 1), now); err != nil {
				t.Fatal(err)
			}
			b, _ := os.ReadFile(s.file())
			sizes = append(sizes, len(b))
		}
		b, _ := os.ReadFile(s.file())
		cut := rapid.IntRange(bytes.IndexByte(b, '\n')+1, len(b)).Draw(t, "cut")
		if err := os.WriteFile(s.file(), b[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		want := 0
		for want < n && sizes[want] <= cut {
			want++
		}
		head := s.must().Head()
		r = s.must() // the cut line is gone from the disk, too
		if len(r.Entries()) != want || r.Head() != head {
			t.Fatalf("%d entries after a cut at %d of %v", len(r.Entries()), cut, sizes)
		}
		if err := r.Add(vote(99, 1), now); err != nil {
			t.Fatal(err)
		}
		if got := s.must().Entries(); len(got) != want+1 {
			t.Fatalf("%d entries", len(got))
		}
	})
}

// TestDamaged: any byte that changed in a whole line, a line left out, one repeated, or another
// decryptor's record is refused.
func TestDamaged(t *testing.T) {
	s := newShelf(t)
	r := s.must()
	for i := range uint64(3) {
		if err := r.Add(vote(i, 1), now); err != nil {
			t.Fatal(err)
		}
	}
	good, err := os.ReadFile(s.file())
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(good, []byte("\n"))
	bad := map[string][]byte{
		"left out":  slices.Concat(lines[0], lines[1], lines[3]),
		"repeated":  append(bytes.Clone(good), lines[3]...),
		"swapped":   slices.Concat(lines[0], lines[2], lines[1], lines[3]),
		"first":     slices.Concat(lines[1:]...),
		"empty":     nil,
		"more text": slices.Concat(lines[0], bytes.TrimSuffix(lines[1], []byte("\n")), []byte("{}\n")),
	}
	for i := 0; i < len(good)-len("\n"); i += 7 {
		b := bytes.Clone(good)
		b[i] ^= 1
		bad[fmt.Sprintf("byte %d", i)] = b
	}
	for name, b := range bad {
		if err := os.WriteFile(s.file(), b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.open(); !errors.Is(err, record.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.WriteFile(s.file(), good, 0o600); err != nil {
		t.Fatal(err)
	}
	s.must()
	p, err := record.Parse(good)
	if err != nil || p.Decryptor() != own || p.Head() != s.must().Head() || p.Add(vote(9, 9), now) == nil {
		t.Error("to look at:", err)
	}
	if _, err := record.Open(s.dir, schema.PublicKey{1}); !errors.Is(err, record.ErrDamaged) {
		t.Error("another decryptor's:", err)
	}
}

// TestBroken: after an append failed nothing is added until the file is read again.
func TestBroken(t *testing.T) {
	s := newShelf(t)
	full, fail := errors.New("disk full"), false
	r := s.must(state.WithHook(func(string, bool) error {
		if fail {
			return full
		}
		return nil
	}))
	fail = true
	if err := r.Add(vote(1, 1), now); !errors.Is(err, full) {
		t.Fatal(err)
	}
	fail = false
	if err := r.Add(vote(1, 1), now); !errors.Is(err, full) {
		t.Error("it goes on without knowing what is on the disk:", err)
	}
	if err := s.must().Add(vote(1, 1), now); err != nil {
		t.Error(err)
	}
}

// FuzzOpen: no file makes Open panic, and what opens keeps what it says.
func FuzzOpen(f *testing.F) {
	s := newShelf(f)
	r := s.must()
	for i := range uint64(2) {
		if err := r.Add(vote(i, 1), now); err != nil {
			f.Fatal(err)
		}
	}
	good, err := os.ReadFile(s.file())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:len(good)-9])
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := newShelf(t)
		if err := os.WriteFile(s.file(), b, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := s.open()
		if _, err2 := record.Parse(b); err2 != nil && err == nil && len(b) > 0 {
			t.Error("it opens, but cannot be looked at:", err2)
		}
		if err != nil {
			return
		}
		if again := s.must(); again.Head() != r.Head() || !slices.Equal(again.Entries(), r.Entries()) {
			t.Error("opened again it says something else")
		}
	})
}
