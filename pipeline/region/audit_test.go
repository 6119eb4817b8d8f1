package region_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/aggregator"
	"github.com/veilsum/veilsum/pipeline/auditor"
	"github.com/veilsum/veilsum/pipeline/keeper"
	"github.com/veilsum/veilsum/pipeline/region"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

func (w *world) audit(depth auditor.Depth, readable ...string) (*auditor.Report, error) {
	return auditor.Audit(ctx, w.Store, schema.NewPublicKey(w.Owner), auditor.Options{Depth: depth, Regions: w.root(readable...).Regions})
}

// TestAudit: the root's store alone verifies with the sum as signed; with the regions' stores every sum is added again, and
// the audit says which it was not given. A region's store is not believed.
func TestAudit(t *testing.T) {
	w := newWorld(t, 300, 2)
	w.sum("east")
	w.sum("north")
	w.played()
	rep, err := w.audit(auditor.DepthAuto)
	w.ok(err)
	round := rep.Tasks[0].Rounds[0]
	if round.Depth != auditor.SumSigned || len(round.Regions) != 3 || round.Regions[0].Listed != 2 || round.Regions[2].Signed != 0 || len(round.Orphans) > 0 {
		t.Errorf("%+v %+v", round, round.Regions)
	}
	if n := rep.Notes[len(rep.Notes)-1].Text; !strings.Contains(n, "not given the stores of these regions: east, north") {
		t.Error(n)
	}
	if _, err := w.audit(auditor.DepthPieces, "east"); !errors.Is(err, auditor.ErrFlaw) || !strings.Contains(err.Error(), "these regions: north") {
		t.Error(err)
	}
	rep, err = w.audit(auditor.DepthPieces, "east", "north")
	if err != nil || rep.Tasks[0].Rounds[0].Depth != auditor.SumRecomputed {
		t.Error(err)
	}
	// Another region's store that holds something else under these names changes nothing.
	for key := range objectsOf(t, w.near["north"]) {
		if o, _ := pipeline.ParseObject(key); o.Kind == pipeline.KindPiece {
			if _, err := w.near["west"].PutOnce(ctx, key, []byte("other")); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := w.audit(auditor.DepthPieces, "west", "east", "north"); err != nil {
		t.Error(err)
	}
	if _, err := w.audit(auditor.DepthPieces, "west", "east"); !errors.Is(err, auditor.ErrFlaw) {
		t.Error(err)
	}
}

// TestAuditFindsPoison: a region's small lie about c opens. With the region's store the audit finds it; the root alone does not.
func TestAuditFindsPoison(t *testing.T) {
	w := newWorld(t, 300, 2)
	w.sums()
	w.lie("east", nil, 1)
	list, _ := w.checked(w.Collector)
	_, err := w.Collector.Propose(ctx, w.Store, w.r, list)
	w.ok(err)
	w.answered()
	got, err := w.Collector.Reading(w.root(three...).Regions).Collect(ctx, w.Store, w.r, nil)
	if err != nil || got.Receipt.Status != schema.StatusCommitted {
		t.Fatal(got, err)
	}
	if _, err := w.audit(auditor.DepthSigned); err != nil {
		t.Error(err)
	}
	if _, err := w.audit(auditor.DepthPieces, three...); !errors.Is(err, auditor.ErrFlaw) || !strings.Contains(err.Error(), "do not add up") {
		t.Error(err)
	}
}

// TestAuditOfPlants: what a region did not sign is a flaw of an object that no receipt names.
func TestAuditOfPlants(t *testing.T) {
	w := newWorld(t, 300, 2)
	w.sums()
	w.played()
	w.statement("east", w.keys["west"], schema.RegionSum{RoundID: w.r.ID, Region: "east", Partial: schema.Digest{1}, Reports: 1})
	if _, err := w.audit(auditor.DepthAuto); !errors.Is(err, auditor.ErrFlaw) || !strings.Contains(err.Error(), "regions/east/") {
		t.Error(err)
	}
	if _, err := auditor.Audit(ctx, w.Store, schema.NewPublicKey(w.Owner), auditor.Options{PassUnnamed: true}); err != nil {
		t.Error(err)
	}
}

// TestKeeper: a root's store without pieces is whole, while the round is open and after it; a sweep keeps what regions signed
// and removes other partial sums.
func TestKeeper(t *testing.T) {
	w := newWorld(t, 300, 2)
	w.sums()
	flaws := func(s storage.Store) (all []string) {
		_, err := keeper.Check(ctx, s, keeper.CheckOptions{Found: func(f keeper.Finding) {
			if f.Kind == keeper.KindFlaw {
				all = append(all, f.Object+": "+f.Text)
			}
		}})
		w.ok(err)
		return all
	}
	if f := flaws(w.Store); len(f) > 0 {
		t.Error("open:", f)
	}
	w.played()
	if f := flaws(w.Store); len(f) > 0 {
		t.Error("ended:", f)
	}
	other, err := aggregator.Load(ctx, w.Store, w.r, w.judge()["west"].Partial)
	w.ok(err)
	w.ok(other.Sum.AddBlocks(0, constant(w.r.Secagg, 1)))
	orphan, err := aggregator.Store(ctx, w.Store, w.r, other)
	w.ok(err)
	swept, err := keeper.Sweep(ctx, w.Store, keeper.SweepOptions{Delete: true, Now: time.Now().AddDate(1, 0, 0)})
	if err != nil || swept.Removed[keeper.WhyPartial].Objects != 1 {
		t.Errorf("%+v, %v", swept, err)
	}
	if _, err := w.Store.Stat(ctx, pipeline.PartialKey(w.r.Name, orphan)); !errors.Is(err, storage.ErrNotExist) {
		t.Error("the orphan is there:", err)
	}
	if _, err := w.audit(auditor.DepthPieces, three...); err != nil {
		t.Error("after the sweep:", err)
	}
	// A region's own store is whole without what the committee wrote, and gives its pieces up when the root does.
	near := w.near["east"]
	_, err = region.Sync(ctx, near, w.Store, w.r)
	w.ok(err)
	if f := flaws(near); len(f) > 0 {
		t.Error("a region's:", f)
	}
	swept, err = keeper.Sweep(ctx, near, keeper.SweepOptions{Delete: true, Now: time.Now().AddDate(1, 0, 0), PiecesAfter: time.Hour})
	if err != nil || swept.Removed[keeper.WhyPiece].Objects == 0 || len(swept.Spared) > 0 {
		t.Errorf("%+v, %v", swept, err)
	}
	if f := flaws(near); len(f) > 0 {
		t.Error("a region's, swept:", f)
	}
	for _, s := range w.judge() {
		if s.State != "ready" {
			t.Errorf("after the sweep: %+v", s)
		}
	}
}
