package lanes_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/collector"
	"github.com/veilsum/veilsum/pipeline/lanes"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/pipeline/robust"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/schema/arrowipc"
)

var ctx = context.Background()

func sha(b []byte) [32]byte { return sha256.Sum256(b) }

// Two lanes of different size: each counts by its reports.
func Example() {
	m, err := lanes.Combine([]lanes.Lane{
		{Number: 0, Reports: 30, Mean: []float64{1, 2}, NoiseStdDev: 0.3},
		{Number: 2, Reports: 10, Mean: []float64{5, 2}, NoiseStdDev: 0.9},
	}, robust.Mean)
	fmt.Printf("%v of %d reports, noise %.4f, %v\n", m.Mean, m.Reports, m.NoiseStdDev, err)
	fmt.Println(lanes.Suggest(250_000, 1000, 12_000))
	// Output:
	// [2 2] of 40 reports, noise 0.3182, <nil>
	// {250000 25 10000 9412 10588 true}
}

// TestCombine: merging lanes gives the mean of all that they add, in any cut, and never more noise than one lane has.
func TestCombine(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 9).Draw(rt, "lanes")
		var all []lanes.Lane
		var sum, count float64
		for i := range n {
			l := lanes.Lane{Number: uint32(i * 3), Reports: rapid.IntRange(1, 1000).Draw(rt, "reports"), Mean: []float64{rapid.Float64Range(-9, 9).Draw(rt, "mean")}, NoiseStdDev: 1}
			sum, count = sum+float64(l.Reports)*l.Mean[0], count+float64(l.Reports)
			all = append(all, l)
		}
		m, err := lanes.Combine(all, robust.Mean)
		if err != nil || m.Reports != int(count) || math.Abs(m.Mean[0]-sum/count) > 1e-9 || m.NoiseStdDev > 1+1e-12 {
			rt.Fatalf("%+v, %v", m, err)
		}
	})
}

