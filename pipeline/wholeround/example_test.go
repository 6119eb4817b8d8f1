package wholeround_test

import (
	"context"
	"fmt"
	"math"
	"os"

	"github.com/veilsum/veilsum/pipeline/wholeround"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage/mem"
)

// Eight vehicles that each hold 0.5 are summed by all roles.
func Example() {
	folder, err := os.MkdirTemp("", "round-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(folder)
	task := schema.Task{
		Name:    "example",
		Scope:   schema.Scope{Name: "example", Population: "made-up vehicles", Epsilon: 100, Delta: 1e-5, Unit: "vehicle", Relation: "zero_out"},
		Tensors: []schema.Tensor{{Name: "w", DType: "float32", Shape: []int{1}}},
		Privacy: schema.Privacy{TrustModel: "distributed", Mechanism: "discrete_gaussian", ClippingNorm: 1, NoiseMultiplier: 0.5, Kappa: 1, KappaInf: 1},
		Batch:   schema.Batch{Min: 8, Max: 8, Lanes: 1}, Participation: schema.Participation{MinSeparation: 1}, Suite: 2,
	}
	p, err := wholeround.Round{Task: task, Vehicles: 8, Update: func(int) ([]float32, error) { return []float32{0.5}, nil }}.Play(context.Background(), mem.New(), folder)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(p.Receipt.Status, p.Receipt.Reports, math.Abs(p.Mean[0]-0.5) < 10*p.Plan.Privacy.NoiseStdDev(8))
	// Output: committed 8 true
}
