package pipeline_test

import (
	"errors"
	"testing"
	"time"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/collector"
	"github.com/veilsum/veilsum/pipeline/decryptor"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/schema"
)

const tenYears = 10 * 365 * 24 * time.Hour

// clocks is a round whose roles have clocks of their own.
type clocks struct {
	*pipelinetest.Fleet
	t     *testing.T
	round *pipeline.Round
}

func newClocks(t *testing.T) *clocks {
	f := pipelinetest.New(t, 5, pipelinetest.Task(50))
	c := &clocks{Fleet: f, t: t, round: f.Open(1)}
	for i := range f.Vehicles {
		f.Report(c.round, i)
	}
	return c
}

// at acts with a clock that is wrong by skew.
func (c *clocks) at(skew time.Duration, act func() error) error {
	right := *c.Clock
	*c.Clock = right.Add(skew)
	defer func() { *c.Clock = right }()
	return act()
}

func (c *clocks) member(k int, act func(d *decryptor.Decryptor) error) error {
	d, exit := c.Decryptor(k)
	defer exit()
	return act(d)
}

func (c *clocks) check(k int) error {
	list, _, err := c.Collector.Close(ctx, c.Store, c.round)
	if err != nil {
		c.t.Fatal(err)
	}
	return c.member(k, func(d *decryptor.Decryptor) error { _, err := d.Check(ctx, c.Store, c.round, list, nil); return err })
}

func (c *clocks) propose() error {
	list, _, err := c.Collector.Close(ctx, c.Store, c.round)
	if err == nil {
		_, err = c.Collector.Propose(ctx, c.Store, c.round, list)
	}
	return err
}

func (c *clocks) vote(k int) error {
	return c.member(k, func(d *decryptor.Decryptor) error { _, err := d.Vote(ctx, c.Store, c.round); return err })
}

func (c *clocks) answer(k int) error {
	return c.member(k, func(d *decryptor.Decryptor) error { _, err := d.Answer(ctx, c.Store, c.round, nil); return err })
}

// all lets several members act; the first error counts.
func all(members []int, act func(k int) error) error {
	for _, k := range members {
		if err := act(k); err != nil {
			return err
		}
	}
	return nil
}

func (c *clocks) collect(want error) *collector.Collected {
	c.t.Helper()
	got, err := c.Collector.Collect(ctx, c.Store, c.round, nil)
	if !errors.Is(err, want) {
		c.t.Fatalf("collect: %v, want %v", err, want)
	}
	return got
}

func (c *clocks) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// charged checks how many epochs the budget has paid for.
func (c *clocks) charged(want int) {
	c.t.Helper()
	x, err := pipeline.LoadCharges(ctx, c.Store, c.Task.Scope, c.Task.Owner)
	if err != nil || x.Epochs() != want {
		c.t.Fatalf("%d epochs charged, want %d (%v)", x.Epochs(), want, err)
	}
}

// TestDecryptorAhead: a member whose clock is years ahead destroys its key and is
// silent, for good; the others publish the round.
func TestDecryptorAhead(t *testing.T) {
	c := newClocks(t)
	c.must(all([]int{1, 2, 3}, c.check))
	if err := c.at(tenYears, func() error { return c.check(0) }); !errors.Is(err, decryptor.ErrNoKey) {
		t.Fatal(err)
	}
	if err := c.check(0); !errors.Is(err, decryptor.ErrNoKey) {
		t.Fatalf("its clock is right again, but the key was destroyed: %v", err)
	}
	c.must(c.propose())
	c.must(all([]int{1, 2, 3}, c.vote))
	c.must(all([]int{1, 2, 3}, c.answer))
	if got := c.collect(nil); got.Receipt.Status != schema.StatusCommitted {
		t.Fatal(got.Receipt)
	}
	c.charged(1)
}

