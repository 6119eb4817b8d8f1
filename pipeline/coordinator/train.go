package coordinator

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/veilsum/veilsum/pipeline/robust"
)

// Trainer is a training loop's model and optimizer.
type Trainer interface {
	// Model returns the model that the next round announces.
	Model() []byte
	// Apply moves the model by what a round brought. With a Window above 1 the vehicles of that round may have
	// started from a model several rounds old.
	Apply(*Result) error
}

// Train plays the epochs from first to last and yields their results in order, each after it was applied.
//
// With Window 1 a round starts from the result of the one before. With a larger Window the next round is opened as
// soon as the list of the newest is frozen, while the committee still works on it, so that vehicles always find a
// round to seal for (buffered asynchronous training: Nguyen et al. 2022, FedBuff); set Staleness to at least Window.
//
// A void round is yielded with [ErrVoid] beside its result, and one of which the rule rejects all lanes with [robust.ErrRule]; neither is
// applied, and training goes on if the caller does. Any other error ends the sequence, even beside a result: the model was not moved by it. To stop, leave the loop or cancel ctx: what was opened can be finished later
// by calling Train again from the epoch that was not yielded.
func (c *Coordinator) Train(ctx context.Context, t Trainer, first, last uint64) iter.Seq2[*Result, error] {
	return func(yield func(*Result, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		w := window{c: c, trainer: t, next: first, last: last}
		defer w.stop()
		defer cancel()
		for {
			res, err := w.step(ctx)
			if res == nil && err == nil {
				return
			}
			if !yield(res, err) || res == nil || err != nil && !errors.Is(err, ErrVoid) && !errors.Is(err, robust.ErrRule) {
				return
			}
		}
	}
}

// window is the rounds that are unfinished, oldest first.
type window struct {
	c          *Coordinator
	trainer    Trainer
	next, last uint64
	pending    []*Pending
}

// step returns the next result in order; nil and nil after the last.
func (w *window) step(ctx context.Context) (*Result, error) {
	for {
		var frozen <-chan struct{}
		if n := len(w.pending); n > 0 && n < w.c.config.Window && w.next <= w.last {
			frozen = w.pending[n-1].frozen
		}
		switch {
		case len(w.pending) > 0:
			select {
			case <-w.pending[0].done:
				return w.finish()
			case <-frozen:
			}
		case w.next > w.last:
			return nil, nil
		}
		p, err := w.c.Start(ctx, w.next, w.trainer.Model())
		if err != nil {
			return nil, fmt.Errorf("epoch %d: %w", w.next, err)
		}
		w.pending, w.next = append(w.pending, p), w.next+1
	}
}

func (w *window) finish() (*Result, error) {
	p := w.pending[0]
	w.pending = w.pending[1:]
	if p.err != nil {
		return p.result, fmt.Errorf("epoch %d: %w", p.epoch, p.err)
	}
	if err := w.trainer.Apply(p.result); err != nil {
		return nil, fmt.Errorf("epoch %d: %w", p.epoch, err)
	}
	return p.result, nil
}

// stop waits until nothing runs any more; the context is cancelled by then.
func (w *window) stop() {
	for _, p := range w.pending {
		<-p.done
	}
}
