package pipeline_test

import (
	"context"
	"math"
	"testing"

	"github.com/veilsum/veilsum/pipeline/aggregator"
	"github.com/veilsum/veilsum/pipeline/decryptor"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/privacy"
	"github.com/veilsum/veilsum/schema"
)

// TestRound plays one whole round: the decoded mean is the mean of the
// updates within the declared noise. False alarm rate: 2,000 values beyond 6
// standard deviations, below 1e-5.
func TestRound(t *testing.T) {
	ctx := context.Background()
	f := pipelinetest.New(t, 8, pipelinetest.Task(2000))
	r := f.Open(1)
	want := make([]float64, 2000)
	for i := range f.Vehicles {
		for j, v := range f.Update(i).Values {
			want[j] += float64(v) / 8
		}
		f.Report(r, i)
	}
	candidates, n, err := f.Collector.Close(ctx, f.Store, r)
	if err != nil || n != 8 {
		t.Fatal(n, err)
	}
	f.Committee([]int{0, 1, 2, 3}, func(d *decryptor.Decryptor) error {
		c, err := d.Check(ctx, f.Store, r, candidates, nil)
		if err == nil && c.Accepted != 8 {
			t.Fatalf("accepted %d, refused %v", c.Accepted, c.Refused)
		}
		return err
	})
	p, err := f.Collector.Propose(ctx, f.Store, r, candidates)
	if err != nil || p.Reports != 8 {
		t.Fatal(p, err)
	}
	f.Committee([]int{0, 1, 2}, func(d *decryptor.Decryptor) error { _, err := d.Vote(ctx, f.Store, r); return err })
	f.Committee([]int{0, 1, 2}, func(d *decryptor.Decryptor) error { _, err := d.Answer(ctx, f.Store, r, nil); return err })
	got, err := f.Collector.Collect(ctx, f.Store, r, nil)
	if err != nil || got.Receipt.Status != schema.StatusCommitted {
		t.Fatal(got, err)
	}
	enc, err := privacy.NewEncoder(r.Privacy, r.ID.Digest)
	if err != nil {
		t.Fatal(err)
	}
	sigma := enc.NoiseStdDev(8)
	for j := range want {
		if math.Abs(got.Mean[j]-want[j]) > 6*sigma {
			t.Fatalf("value %d: %g, want %g, sigma %g", j, got.Mean[j], want[j], sigma)
		}
	}
	if ids, err := aggregator.List(ctx, f.Store, r); err != nil || len(ids) != 1 {
		t.Fatal(ids, err)
	}
}
