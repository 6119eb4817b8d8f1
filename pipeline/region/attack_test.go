package region_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/aggregator"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/pipeline/region"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/secagg"
	"github.com/veilsum/veilsum/storage"
	"github.com/veilsum/veilsum/storage/mem"
)

// lie makes a region sign its own list with a sum that is wrong where the root cannot see it, in c: garbage, or the value delta
// on every position of the first block.
func (w *world) lie(name string, more []schema.ReportID, delta int) schema.Digest {
	w.T.Helper()
	s := w.judge()[name]
	p, err := aggregator.Load(ctx, w.Store, w.r, w.sum(name).Partial)
	w.ok(err)
	block := constant(w.r.Secagg, delta)
	if delta == 0 {
		block = garbage(w.r.Secagg)
	}
	w.ok(p.Sum.AddBlocks(0, block))
	for _, id := range more { // their headers are there for all to see
		rep, err := w.r.ReadReport(ctx, w.Store, id)
		w.ok(err)
		w.ok(p.Sum.AddCorr(rep.Corr()))
		p.Reports = append(p.Reports, id)
	}
	slices.SortFunc(p.Reports, schema.CompareReports)
	partial, err := aggregator.Store(ctx, w.Store, w.r, p)
	w.ok(err)
	if !s.Statement.IsZero() {
		w.ok(w.Store.Delete(ctx, pipeline.RegionSumKey(w.r.Name, name, s.Statement)))
	}
	w.ok(w.Store.Delete(ctx, pipeline.RegionSumKey(w.r.Name, name, w.sum(name).Statement)))
	return w.statement(name, w.keys[name], schema.RegionSum{RoundID: w.r.ID, Region: name, Partial: partial, Reports: len(p.Reports)})
}

// packed returns a packed block of values below Q.
func packed(p secagg.Params, value func(i int) uint64) []byte {
	b := make([]byte, p.BlockBytes())
	bits := p.BlockBytes() * 8 / p.N()
	for i := range p.N() {
		for j := range bits {
			if value(i)>>j&1 == 1 {
				at := i*bits + j
				b[at/8] |= 1 << (at % 8)
			}
		}
	}
	return b
}

func garbage(p secagg.Params) []byte {
	return packed(p, func(i int) uint64 { return uint64(i) * 7919 % uint64(p.Q()) })
}

func constant(p secagg.Params, delta int) []byte {
	return packed(p, func(int) uint64 { return uint64(delta) })
}

// TestForgedStatement: who can write to the root's store but has not the region's key signs nothing for it: not with a key of
// its own, nor another region's, nor by moving what the region signed to another name.
func TestForgedStatement(t *testing.T) {
	w := newWorld(t, 300, 2)
	w.sum("north")
	north := w.judge()["north"]
	_, stranger, err := ed25519.GenerateKey(rand.Reader)
	w.ok(err)
	for _, key := range []ed25519.PrivateKey{stranger, w.keys["north"], w.CollectKey} {
		w.statement("east", key, schema.RegionSum{RoundID: w.r.ID, Region: "east", Partial: north.Partial, Reports: 2})
	}
	w.Put(pipeline.RegionSumKey(w.r.Name, "east", north.Statement), w.Get(pipeline.RegionSumKey(w.r.Name, "north", north.Statement)))
	w.Put(pipeline.RegionSumKey(w.r.Name, "east", schema.Digest{1}), []byte("{}"))
	if s := w.judge()["east"]; s.State != region.Absent {
		t.Errorf("%+v", s)
	}
	// Nor can the name of its statement be taken: here with its words and another signature.
	own, err := region.Sum(ctx, w.near["east"], mem.New(), w.r, "east", w.keys["east"], region.Options{})
	w.ok(err)
	w.statement("east", stranger, own.RegionSum)
	w.sum("east") // and the true one still counts
	if s := w.judge()["east"]; s.State != region.Ready {
		t.Errorf("%+v", s)
	}
	w.sum("west")
	w.played()
}

// TestReplayedStatement: what a region signed in another round, or another region signed, is nothing in this one.
func TestReplayedStatement(t *testing.T) {
	w := newWorld(t, 300, 2)
	old := w.sum("east")
	raw := w.Get(pipeline.RegionSumKey(w.r.Name, "east", old.Statement))
	partial := w.Get(pipeline.PartialKey(w.r.Name, old.Partial))
	w.open(2)
	w.Put(pipeline.RegionSumKey(w.r.Name, "east", old.Statement), raw)
	w.Put(pipeline.PartialKey(w.r.Name, old.Partial), partial)
	if s := w.judge()["east"]; s.State != region.Absent {
		t.Errorf("another round's: %+v", s)
	}
	// Signed anew for this round it names a sum of the other: the region itself lies.
	w.statement("east", w.keys["east"], schema.RegionSum{RoundID: w.r.ID, Region: "east", Partial: old.Partial, Reports: 2})
	if s := w.judge()["east"]; s.State != region.LeftOut || !errors.Is(s.Why, pipeline.ErrUntrusted) {
		t.Errorf("another round's sum: %+v", s)
	}
}

