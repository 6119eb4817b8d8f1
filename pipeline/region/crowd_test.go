package region_test

import (
	"fmt"
	"testing"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/pipeline/region"
)

// crowded has twelve reports, four a region, where the batch may hold ten.
func crowded(t *testing.T) *world {
	t.Helper()
	task := pipelinetest.Task(300)
	task.Batch.Max = 10
	w := emptyWorld(t, task, 12)
	w.open(1)
	for i := range 12 {
		w.report(three[i%3], i)
	}
	w.sums()
	return w
}

// TestMoreThanTheBatch: the regions together have more reports than the batch may hold, and the root can read none of their
// stores, so that it can subtract nothing: it leaves out a region, names it, and the round goes on with the others.
func TestMoreThanTheBatch(t *testing.T) {
	w := crowded(t)
	p, got := w.played()
	if p.Reports != 8 || got.Receipt.Reports != 8 || len(p.Unused) != 1 {
		t.Errorf("%d reports in the list, %d opened, without %v", p.Reports, got.Receipt.Reports, p.Unused)
	}
}

// TestMoreThanTheBatchReadable: with the regions' stores at hand the list is cut to the very number.
func TestMoreThanTheBatchReadable(t *testing.T) {
	w := crowded(t)
	if p, _ := w.played(three...); p.Reports != 10 {
		t.Errorf("%d reports, 10 are allowed", p.Reports)
	}
}

// TestFloodedRegion: whoever may write to the root fills the place of one region's sums with junk. It costs that region its
// part at most, never the round.
func TestFloodedRegion(t *testing.T) {
	w := newWorld(t, 300, 2)
	w.sums()
	for i := range 1<<14 + 1 {
		w.Put(pipeline.RegionSumsPrefix(w.r.Name, "east")+fmt.Sprintf("%064x.json", i), []byte("junk"))
	}
	all := w.judge()
	if all["east"].State != region.LeftOut || all["west"].State != region.Ready || all["north"].State != region.Ready {
		t.Errorf("%v", all)
	}
	w.played()
}
