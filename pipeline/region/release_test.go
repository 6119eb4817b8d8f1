package region_test

import (
	"testing"
	"time"

	"github.com/veilsum/veilsum/pipeline/collector"
	"github.com/veilsum/veilsum/pipeline/keeper"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/pipeline/releaser"
)

// TestReleasedModelInRegions: a round that announces a release has its model in the regions, where vehicles seal for it, and a region's store
// is whole without the chain of releases, which is the root's.
func TestReleasedModelInRegions(t *testing.T) {
	w := emptyWorld(t, pipelinetest.Task(300), 7)
	r, err := releaser.New(w.CollectKey)
	w.ok(err)
	_, err = r.Release(ctx, w.Store, w.Plan, w.TaskID, releaser.Publication{Model: []byte("model")})
	w.ok(err)
	w.Keys(1)
	w.openWith(collector.Opening{Name: w.Name(1), Release: 1, Snapshot: w.Snapshot, Deadline: w.Now().Add(time.Minute)})
	for i := range 6 {
		w.report(three[i%3], i)
	}
	w.sums()
	for _, name := range three {
		_, err := keeper.Check(ctx, w.near[name], keeper.CheckOptions{Found: func(f keeper.Finding) {
			if f.Kind == keeper.KindFlaw {
				t.Errorf("%s: %s: %s", name, f.Object, f.Text)
			}
		}})
		w.ok(err)
	}
	if p, _ := w.played(); p.Reports != 6 {
		t.Errorf("%d reports", p.Reports)
	}
}