// TestPlantedPartial: a partial sum without a signature, over the very list of the round and shifted by little, is not
// used in a round with regions.
func TestPlantedPartial(t *testing.T) {
	w := newWorld(t, 300, 2)
	w.sums()
	list, _ := w.checked(w.Collector)
	_, err := w.Collector.Propose(ctx, w.Store, w.r, list)
	w.ok(err)
	w.answered()
	ids, err := aggregator.List(ctx, w.Store, w.r)
	w.ok(err)
	for _, id := range ids {
		p, err := aggregator.Load(ctx, w.Store, w.r, id)
		w.ok(err)
		if len(p.Reports) < 6 {
			continue
		}
		w.ok(w.Store.Delete(ctx, pipeline.PartialKey(w.r.Name, id))) // only the false one is left
		w.ok(p.Sum.AddBlocks(0, constant(w.r.Secagg, 3)))
		_, err = aggregator.Store(ctx, w.Store, w.r, p)
		w.ok(err)
	}
	got, err := w.Collector.Collect(ctx, w.Store, w.r, nil)
	if err != nil || got.Receipt.Status != schema.StatusCommitted {
		t.Fatal(got, err)
	}
	w.truth(got.Receipt)
}

// TestPlantedInRegion: who can upload to a region's store plants a false partial sum there; the region does not sign it.
func TestPlantedInRegion(t *testing.T) {
	w := newWorld(t, 300, 2)
	ids, err := pipeline.ListReports(ctx, w.near["east"], w.r.Name)
	w.ok(err)
	p, err := aggregator.FromReports(ctx, w.near["east"], w.r, ids, nil)
	w.ok(err)
	w.ok(p.Sum.AddBlocks(0, constant(w.r.Secagg, 1)))
	_, err = aggregator.Store(ctx, w.near["east"], w.r, p)
	w.ok(err)
	w.sum("east")
	if err := w.root("east").Verify(ctx, w.r, w.judge()["east"], nil); err != nil {
		t.Error(err)
	}
}

// TestLyingAboutTheList: what a region says of its list is checked against the headers before the list is frozen; it is
// named, and the others go on.
func TestLyingAboutTheList(t *testing.T) {
	for name, c := range map[string]struct {
		change func(w *world, p *aggregator.PartialSum, st *schema.RegionSum)
		why    string
	}{
		"count": {func(_ *world, _ *aggregator.PartialSum, st *schema.RegionSum) { st.Reports = 3 }, "states 3 reports"},
		"corr": {func(w *world, p *aggregator.PartialSum, _ *schema.RegionSum) {
			w.ok(p.Sum.AddCorr(constant(w.r.Secagg, 1)))
		}, "corr do not add up"},
		"one too few": {func(_ *world, p *aggregator.PartialSum, st *schema.RegionSum) {
			p.Reports, st.Reports = p.Reports[:1], 1
		}, "corr do not add up"},
		"unheard": {func(_ *world, p *aggregator.PartialSum, _ *schema.RegionSum) { p.Reports[0] = schema.ReportID{} }, "missing"},
		"gone":    {func(_ *world, _ *aggregator.PartialSum, st *schema.RegionSum) { st.Partial = schema.Digest{7} }, "not exist"},
		"another's": {func(w *world, _ *aggregator.PartialSum, st *schema.RegionSum) {
			st.Partial = w.judge()["north"].Partial
		}, "list of north too"},
		"vehicle twice": {func(w *world, p *aggregator.PartialSum, st *schema.RegionSum) {
			w.twice(p)
			st.Reports = len(p.Reports)
		}, "two reports of one vehicle"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 300, 2)
			w.sums()
			s := w.judge()["east"]
			p, err := aggregator.Load(ctx, w.Store, w.r, s.Partial)
			w.ok(err)
			st := schema.RegionSum{RoundID: w.r.ID, Region: "east", Partial: s.Partial, Reports: 2}
			c.change(w, p, &st)
			slices.SortFunc(p.Reports, schema.CompareReports)
			id, err := aggregator.Store(ctx, w.Store, w.r, p)
			w.ok(err)
			if st.Partial == s.Partial {
				st.Partial = id
			}
			w.ok(w.Store.Delete(ctx, pipeline.RegionSumKey(w.r.Name, "east", s.Statement)))
			w.statement("east", w.keys["east"], st)
			found := w.judge("north", "west")
			if got := found["east"]; got.State != region.LeftOut || !strings.Contains(fmt.Sprint(got.Why), c.why) {
				t.Errorf("%s, %v", got.State, got.Why)
			}
			if p, _ := w.played("north", "west"); p.Reports != 4 {
				t.Errorf("%+v", p)
			}
		})
	}
}

