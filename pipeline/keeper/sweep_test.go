package keeper_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/auditor"
	"github.com/veilsum/veilsum/pipeline/keeper"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
	"github.com/veilsum/veilsum/storage/dir"
)

const day = 24 * time.Hour

// sweep returns what was removed, by name.
func (f *fleet) sweep(t testing.TB, opt keeper.SweepOptions) (map[string]string, *keeper.Swept) {
	t.Helper()
	removed := map[string]string{}
	opt.Removed = func(r keeper.Removal) { removed[r.Object] = r.Why }
	s, err := keeper.Sweep(ctx, f.Store, opt)
	if err != nil {
		t.Fatal(err)
	}
	return removed, s
}

func (f *fleet) mustAudit(t testing.TB, depth auditor.Depth) {
	t.Helper()
	rep, err := auditor.Audit(ctx, f.Store, schema.NewPublicKey(f.Owner), auditor.Options{Depth: depth})
	if err != nil || !rep.Complete {
		t.Fatalf("audit: %v", err)
	}
}

func later(d time.Duration) time.Time { return time.Now().Add(d) }

// TestSweep: each thing goes for its reason at its time, and nothing before.
func TestSweep(t *testing.T) {
	f := newFleet(t, committed, aborted, opened)
	done, open := f.rounds[0].Name, f.rounds[2].Name
	strange, d := schema.ReportID{Digest: schema.Digest{1}}, schema.Digest{2}
	f.Put(pipeline.PieceKey(done, strange, 0), []byte("incomplete"))
	f.Put(pipeline.PieceKey(open, strange, 0), []byte("under way"))
	f.Put(pipeline.PartialKey(done, d), []byte("another"))
	f.Put(pipeline.PartialKey(open, d), []byte("in work"))
	f.Put(pipeline.AggregateKey(done, d), []byte("the loser's"))
	f.Put(pipeline.AggregateKey(open, d), []byte("in work"))
	f.Put(pipeline.ClaimKey(done, schema.VehicleID{1}, 0), []byte("claim"))
	f.Put(pipeline.BatchKey(done, d), []byte("plan"))
	f.Put(pipeline.StepKey(done, schema.StepID{Digest: d}), []byte("record"))
	f.Put(pipeline.StepKey(open, schema.StepID{Digest: d}), []byte("in work"))
	f.Put("veilsum-probe/x", []byte("probe"))
	f.Put("tasks/unknown", []byte("whose?"))
	before := f.Objects()

	for age, want := range map[time.Duration]int{0: 0, 23 * time.Hour: 0, 25 * time.Hour: 1, 6 * day: 1, 8 * day: 12} {
		removed, s := f.sweep(t, keeper.SweepOptions{Now: later(age)})
		if len(removed) != want || s.Deleted || len(s.Spared) > 0 {
			t.Errorf("after %v: %v, want %d (%+v)", age, removed, want, s)
		}
	}
	removed, s := f.sweep(t, keeper.SweepOptions{Now: later(8 * day), Delete: true})
	why := map[string]int{}
	for _, w := range removed {
		why[w]++
	}
	want := map[string]int{keeper.WhyIncomplete: 1, keeper.WhyPartial: 2, keeper.WhyAggregate: 1, keeper.WhyClaim: 1, keeper.WhyBatch: 2, keeper.WhyLeftOut: 4, keeper.WhyProbe: 1}
	if !maps.Equal(why, want) || !s.Deleted || s.Rounds != 3 || s.Ended != 2 {
		t.Errorf("removed %v, want %v (%+v)", why, want, s)
	}
	after := f.Objects()
	for key := range before {
		if _, gone := removed[key]; gone == (after[key] == before[key]) {
			t.Errorf("%s: removed %v, and there %v", key, gone, after[key] == before[key])
		}
	}
	if int64(len(after)) != s.Kept.Objects {
		t.Errorf("%d objects are left, %d were to be kept", len(after), s.Kept.Objects)
	}
	if removed, _ := f.sweep(t, keeper.SweepOptions{Now: later(8 * day), Delete: true}); len(removed) > 0 {
		t.Errorf("again: %v", removed)
	}
}

