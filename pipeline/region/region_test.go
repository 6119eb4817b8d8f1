package region_test

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/client"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/pipeline/region"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage/mem"
)

// Three regions add their own reports; the root has headers and three sums, and not one piece.
func Example() {
	pipelinetest.Example(0, pipelinetest.Task(100), func(f *pipelinetest.Fleet) {
		w := newWorld(f.T, 100, 2)
		for _, name := range three {
			s := w.sum(name)
			fmt.Println(s.Region, s.Reports, len(s.Refused))
		}
		_, n := w.checked(w.Collector)
		fmt.Println(n, "in the root's list")
	})
	// Output:
	// east 2 0
	// north 2 0
	// west 2 0
	// 6 in the root's list
}

// TestThreeRegions plays a whole round: with a report that came straight to the root, and none of the regions' pieces there.
func TestThreeRegions(t *testing.T) {
	w := newWorld(t, 300, 3)
	w.sums()
	p, got := w.played()
	if p.Reports != 9 || got.Receipt.Reports != 9 || len(p.Refused)+len(p.Unused)+len(got.Regions) > 0 {
		t.Errorf("%+v, %+v", p, got)
	}
	for key := range w.Objects() {
		if o, _ := pipeline.ParseObject(key); o.Kind == pipeline.KindPiece {
			t.Error("a piece at the root:", key)
		}
	}
}

// TestDirectReports: who reports straight to the root counts beside the regions.
func TestDirectReports(t *testing.T) {
	w := newWorld(t, 300, 2)
	w.Report(w.r, 6)
	w.sums()
	if p, _ := w.played(); p.Reports != 7 || len(p.Refused) > 0 {
		t.Errorf("%+v", p)
	}
}

// TestLateRegion: a region that comes after the close misses the round, learns it, and tells its vehicles; the others end
// as if it did not exist.
func TestLateRegion(t *testing.T) {
	w := newWorld(t, 300, 2)
	w.sum("east")
	w.sum("north")
	list, n := w.checked(w.Collector)
	if n != 4 {
		t.Fatal(n, "candidates")
	}
	if _, err := region.Sum(ctx, w.near["west"], w.Store, w.r, "west", w.keys["west"], region.Options{}); !errors.Is(err, region.ErrLate) || !errors.Is(err, pipeline.ErrEnded) {
		t.Error(err)
	}
	if s := w.judge()["west"]; s.State != region.Absent {
		t.Errorf("%+v", s)
	}
	p, err := w.Collector.Propose(ctx, w.Store, w.r, list)
	w.ok(err)
	w.answered()
	got, err := w.Collector.Collect(ctx, w.Store, w.r, nil)
	if err != nil || p.Reports != 4 || got.Receipt.Status != schema.StatusCommitted {
		t.Fatal(got, err)
	}
	w.truth(got.Receipt)
	for name, want := range map[string]client.Fate{"east": client.Summed, "west": client.LeftOut} {
		synced, err := region.Sync(ctx, w.near[name], w.Store, w.r)
		if err != nil || synced.End == nil {
			t.Fatal(err)
		}
		ids, err := pipeline.ListReports(ctx, w.near[name], w.r.Name)
		w.ok(err)
		for _, id := range ids {
			if fate, err := client.FateOf(ctx, w.near[name], w.r, id); err != nil || fate != want {
				t.Errorf("a vehicle of %s: %s, %v", name, fate, err)
			}
		}
	}
}

// TestStatementAfterClose: a region whose headers and sum were there before the close, but not its statement, is late too.
func TestStatementAfterClose(t *testing.T) {
	w := newWorld(t, 300, 2)
	w.sum("east")
	w.sum("north")
	power := &pipelinetest.Power{Left: 3} // two headers and the sum
	if _, err := region.Sum(ctx, w.near["west"], pipelinetest.Powered{Store: w.Store, Power: power}, w.r, "west", w.keys["west"], region.Options{}); !errors.Is(err, pipelinetest.ErrPower) {
		t.Fatal(err)
	}
	if _, n := w.checked(w.Collector); n != 4 {
		t.Error(n, "candidates")
	}
	if _, err := region.Sum(ctx, w.near["west"], w.Store, w.r, "west", w.keys["west"], region.Options{}); !errors.Is(err, region.ErrLate) {
		t.Error("after the statement:", err)
	}
}

// TestKilledAtEachWrite cuts the power at every write of Sync and Sum, before and after it took place, and starts them again:
// both stores end as if nothing had happened, though a report came in between.
func TestKilledAtEachWrite(t *testing.T) {
	for _, after := range []bool{false, true} {
		for cut := 0; ; cut++ {
			w := newWorld(t, 300, 2)
			clean := mem.New()
			for key := range w.Objects() {
				_, err := clean.PutOnce(ctx, key, w.Get(key))
				w.ok(err)
			}
			power := &pipelinetest.Power{Left: cut, After: after}
			near, root := pipelinetest.Powered{Store: w.near["east"], Power: power}, pipelinetest.Powered{Store: w.Store, Power: power}
			_, err := region.Sum(ctx, near, root, w.r, "east", w.keys["east"], region.Options{})
			if err == nil {
				if cut < 6 {
					t.Fatalf("only %d writes", cut)
				}
				break
			}
			if !errors.Is(err, pipelinetest.ErrPower) {
				t.Fatal(err)
			}
			frozen := cut > 0 || after
			if frozen { // and otherwise the list is not frozen yet
				w.forge("east", 1, pipelinetest.Forgery{})
			}
			again := w.sum("east")
			if again.Reports != 2 || w.sum("east").Statement != again.Statement {
				t.Errorf("killed at write %d: %+v", cut, again)
			}
			have := w.Objects()
			w.Store = clean
			w.sum("east")
			if !maps.Equal(have, w.Objects()) {
				t.Errorf("killed at write %d (after %v): the root's store ends otherwise", cut, after)
			}
		}
	}
}

// TestOneStatement: a region that sums again, with more reports in its store, sends the statement that it made.
func TestOneStatement(t *testing.T) {
	w := newWorld(t, 300, 2)
	first := w.sum("east")
	before := w.Objects()
	w.forge("east", 1, pipelinetest.Forgery{})
	if again := w.sum("east"); again.Statement != first.Statement || !maps.Equal(before, w.Objects()) {
		t.Errorf("%+v, and then %+v", first, again)
	}
}

// TestForeignAggregator: only the key that the descriptor names may sum.
func TestForeignAggregator(t *testing.T) {
	w := newWorld(t, 300, 2)
	for name, key := range map[string]string{"east": "west", "south": "east"} {
		w.Unchanged(pipeline.ErrKey, func() error {
			_, err := region.Sum(ctx, w.near["east"], w.Store, w.r, name, w.keys[key], region.Options{})
			return err
		})
	}
}

// TestSyncRefuses: what the root's store changed is not copied to a region.
func TestSyncRefuses(t *testing.T) {
	w := newWorld(t, 300, 2)
	w.Replace(pipeline.ModelKey(w.TaskID, w.r.Descriptor.ModelHash), func(b []byte) []byte { return append(b, 'x') })
	if _, err := region.Sync(ctx, mem.New(), w.Store, w.r); !errors.Is(err, pipeline.ErrUntrusted) || !strings.Contains(err.Error(), "models/") {
		t.Error(err)
	}
}
