package keeper_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/collector"
	"github.com/veilsum/veilsum/pipeline/keeper"
	"github.com/veilsum/veilsum/pipeline/releaser"
)

// released is a fleet with three releases, of which the second is bound by an open round and the last by none.
func released(t *testing.T) (f *fleet, keys []string) {
	t.Helper()
	f = newFleet(t, committed)
	r, err := releaser.New(f.CollectKey)
	if err != nil {
		t.Fatal(err)
	}
	for i := range byte(3) {
		x, err := r.Release(ctx, f.Store, f.Plan, f.TaskID, releaser.Publication{Model: bytes.Repeat([]byte{i * i, 0, 0, 0}, 200), Bases: 1})
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, pipeline.ReleaseKey(f.TaskID, x.Release.Serial), pipeline.ModelKey(f.TaskID, x.Release.Model))
		for _, d := range x.Release.Deltas {
			keys = append(keys, pipeline.DeltaKey(f.TaskID, d.Hash))
		}
	}
	f.Keys(9)
	if _, err := f.Collector.Open(ctx, f.Store, f.Plan, collector.Opening{Name: f.Name(9), Release: 2, Snapshot: f.Snapshot, Deadline: f.Now()}); err != nil {
		t.Fatal(err)
	}
	return f, keys
}

// TestReleases: a changed or missing release, model or delta is named; that the newest release is gone can only
// be seen where a round names it.
func TestReleases(t *testing.T) {
	f, keys := released(t)
	if found, c := f.check(t, keeper.CheckOptions{}); len(found[keeper.KindFlaw]) > 0 || c.Objects["release"].Objects != 3 || c.Objects["delta"].Objects != 2 {
		t.Fatalf("%+v %+v", found, c)
	}
	newest := pipeline.ReleaseKey(f.TaskID, 3)
	for _, key := range append(keys, pipeline.ReceiptKey(f.Name(1))) {
		whole := f.Get(key)
		f.Replace(key, func(b []byte) []byte { b = slices.Clone(b); b[len(b)/2] ^= 1; return b })
		if found, _ := f.check(t, keeper.CheckOptions{}); !names(found[keeper.KindFlaw], key) {
			t.Errorf("%s is damaged, and this is found: %+v", key, found)
		}
		f.Replace(key, func([]byte) []byte { return nil })
		if found, _ := f.check(t, keeper.CheckOptions{}); (len(found[keeper.KindFlaw]) > 0) != (key != newest) {
			t.Errorf("%s is missing, and this is found: %+v", key, found)
		}
		f.Put(key, whole)
	}
	if found, _ := f.check(t, keeper.CheckOptions{}); len(found[keeper.KindFlaw]) > 0 {
		t.Errorf("the store was not restored: %+v", found)
	}
	if _, err := keeper.Sweep(ctx, f.Store, keeper.SweepOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		f.Get(key) // what is released stays
	}
}