// TestSweepPieces: pieces go when they are past their time, and an audit still verifies all
// the rest; but not if the sum that takes their place is missing or damaged.
func TestSweepPieces(t *testing.T) {
	f := newFleet(t, committed, committed, opened)
	sum := func(i int) string {
		c, err := pipeline.LoadReceipt(ctx, f.Store, f.rounds[i])
		if err != nil {
			t.Fatal(err)
		}
		return pipeline.PartialKey(f.rounds[i].Name, c.Sum)
	}
	whole := f.Get(sum(1))
	f.Replace(sum(1), func(b []byte) []byte { b[len(b)-1] ^= 1; return b })
	for age, want := range map[time.Duration]int{29 * day: 0, 31 * day: 4} {
		removed, s := f.sweep(t, keeper.SweepOptions{Now: later(age), PiecesAfter: 30 * day, Delete: true})
		if len(removed) != want {
			t.Errorf("after %v: %v", age, removed)
		}
		for key, why := range removed {
			if !strings.HasPrefix(key, pipeline.ReportsPrefix(f.rounds[0].Name)) || why != keeper.WhyPiece {
				t.Errorf("removed %s: %s", key, why)
			}
		}
		if spared := len(s.Spared) == 1 && s.Spared[0].Object == sum(1); spared != (want > 0) {
			t.Errorf("after %v spared %v", age, s.Spared)
		}
	}
	f.Replace(sum(1), func([]byte) []byte { return whole })
	f.mustAudit(t, auditor.DepthAuto)
	if found, _ := f.check(t, keeper.CheckOptions{}); len(found[keeper.KindFlaw]) > 0 || len(found[keeper.KindNote]) != 1 {
		t.Errorf("after it: %+v", found)
	}
}

// TestPlantedReceipt: a receipt that the Collector did not sign, or one of another round, ends nothing.
func TestPlantedReceipt(t *testing.T) {
	f := newFleet(t, aborted, closed, closed, closed)
	other := f.Get(pipeline.ReceiptKey(f.rounds[0].Name))
	c, err := pipeline.LoadReceipt(ctx, f.Store, f.rounds[0])
	if err != nil {
		t.Fatal(err)
	}
	c.RoundID, c.Epoch = f.rounds[1].ID, f.rounds[1].Name.Epoch
	forged, err := schema.SignBody(c, f.Members[0])
	if err != nil {
		t.Fatal(err)
	}
	f.Put(pipeline.ReceiptKey(f.rounds[1].Name), forged.Bytes())
	f.Put(pipeline.ReceiptKey(f.rounds[2].Name), other)
	f.Put(pipeline.ReceiptKey(f.rounds[3].Name), []byte("junk"))
	removed, s := f.sweep(t, keeper.SweepOptions{Now: later(100 * day), PiecesAfter: day, Delete: true})
	for key := range removed {
		if !strings.HasPrefix(key, pipeline.RoundPrefix(f.rounds[0].Name)) {
			t.Errorf("removed %s", key)
		}
	}
	if s.Ended != 1 || len(s.Spared) != 3 {
		t.Errorf("%+v", s)
	}
}

// TestSweepProperty: whatever lies in the store, and whenever and how often it is swept, an
// audit passes before and after, no acknowledged report of an open round is lost (each is
// played to its end, over all its reports), and nothing goes that is evidence.
func TestSweepProperty(t *testing.T) {
	runs := 5
	switch {
	case os.Getenv("VEILSUM_SLOW") == "1":
		runs = 150
	case testing.Short():
		runs = 2
	}
	for run := range runs {
		t.Run(fmt.Sprint(run), func(t *testing.T) { sweepAny(t, rand.New(rand.NewPCG(uint64(run), 7))) })
	}
}

