package batch_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/aggregator"
	"github.com/veilsum/veilsum/pipeline/batch"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
	"github.com/veilsum/veilsum/storage/mem"
)

var (
	ctx  = context.Background()
	list = schema.Digest{1}
)

// world is a round with reports of which some cannot be added.
type world struct {
	*pipelinetest.Fleet
	round *pipeline.Round
	ids   []schema.ReportID
	twice []schema.ReportID // two reports of one vehicle
}

// newWorld has n reports, and three more: one with a damaged piece, one that names no object, and the
// second one of vehicle 0.
func newWorld(t testing.TB, n int) *world {
	t.Helper()
	f := pipelinetest.New(t, n, pipelinetest.Task(40))
	w := &world{Fleet: f, round: f.Open(1)}
	for i := range n {
		w.ids = append(w.ids, f.Report(w.round, i))
	}
	f.Replace(pipeline.PieceKey(w.round.Name, w.ids[1], 0), func(b []byte) []byte { b[0] ^= 1; return b })
	again := f.Forge(w.round, f.Vehicles[0], pipelinetest.Forgery{})
	w.twice = []schema.ReportID{w.ids[0], again}
	w.ids = append(w.ids, again, schema.ReportID{Digest: schema.Digest{0x77}})
	slices.SortFunc(w.ids, schema.CompareReports)
	return w
}

