package fleetsim_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/veilsum/veilsum/pipeline/fleetsim"
	"github.com/veilsum/veilsum/privacy/compress"
)

// hiddenConfig is a network on the clusters.
func hiddenConfig() fleetsim.Config {
	c := config()
	c.Hidden, c.Rounds = 12, 16
	c.LocalRate, c.ServerRate = 0.5, 1
	return c
}

// TestCompressedRun: the network learns from half of the numbers as from all of them, the
// same in every run of a seed and otherwise in another.
func TestCompressedRun(t *testing.T) {
	fleet := newFleet(t, hiddenConfig())
	if fleet.Dimension() != 4*12+12+12*3+3 || len(fleet.Shapes()) != 4 || fleet.Canaries() != 0 {
		t.Fatalf("%d values in %v, %d canaries", fleet.Dimension(), fleet.Shapes(), fleet.Canaries())
	}
	run := func(c fleetsim.Compression, seed uint64) []float64 {
		t.Helper()
		a, err := fleetsim.CompressedRun(fleet, c, seed)
		if err != nil {
			t.Fatal(err)
		}
		if len(a.MeanNorm) != len(a.Accuracy) || !(a.MeanNorm[0] > 0 && a.MeanNorm[0] <= 1) {
			t.Errorf("norms of the mean %v", a.MeanNorm)
		}
		return a.Accuracy
	}
	d := fleet.Dimension()
	for _, s := range []compress.Spec{
		{},
		{Kind: compress.RandomK, Values: d, Keep: d / 2},
		{Kind: compress.SRHT, Values: d, Keep: d / 2},
		{Kind: compress.CountSketch, Values: d, Keep: d / 2},
		{Kind: compress.LowRank, Values: d, Rank: 4, Shapes: fleet.Shapes()},
	} {
		a := run(fleetsim.Compression{Map: s}, 1)
		if last := a[len(a)-1]; last < 0.85 { // chance is 0.33; measured 0.99 and more
			t.Errorf("%q ends at accuracy %.3f", s.Kind, last)
		}
		if !slices.Equal(a, run(fleetsim.Compression{Map: s}, 1)) {
			t.Errorf("%q: two runs of one seed differ", s.Kind)
		}
	}
	if c := fleet.Config(); c.Compressed(1) != c || c.Compressed(9).ServerRate != c.ServerRate/2 {
		t.Error("server rate of compressed rounds")
	}
	half := compress.Spec{Kind: compress.RandomK, Values: d, Keep: d / 2}
	if slices.Equal(run(fleetsim.Compression{Map: half}, 1), run(fleetsim.Compression{Map: half, Feedback: true}, 1)) {
		t.Error("feedback changes nothing")
	}
	for _, s := range []compress.Spec{{Kind: compress.RandomK, Values: d + 1, Keep: 5}, {Kind: compress.RandomK, Values: d}} {
		if _, err := fleetsim.CompressedRun(fleet, fleetsim.Compression{Map: s}, 1); !errors.Is(err, fleetsim.ErrConfig) {
			t.Errorf("%+v: %v", s, err)
		}
	}
}