// TestDecryptorBehind: a member whose clock is years behind takes part, and keeps its key when
// those of the others have expired. Alone it opens nothing, and the round ends.
func TestDecryptorBehind(t *testing.T) {
	for _, voted := range [][]int{{0, 1, 2}, {0, 1}} {
		c := newClocks(t)
		late := func(k int, act func(k int) error) error {
			if k > 0 {
				return act(k)
			}
			return c.at(-tenYears, func() error { return act(k) })
		}
		c.must(all([]int{0, 1, 2}, func(k int) error { return late(k, c.check) }))
		c.must(c.propose())
		c.must(all(voted, func(k int) error { return late(k, c.vote) }))
		if len(voted) == 3 {
			c.must(all(voted, func(k int) error { return late(k, c.answer) }))
			if got := c.collect(nil); got.Receipt.Status != schema.StatusCommitted {
				t.Fatal(got.Receipt)
			}
			c.charged(1)
			continue
		}
		*c.Clock = c.Now().Add(2 * time.Hour)
		if err := c.vote(2); !errors.Is(err, decryptor.ErrNoKey) {
			t.Fatalf("a vote after the key expired: %v", err)
		}
		if err := late(0, c.answer); !errors.Is(err, pipeline.ErrDecryptors) {
			t.Fatalf("an answer to two votes: %v", err)
		}
		c.collect(pipeline.ErrDecryptors)
		got, err := c.Collector.Abort(ctx, c.Store, c.round, "the keys expired")
		if err != nil || got.Receipt.Status != schema.StatusVoid {
			t.Fatal(got, err)
		}
		c.charged(1)
		if err := late(0, c.answer); !errors.Is(err, pipeline.ErrEnded) {
			t.Fatalf("an answer to a void round: %v", err)
		}
	}
}

// TestCollectorAhead: a collector whose clock is years ahead can neither open a
// round nor make an abort after votes cost nothing; and nobody answers in the round that it ended.
func TestCollectorAhead(t *testing.T) {
	c := newClocks(t)
	c.Keys(2)
	c.Unchanged(pipeline.ErrTask, func() error {
		return c.at(tenYears, func() error {
			_, err := c.Collector.Open(ctx, c.Store, c.Plan, collector.Opening{Name: c.Name(2), Snapshot: c.Snapshot, Deadline: c.Now()})
			return err
		})
	})
	c.must(all([]int{0, 1, 2}, c.check))
	c.must(c.at(tenYears, c.propose))
	c.must(all([]int{0, 1, 2}, c.vote))
	if _, err := c.Collector.Abort(ctx, c.Store, c.round, "early"); !errors.Is(err, collector.ErrVoted) {
		t.Fatal(err)
	}
	c.must(c.at(tenYears, func() error {
		got, err := c.Collector.Abort(ctx, c.Store, c.round, "its clock says that the keys expired")
		if err == nil && got.Receipt.Status != schema.StatusVoid {
			err = errors.New(got.Receipt.Status)
		}
		return err
	}))
	for k := range 3 {
		if err := c.answer(k); !errors.Is(err, pipeline.ErrEnded) {
			t.Errorf("decryptor %d in a void round: %v", k, err)
		}
	}
	c.charged(1)
}

// TestCollectorBehind: a collector whose clock is years behind opens, proposes and collects as
// any other; it only never sees that keys have expired.
func TestCollectorBehind(t *testing.T) {
	c := newClocks(t)
	c.Keys(2)
	c.must(c.at(-tenYears, func() (err error) {
		c.round, err = c.Collector.Open(ctx, c.Store, c.Plan, collector.Opening{Name: c.Name(2), Model: []byte("model"), Snapshot: c.Snapshot, Deadline: c.Now()})
		return err
	}))
	for i := range c.Vehicles {
		c.Report(c.round, i)
	}
	c.must(all([]int{0, 1, 2}, c.check))
	c.must(c.at(-tenYears, c.propose))
	c.must(all([]int{0, 1, 2}, c.vote))
	*c.Clock = c.Now().Add(2 * time.Hour)
	err := c.at(-tenYears, func() error {
		_, err := c.Collector.Abort(ctx, c.Store, c.round, "late")
		return err
	})
	if !errors.Is(err, collector.ErrVoted) {
		t.Fatalf("an abort after votes: %v", err)
	}
	*c.Clock = c.Now().Add(-2 * time.Hour)
	c.must(all([]int{0, 1, 2}, c.answer))
	c.must(c.at(-tenYears, func() error { c.collect(nil); return nil }))
	c.charged(1)
}
