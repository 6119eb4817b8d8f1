package collector_test

import (
	"errors"
	"testing"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/collector"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/schema"
)

// TestPublished: an aggregate that is not the receipt's, or of other tensors than the task's, is refused, and a void round has none.
func TestPublished(t *testing.T) {
	f := pipelinetest.New(t, 5, pipelinetest.Task(100))
	r := f.Open(1)
	for i := range f.Vehicles {
		f.Report(r, i)
	}
	got := f.Finish(r, f.Listed(r, 0, 1, 2), 0, 1, 2)
	a, file, err := collector.Published(ctx, f.Store, r, got.Receipt)
	if err != nil || len(a.Values) != 100 || int64(len(file)) != got.Receipt.AggregateSize {
		t.Fatalf("%d bytes, %v", len(file), err)
	}
	other := *r
	plan := *r.Plan
	plan.Task.Tensors = []schema.Tensor{{Name: "w", DType: "float32", Shape: []int{10, 10}}}
	other.Plan = &plan
	if _, _, err := collector.Published(ctx, f.Store, &other, got.Receipt); !errors.Is(err, pipeline.ErrUntrusted) {
		t.Errorf("other tensors: %v", err)
	}
	if _, _, err := collector.Published(ctx, f.Store, r, schema.Receipt{Status: schema.StatusVoid}); !errors.Is(err, pipeline.ErrEnded) {
		t.Errorf("a void round: %v", err)
	}
	f.Replace(pipeline.AggregateKey(r.Name, got.Receipt.Aggregate), func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
	if _, _, err := collector.Published(ctx, f.Store, r, got.Receipt); !errors.Is(err, pipeline.ErrUntrusted) {
		t.Errorf("changed bytes: %v", err)
	}
}