// twice adds another report of a vehicle that the sum holds.
func (w *world) twice(p *aggregator.PartialSum) {
	w.T.Helper()
	id := w.forge("east", 0, pipelinetest.Forgery{})
	rep, err := w.r.ReadReport(ctx, w.near["east"], id)
	w.ok(err)
	_, err = w.Store.PutOnce(ctx, pipeline.HeaderKey(w.r.Name, id), rep.Bytes())
	w.ok(err)
	w.ok(p.Sum.AddCorr(rep.Corr()))
	p.Reports = append(p.Reports, id)
}

// TestLyingAboutTheSum: a lie about c shows only where the pieces are. Verify names the liar, before the close or at any
// time; closed without it, the round goes on with the others.
func TestLyingAboutTheSum(t *testing.T) {
	for _, delta := range []int{0, 1} {
		w := newWorld(t, 300, 2)
		w.sums()
		w.lie("east", nil, delta)
		all, err := w.root(three...).Judge(ctx, w.r)
		w.ok(err)
		var liars []string
		for _, s := range all {
			err := w.root(three...).Verify(ctx, w.r, s, nil)
			if errors.Is(err, region.ErrLies) {
				liars = append(liars, s.Name)
			} else if err != nil {
				t.Error(s.Name, err)
			}
		}
		if !slices.Equal(liars, []string{"east"}) {
			t.Errorf("by %d: named %v", delta, liars)
		}
		var refused *pipeline.Refused
		if err := w.root("north").Verify(ctx, w.r, all[0], nil); !errors.As(err, &refused) {
			t.Error("without the region's store:", err)
		}
		list, n := w.checked(w.Collector, liars...)
		if n != 4 {
			t.Error(n, "candidates")
		}
		p, err := w.Collector.Propose(ctx, w.Store, w.r, list)
		w.ok(err)
		w.answered()
		got, err := w.Collector.Collect(ctx, w.Store, w.r, nil)
		if err != nil || p.Reports != 4 || len(got.Regions) > 0 {
			t.Error(got, err)
		}
		w.truth(got.Receipt)
	}
}

// TestLieAfterTheVotes: a sum that does not open is added again from the regions' stores: the liar is named and its reports count.
// A root that cannot read them gives nothing up: it says whose pieces it lacks, and ends the round later.
func TestLieAfterTheVotes(t *testing.T) {
	w := newWorld(t, 300, 2)
	w.sums()
	w.lie("east", nil, 0)
	list, n := w.checked(w.Collector)
	if n != 6 {
		t.Fatal(n, "candidates")
	}
	_, err := w.Collector.Propose(ctx, w.Store, w.r, list)
	w.ok(err)
	w.answered()
	for _, readable := range [][]string{nil, {"north", "west"}} {
		before := w.Objects()
		got, err := w.Collector.Reading(w.root(readable...).Regions).Collect(ctx, w.Store, w.r, nil)
		if !errors.Is(err, pipeline.ErrNotReady) || got == nil || len(got.Regions) != 3-len(readable) || !strings.Contains(err.Error(), "region east shows no pieces") && readable != nil {
			t.Errorf("reading %v: %+v, %v", readable, got, err)
		}
		if len(w.Objects()) != len(before) {
			t.Error("something was written")
		}
	}
	got, err := w.Collector.Reading(w.root("east").Regions).Collect(ctx, w.Store, w.r, nil)
	if err != nil || got.Receipt.Status != schema.StatusCommitted || got.Receipt.Reports != 6 {
		t.Fatal(got, err)
	}
	if i := slices.IndexFunc(got.Regions, func(f region.Finding) bool { return errors.Is(f.Err, region.ErrLies) }); i < 0 || got.Regions[i].Name != "east" {
		t.Errorf("%+v", got.Regions)
	}
	w.truth(got.Receipt)
}

