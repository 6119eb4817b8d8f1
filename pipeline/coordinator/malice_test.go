package coordinator_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/schema"
)

// TestMaliciousVehiclesInLanes: of four lanes one holds a vehicle that seals garbage, another one that seals a hundred times the
// longest update, which nobody can see in its ciphertext. The first lane alone is void, the gate rejects the second, both are reported, and
// the mean is that of the honest vehicles in the two others.
func TestMaliciousVehiclesInLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		task := pipelinetest.Task(1000)
		task.Batch.Lanes, task.Batch.Min, task.Batch.Max = 4, 8, 256
		task.Scope.Epsilon = 1e4
		task.Privacy.NoiseMultiplier = 0.3
		w := newWorld(t, 160, task, 0, 1, 2, 3)
		defer w.stop()
		c := w.config()
		c.Reports, c.Deadline = 256, 3*time.Minute // the deadline decides
		c.Rule = "gate+median"
		co := w.open(c)
		p, err := co.Start(w.ctx, 1, []byte("model"))
		if err != nil {
			t.Fatal(err)
		}
		var honest []int
		lied := map[uint32]bool{}
		for i, v := range w.Vehicles {
			lane := schema.LaneOf(w.TaskID, 1, v.ID, 4)
			r, err := pipeline.LoadRound(w.ctx, w.Store, w.Plan, pipeline.RoundName{Task: w.TaskID, Epoch: 1, Lane: lane})
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case lane < 2 && !lied[lane]:
				w.Forge(r, v, pipelinetest.Forgery{Values: lie(r, lane)})
				lied[lane] = true
			default:
				w.Report(r, i)
				if lane >= 2 {
					honest = append(honest, i)
				}
			}
		}
		res, err := p.Result(w.ctx)
		if err != nil {
			t.Fatal(err)
		}
		if l := res.Lanes[0].Receipt; l.Status != schema.StatusVoid || l.Reason != "no set of answers opens the sum" {
			t.Errorf("the lane with garbage: %s %q", l.Status, l.Reason)
		}
		if len(res.Rejected) != 1 || res.Rejected[0].Lane != 1 {
			t.Errorf("rejected: %+v", res.Rejected)
		}
		if res.Reports != len(honest) {
			t.Errorf("%d reports counted, %d are in the good lanes", res.Reports, len(honest))
		}
		want := make([]float64, len(res.Mean))
		for _, i := range honest {
			for j, x := range w.Update(i).Values {
				want[j] += float64(x) / float64(len(honest))
			}
		}
		near(t, w, res.Mean, want, len(honest)/2) // the median of two lanes is their mean, unweighted
	})
}

// lie is garbage in lane 0, and in lane 1 a hundred times the longest update, spread over all values.
func lie(r *pipeline.Round, lane uint32) func(offset int, dst []int32) {
	q, d := int64(r.Secagg.Q()), r.Privacy.Sensitivity()
	return func(offset int, dst []int32) {
		for i := range dst {
			switch {
			case lane == 0:
				dst[i] = int32(int64(offset+i)*7919%q - q/2)
			case offset+i < r.Privacy.Values():
				dst[i] = int32(100 * d / 32 * (1 - 2*int64(i&1))) // norm 99 D
			}
		}
	}
}
