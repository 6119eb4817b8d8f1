// Package wholeround plays one round of a task with made-up vehicles, through all roles and in one
// process: keys, a signed task, enrollment, seals, checks, votes, answers, the ledger and the receipt. Audits by
// canaries and benchmarks play their rounds with it; nothing in it is for vehicles of the world outside, whose
// keys no one process may hold.
package wholeround

import (
	"context"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// Round says what to play.
type Round struct {
	// Task is the task without keys and committee; its batch must hold Vehicles reports. Required.
	Task schema.Task
	// Vehicles is the number of vehicles, each of which reports once. Required.
	Vehicles int
	// Update returns the update of vehicle i, d values, which are overwritten; it is called concurrently. Required.
	Update func(i int) ([]float32, error)
	// Signed, if not nil, hears of the signed task before anything is sealed.
	Signed func(task schema.TaskID, owner schema.PublicKey) error
	// Progress, if not nil, hears of every step; it may be called concurrently.
	Progress func(what string, done, total int)
}

// Played is a round that was opened.
type Played struct {
	Name    pipeline.RoundName
	Owner   schema.PublicKey // pins the task
	Plan    *pipeline.Plan
	Receipt schema.Receipt
	Mean    []float64 // as published
}

// Play plays the round in the store. folder holds the state directories of all roles; it and the store must be
// new. A round that does not hold all vehicles, or publishes nothing, is an error; others are those of the roles.
func (r Round) Play(ctx context.Context, s storage.Store, folder string) (*Played, error) {
	if r.Progress == nil {
		r.Progress = func(string, int, int) {}
	}
	w, err := newWorld(ctx, s, folder, &r)
	if err != nil {
		return nil, err
	}
	defer w.Close()
	if r.Signed != nil {
		if err := r.Signed(w.Task, w.Owner); err != nil {
			return nil, err
		}
	}
	got, err := w.play(ctx)
	if err != nil {
		return nil, err
	}
	return &Played{Name: w.name, Owner: w.Owner, Plan: w.Plan, Receipt: got.Receipt, Mean: got.Mean}, nil
}
