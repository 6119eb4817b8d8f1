package client_test

import (
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/client"
	"github.com/veilsum/veilsum/pipeline/collector"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/schema"
)

// models opens epochs 1 to n, each with a model of its own, that all accept the models since an epoch.
func models(f *pipelinetest.Fleet, n, oldest uint64, staleness string) (rounds []*pipeline.Round) {
	f.T.Helper()
	for epoch := uint64(1); epoch <= n; epoch++ {
		f.Keys(epoch)
		r, err := f.Collector.Open(ctx, f.Store, f.Plan, collector.Opening{
			Name: f.Name(epoch), Model: fmt.Append(nil, "model ", epoch), OldestModel: min(oldest, epoch), Staleness: staleness, Snapshot: f.Snapshot, Deadline: f.Now(),
		})
		if err != nil {
			f.T.Fatal(err)
		}
		rounds = append(rounds, r)
	}
	return rounds
}

// late is an update of a norm that starts from the model of an epoch.
func late(f *pipelinetest.Fleet, norm float64, epoch int) client.Update {
	u := client.Update{Values: make([]float32, f.Plan.Privacy.Values()), ModelHash: schema.HashModel(fmt.Append(nil, "model ", epoch))}
	for i := range u.Values {
		u.Values[i] = float32(norm / math.Sqrt(float64(len(u.Values))))
	}
	return u
}

// TestStaleness: a vehicle that saw nothing of the epochs before may send an update that starts from an older model; it
// counts 1/sqrt(1+s), before it is clipped, so that it is never longer than any other.
func TestStaleness(t *testing.T) {
	f := pipelinetest.New(t, 8, pipelinetest.Task(100))
	models(f, 4, 1, schema.StalenessInverseSqrt)
	for i, c := range []struct {
		norm    float64
		model   int
		clipped bool
	}{
		// The clipping norm is 1, and the weights are 1, 1/sqrt(2), 1/sqrt(3), 1/2: two updates on either side of each.
		{0.99, 4, false}, {1.01, 4, true}, {1.40, 3, false}, {1.43, 3, true}, {1.72, 2, false}, {1.75, 2, true}, {1.98, 1, false}, {2.02, 1, true},
	} {
		s, err := f.Client(i).Seal(ctx, f.Store, f.TaskID, 4, late(f, c.norm, c.model))
		if err != nil {
			t.Fatal(err)
		}
		if s.Clipped != c.clipped {
			t.Errorf("norm %g from model %d: clipped %v", c.norm, c.model, s.Clipped)
		}
	}
}

// TestStalenessRefused: models before the window, or that no round announced, and the header tells nothing of the model.
func TestStalenessRefused(t *testing.T) {
	f := pipelinetest.New(t, 2, pipelinetest.Task(100))
	rounds := models(f, 4, 2, "")
	c := f.Client(0)
	for _, model := range []int{1, 0, 5} {
		if _, err := c.Seal(ctx, f.Store, f.TaskID, 4, late(f, 0.5, model)); !errors.Is(err, client.ErrModel) {
			t.Errorf("model %d: %v", model, err)
		}
	}
	if _, err := c.SealRound(rounds[3], late(f, 0.5, 3)); !errors.Is(err, client.ErrModel) {
		t.Error("a model that this vehicle was not told of:", err)
	}
	s, err := c.Seal(ctx, f.Store, f.TaskID, 4, late(f, 1.01, 2))
	if err != nil || !s.Clipped {
		t.Error("weighted, though the round states no rule:", err)
	}
	fresh, err := f.Client(1).Seal(ctx, f.Store, f.TaskID, 4, late(f, 1.01, 4))
	if err != nil || fresh.Bytes != s.Bytes {
		t.Errorf("a stale report has %d bytes, a fresh one %d: %v", s.Bytes, fresh.Bytes, err)
	}
}