// copied is a store of its own with all objects of the world.
func (w *world) copied(t testing.TB) storage.Store {
	t.Helper()
	s := mem.New()
	for info, err := range w.Store.List(ctx, "", "") {
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.PutOnce(ctx, info.Key, w.Get(info.Key)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (w *world) tree(t testing.TB, fanIn int, regions ...schema.BatchRegion) *batch.Tree {
	t.Helper()
	if regions == nil {
		regions = []schema.BatchRegion{{Reports: w.ids}}
	}
	tree, err := batch.New(w.round.ID, list, fanIn, regions...)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// equalsSum holds a record to the plain sum of the same reports.
func (w *world) equalsSum(s storage.Store, rec schema.StepRecord, ids []schema.ReportID) error {
	want, err := aggregator.Sum(ctx, w.Store, w.round, ids, nil)
	if err != nil {
		return err
	}
	if !slices.Equal(rec.Refused, want.Refused) && len(rec.Refused)+len(want.Refused) > 0 {
		return fmt.Errorf("refused %v, want %v", rec.Refused, want.Refused)
	}
	if len(want.Reports) == 0 {
		if !rec.Partial.IsZero() || len(rec.Vehicles) > 0 {
			return fmt.Errorf("a partial sum of nothing: %+v", rec)
		}
		return nil
	}
	raw, err := storage.ReadAll(ctx, s, pipeline.PartialKey(w.round.Name, rec.Partial), 1<<30)
	if err != nil {
		return err
	}
	sum, _, err := want.Encode(w.round)
	if err != nil || !bytes.Equal(raw, sum) || !slices.Equal(rec.Vehicles, want.Vehicles) || rec.Bytes != int64(len(raw)) {
		return fmt.Errorf("another sum (%v)", err)
	}
	return nil
}

var errKilled = errors.New("killed")

// chaos is a store whose writers are killed at random, before or after what they write is there.
type chaos struct {
	storage.Store
	mu sync.Mutex
	r  *rand.Rand
}

func (c *chaos) roll(n int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.r.IntN(n) == 0
}

func (c *chaos) PutOnce(ctx context.Context, key string, body []byte) (storage.Outcome, error) {
	if c.roll(4) {
		return 0, errKilled
	}
	o, err := c.Store.PutOnce(ctx, key, body)
	if err == nil && c.roll(4) {
		return 0, errKilled
	}
	return o, err
}

// engine is a bad one: it starts steps in any order, several times, at the same time, and their workers die.
type engine struct {
	store *chaos
	round *pipeline.Round
}

func (e *engine) RunLevel(ctx context.Context, steps []*batch.Step) ([]*batch.Done, error) {
	done := make([]*batch.Done, len(steps))
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	e.store.mu.Lock()
	order := append(e.store.r.Perm(len(steps)), e.store.r.Perm(len(steps))...)
	e.store.mu.Unlock()
	for _, i := range order {
		g.Go(func() error {
			for {
				d, err := batch.Do(ctx, e.store, e.round, steps[i], aggregator.Options{})
				if errors.Is(err, errKilled) {
					continue
				}
				if err != nil {
					return err
				}
				mu.Lock()
				defer mu.Unlock()
				if old := done[i]; old != nil && (old.Record.Partial != d.Record.Partial || !slices.Equal(old.Record.Refused, d.Record.Refused)) {
					return fmt.Errorf("step %d gave two results", i)
				}
				done[i] = d
				return nil
			}
		})
	}
	return done, g.Wait()
}

// TestAnyTree: whatever the tree, the order, the repetitions, races and deaths, the sum is the plain sum
// of the list, and so is that of every region.
func TestAnyTree(t *testing.T) {
	w := newWorld(t, 14)
	rapid.Check(t, func(rt *rapid.T) {
		var regions []schema.BatchRegion
		names := rapid.IntRange(1, 4).Draw(rt, "regions")
		seed := rapid.Uint64().Draw(rt, "seed")
		for g := range names {
			regions = append(regions, schema.BatchRegion{Name: strings.Repeat("r", g)})
		}
		count := rapid.IntRange(1, len(w.ids)).Draw(rt, "reports")
		r := rand.New(rand.NewPCG(seed, 1))
		for _, i := range r.Perm(len(w.ids))[:count] {
			g := &regions[r.IntN(names)]
			g.Reports = append(g.Reports, w.ids[i])
		}
		regions = slices.DeleteFunc(regions, func(g schema.BatchRegion) bool { return len(g.Reports) == 0 })
		tree := w.tree(t, rapid.IntRange(2, 6).Draw(rt, "fan-in"), regions...)
		s := w.copied(t)
		ran, err := batch.Run(ctx, tree, &engine{&chaos{Store: s, r: r}, w.round})
		if err != nil {
			rt.Fatal(err)
		}
		if err := w.equalsSum(s, ran.Root.Record, tree.Root().Below()); err != nil {
			rt.Fatal(err)
		}
		for i, top := range ran.Tops {
			if err := w.equalsSum(s, top.Record, tree.Plan.Regions[i].Reports); err != nil {
				rt.Fatalf("region %q: %v", tree.Plan.Regions[i].Name, err)
			}
		}
		again, err := batch.Run(ctx, tree, &batch.Local{Store: onlyRecords{s}, Round: w.round})
		if err != nil || again.Found != again.Steps || again.Read != 0 || again.Root.Record.Partial != ran.Root.Record.Partial {
			rt.Fatalf("again: %+v, %v", again, err)
		}
	})
}

// onlyRecords is a store in which nothing but records can be read.
type onlyRecords struct{ storage.Store }

func (s onlyRecords) Get(ctx context.Context, key string) (io.ReadCloser, storage.Info, error) {
	if o, ok := pipeline.ParseObject(key); !ok || o.Kind != pipeline.KindStep {
		return nil, storage.Info{}, fmt.Errorf("%s was read", key)
	}
	return s.Store.Get(ctx, key)
}

func (s onlyRecords) GetRange(_ context.Context, key string, _, _ int64) (io.ReadCloser, error) {
	return nil, fmt.Errorf("%s was read", key)
}

// TestShape: steps are as few as the fan-in allows, of nearly equal size, and each report is in one.
func TestShape(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n, fanIn := rapid.IntRange(1, 700).Draw(rt, "reports"), rapid.IntRange(2, 40).Draw(rt, "fan-in")
		ids := make([]schema.ReportID, n)
		for i := range ids {
			ids[i] = schema.ReportID{Digest: schema.Hash("test", []byte{byte(i), byte(i >> 8)})}
		}
		cut := rapid.IntRange(0, n-1).Draw(rt, "cut")
		regions := []schema.BatchRegion{{Reports: ids[cut:]}}
		if cut > 0 {
			regions = append(regions, schema.BatchRegion{Name: "a", Reports: ids[:cut]})
		}
		tree, err := batch.New(schema.RoundID{Digest: schema.Digest{9}}, list, fanIn, regions...)
		if err != nil {
			rt.Fatal(err)
		}
		slices.Reverse(regions)
		again, err := batch.New(schema.RoundID{Digest: schema.Digest{9}}, list, fanIn, regions...)
		if err != nil || again.ID != tree.ID || again.Root().ID != tree.Root().ID {
			rt.Fatal("the same plan has two names", err)
		}
		checkShape(rt, tree, n, fanIn)
	})
}

func checkShape(rt *rapid.T, tree *batch.Tree, n, fanIn int) {
	leaves, used := 0, map[schema.Digest]bool{}
	for l, level := range tree.Levels {
		for i, s := range level {
			found, err := tree.Step(l+1, i)
			if err != nil || found != s || s.Level != l+1 || s.Index != i || len(s.Inputs()) > fanIn || len(s.Below()) != s.Reports || l > 0 && len(s.Inputs()) < 2 {
				rt.Fatalf("step %d of level %d: %+v, %v", i, l+1, s, err)
			}
			shuffled := slices.Clone(s.Inputs())
			slices.Reverse(shuffled)
			if found, err := tree.Find(shuffled); err != nil || found != s {
				rt.Fatalf("step %d of level %d is not found: %v", i, l+1, err)
			}
			for _, x := range s.Inputs() {
				if used[x] {
					rt.Fatalf("%s is added twice", x.Short())
				}
				used[x] = true
			}
			if l == 0 {
				leaves += s.Reports
			}
		}
	}
	if leaves != n || tree.Root().Reports != n || len(tree.Levels) > schema.MaxLevel {
		rt.Fatalf("%d reports in level 1, %d below the root, want %d", leaves, tree.Root().Reports, n)
	}
}

// TestRefusedInputs: what a step must not add.
func TestRefusedInputs(t *testing.T) {
	w := newWorld(t, 6)
	tree := w.tree(t, 3)
	a, b := tree.Levels[0][0], tree.Levels[0][1]
	for name, inputs := range map[string][]schema.Digest{
		"twice":        append(slices.Clone(a.Inputs()), a.Inputs()[0]),
		"one less":     a.Inputs()[1:],
		"one more":     append(slices.Clone(a.Inputs()), b.Inputs()[0]),
		"outside":      append(slices.Clone(a.Inputs()[1:]), schema.Digest{5}),
		"nothing":      nil,
		"other levels": {a.Inputs()[0], a.ID.Digest},
	} {
		if s, err := tree.Find(inputs); !errors.Is(err, batch.ErrStep) || s != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, at := range [][2]int{{0, 0}, {9, 0}, {1, -1}, {1, 99}, {2, 1}} {
		if _, err := tree.Step(at[0], at[1]); !errors.Is(err, batch.ErrStep) {
			t.Errorf("step %v: %v", at, err)
		}
	}
	if _, err := batch.Do(ctx, w.Store, w.round, tree.Root(), aggregator.Options{}); !errors.Is(err, pipeline.ErrNotReady) {
		t.Error("a missing input:", err)
	}
	for name, regions := range map[string][]schema.BatchRegion{
		"a report in two regions": {{Name: "a", Reports: w.ids[:2]}, {Name: "b", Reports: w.ids[1:3]}},
		"a report twice":          {{Reports: []schema.ReportID{w.ids[0], w.ids[0]}}},
		"an empty region":         {{Name: "a"}},
		"a name twice":            {{Name: "a", Reports: w.ids[:1]}, {Name: "a", Reports: w.ids[1:2]}},
		"a forged name":           {{Name: "a/b", Reports: w.ids[:1]}},
		"nothing":                 {},
	} {
		if _, err := batch.New(w.round.ID, list, 3, regions...); !errors.Is(err, schema.ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestVehicleInTwoSteps: of two reports of one vehicle in different steps the smaller ReportID counts, as in one sum.
func TestVehicleInTwoSteps(t *testing.T) {
	w := newWorld(t, 6)
	tree := w.tree(t, 4, schema.BatchRegion{Name: "east", Reports: w.twice[:1]}, schema.BatchRegion{Name: "west", Reports: w.twice[1:]})
	ran, err := batch.Run(ctx, tree, &batch.Local{Store: w.Store, Round: w.round})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(w.twice, schema.CompareReports)
	rec := ran.Root.Record
	if len(rec.Vehicles) != 1 || !slices.Equal(rec.Refused, []schema.Refusal{{Report: w.twice[1], Reason: schema.ReasonVehicle}}) {
		t.Errorf("%+v", rec)
	}
	if err := w.equalsSum(w.Store, rec, w.twice); err != nil {
		t.Error(err)
	}
}

// TestLocal: bounded, whatever the numbers, with progress to the end, and it stops when it is told.
func TestLocal(t *testing.T) {
	w := newWorld(t, 9)
	tree := w.tree(t, 3)
	for _, l := range []batch.Local{{Workers: 1}, {Workers: 3, ReadAhead: 1}, {Workers: 99, ReadAhead: 99}} {
		s := w.copied(t)
		seen := map[int]int{}
		l.Store, l.Round = s, w.round
		l.Progress = func(done, total int) {
			if total != len(w.ids) && total != tree.Root().Reports || done < seen[total] {
				t.Errorf("progress %d of %d after %d", done, total, seen[total])
			}
			seen[total] = done
			if done == total {
				delete(seen, total)
			}
		}
		ran, err := batch.Run(ctx, tree, &l)
		if err != nil || ran.Found != 0 || ran.Read != len(w.ids) || len(seen) > 0 {
			t.Errorf("%+v, %v; progress stopped at %v", ran, err, seen)
		}
		if err := w.equalsSum(s, ran.Root.Record, w.ids); err != nil {
			t.Error(err)
		}
	}
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := batch.Run(canceled, tree, &batch.Local{Store: w.copied(t), Round: w.round}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := batch.Run(ctx, tree, lazy{}); err == nil {
		t.Error("an engine that did nothing is believed")
	}
}

// lazy does nothing.
type lazy struct{}

func (lazy) RunLevel(context.Context, []*batch.Step) ([]*batch.Done, error) { return nil, nil }