func sweepAny(t *testing.T, r *rand.Rand) {
	var until []stage
	for range 2 + r.IntN(3) { // a decryptor that went on to a later epoch votes in no earlier one
		until = append(until, voted+stage(r.IntN(int(stages-voted))))
	}
	until = append(until, stage(r.IntN(int(stages))))
	f := newFleet(t, until...)
	f.litter(r)
	f.mustAudit(t, auditor.DepthPieces)
	for range 1 + r.IntN(3) {
		before := f.Objects()
		opt := keeper.SweepOptions{Delete: r.IntN(3) > 0, Now: later(time.Duration(r.IntN(60)) * day), Grace: time.Duration(1+r.IntN(10)) * day}
		if r.IntN(2) == 0 {
			opt.PiecesAfter = time.Duration(1+r.IntN(40)) * day
		}
		removed, _ := f.sweep(t, opt)
		f.mustKeep(t, before, f.Objects(), removed, opt)
		f.mustAudit(t, auditor.DepthAuto)
	}
	for i := range f.rounds {
		if f.stage[i] >= committed {
			continue
		}
		f.goOn(t, i, committed)
		c, err := pipeline.LoadReceipt(ctx, f.Store, f.rounds[i])
		if err != nil || c.Status != schema.StatusCommitted || c.Reports != len(f.Vehicles) {
			t.Fatalf("round %s, open when the store was swept: %+v, %v", f.rounds[i].Name, c, err)
		}
	}
	f.mustAudit(t, auditor.DepthAuto)
	if found, _ := f.check(t, keeper.CheckOptions{}); len(found[keeper.KindFlaw]) > 0 {
		t.Fatalf("at the end: %+v", found[keeper.KindFlaw])
	}
}

// litter leaves behind what crashes do: everything that it writes is rightly named.
func (f *fleet) litter(r *rand.Rand) {
	for _, x := range f.rounds {
		var report schema.ReportID
		for i := range report.Digest {
			report.Digest[i] = byte(r.Uint32())
		}
		if r.IntN(2) == 0 {
			f.Put(pipeline.PieceKey(x.Name, report, r.IntN(3)), []byte("incomplete"))
		}
		if r.IntN(2) == 0 {
			f.Put(pipeline.AggregateKey(x.Name, sha256.Sum256(report.Digest[:])), report.Digest[:])
		}
		if r.IntN(2) == 0 {
			f.Put(pipeline.ModelKey(x.Name.Task, schema.HashModel(report.Digest[:])), report.Digest[:])
		}
		if r.IntN(2) == 0 {
			f.Put(pipeline.ClaimKey(x.Name, schema.VehicleID(report.Digest[:16]), 0), []byte("claim"))
		}
	}
}

// mustKeep checks that what went was told, may go, and belongs to an ended round.
func (f *fleet) mustKeep(t *testing.T, before, after map[string]schema.Digest, removed map[string]string, opt keeper.SweepOptions) {
	t.Helper()
	ended := map[pipeline.RoundName]schema.Receipt{}
	for _, x := range f.rounds {
		if c, err := pipeline.LoadReceipt(ctx, f.Store, x); err == nil {
			ended[x.Name] = c
		}
	}
	for key := range before {
		_, told := removed[key]
		if gone := after[key] != before[key]; gone != (told && opt.Delete) {
			t.Fatalf("%s: gone %v, told %v, delete %v", key, gone, told, opt.Delete)
		}
		if !told {
			continue
		}
		o, _ := pipeline.ParseObject(key)
		c, over := ended[o.Round]
		allowed := []pipeline.Kind{pipeline.KindPiece, pipeline.KindPartial, pipeline.KindAggregate, pipeline.KindClaim}
		if !over || !slices.Contains(allowed, o.Kind) || o.Kind == pipeline.KindPartial && o.Hash == c.Sum || o.Kind == pipeline.KindAggregate && o.Hash == c.Aggregate {
			t.Fatalf("%s went: %s", key, removed[key])
		}
	}
}

