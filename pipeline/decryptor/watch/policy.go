package watch

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/decryptor/record"
	"github.com/veilsum/veilsum/schema"
)

// ErrPolicy: this decryptor's operator does not want it, though the protocol allows it.
var ErrPolicy = errors.New("watch: the policy forbids it")

// Policy is what the operator of one decryptor wants beyond the protocol. It may only
// refuse, so it can cost liveness and never privacy; the zero value refuses nothing.
type Policy struct {
	MinBatchSize       int             // tasks with a smaller min_batch_size are refused; 0 allows all
	MaxEpsilonPerRound float64         // tasks whose single round costs more at the scope's delta are refused; 0 allows all
	Tasks              []schema.TaskID // the only tasks to serve; empty allows all
	MaxRoundsPerDay    int             // votes in 24 hours of this machine's clock, over all tasks; 0 is no limit
	// Paused is asked before each pass. While it is true nothing is signed; keys still expire. Nil never pauses.
	Paused func() bool
}

// Allow tells whether a task may be served at all.
func (p Policy) Allow(id schema.TaskID, plan *pipeline.Plan) error {
	if len(p.Tasks) > 0 && !slices.Contains(p.Tasks, id) {
		return fmt.Errorf("%w: task %s is not in tasks", ErrPolicy, id.Short())
	}
	if n := plan.Task.Batch.Min; n < p.MinBatchSize {
		return fmt.Errorf("%w: min_batch_size is %d, at least %d wanted", ErrPolicy, n, p.MinBatchSize)
	}
	if p.MaxEpsilonPerRound <= 0 {
		return nil
	}
	g, err := pipeline.EventGuarantee(plan.Event(), plan.Task.Scope)
	if err != nil {
		return fmt.Errorf("%w: a round has no guarantee: %w", ErrPolicy, err)
	}
	if !(g.Epsilon <= p.MaxEpsilonPerRound) { // also refuses NaN
		return fmt.Errorf("%w: a round costs epsilon %.4g, at most %.4g wanted", ErrPolicy, g.Epsilon, p.MaxEpsilonPerRound)
	}
	return nil
}

const day = 24 * time.Hour

// allowVote counts the votes of the last day in the record.
func (p Policy) allowVote(r *record.Record, now time.Time) error {
	if p.MaxRoundsPerDay <= 0 {
		return nil
	}
	n := 0
	for _, e := range r.Entries() {
		if e.Kind == record.Vote && now.Unix()-e.Time < int64(day/time.Second) {
			n++
		}
	}
	if n >= p.MaxRoundsPerDay {
		return fmt.Errorf("%w: %d votes in 24 hours, at most %d wanted", ErrPolicy, n, p.MaxRoundsPerDay)
	}
	return nil
}
