package watch

import (
	"context"
	"maps"
	"time"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/schema"
)

// Step is one action in one round, for an observer. It names no vehicle, no report and no key.
type Step struct {
	Action   Action
	Round    pipeline.RoundName
	Start    time.Time
	Duration time.Duration
	Err      error          // nil if the action was done; pipeline.ErrNotReady and ErrDecryptors mean that others come first
	Refused  map[string]int // reports that a check refused, by the reasons of package schema
}

// observed is act, told to the observer.
func (w *Watcher) observed(ctx context.Context, t *task, r *round, v View, do Action) error {
	start := time.Now() // not Now: a span's clock is for people
	r.refused = nil
	err := w.act(ctx, t, r, v, do)
	if w.Observe != nil {
		w.Observe(Step{do, r.Name, start, time.Since(start), err, maps.Clone(r.refused)})
	}
	return err
}

// reasons counts refusals.
func reasons(all []schema.Refusal) map[string]int {
	n := map[string]int{}
	for _, x := range all {
		n[x.Reason]++
	}
	return n
}
