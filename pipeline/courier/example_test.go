package courier_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/collector"
	"github.com/veilsum/veilsum/pipeline/courier"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
)

func openLane(t testing.TB, f *pipelinetest.Fleet, lane uint32) *pipeline.Round {
	r, err := f.Collector.Open(context.Background(), f.Store, f.Plan, collector.Opening{
		Name: pipeline.RoundName{Task: f.TaskID, Epoch: 1, Lane: lane}, Model: []byte("model"), Snapshot: f.Snapshot, Deadline: f.Now().Add(time.Minute),
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A coordinator sends the bundle to a client that has no store, and adds what comes back.
func Example() {
	pipelinetest.Example(4, pipelinetest.Task(10), func(f *pipelinetest.Fleet) {
		ctx := context.Background()
		round := f.Open(1)
		bundle, err := courier.Pack(ctx, f.Store, f.Plan, f.TaskID, 1)
		if err != nil {
			panic(err)
		}

		carried, err := courier.Unpack(ctx, bundle) // at the client
		if err != nil {
			panic(err)
		}
		client := f.Client(0)
		sealed, err := client.Seal(ctx, carried.Store, f.TaskID, carried.Epoch, f.Update(0))
		if err != nil {
			panic(err)
		}
		var report bytes.Buffer
		if _, err := client.Export(sealed.File(), &report); err != nil {
			panic(err)
		}

		added, err := courier.Add(ctx, f.Store, round, bytes.NewReader(report.Bytes()), int64(report.Len()))
		if err != nil {
			panic(err)
		}
		fmt.Println(added.Report == sealed.Report, added.Fate)
	})
	// Output: true sent
}
