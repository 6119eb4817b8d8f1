package batch_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/aggregator"
	"github.com/veilsum/veilsum/pipeline/batch"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// TestKilledAtEachWrite: a worker dies at each of its writes, before or after it took place, and who
// comes next ends with the same bytes.
func TestKilledAtEachWrite(t *testing.T) {
	w := newWorld(t, 6)
	tree := w.tree(t, 3)
	whole := w.copied(t)
	if _, err := batch.Run(ctx, tree, &batch.Local{Store: whole, Round: w.round}); err != nil {
		t.Fatal(err)
	}
	want := contents(t, whole)
	for _, after := range []bool{false, true} {
		for left := 0; ; left++ {
			s := w.copied(t)
			power := &pipelinetest.Power{Left: left, After: after}
			_, err := batch.Run(ctx, tree, &batch.Local{Store: pipelinetest.Powered{Store: s, Power: power}, Round: w.round, Workers: 1})
			if !power.Dead() {
				if left < 2*len(tree.Levels[0]) || err != nil {
					t.Fatal(left, err)
				}
				break
			}
			if !errors.Is(err, pipelinetest.ErrPower) {
				t.Fatal(err)
			}
			ran, err := batch.Run(ctx, tree, &batch.Local{Store: s, Round: w.round})
			if err != nil || !maps.Equal(contents(t, s), want) {
				t.Fatalf("killed at write %d: another end (%v)", left, err)
			}
			if after := left/2 + btoi(after && left%2 == 1); ran.Found != after {
				t.Errorf("killed at write %d: %d steps were found, want %d", left, ran.Found, after)
			}
		}
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func contents(t testing.TB, s storage.Store) map[string]schema.Digest {
	t.Helper()
	all := map[string]schema.Digest{}
	for info, err := range s.List(ctx, "", "") {
		if err != nil {
			t.Fatal(err)
		}
		raw, err := storage.ReadAll(ctx, s, info.Key, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		all[info.Key] = schema.Hash("test", raw)
	}
	return all
}

// TestHostileRecords: a record that is not what the plan says is refused by name, at the step and above it; a partial sum that is
// gone is added again.
func TestHostileRecords(t *testing.T) {
	w := newWorld(t, 6)
	tree := w.tree(t, 4)
	honest := w.copied(t)
	if _, err := batch.Run(ctx, tree, &batch.Local{Store: honest, Round: w.round}); err != nil {
		t.Fatal(err)
	}
	load := func(s *batch.Step) schema.StepRecord {
		rec, err := batch.LoadRecord(ctx, honest, w.round, s.ID)
		if err != nil {
			t.Fatal(err)
		}
		return rec
	}
	a, b := tree.Levels[0][0], tree.Levels[0][1]
	for name, lie := range map[string]func(rec *schema.StepRecord){
		"of another step":  func(rec *schema.StepRecord) { rec.Step = b.ID },
		"of another round": func(rec *schema.StepRecord) { rec.RoundID.Digest[0] ^= 1 },
		"one report less":  func(rec *schema.StepRecord) { rec.Vehicles, rec.Inputs = rec.Vehicles[1:], rec.Inputs-1 },
		"of a level above": func(rec *schema.StepRecord) { rec.Level, rec.Parts = 2, make([]schema.Digest, rec.Inputs) },
		"with the sum of another": func(rec *schema.StepRecord) {
			other := load(b)
			rec.Partial, rec.Bytes = other.Partial, other.Bytes
		},
		"with another refusal": func(rec *schema.StepRecord) {
			rec.Vehicles = rec.Vehicles[1:]
			rec.Refused = append(slices.Clone(rec.Refused), schema.Refusal{Report: schema.ReportID{Digest: schema.Digest{0xff, 0xff}}, Reason: schema.ReasonBox})
		},
	} {
		s := w.copied(t)
		rec := load(a)
		lie(&rec)
		raw, err := rec.Encode()
		if err != nil {
			t.Fatal(name, err)
		}
		put(t, s, pipeline.StepKey(w.round.Name, a.ID), raw)
		if p := load(b).Partial; strings.HasPrefix(name, "with") {
			raw, err := storage.ReadAll(ctx, honest, pipeline.PartialKey(w.round.Name, p), 1<<30)
			if err != nil {
				t.Fatal(err)
			}
			put(t, s, pipeline.PartialKey(w.round.Name, p), raw)
			raw, err = storage.ReadAll(ctx, honest, pipeline.PartialKey(w.round.Name, load(a).Partial), 1<<30)
			if err != nil {
				t.Fatal(err)
			}
			put(t, s, pipeline.PartialKey(w.round.Name, load(a).Partial), raw)
		}
		_, err = batch.Run(ctx, tree, &batch.Local{Store: s, Round: w.round})
		if !errors.Is(err, pipeline.ErrUntrusted) || !strings.Contains(err.Error(), a.ID.String()) {
			t.Errorf("a record %s: %v", name, err)
		}
	}
	s := w.copied(t)
	put(t, s, pipeline.StepKey(w.round.Name, a.ID), []byte("{}"))
	if _, err := batch.Do(ctx, s, w.round, a, aggregator.Options{}); !errors.Is(err, pipeline.ErrUntrusted) {
		t.Error("junk:", err)
	}
	gone := pipeline.PartialKey(w.round.Name, load(a).Partial)
	if err := honest.Delete(ctx, gone); err != nil {
		t.Fatal(err)
	}
	if d, err := batch.Do(ctx, honest, w.round, a, aggregator.Options{}); err != nil || d.Found {
		t.Error("a partial sum that is gone:", d, err)
	}
	if _, err := honest.Stat(ctx, gone); err != nil {
		t.Error(err)
	}
}

func put(t testing.TB, s storage.Store, key string, body []byte) {
	t.Helper()
	if _, err := s.PutOnce(ctx, key, body); err != nil {
		t.Fatal(key, err)
	}
}

// TestPublish: a plan is read as it was written, under its name and in its round only.
func TestPublish(t *testing.T) {
	w := newWorld(t, 4)
	tree := w.tree(t, 2)
	for range 2 {
		if err := batch.Publish(ctx, w.Store, w.round, tree); err != nil {
			t.Fatal(err)
		}
	}
	back, err := batch.Load(ctx, w.Store, w.round, tree.ID)
	if err != nil || back.ID != tree.ID || back.Root().ID != tree.Root().ID || len(back.Levels) != len(tree.Levels) {
		t.Fatal(back, err)
	}
	put(t, w.Store, pipeline.BatchKey(w.round.Name, schema.Digest{3}), w.Get(pipeline.BatchKey(w.round.Name, tree.ID)))
	if _, err := batch.Load(ctx, w.Store, w.round, schema.Digest{3}); !errors.Is(err, pipeline.ErrUntrusted) {
		t.Error("under another name:", err)
	}
	if _, err := batch.Load(ctx, w.Store, w.round, schema.Digest{4}); !errors.Is(err, storage.ErrNotExist) {
		t.Error("absent:", err)
	}
	other := *w.round
	other.ID = schema.RoundID{Digest: schema.Digest{1}}
	if _, err := batch.Load(ctx, w.Store, &other, tree.ID); !errors.Is(err, pipeline.ErrUntrusted) {
		t.Error("in another round:", err)
	}
	if err := batch.Publish(ctx, w.Store, &other, tree); !errors.Is(err, pipeline.ErrUntrusted) {
		t.Error("published in another round:", err)
	}
}

// counting counts the partial sums that are read.
type counting struct {
	storage.Store
	mu       sync.Mutex
	partials int
}

func (s *counting) Get(ctx context.Context, key string) (io.ReadCloser, storage.Info, error) {
	if o, _ := pipeline.ParseObject(key); o.Kind == pipeline.KindPartial {
		s.mu.Lock()
		s.partials++
		s.mu.Unlock()
	}
	return s.Store.Get(ctx, key)
}

// TestRootIsAPartialSum: the collector takes the root as any partial sum, and reads no other one.
func TestRootIsAPartialSum(t *testing.T) {
	w := newWorld(t, 12)
	tree := w.tree(t, 3)
	ran, err := batch.Run(ctx, tree, &batch.Local{Store: w.Store, Round: w.round})
	if err != nil {
		t.Fatal(err)
	}
	root, err := aggregator.Load(ctx, w.Store, w.round, ran.Root.Record.Partial)
	if err != nil {
		t.Fatal(err)
	}
	s := &counting{Store: w.Store}
	got, err := aggregator.ForManifest(ctx, s, w.round, root.Reports, nil)
	if err != nil || s.partials != 1 || len(tree.Levels) < 3 {
		t.Fatalf("%d partial sums were read: %v", s.partials, err)
	}
	if id := schema.Digest(sha256.Sum256(encoded(t, w.round, got))); id != ran.Root.Record.Partial {
		t.Error("another sum")
	}
}

func encoded(t testing.TB, r *pipeline.Round, p *aggregator.PartialSum) []byte {
	t.Helper()
	raw, _, err := p.Encode(r)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
