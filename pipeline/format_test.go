package pipeline_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/storage"
	"github.com/veilsum/veilsum/storage/mem"
)

// overwriting is a store that ignores that a name is taken.
type overwriting struct{ storage.Store }

// PutOnce implements storage.Store.
func (o overwriting) PutOnce(ctx context.Context, key string, body []byte) (storage.Outcome, error) {
	if err := o.Delete(ctx, key); err != nil {
		return 0, err
	}
	return o.Store.PutOnce(ctx, key, body)
}

func objectsOf(t *testing.T, s storage.Store) (keys []string) {
	t.Helper()
	for info, err := range s.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, info.Key)
	}
	return keys
}

// TestPrepare: a store says once what it is, however many prepare it at once.
func TestPrepare(t *testing.T) {
	s := mem.New()
	if err := pipeline.CheckFormat(t.Context(), s); err != nil {
		t.Errorf("a store that says nothing: %v", err)
	}
	if _, err := pipeline.ReadFormat(t.Context(), s); !errors.Is(err, storage.ErrNotExist) {
		t.Errorf("a store that says nothing: %v", err)
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if err := pipeline.Prepare(t.Context(), s); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	f, err := pipeline.ReadFormat(t.Context(), s)
	if err != nil || f.Format != "veilsum-store/1" || len(f.ID) < 20 {
		t.Errorf("%+v, %v", f, err)
	}
	if keys := objectsOf(t, s); len(keys) != 1 || keys[0] != pipeline.FormatKey {
		t.Errorf("the store holds %q", keys)
	}
	if err := pipeline.Prepare(t.Context(), s); err != nil {
		t.Error(err)
	}
	if again, err := pipeline.ReadFormat(t.Context(), s); err != nil || again != f {
		t.Errorf("%+v, %v; it was %+v", again, err, f)
	}
}

// TestPrepareRefuses: nothing is written to a store that overwrites.
func TestPrepareRefuses(t *testing.T) {
	s := mem.New()
	if err := pipeline.Prepare(t.Context(), overwriting{s}); !errors.Is(err, pipeline.ErrStore) || !errors.Is(err, storage.ErrLies) {
		t.Errorf("a store that overwrites: %v", err)
	}
	if keys := objectsOf(t, s); len(keys) != 0 {
		t.Errorf("the store holds %q", keys)
	}
}

// TestUnknownFormat: a store of a newer program, or of something else, is left alone.
func TestUnknownFormat(t *testing.T) {
	for _, text := range []string{
		`{"format":"veilsum-store/2","id":"x"}`, `{"format":"veilsum-store/","id":"x"}`, `{"format":"restic","id":"x"}`, `{"id":"x"}`, `[]`, ``, "{", strings.Repeat(" ", 5000),
	} {
		s := mem.New()
		if _, err := s.PutOnce(t.Context(), pipeline.FormatKey, []byte(text)); err != nil {
			t.Fatal(err)
		}
		for name, err := range map[string]error{"CheckFormat": pipeline.CheckFormat(t.Context(), s), "Prepare": pipeline.Prepare(t.Context(), s)} {
			if !errors.Is(err, pipeline.ErrFormat) {
				t.Errorf("%s of %.40q: %v", name, text, err)
			}
		}
		if keys := objectsOf(t, s); len(keys) != 1 {
			t.Errorf("%.40q: the store holds %q", text, keys)
		}
	}
	f := `{"format":"veilsum-store/1","id":"x","added_later":true}`
	s := mem.New()
	if _, err := s.PutOnce(t.Context(), pipeline.FormatKey, []byte(f)); err != nil {
		t.Fatal(err)
	}
	if err := pipeline.CheckFormat(t.Context(), s); err != nil {
		t.Errorf("a field that was added: %v", err)
	}
}
