package collector_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/collector"
	"github.com/veilsum/veilsum/pipeline/decryptor"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/schema/arrowipc"
)

var ctx = context.Background()

// Too few reports are no round; a round that was aborted before any vote costs nothing.
func Example() {
	pipelinetest.Example(4, pipelinetest.Task(100), func(f *pipelinetest.Fleet) {
		round := f.Open(1)
		f.Report(round, 0)
		_, n, err := f.Collector.Close(ctx, f.Store, round)
		fmt.Println(n, errors.Is(err, pipeline.ErrNotReady))
		got, err := f.Collector.Abort(ctx, f.Store, round, "three vehicles are out of reach")
		fmt.Println(got.Receipt.Status, got.Receipt.Checkpoint.IsZero(), err)
		_, _, err = f.Collector.Close(ctx, f.Store, round)
		fmt.Println(errors.Is(err, pipeline.ErrEnded))
	})
	// Output:
	// 1 true
	// void true <nil>
	// true
}

// TestNew: a signing key is required.
func TestNew(t *testing.T) {
	if _, err := collector.New(nil, nil); err == nil {
		t.Error("no key is accepted")
	}
}

// TestReceiptNamesEverything: what a committed receipt names exists and is what opened the sum.
func TestReceiptNamesEverything(t *testing.T) {
	f := pipelinetest.New(t, 5, pipelinetest.Task(100))
	r := f.Open(1)
	for i := range f.Vehicles {
		f.Report(r, i)
	}
	list, _, err := f.Collector.Close(ctx, f.Store, r)
	if err != nil {
		t.Fatal(err)
	}
	all := []int{0, 1, 2, 3}
	f.Committee(all, func(d *decryptor.Decryptor) error { _, err := d.Check(ctx, f.Store, r, list, nil); return err })
	p, err := f.Collector.Propose(ctx, f.Store, r, list)
	if err != nil {
		t.Fatal(err)
	}
	f.Committee(all, func(d *decryptor.Decryptor) error { _, err := d.Vote(ctx, f.Store, r); return err })
	f.Committee(all[1:], func(d *decryptor.Decryptor) error { _, err := d.Answer(ctx, f.Store, r, nil); return err })
	got, err := f.Collector.Collect(ctx, f.Store, r, nil)
	if err != nil {
		t.Fatal(err)
	}
	x := got.Receipt
	_, err = pipeline.LoadReservation(ctx, f.Store, r, p.Manifest)
	if err != nil || x.Manifest != p.Manifest || x.Checkpoint != p.Checkpoint || x.Reports != 5 || x.Event != r.Event() || x.RoundID != r.ID {
		t.Error("manifest, reservation or event differ", err)
	}
	if len(x.Votes) != 4 || len(x.Answers) != 3 || len(x.Dropped) != 0 || x.Confirmed || x.WitnessVariance < x.WitnessFloor {
		t.Errorf("%+v", x)
	}
	l, err := r.OpenLedger(ctx, f.Store, nil)
	if err != nil {
		t.Fatal(err)
	}
	entry, err := l.Find(r, p.Manifest)
	if err != nil || entry.Index != 1 || entry.Settled != 2 || entry.Status != schema.StatusCommitted {
		t.Errorf("the ledger has %+v (%v)", entry, err)
	}
	file := f.Get(pipeline.AggregateKey(r.Name, x.Aggregate))
	if a, err := arrowipc.OpenAggregate(file, x.Aggregate); err != nil || a.Meta[arrowipc.MetaLedgerIndex] != "1" {
		t.Error("the aggregate does not name the entry that paid for it", err)
	}
	if int64(len(file)) != x.AggregateSize || f.Objects()[pipeline.AggregateKey(r.Name, x.Aggregate)] != x.Aggregate {
		t.Error("the aggregate differs from its hash or size")
	}
	if f.Objects()[pipeline.PartialKey(r.Name, x.Sum)] != x.Sum {
		t.Error("the sum differs from its hash")
	}
	again, err := f.Collector.Collect(ctx, f.Store, r, nil)
	if err != nil || again.Mean != nil || again.Receipt.Status != schema.StatusCommitted || again.Receipt.Aggregate != x.Aggregate {
		t.Error("collected again:", again, err)
	}
}