// TestTwoStatements: a region that signs a second, larger sum after the list was proposed spoils nothing: the round ends with
// the list and the sum that were proposed.
func TestTwoStatements(t *testing.T) {
	w := newWorld(t, 300, 2)
	w.sums()
	list, _ := w.checked(w.Collector)
	_, err := w.Collector.Propose(ctx, w.Store, w.r, list)
	w.ok(err)
	w.answered()
	first := w.judge()["east"]
	id := w.forge("east", 6, pipelinetest.Forgery{})
	rep, err := w.r.ReadReport(ctx, w.near["east"], id)
	w.ok(err)
	_, err = w.Store.PutOnce(ctx, pipeline.HeaderKey(w.r.Name, id), rep.Bytes())
	w.ok(err)
	p, err := aggregator.FromReports(ctx, w.near["east"], w.r, append(slices.Clone(first.Reports), id), nil)
	w.ok(err)
	partial, err := aggregator.Store(ctx, w.Store, w.r, p)
	w.ok(err)
	w.statement("east", w.keys["east"], schema.RegionSum{RoundID: w.r.ID, Region: "east", Partial: partial, Reports: 3})
	if s := w.judge()["east"]; s.State != region.Ready || len(s.Reports) != 3 {
		t.Fatalf("%+v", s)
	}
	got, err := w.Collector.Collect(ctx, w.Store, w.r, nil)
	if err != nil || got.Receipt.Status != schema.StatusCommitted || got.Receipt.Reports != 6 {
		t.Fatal(got, err)
	}
	w.truth(got.Receipt)
}

// TestStolenReports: a region that puts the reports of another on its list, whose headers it saw, cannot show their pieces and
// is named; without the regions' stores nobody can tell who is right, both are left out, and the third goes on.
func TestStolenReports(t *testing.T) {
	w := newWorld(t, 300, 4)
	w.sums()
	w.lie("east", w.judge()["north"].Reports, 0)
	found := w.judge(three...)
	if found["east"].State != region.LeftOut || !strings.Contains(fmt.Sprint(found["east"].Why), "list of north too") || found["north"].State != region.Ready || found["west"].State != region.Ready {
		t.Errorf("%+v", found)
	}
	blind := w.judge()
	if blind["east"].State != region.LeftOut || blind["north"].State != region.LeftOut || blind["west"].State != region.Ready {
		t.Errorf("%+v", blind)
	}
	if p, _ := w.played("north"); p.Reports != 8 {
		t.Errorf("%+v", p)
	}
}

// TestRoamingVehicle: one report that reached two regions counts once; of two reports of one vehicle in two regions the committee takes one.
func TestRoamingVehicle(t *testing.T) {
	w := newWorld(t, 300, 2)
	for key := range objectsOf(t, w.near["east"]) { // vehicle 0 delivered the same report in the north, too
		if o, _ := pipeline.ParseObject(key); o.Kind == pipeline.KindPiece || o.Kind == pipeline.KindHeader {
			if rep := w.owner("east", o.Report); rep == w.Vehicles[0].ID {
				w.carry("east", "north", key)
			}
		}
	}
	w.forge("west", 1, pipelinetest.Forgery{}) // vehicle 1 is of the north
	w.sums()
	found := w.judge(three...)
	if len(found["north"].Reports) != 3 || len(found["west"].Reports) != 3 || found["east"].State != region.Ready {
		t.Fatalf("%+v", found)
	}
	p, _ := w.played(three...)
	if p.Reports != 6 || len(p.Refused) != 1 || p.Refused[0].Reason != schema.ReasonVehicle || len(p.Unused) > 0 {
		t.Errorf("%+v", p)
	}
}

func objectsOf(t *testing.T, s storage.Store) map[string]bool {
	all := map[string]bool{}
	for info, err := range s.List(ctx, "", "") {
		if err != nil {
			t.Fatal(err)
		}
		all[info.Key] = true
	}
	return all
}

func (w *world) owner(name string, id schema.ReportID) schema.VehicleID {
	w.T.Helper()
	rep, _, err := w.r.ReadHead(ctx, w.near[name], id, -1)
	w.ok(err)
	return rep.Header.Vehicle
}

func (w *world) carry(from, to, key string) {
	w.T.Helper()
	b, err := storage.ReadAll(ctx, w.near[from], key, 1<<30)
	w.ok(err)
	_, err = w.near[to].PutOnce(ctx, key, b)
	w.ok(err)
}

// TestRefusedInRegion: the committee refuses a report that a region added. With the region's store it is subtracted; without, the
// region is left out and named, and the others go on.
func TestRefusedInRegion(t *testing.T) {
	for _, readable := range [][]string{{"east"}, nil} {
		w := newWorld(t, 300, 2)
		w.forge("east", 6, pipelinetest.Forgery{Boxes: func(_ schema.ReportID, boxes [][]byte) { boxes[0][40] ^= 1 }})
		w.sums()
		if s := w.judge()["east"]; s.State != region.Ready || len(s.Reports) != 3 {
			t.Fatalf("%+v", s)
		}
		p, _ := w.played(readable...)
		switch {
		case readable != nil && (p.Reports != 6 || len(p.Refused) != 1 || len(p.Unused) != 0):
			t.Errorf("with the region's store: %+v", p)
		case readable == nil && (p.Reports != 4 || len(p.Refused) != 3 || len(p.Unused) != 1 || p.Unused[0].Name != "east"):
			t.Errorf("without it: %+v", p)
		}
	}
}