// TestCheck: what are no lanes of one epoch is refused.
func TestCheck(t *testing.T) {
	good := []lanes.Lane{{Number: 1, Reports: 2, Mean: []float64{1}}, {Number: 4, Reports: 2, Mean: []float64{1}}}
	if err := lanes.Check(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(l []lanes.Lane) []lanes.Lane{
		"none":   func([]lanes.Lane) []lanes.Lane { return nil },
		"twice":  func(l []lanes.Lane) []lanes.Lane { l[1].Number = 1; return l },
		"order":  func(l []lanes.Lane) []lanes.Lane { slices.Reverse(l); return l },
		"empty":  func(l []lanes.Lane) []lanes.Lane { l[0].Reports = 0; return l },
		"length": func(l []lanes.Lane) []lanes.Lane { l[1].Mean = nil; return l },
	} {
		bad := change(slices.Clone(good))
		if _, err := lanes.Combine(bad, robust.Mean); !errors.Is(err, lanes.ErrLanes) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSuggest: lanes are few, near 10^4, and within the batch sizes; what cannot fit says so.
func TestSuggest(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		reports, most := rapid.IntRange(1, 2_000_000).Draw(rt, "reports"), rapid.IntRange(2, 100_000).Draw(rt, "most")
		s := lanes.Suggest(reports, 0, most)
		if s.Lanes < 1 || s.Lanes > 4096 || s.Fits != (s.Most <= most) || s.Lanes < 4096 && (s.Mean > lanes.GoodBatch || !s.Fits) {
			rt.Fatalf("%+v", s)
		}
	})
	if s := lanes.Suggest(900, 1000, 5000); s.Lanes != 1 || s.Fits {
		t.Errorf("%+v", s)
	}
	if s := lanes.Suggest(100_000, 9_900, 12_000); s.Fits {
		t.Errorf("a lane may well have fewer: %+v", s)
	}
}

// all is the whole committee.
var all = []int{0, 1, 2, 3}

// world plays lanes of an epoch.
type world struct {
	*pipelinetest.Fleet
}

// lane opens a lane, and all its vehicles report.
func (w world) lane(t *testing.T, epoch uint64, lane uint32) *pipeline.Round {
	t.Helper()
	n := w.Name(epoch)
	n.Lane = lane
	r, err := w.Collector.Open(ctx, w.Store, w.Plan, collector.Opening{Name: n, Model: []byte("model"), Snapshot: w.Snapshot, Deadline: w.Now()})
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range w.Vehicles {
		if schema.LaneOf(w.TaskID, epoch, v.ID, 2) == lane {
			w.Report(r, i)
		}
	}
	return r
}

// play opens a lane and plays it to its receipt.
func (w world) play(t *testing.T, epoch uint64, lane uint32) {
	t.Helper()
	r := w.lane(t, epoch, lane)
	w.Finish(r, w.Listed(r, all...), all...)
}

// TestLoad: lanes of several epochs that are open at once; each epoch merges to the mean of its own, near the true one, and the
// same lanes give the same bytes. 40 vehicles leave a lane fewer than 4 with chance below 2e-8.
func TestLoad(t *testing.T) {
	task := pipelinetest.Task(50)
	task.Batch.Lanes = 2
	w := world{pipelinetest.New(t, 40, task)}
	w.Keys(1)
	w.Keys(2)
	w.play(t, 1, 0)
	late := w.lane(t, 1, 1)
	list := w.Listed(late, all...) // a decryptor takes up the epochs of a lane in their order
	w.play(t, 2, 1)                // while the lane of epoch 1 is open
	e, err := lanes.Load(ctx, w.Store, w.Plan, w.TaskID, 1)
	if err != nil || len(e.Lanes) != 1 || !slices.Equal(e.Open, []uint32{1}) || len(e.Void) > 0 {
		t.Fatalf("%+v, %v", e, err)
	}
	w.Finish(late, list, all...)
	w.play(t, 2, 0)
	for epoch := range uint64(2) {
		e, err := lanes.Load(ctx, w.Store, w.Plan, w.TaskID, epoch+1)
		if err != nil || len(e.Lanes) != 2 || len(e.Open) > 0 {
			t.Fatalf("%+v, %v", e, err)
		}
		m, file, err := lanes.Merge(w.Plan, w.TaskID, epoch+1, e.Lanes, "mean")
		if err != nil || m.Reports != 40 {
			t.Fatal(m.Reports, err)
		}
		_, again, err := lanes.Merge(w.Plan, w.TaskID, epoch+1, e.Lanes, "mean")
		if err != nil || string(again) != string(file) {
			t.Error("other bytes", err)
		}
		a, err := arrowipc.OpenAggregate(file, sha(file))
		if err != nil || a.Meta[arrowipc.MetaLanes] != "2" || a.Meta[arrowipc.MetaTaskLanes] != "2" || a.Meta[arrowipc.MetaMerger] != "mean" {
			t.Errorf("%v, %v", a, err)
		}
		w.near(t, m)
	}
}

// near compares with the mean of the updates: one of 100 values is beyond 6 standard deviations with chance below 3e-7.
func (w world) near(t *testing.T, m lanes.Merged) {
	t.Helper()
	for j, got := range m.Mean {
		var want float64
		for i := range w.Vehicles {
			want += float64(w.Update(i).Values[j]) / float64(len(w.Vehicles))
		}
		if d := math.Abs(got - want); d > 6*m.NoiseStdDev {
			t.Errorf("value %d is off by %.3g, noise %.3g", j, d, m.NoiseStdDev)
		}
	}
}

// TestLoadRefuses: an aggregate that is not the one of its receipt, and a void lane.
func TestLoadRefuses(t *testing.T) {
	task := pipelinetest.Task(50)
	task.Batch.Lanes = 2
	w := world{pipelinetest.New(t, 40, task)}
	w.Keys(1)
	w.play(t, 1, 0)
	r := w.lane(t, 1, 1)
	if _, err := w.Collector.Abort(ctx, w.Store, r, "test"); err != nil {
		t.Fatal(err)
	}
	e, err := lanes.Load(ctx, w.Store, w.Plan, w.TaskID, 1)
	if err != nil || !slices.Equal(e.Void, []uint32{1}) {
		t.Errorf("%+v, %v", e, err)
	}
	_, file, err := lanes.Merge(w.Plan, w.TaskID, 1, e.Lanes, "mean")
	if err != nil {
		t.Fatal(err)
	}
	a, err := arrowipc.OpenAggregate(file, sha(file))
	if err != nil || a.Meta[arrowipc.MetaLanes] != "1" || a.Meta[arrowipc.MetaTaskLanes] != "2" {
		t.Errorf("half of the lanes pass for the whole: %v, %v", a, err)
	}
	for key := range w.Objects() {
		if o, _ := pipeline.ParseObject(key); o.Kind == pipeline.KindAggregate {
			w.Replace(key, func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
		}
	}
	if _, err := lanes.Load(ctx, w.Store, w.Plan, w.TaskID, 1); !errors.Is(err, pipeline.ErrUntrusted) {
		t.Error(err)
	}
}
