package coordinator

import (
	"context"
	"fmt"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/collector"
	"github.com/veilsum/veilsum/pipeline/lanes"
	"github.com/veilsum/veilsum/schema"
)

// Result is what an epoch brought, all lanes together.
type Result struct {
	Epoch uint64
	Lanes []Lane // one for each lane of the task, void ones included
	// Merged is the mean of the lanes that counted: d values in the units of the update, with the number of reports, the noise, and the
	// committed lanes that the rule left out.
	lanes.Merged
	// Spent is the guarantee for all rounds of the scope so far.
	Spent Guarantee
}

// Pending is a round that is open and driven in the background.
type Pending struct {
	epoch  uint64
	frozen chan struct{}
	done   chan struct{}
	result *Result
	err    error
}

// Frozen is closed when no further report counts in any lane; vehicles then need the next round. In a round that fails
// before that it stays open: wait for Done, too.
func (p *Pending) Frozen() <-chan struct{} { return p.frozen }

// Done is closed when Result does not block any more.
func (p *Pending) Done() <-chan struct{} { return p.done }

// Result waits for the round's end. The context of Start cancels the round itself, this one only the waiting.
func (p *Pending) Result(ctx context.Context) (*Result, error) {
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-p.done:
		return p.result, p.err
	}
}

// Round plays one epoch in all lanes, from opening to receipts, and returns the merged mean. model is published for the
// vehicles; epochs start at 1 and each is charged once, however often it is played again. It blocks until there is a receipt
// in every lane or ctx ends. Errors: [ErrVoid] with the result; [pipeline.ErrBudget] if the budget does not
// allow the epoch (nothing is charged); [pipeline.ErrNotReady] if the committee has published no round keys for it;
// [pipeline.ErrOpened] if the epoch is open with another model.
func (c *Coordinator) Round(ctx context.Context, epoch uint64, model []byte) (*Result, error) {
	p, err := c.Start(ctx, epoch, model)
	if err != nil {
		return nil, err
	}
	<-p.done
	return p.result, p.err
}

// Start opens an epoch in all lanes and drives it in the background until ctx ends.
func (c *Coordinator) Start(ctx context.Context, epoch uint64, model []byte) (*Pending, error) {
	rounds, err := c.open(ctx, epoch, model)
	if err != nil {
		return nil, err
	}
	p := &Pending{epoch: epoch, frozen: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.result, p.err = c.drive(ctx, epoch, rounds, p)
	}()
	return p, nil
}

// open opens the epoch's lanes with the newest enrollment snapshot; lanes that are open already stay as they are.
func (c *Coordinator) open(ctx context.Context, epoch uint64, model []byte) ([]*pipeline.Round, error) {
	s := c.config.Store
	snap, err := pipeline.NewestSnapshot(ctx, s, c.plan)
	if err != nil {
		return nil, err
	}
	var rounds []*pipeline.Round
	for lane := range c.plan.Task.Batch.Lanes {
		r, err := c.collector.Open(ctx, s, c.plan, collector.Opening{
			Name:  pipeline.RoundName{Task: c.config.Task, Epoch: epoch, Lane: uint32(lane)},
			Model: model, OldestModel: epoch - min(c.config.Staleness, max(epoch, 1)-1),
			Snapshot: snap.Root(), Deadline: c.config.Now().Add(c.config.Deadline),
		})
		if err != nil {
			return nil, fmt.Errorf("lane %d: %w", lane, err)
		}
		rounds = append(rounds, r)
		c.events.tell(Opened{in: in{r.Name}, ID: r.ID, ModelHash: r.Descriptor.ModelHash, Deadline: r.Descriptor.Deadline})
	}
	return rounds, nil
}

// drive brings all lanes to their receipts at once, and merges.
func (c *Coordinator) drive(ctx context.Context, epoch uint64, rounds []*pipeline.Round, p *Pending) (*Result, error) {
	open := atomic.Int64{}
	open.Store(int64(len(rounds)))
	res := &Result{Epoch: epoch, Lanes: make([]Lane, len(rounds))}
	g, running := errgroup.WithContext(ctx)
	for i, r := range rounds {
		l := &lane{Coordinator: c, round: r}
		l.frozen = func() {
			l.frozen = func() {}
			if open.Add(-1) == 0 {
				close(p.frozen)
			}
		}
		g.Go(func() (err error) {
			res.Lanes[i], err = l.drive(running)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return res, c.merge(ctx, res)
}

// merge applies the rule to the committed lanes. A void lane (too few reports, or garbage from one vehicle in it) stays out.
func (c *Coordinator) merge(ctx context.Context, res *Result) error {
	var opened []lanes.Lane
	reason := ""
	for _, l := range res.Lanes {
		if l.Receipt.Status == schema.StatusCommitted {
			opened = append(opened, l.Opened)
		} else {
			reason = l.Receipt.Reason
		}
	}
	var err error
	if res.Spent, err = c.Spent(ctx); err != nil {
		return err
	}
	if len(opened) == 0 {
		return fmt.Errorf("%w: %s", ErrVoid, reason)
	}
	rule, err := lanes.Rule(c.plan, c.config.Rule, opened)
	if err != nil {
		return err
	}
	res.Merged, err = lanes.Combine(opened, rule)
	return err
}
