package keeper_test

import (
	"context"
	"fmt"

	"github.com/veilsum/veilsum/pipeline/keeper"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
)

func Example() {
	pipelinetest.Example(4, pipelinetest.Task(8), func(f *pipelinetest.Fleet) {
		ctx := context.Background()
		f.Put("tasks/strange", []byte("planted"))
		found, err := keeper.Check(ctx, f.Store, keeper.CheckOptions{Found: func(x keeper.Finding) { fmt.Println(x.Kind, x.Object) }})
		fmt.Println(found.Flaws, err)

		// Without Delete it only tells.
		swept, err := keeper.Sweep(ctx, f.Store, keeper.SweepOptions{})
		fmt.Println(len(swept.Removed), swept.Kept.Objects, err)
	})
	// Output:
	// flaw tasks/strange
	// 1 <nil>
	// 0 3 <nil>
}
