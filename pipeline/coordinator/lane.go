package coordinator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/collector"
	"github.com/veilsum/veilsum/pipeline/lanes"
	"github.com/veilsum/veilsum/schema"
)

// Lane is how one lane of an epoch ended.
type Lane struct {
	Receipt schema.Receipt
	// Opened is what was opened: read from the published aggregate, by its hash in the receipt, so that whoever plays a round again gets the
	// same values. Zero if the lane is void.
	Opened lanes.Lane
}

// lane drives one round from its list to its receipt.
type lane struct {
	*Coordinator
	round   *pipeline.Round
	frozen  func()        // called once, when no further report counts
	list    schema.Digest // once it is frozen
	reports int           // seen last
	stalled string        // the reason told last
}

// drive goes through the steps, each of which is idempotent, until there is a receipt.
func (l *lane) drive(ctx context.Context) (Lane, error) {
	var got *collector.Collected
	for _, step := range []func(context.Context) error{l.freeze, l.propose, func(ctx context.Context) (err error) {
		got, err = l.collector.Collect(ctx, l.config.Store, l.round, nil)
		return err
	}} {
		err := l.until(ctx, step)
		if errors.Is(err, pipeline.ErrTooFew) {
			err = l.abort(ctx, err)
		}
		if errors.Is(err, pipeline.ErrEnded) {
			got, err = l.collector.Collect(ctx, l.config.Store, l.round, nil) // shows the receipt
		}
		if err != nil {
			return Lane{}, err
		}
		if got != nil {
			break
		}
	}
	l.events.tell(Ended{in: in{l.round.Name}, Receipt: got.Receipt})
	out := Lane{Receipt: got.Receipt}
	var err error
	if got.Receipt.Status == schema.StatusCommitted {
		out.Opened, err = lanes.Read(ctx, l.config.Store, l.round, got.Receipt)
	}
	return out, err
}

// until repeats a step while it waits for others. When the round's keys have expired, nobody will come
// any more, and the round is aborted.
func (l *lane) until(ctx context.Context, step func(context.Context) error) error {
	for {
		err := step(ctx)
		if !errors.Is(err, pipeline.ErrNotReady) && !errors.Is(err, pipeline.ErrDecryptors) {
			return err
		}
		if l.config.Now().Unix() >= l.round.Descriptor.KeyExpiry {
			return l.abort(ctx, fmt.Errorf("the round keys have expired: %w", err))
		}
		if text := err.Error(); errors.Is(err, pipeline.ErrDecryptors) && text != l.stalled {
			l.stalled = text
			l.events.tell(Stalled{in: in{l.round.Name}, Reason: err})
		}
		if err := sleep(ctx, l.config.Poll); err != nil {
			return err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// abort ends the lane without an aggregate and returns ErrEnded.
func (l *lane) abort(ctx context.Context, why error) error {
	l.frozen()
	_, err := l.collector.Abort(ctx, l.config.Store, l.round, why.Error())
	if err == nil {
		err = pipeline.ErrEnded
	}
	return err
}

// freeze closes the list when enough reports are there or the time is up.
func (l *lane) freeze(ctx context.Context) error {
	want, late := l.config.Reports, l.config.Now().Unix() >= l.round.Descriptor.Deadline
	if late {
		want = l.round.Task.Batch.Min
	}
	list, n, err := l.collector.CloseAt(ctx, l.config.Store, l.round, want)
	switch {
	case errors.Is(err, pipeline.ErrEnded):
		l.frozen()
		return err
	case errors.Is(err, pipeline.ErrNotReady):
		l.waiting(n)
		if late {
			err = fmt.Errorf("%w: %d by the deadline, min_batch_size is %d", pipeline.ErrTooFew, n, l.round.Task.Batch.Min)
		}
		return err
	case err != nil:
		return err
	}
	l.waiting(n)
	l.list = list
	l.frozen()
	l.events.tell(Frozen{in: in{l.round.Name}, Reports: n})
	return nil
}

// waiting tells how many reports are there, if that has changed.
func (l *lane) waiting(n int) {
	if n == l.reports {
		return
	}
	l.reports = n
	l.events.tell(Waiting{in: in{l.round.Name}, Reports: n, Want: l.config.Reports})
}

// propose reserves the cost of the list.
func (l *lane) propose(ctx context.Context) error {
	p, err := l.collector.Propose(ctx, l.config.Store, l.round, l.list)
	if err != nil {
		return err
	}
	l.events.tell(Proposed{in: in{l.round.Name}, Reports: p.Reports, Refused: p.Refused, Ignored: p.Ignored})
	return nil
}
