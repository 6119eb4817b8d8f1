package trial_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/veilsum/veilsum/pipeline/client"
	"github.com/veilsum/veilsum/pipeline/coordinator"
	"github.com/veilsum/veilsum/pipeline/trial"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage/mem"
)

// task is 12 values of norm at most 1 from each of at least 6 vehicles.
var task = schema.Task{
	Name:          "trial",
	Scope:         schema.Scope{Name: "trial", Population: "nobody", Epsilon: 100, Delta: 1e-5, Unit: "vehicle", Relation: "zero_out"},
	Tensors:       []schema.Tensor{{Name: "weights", DType: "float32", Shape: []int{12}}},
	Privacy:       schema.Privacy{TrustModel: "distributed", Mechanism: "discrete_gaussian", ClippingNorm: 1, NoiseMultiplier: 1, Kappa: 1, KappaInf: 1},
	Batch:         schema.Batch{Min: 6, Max: 100, MaxDishonest: 1, Lanes: 1},
	Participation: schema.Participation{MinSeparation: 1},
	Suite:         2,
}

// Example plays a round of eight vehicles in one process.
func Example() {
	dir, err := os.MkdirTemp("", "veilsum-trial-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithCancel(context.Background())
	store := mem.New()
	cast, err := trial.New(ctx, trial.Config{Store: store, Dir: dir, Task: task, Vehicles: 8})
	if err != nil {
		panic(err)
	}
	defer cast.Close()
	served := make(chan error)
	go func() { served <- cast.Serve(ctx, 5*time.Millisecond) }()

	c, err := coordinator.Open(ctx, coordinator.Config{Store: store, Owner: cast.Owner, Task: cast.Task, Key: cast.Collector, Poll: 5 * time.Millisecond})
	if err != nil {
		panic(err)
	}
	round, err := c.Start(ctx, 1, []byte("model"))
	if err != nil {
		panic(err)
	}
	for i := range cast.Vehicles() {
		v, stop, err := cast.Client(i)
		if err != nil {
			panic(err)
		}
		report, err := v.Seal(ctx, store, cast.Task, 1, client.Update{Values: make([]float32, 12), ModelHash: schema.HashModel([]byte("model"))})
		if err != nil {
			panic(err)
		}
		if _, err := v.Upload(ctx, store, report.File(), nil); err != nil {
			panic(err)
		}
		stop()
	}
	result, err := round.Result(ctx)
	if err != nil {
		panic(err)
	}
	cancel()
	fmt.Println(len(result.Mean), "values,", result.Reports >= 6, <-served)
	// Output: 12 values, true <nil>
}

func TestNewRefuses(t *testing.T) {
	for name, c := range map[string]trial.Config{
		"no store":    {Dir: t.TempDir(), Task: task, Vehicles: 8},
		"no folder":   {Store: mem.New(), Task: task, Vehicles: 8},
		"no vehicles": {Store: mem.New(), Dir: t.TempDir(), Task: task},
		"no task":     {Store: mem.New(), Dir: t.TempDir(), Vehicles: 8},
	} {
		if _, err := trial.New(context.Background(), c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestCastPrintsNoKey(t *testing.T) {
	cast, err := trial.New(context.Background(), trial.Config{Store: mem.New(), Dir: t.TempDir(), Task: task, Vehicles: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer cast.Close()
	if text := fmt.Sprintf("%v %+v %#v", cast, *cast, cast); strings.Contains(text, "0x") || !strings.Contains(text, "redacted") {
		t.Error(text)
	}
}
