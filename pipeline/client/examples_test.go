package client_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/veilsum/veilsum/pipeline/client"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/schema"
)

// TestExampleWeight: updates count by their examples up to the cap, and one of a vehicle with very many counts no more than at the cap; a
// vehicle that does not tell how many seals nothing, and nothing is counted.
func TestExampleWeight(t *testing.T) {
	task := pipelinetest.Task(2000)
	task.MaxExamples, task.Privacy.NoiseMultiplier, task.Scope.Epsilon = 50, 0.2, 1e3
	task.Batch.Min = 30
	f := pipelinetest.New(t, 32, task)
	r := f.Open(1)
	ctx, c := context.Background(), f.Client(0)
	if _, err := c.SealRound(r, f.Update(0)); !errors.Is(err, client.ErrExamples) {
		t.Fatalf("without a number of examples: %v", err)
	}
	examples := slices.Repeat([]int{1, 10, 25, 50, 51, 1000, math.MaxInt, 50}, 4)
	want := make([]float64, 2000)
	for i, n := range examples {
		if i > 0 {
			c = f.Client(i)
		}
		u := client.Update{Values: make([]float32, 2000), ModelHash: schema.HashModel([]byte("model")), Examples: n}
		for j := range u.Values { // of norm 1/2
			u.Values[j] = float32(0.5 / math.Sqrt(2000) * float64(1-2*(j&1)))
		}
		for j, x := range u.Values {
			want[j] += float64(x) * math.Min(float64(n), 50) / 50 / float64(len(examples))
		}
		s, err := c.SealRound(r, u)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Upload(ctx, f.Store, s.File(), nil); err != nil {
			t.Fatal(err)
		}
	}
	got := f.Finish(r, f.Listed(r, 0, 1, 2), 0, 1, 2)
	// The projection on the common direction has the noise of one value: beyond 6.5 standard deviations with chance below 1e-10.
	var dot, norm float64
	for j, x := range want {
		dot, norm = dot+(got.Mean[j]-x)*x, norm+x*x
	}
	if off, sd := dot/math.Sqrt(norm), r.Privacy.NoiseStdDev(len(examples)); math.Abs(off) > 6.5*sd {
		t.Errorf("the mean is off by %g in its own direction, noise %g", off, sd)
	}
	if 0.5-math.Sqrt(norm) < 10*r.Privacy.NoiseStdDev(len(examples)) {
		t.Fatal("the test cannot see weights in this noise")
	}
}

// TestExampleWeightRange: the factor is in (0,1], and a task that does not weigh has 1.
func TestExampleWeightRange(t *testing.T) {
	task := schema.Task{MaxExamples: 4}
	for n, want := range map[int]float64{-1: 0.25, 0: 0.25, 1: 0.25, 3: 0.75, 4: 1, 5: 1, math.MaxInt: 1} {
		if got := task.ExampleWeight(n); got != want {
			t.Errorf("%d examples weigh %g, want %g", n, got, want)
		}
	}
	if w := (schema.Task{}).ExampleWeight(0); w != 1 {
		t.Errorf("an unweighted task: %g", w)
	}
}
