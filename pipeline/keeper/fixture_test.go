package keeper_test

import (
	"context"
	"testing"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/decryptor"
	"github.com/veilsum/veilsum/pipeline/keeper"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/schema"
)

var ctx = context.Background()

// stage is how far a round is played.
type stage int

const (
	opened stage = iota
	closed
	proposed
	voted
	answered
	committed
	aborted // after it was proposed
	stages
)

// fleet is a fleet with rounds at several stages.
type fleet struct {
	*pipelinetest.Fleet
	rounds []*pipeline.Round
	stage  []stage
	lists  []schema.Digest
}

func newFleet(t testing.TB, until ...stage) *fleet {
	t.Helper()
	f := &fleet{Fleet: pipelinetest.New(t, 4, pipelinetest.Task(8))}
	for i, s := range until {
		f.play(t, uint64(i)+1, s)
	}
	return f
}

// play plays a new round up to a stage.
func (f *fleet) play(t testing.TB, epoch uint64, until stage) {
	t.Helper()
	r := f.Open(epoch)
	for i := range f.Vehicles {
		f.Report(r, i)
	}
	f.rounds, f.stage, f.lists = append(f.rounds, r), append(f.stage, opened), append(f.lists, schema.Digest{})
	f.goOn(t, len(f.rounds)-1, until)
}

// goOn goes on with a round up to a stage.
func (f *fleet) goOn(t testing.TB, i int, until stage) {
	t.Helper()
	r, all := f.rounds[i], []int{0, 1, 2, 3}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("round %s at stage %d: %v", r.Name, f.stage[i], err)
		}
	}
	if until == aborted {
		f.goOn(t, i, proposed)
		_, err := f.Collector.Abort(ctx, f.Store, r, "a test")
		must(err)
		f.stage[i] = aborted
	}
	for f.stage[i] < until {
		var err error
		switch f.stage[i]++; f.stage[i] {
		case closed:
			f.lists[i], _, err = f.Collector.Close(ctx, f.Store, r)
		case proposed:
			f.Committee(all, func(d *decryptor.Decryptor) error { _, err := d.Check(ctx, f.Store, r, f.lists[i], nil); return err })
			_, err = f.Collector.Propose(ctx, f.Store, r, f.lists[i])
		case voted:
			f.Committee(all, func(d *decryptor.Decryptor) error { _, err := d.Vote(ctx, f.Store, r); return err })
		case answered:
			f.Committee(all, func(d *decryptor.Decryptor) error { _, err := d.Answer(ctx, f.Store, r, nil); return err })
		case committed:
			_, err = f.Collector.Collect(ctx, f.Store, r, nil)
		}
		must(err)
	}
}

// check returns the findings by kind.
func (f *fleet) check(t testing.TB, opt keeper.CheckOptions) (map[string][]keeper.Finding, *keeper.Checked) {
	t.Helper()
	found := map[string][]keeper.Finding{}
	opt.Found = func(x keeper.Finding) { found[x.Kind] = append(found[x.Kind], x) }
	c, err := keeper.Check(ctx, f.Store, opt)
	if err != nil {
		t.Fatal(err)
	}
	return found, c
}

func names(found []keeper.Finding, object string) bool {
	for _, x := range found {
		if x.Object == object {
			return true
		}
	}
	return false
}
