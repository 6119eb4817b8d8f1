package aggregator_test

import (
	"fmt"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/aggregator"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
)

// Two regions add their own reports and the root merges the partial sums, in any order.
func Example() {
	pipelinetest.Example(6, pipelinetest.Task(100), func(f *pipelinetest.Fleet) {
		round := f.Open(1)
		for i := range f.Vehicles {
			f.Report(round, i)
		}
		ids, _ := pipeline.ListReports(ctx, f.Store, round.Name)
		north, err := aggregator.Sum(ctx, f.Store, round, ids[:4], nil)
		fmt.Println(len(north.Reports), len(north.Refused), err)
		south, err := aggregator.Sum(ctx, f.Store, round, ids[4:], nil)
		fmt.Println(len(south.Reports), len(south.Refused), err)
		root, err := aggregator.Merge(round, &south.PartialSum, &north.PartialSum)
		fmt.Println(len(root.Reports), err)
		_, err = aggregator.Merge(round, root, &north.PartialSum)
		fmt.Println(err)
	})
	// Output:
	// 4 0 <nil>
	// 2 0 <nil>
	// 6 <nil>
	// aggregator: partial sums share a report
}