// TestSweepDirectory: in a directory leftovers of killed writers and empty folders go, too.
func TestSweepDirectory(t *testing.T) {
	root := t.TempDir()
	s, err := dir.Open(root, dir.WithoutSync())
	if err != nil {
		t.Fatal(err)
	}
	f := newFleet(t, aborted)
	for key := range f.Objects() {
		if _, err := s.PutOnce(ctx, key, f.Get(key)); err != nil {
			t.Fatal(err)
		}
	}
	f.Store = s
	f.Put(pipeline.PieceKey(f.rounds[0].Name, schema.ReportID{}, 0), []byte("incomplete"))
	// Old objects of a round that ended just now stay: somebody may be at work on them.
	receipt, long := pipeline.ReceiptKey(f.rounds[0].Name), time.Now().Add(-30*day)
	for key := range f.Objects() {
		if err := os.Chtimes(filepath.Join(root, key), long, long); key != receipt && err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(filepath.Join(root, receipt), time.Now(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if removed, _ := f.sweep(t, keeper.SweepOptions{}); len(removed) > 0 {
		t.Errorf("of a round that ended just now: %v", removed)
	}
	if err := os.WriteFile(root+"/.tmp/killed", []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if found, _ := f.check(t, keeper.CheckOptions{}); !names(found[keeper.KindOrphan], ".tmp/killed") {
		t.Errorf("before: %+v", found)
	}
	removed, swept := f.sweep(t, keeper.SweepOptions{Now: later(8 * day), Delete: true})
	if removed[".tmp/killed"] != keeper.WhyLeftover || swept.Removed[keeper.WhyLeftover] != (keeper.Amount{Objects: 1, Bytes: 4}) {
		t.Errorf("removed %v", removed)
	}
	if _, err := os.Stat(root + "/.tmp/killed"); !os.IsNotExist(err) {
		t.Error(err)
	}
	if _, err := os.Stat(root + "/" + pipeline.ReportsPrefix(f.rounds[0].Name) + "00"); !os.IsNotExist(err) {
		t.Errorf("an empty folder is left: %v", err)
	}
	if found, _ := f.check(t, keeper.CheckOptions{}); len(found) > 0 {
		t.Errorf("after: %+v", found)
	}
}

// TestBadOptions: a negative age would remove what is not written yet.
func TestBadOptions(t *testing.T) {
	f := newFleet(t)
	for _, opt := range []keeper.SweepOptions{{Grace: -1}, {Abandoned: -1}, {PiecesAfter: -1}} {
		if _, err := keeper.Sweep(ctx, f.Store, opt); err == nil {
			t.Errorf("%+v is accepted", opt)
		}
	}
}

// janitor is a store in whose bucket others write, too.
type janitor struct {
	storage.Store
	left, removed []storage.Leftover
}

// Leftovers implements storage.Janitor.
func (j *janitor) Leftovers(context.Context, time.Time) ([]storage.Leftover, error) {
	return j.left, nil
}

// RemoveLeftover implements storage.Janitor.
func (j *janitor) RemoveLeftover(_ context.Context, l storage.Leftover) error {
	j.removed = append(j.removed, l)
	return nil
}

// TestForeignUploads: what others upload into the bucket is theirs.
func TestForeignUploads(t *testing.T) {
	f := newFleet(t)
	ours := storage.Leftover{Name: "a", Key: pipeline.ReceiptKey(f.Name(1))}
	j := &janitor{Store: f.Store, left: []storage.Leftover{ours, {Name: "b", Key: "backups/disk.img"}, {Name: "c"}}}
	f.Store = j
	f.sweep(t, keeper.SweepOptions{Delete: true})
	if len(j.removed) != 2 || j.removed[0] != ours || j.removed[1].Name != "c" {
		t.Errorf("removed %+v", j.removed)
	}
}
