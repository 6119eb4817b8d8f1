package pipeline_test

import (
	"errors"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/schema"
)

func reservation(p *pipeline.Plan, task byte, epoch uint64, lane uint32, vehicles ...byte) schema.Reservation {
	r := schema.Reservation{
		Version: schema.Version, Scope: p.Task.Scope.ID(), TaskID: schema.TaskID{Digest: schema.Digest{task}}, Epoch: epoch, Lane: lane, Event: p.Event(),
	}
	for _, v := range vehicles {
		r.Vehicles = append(r.Vehicles, schema.VehicleID{v})
	}
	return r
}

// TestCharges: one event per (task, epoch), however many lanes and manifests;
// one participation per (task, epoch, vehicle).
func TestCharges(t *testing.T) {
	p := pipelinetest.New(t, 1, pipelinetest.Task(100)).Plan
	c := pipeline.NewCharges(p.Task.Scope)
	if g, err := c.Guarantee(); err != nil || g.Epsilon != 0 {
		t.Fatal("nothing costs nothing:", g, err)
	}
	for _, r := range []schema.Reservation{
		reservation(p, 1, 1, 0, 1, 2), reservation(p, 1, 1, 0, 1, 3), reservation(p, 1, 1, 1, 4, 5),
		reservation(p, 1, 4, 0, 1, 2), reservation(p, 2, 1, 0, 1),
	} {
		if err := c.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	if c.Epochs() != 3 {
		t.Error("epochs", c.Epochs())
	}
	task, limit := schema.TaskID{Digest: schema.Digest{1}}, func(most, apart int) schema.Participation {
		return schema.Participation{Max: most, MinSeparation: apart}
	}
	for i, x := range []struct {
		p       schema.Participation
		epoch   uint64
		vehicle byte
		ok      bool
	}{
		{limit(0, 1), 9, 1, true},
		{limit(4, 1), 9, 1, true},
		{limit(3, 1), 9, 1, false}, // it has three
		{limit(3, 1), 4, 1, true},  // this one is among them
		{limit(3, 1), 9, 2, true},  // has two
		{limit(2, 1), 9, 2, false},
		{limit(1, 1), 9, 9, true},  // has none
		{limit(0, 3), 7, 1, true},  // 3 after epoch 4
		{limit(0, 4), 7, 1, false}, // and 4 it is not
		{limit(0, 2), 3, 1, false}, // before epoch 4 counts too
		{limit(0, 2), 2, 3, false},
	} {
		err := c.CheckVehicle(x.p, task, x.epoch, schema.VehicleID{x.vehicle})
		if (err == nil) != x.ok || err != nil && !errors.Is(err, pipeline.ErrLimit) {
			t.Errorf("case %d: %v", i, err)
		}
	}
	cheap := reservation(p, 1, 1, 0, 7)
	cheap.Event.LocalStdDev *= 2
	if err := c.Add(cheap); !errors.Is(err, pipeline.ErrUntrusted) {
		t.Error("another event for the same epoch:", err)
	}
}

// TestChargesNeverUndercount: the order of reservations does not matter, and
// more of them never cost less.
func TestChargesNeverUndercount(t *testing.T) {
	p := pipelinetest.New(t, 1, pipelinetest.Task(100)).Plan
	rapid.Check(t, func(rt *rapid.T) {
		all := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) schema.Reservation {
			return reservation(p, rapid.ByteRange(1, 3).Draw(rt, "task"), rapid.Uint64Range(1, 5).Draw(rt, "epoch"), rapid.Uint32Range(0, 2).Draw(rt, "lane"), rapid.ByteRange(1, 4).Draw(rt, "vehicle"))
		}), 1, 20).Draw(rt, "reservations")
		c := pipeline.NewCharges(p.Task.Scope)
		last := 0.0
		for _, r := range all {
			if err := c.Add(r); err != nil {
				rt.Fatal(err)
			}
			g, err := c.Guarantee()
			if err != nil || g.Epsilon < last || math.IsNaN(g.Epsilon) {
				rt.Fatalf("epsilon %g after %g (%v)", g.Epsilon, last, err)
			}
			last = g.Epsilon
		}
		d := pipeline.NewCharges(p.Task.Scope)
		for _, r := range rapid.Permutation(all).Draw(rt, "order") {
			if err := d.Add(r); err != nil {
				rt.Fatal(err)
			}
		}
		if g, err := d.Guarantee(); err != nil || g.Epsilon != last || c.Epochs() != d.Epochs() {
			rt.Fatalf("another order: epsilon %g, want %g (%v)", g.Epsilon, last, err)
		}
	})
}

// TestBudgetIsSharp: the last round that fits is admitted, the next is not.
func TestBudgetIsSharp(t *testing.T) {
	f := pipelinetest.New(t, 1, pipelinetest.Task(100))
	scope := f.Task.Scope
	g := func(n int) float64 {
		c := pipeline.NewCharges(scope)
		for e := range n {
			if err := c.Add(reservation(f.Plan, 1, uint64(e), 0, 1)); err != nil {
				t.Fatal(err)
			}
		}
		x, err := c.Guarantee()
		if err != nil {
			t.Fatal(err)
		}
		return x.Epsilon
	}
	for _, rounds := range []int{1, 2, 5} {
		scope.Epsilon = schema.Real(g(rounds))
		c := pipeline.NewCharges(scope)
		for e := range rounds {
			if err := c.Add(reservation(f.Plan, 1, uint64(e), 0, 1)); err != nil {
				t.Fatal(err)
			}
			if err := c.CheckBudget(); err != nil {
				t.Errorf("round %d of %d: %v", e+1, rounds, err)
			}
		}
		if err := c.Add(reservation(f.Plan, 1, 99, 0, 1)); err != nil {
			t.Fatal(err)
		}
		if err := c.CheckBudget(); !errors.Is(err, pipeline.ErrBudget) {
			t.Errorf("round %d of %d: %v", rounds+1, rounds, err)
		}
	}
}
