// Command coordinator is a training loop of one's own upon package pipeline/coordinator: federated logistic
// regression on real wrist movements (cmd/veilsum/data/README.md), some 400 vehicles of which a fifth is missing in
// each round, on a committee of four that runs in this process for want of four machines (package pipeline/trial).
//
//	go run ./examples/coordinator
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/veilsum/veilsum/pipeline/coordinator"
	"github.com/veilsum/veilsum/pipeline/fleetsim"
	"github.com/veilsum/veilsum/pipeline/trial"
	"github.com/veilsum/veilsum/storage"
	"github.com/veilsum/veilsum/storage/dir"
)

func main() {
	rounds := flag.Int("rounds", 8, "rounds of training")
	data := flag.String("data", "cmd/veilsum/data/inertial.arrow", "the rows to learn from")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *data, *rounds); err != nil {
		log.Fatal("coordinator: ", err)
	}
}

func run(ctx context.Context, data string, rounds int) error {
	out, err := os.MkdirTemp("", "veilsum-coordinator-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(out)
	fleet, err := load(data, rounds)
	if err != nil {
		return err
	}
	store, err := dir.Open(filepath.Join(out, "store"))
	if err != nil {
		return err
	}
	task, err := newTask(fleet)
	if err != nil {
		return err
	}
	cast, err := trial.New(ctx, trial.Config{Store: store, Dir: out, Task: task, Vehicles: fleet.Vehicles(), Ahead: 2})
	if err != nil {
		return err
	}
	defer cast.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go cast.Serve(ctx, 20*time.Millisecond)
	return train(ctx, store, cast, fleet, rounds)
}

// train is the loop: what a coordinator of one's own looks like.
func train(ctx context.Context, store storage.Store, cast *trial.Cast, fleet *fleetsim.Fleet, rounds int) error {
	c, err := coordinator.Open(ctx, coordinator.Config{
		Store: store, Owner: cast.Owner, Task: cast.Task, Key: cast.Collector,
		Reports: fleet.MinBatchSize() + 1, Poll: 20 * time.Millisecond,
		Observe: func(e coordinator.Event) {
			if f, ok := e.(coordinator.Frozen); ok {
				fmt.Printf("epoch %d  list of %d frozen\n", f.Round().Epoch, f.Reports)
			}
		},
	})
	if err != nil {
		return err
	}
	model := fleet.Trainer()
	for epoch := uint64(1); epoch <= uint64(rounds); epoch++ {
		round, err := c.Start(ctx, epoch, fleetsim.EncodeModel(model.Model()))
		if err != nil {
			return err
		}
		if err := drive(ctx, store, cast, fleet, epoch, model); err != nil {
			return err
		}
		result, err := round.Result(ctx)
		if err != nil {
			return err
		}
		if err := model.Apply(result.Mean); err != nil {
			return err
		}
		fmt.Printf("epoch %d  %d reports  accuracy %.1f %%  epsilon %.2f\n", epoch, result.Reports, 100*model.Accuracy(), result.Spent.Epsilon)
	}
	return nil
}
