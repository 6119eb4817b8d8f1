package keeper_test

import (
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/keeper"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// TestWhole: nothing is found in a store where rounds are at every stage.
func TestWhole(t *testing.T) {
	f := newFleet(t, committed, aborted, opened, closed, proposed, voted, answered)
	for _, quick := range []bool{false, true} {
		found, c := f.check(t, keeper.CheckOptions{Quick: quick})
		// What an aborted round leaves behind is of no use to anybody.
		if len(found[keeper.KindFlaw])+len(found[keeper.KindNote]) > 0 || c.Orphans.Objects != 5 {
			t.Errorf("quick %v: %+v", quick, found)
		}
		if c.Committed != 1 || c.Void != 1 || c.Open != 5 || c.Objects["header"].Objects != 28 || c.Objects["piece"].Objects != 28 {
			t.Errorf("quick %v: %+v", quick, c)
		}
	}
}

// TestEveryObjectDamaged: a bit of every object is flipped, and the object is named.
func TestEveryObjectDamaged(t *testing.T) {
	f := newFleet(t, committed, aborted, voted)
	for i, key := range slices.Sorted(maps.Keys(f.Objects())) {
		if testing.Short() && i%7 > 0 {
			continue
		}
		before := f.Get(key)
		f.Replace(key, func(b []byte) []byte {
			c := slices.Clone(b)
			c[len(c)/2] ^= 1
			return c
		})
		found, _ := f.check(t, keeper.CheckOptions{})
		if !names(found[keeper.KindFlaw], key) {
			t.Errorf("%s is damaged, and this is found: %+v", key, found)
		}
		f.Replace(key, func([]byte) []byte { return before })
	}
	if found, _ := f.check(t, keeper.CheckOptions{}); len(found[keeper.KindFlaw]) > 0 {
		t.Errorf("the store was not restored: %+v", found)
	}
}

// mayGo tells whether nobody notices that an object is gone: nothing names it.
func mayGo(o pipeline.Object) bool {
	switch o.Kind {
	case pipeline.KindCandidates, pipeline.KindCheck, pipeline.KindPiece:
		return true // pieces of ended rounds, that is
	}
	return false
}

// TestEveryObjectMissing: each object is taken away, and what named it, or the object itself, is named.
func TestEveryObjectMissing(t *testing.T) {
	f := newFleet(t, committed, aborted)
	for i, key := range slices.Sorted(maps.Keys(f.Objects())) {
		if testing.Short() && i%7 > 0 {
			continue
		}
		o, _ := pipeline.ParseObject(key)
		before := f.Get(key)
		if err := f.Store.Delete(ctx, key); err != nil {
			t.Fatal(err)
		}
		found, _ := f.check(t, keeper.CheckOptions{})
		aborted := o.Round == f.rounds[1].Name
		free := mayGo(o) || aborted && (o.Kind == pipeline.KindManifest || o.Kind == pipeline.KindHeader || o.Kind == pipeline.KindPartial) ||
			o.Kind == pipeline.KindLedger && (strings.HasSuffix(key, "entry/000000000000") || strings.Contains(key, "checkpoint/"))
		if flaws := len(found[keeper.KindFlaw]); (flaws == 0) != free {
			t.Errorf("%s is missing, and this is found: %+v", key, found)
		}
		f.Put(key, before)
	}
	if found, _ := f.check(t, keeper.CheckOptions{}); len(found[keeper.KindFlaw]) > 0 {
		t.Errorf("the store was not restored: %+v", found)
	}
}

// TestPlanted: what does not belong is named, and passed over if asked.
func TestPlanted(t *testing.T) {
	f := newFleet(t, committed, opened)
	done, open := f.rounds[0].Name, f.rounds[1].Name
	strange, d := schema.ReportID{Digest: schema.Digest{1}}, schema.Digest{2}
	planted := []string{
		"tasks/x", pipeline.RoundPrefix(open) + "x", "scopes/x/y", "snapshots/x", pipeline.HeaderKey(open, strange), pipeline.VoteKey(open, 2), pipeline.VoteKey(open, 9),
		pipeline.CandidatesKey(open, d), pipeline.CheckKey(open, d, 1), pipeline.ManifestKey(done, schema.ManifestID{Digest: d}), pipeline.PartialKey(open, d),
		pipeline.AnswerKey(open, 1), pipeline.RoundKeyKey(pipeline.RoundName{Task: schema.TaskID{Digest: d}, Epoch: 3}, 1),
		pipeline.ReservationKey(f.Task.Scope.ID(), open, schema.ManifestID{Digest: d}), pipeline.HandoverKey(f.Task.Scope.ID(), f.Task.Committee.ID(), 3, 1),
		pipeline.PieceKey(done, firstReport(t, f, done), 7), pipeline.BatchKey(open, d), pipeline.StepKey(open, schema.StepID{Digest: d}),
	}
	for _, key := range planted {
		f.Put(key, []byte("planted"))
	}
	f.Put("elsewhere", []byte("not ours"))
	found, _ := f.check(t, keeper.CheckOptions{})
	for _, key := range planted {
		if !names(found[keeper.KindFlaw], key) {
			t.Errorf("%s is not found", key)
		}
	}
	if len(found[keeper.KindFlaw]) != len(planted) || !names(found[keeper.KindNote], "elsewhere") {
		t.Errorf("%d flaws of %d: %+v", len(found[keeper.KindFlaw]), len(planted), found)
	}
	found, _ = f.check(t, keeper.CheckOptions{PassUnnamed: true})
	for _, x := range found[keeper.KindFlaw] {
		if x.Object != pipeline.PieceKey(done, firstReport(t, f, done), 7) { // in a report that the receipt names
			t.Errorf("passed over, and yet %+v", x)
		}
	}
}

func firstReport(t *testing.T, f *fleet, n pipeline.RoundName) schema.ReportID {
	t.Helper()
	ids, err := pipeline.ListReports(ctx, f.Store, n)
	if err != nil || len(ids) == 0 {
		t.Fatal(ids, err)
	}
	return ids[0]
}

// TestAcknowledged: a report of an open round that has lost a piece is a flaw, of an ended one a note.
func TestAcknowledged(t *testing.T) {
	f := newFleet(t, committed, opened)
	for i, kind := range []string{keeper.KindNote, keeper.KindFlaw} {
		n := f.rounds[i].Name
		key := pipeline.PieceKey(n, firstReport(t, f, n), 0)
		body := f.Get(key)
		if err := f.Store.Delete(ctx, key); err != nil {
			t.Fatal(err)
		}
		found, _ := f.check(t, keeper.CheckOptions{})
		if len(found) != 1 || len(found[kind]) != 1 {
			t.Errorf("round %s: %+v", n, found)
		}
		f.Put(key, body)
	}
	// An upload that is under way is no flaw.
	f.Put(pipeline.PieceKey(f.rounds[1].Name, schema.ReportID{Digest: schema.Digest{1}}, 0), []byte("under way"))
	if found, _ := f.check(t, keeper.CheckOptions{}); len(found) != 1 || len(found[keeper.KindNote]) != 1 {
		t.Errorf("an upload under way: %+v", found)
	}
}

// broken is a store whose lists end in an error.
type broken struct {
	storage.Store
	err error
}

// List implements storage.Store.
func (b broken) List(context.Context, string, string) iter.Seq2[storage.Info, error] {
	return func(yield func(storage.Info, error) bool) { yield(storage.Info{}, b.err) }
}

// TestStoreFails: a store that fails is no flaw.
func TestStoreFails(t *testing.T) {
	down := errors.New("down")
	f := newFleet(t)
	if _, err := keeper.Check(ctx, broken{f.Store, down}, keeper.CheckOptions{}); !errors.Is(err, down) {
		t.Error(err)
	}
	if _, err := keeper.Sweep(ctx, broken{f.Store, down}, keeper.SweepOptions{}); !errors.Is(err, down) {
		t.Error(err)
	}
}
