package fleetsim_test

import (
	"errors"
	"math"
	"testing"

	"github.com/veilsum/veilsum/pipeline/fleetsim"
	"github.com/veilsum/veilsum/pipeline/robust"
)

// TestLaneRun: attacked lanes break the plain mean and not the gated median; one lane without malice is NoisyRun's training.
func TestLaneRun(t *testing.T) {
	c := config()
	c.Rounds, c.Partition, c.Slices = 4, fleetsim.ByDraw, 400
	f := newFleet(t, c)
	run := func(lanes fleetsim.LaneConfig, rule robust.Rule) fleetsim.LaneRound {
		t.Helper()
		out, err := fleetsim.LaneRun(f, lanes, 1, rule)
		if err != nil || len(out) != c.Rounds {
			t.Fatalf("%d rounds (%v)", len(out), err)
		}
		return out[len(out)-1]
	}
	lanes := fleetsim.LaneConfig{Lanes: 20, Honest: 8, Min: 6}
	quiet := run(lanes, robust.Mean)
	attacked := lanes
	attacked.Malicious, attacked.Factor = 0.01, -100
	plain, gated := run(attacked, robust.Mean), run(attacked, robust.Gate(c.ClippingNorm, robust.TrimmedMean(0.5)))
	if plain.Accuracy > quiet.Accuracy-0.2 || gated.Accuracy < quiet.Accuracy-0.1 || gated.Rejected == 0 || plain.Rejected != 0 {
		t.Errorf("quiet %+v, plain %+v, gated %+v", quiet, plain, gated)
	}
	one := run(fleetsim.LaneConfig{Lanes: 1, Honest: 250, Min: 4}, robust.Mean)
	if !(one.StdDev > 0) || quiet.StdDev < one.StdDev || math.IsInf(quiet.StdDev, 0) {
		t.Errorf("noise %g in one lane, %g in twenty", one.StdDev, quiet.StdDev)
	}
	for _, bad := range []fleetsim.LaneConfig{{Honest: 1}, {Lanes: 1}, {Lanes: 1, Honest: 1, Malicious: 1}, {Lanes: 1, Honest: 1, Malicious: math.NaN()}} {
		if _, err := fleetsim.LaneRun(f, bad, 1, robust.Mean); !errors.Is(err, fleetsim.ErrConfig) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// TestByDraw: every vehicle has its rows, whatever the size of the fleet.
func TestByDraw(t *testing.T) {
	c := config()
	c.Partition, c.Slices = fleetsim.ByDraw, 1000
	f := newFleet(t, c)
	for v := range f.Vehicles() {
		if f.RowsOf(v) != 4 {
			t.Fatalf("vehicle %d has %d rows", v, f.RowsOf(v))
		}
	}
	if f.Vehicles() != 1000 || fleetsim.ByDraw.String() != "by draw" {
		t.Errorf("%d vehicles %s", f.Vehicles(), fleetsim.ByDraw)
	}
}
