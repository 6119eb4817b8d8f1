package pipeline_test

import (
	"errors"
	"testing"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/decryptor"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/schema"
)

// TestHiddenReservations measures what a malicious Collector gains that hides
// reservations once they were voted for, with one malicious decryptor: the budget allows two
// rounds, three pairs of honest decryptors vote for one each, and then nobody
// votes any more, because everyone counts what it voted for itself. The factor is
// (n_c-f)/(t-f) = 3/2.
func TestHiddenReservations(t *testing.T) {
	task := pipelinetest.Task(50)
	task.Scope.Epsilon = 7.1 // two rounds cost 7.08
	f := pipelinetest.New(t, 4, task)
	epoch := uint64(0)
	vote := func(pair []int) (granted int) {
		epoch++
		r := f.Open(epoch)
		for i := range f.Vehicles {
			f.Report(r, i)
		}
		list, _, err := f.Collector.Close(ctx, f.Store, r)
		if err != nil {
			t.Fatal(err)
		}
		f.Committee([]int{0, 1, 2}, func(d *decryptor.Decryptor) error { _, err := d.Check(ctx, f.Store, r, list, nil); return err })
		p, err := f.Collector.Propose(ctx, f.Store, r, list)
		if err != nil {
			t.Fatal("the honest code of the Collector sees nothing spent:", err)
		}
		f.Committee(pair, func(d *decryptor.Decryptor) error {
			if _, err := d.Vote(ctx, f.Store, r); err == nil {
				granted++
			} else if !errors.Is(err, pipeline.ErrBudget) {
				t.Fatal(err)
			}
			return nil
		})
		f.Replace(pipeline.ReservationKey(f.Task.Scope.ID(), r.Name, p.Manifest), func([]byte) []byte { return nil })
		return granted
	}
	for i, pair := range [][]int{{0, 1}, {0, 2}, {1, 2}} {
		if n := vote(pair); n != 2 {
			t.Fatalf("round %d: %d honest votes", i+1, n)
		}
	}
	for _, pair := range [][]int{{0, 1}, {0, 2}, {1, 2}} {
		if n := vote(pair); n != 0 {
			t.Errorf("a fourth round got %d honest votes of %v", n, pair)
		}
	}
}

// TestChangedReservation: a reservation under the right name that charges fewer
// vehicles than the one voted for does not lower what a voter counts.
func TestChangedReservation(t *testing.T) {
	task := pipelinetest.Task(50)
	task.Participation.Max = 1
	f := pipelinetest.New(t, 4, task)
	r := f.Open(1)
	for i := range f.Vehicles {
		f.Report(r, i)
	}
	playOut(t, f, r)
	m, err := pipeline.ListManifests(ctx, f.Store, r)
	if err != nil || len(m) != 1 {
		t.Fatal(m, err)
	}
	f.Replace(pipeline.ReservationKey(f.Task.Scope.ID(), r.Name, m[0]), func(b []byte) []byte {
		x, err := schema.Decode[schema.Reservation](b)
		if err != nil {
			t.Fatal(err)
		}
		less := x.Body
		less.Vehicles = less.Vehicles[:1]
		signed, err := schema.SignBody(less, f.CollectKey)
		if err != nil {
			t.Fatal(err)
		}
		return signed.Bytes()
	})
	next := f.Open(2)
	for i := range f.Vehicles {
		f.Forge(next, f.Vehicles[i], pipelinetest.Forgery{})
	}
	list, _, err := f.Collector.Close(ctx, f.Store, next)
	if err != nil {
		t.Fatal(err)
	}
	f.Committee([]int{0, 1, 2, 3}, func(d *decryptor.Decryptor) error {
		c, err := d.Check(ctx, f.Store, next, list, nil)
		if err == nil && c.Accepted != 0 {
			t.Errorf("%d vehicles take part a second time", c.Accepted)
		}
		return err
	})
}
