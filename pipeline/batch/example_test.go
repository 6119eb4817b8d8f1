package batch_test

import (
	"fmt"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/aggregator"
	"github.com/veilsum/veilsum/pipeline/batch"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/schema"
)

// A list is cut into steps of three inputs, whoever does them, and the root is an ordinary partial sum.
func Example() {
	pipelinetest.Example(7, pipelinetest.Task(100), func(f *pipelinetest.Fleet) {
		round := f.Open(1)
		for i := range f.Vehicles {
			f.Report(round, i)
		}
		list, _, _ := f.Collector.Close(ctx, f.Store, round)
		candidates, _ := pipeline.LoadCandidates(ctx, f.Store, round, list)

		tree, err := batch.New(round.ID, list, 3, schema.BatchRegion{Reports: candidates.Reports})
		fmt.Println(len(tree.Levels[0]), len(tree.Levels[1]), err)
		first, err := batch.Do(ctx, f.Store, round, tree.Levels[0][0], aggregator.Options{})
		fmt.Println(first.Found, len(first.Record.Vehicles), err)
		ran, err := batch.Run(ctx, tree, &batch.Local{Store: f.Store, Round: round})
		fmt.Println(ran.Steps, ran.Found, ran.Read, err)
		root, err := aggregator.Load(ctx, f.Store, round, ran.Root.Record.Partial)
		fmt.Println(len(root.Reports), err)
	})
	// Output:
	// 3 1 <nil>
	// false 2 <nil>
	// 4 1 5 <nil>
	// 7 <nil>
}
