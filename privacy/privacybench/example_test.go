package privacybench_test

import (
	"fmt"

	"github.com/veilsum/veilsum/privacy"
	"github.com/veilsum/veilsum/privacy/privacybench"
)

// How much worse than a trusted server is one round of a hundred vehicles?
func ExampleSimulateMean() {
	params, err := privacy.New(privacy.Literal{
		Values: 20_000, ClippingNorm: 1, NoiseMultiplier: 1,
		MinBatchSize: 100, MaxBatchSize: 100,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	result, err := privacybench.SimulateMean(privacybench.Simulation{Params: params, Clients: 100})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("error over the central mechanism's: %.1f, wraps: %d\n", result.Ratio, result.Wraps)
	// Output:
	// error over the central mechanism's: 1.0, wraps: 0
}
