package pipeline_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/decryptor"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/schema"
)

// TestHiddenReservations: a malicious Collector hides the ledger once a list was voted for, with one malicious
// decryptor in its pay, and proposes the next as if nothing had been spent. A decryptor that
// ever voted refuses what is not on one line with it, so no second list gets t votes: of any pair of
// honest decryptors (the third vote is bought) one has voted before. Shown the true ledger, all go on.
func TestHiddenReservations(t *testing.T) {
	task := pipelinetest.Task(50)
	task.Scope.Epsilon = 7.1 // two rounds cost 7.08
	f := pipelinetest.New(t, 4, task)
	folder := pipeline.LedgerPrefix(f.Task.Scope.ID())
	ledgerObjects := func() []string {
		var keys []string
		for key := range f.Objects() {
			if strings.HasPrefix(key, folder) {
				keys = append(keys, key)
			}
		}
		return keys
	}
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
		if _, err := f.Collector.Propose(ctx, f.Store, r, list); err != nil {
			t.Fatal("the honest code of the Collector sees nothing spent:", err)
		}
		f.Committee(pair, func(d *decryptor.Decryptor) error {
			if _, err := d.Vote(ctx, f.Store, r); err == nil {
				granted++
			} else if !errors.Is(err, pipeline.ErrFork) {
				t.Fatal(err)
			}
			return nil
		})
		return granted
	}
	if n := vote([]int{0, 1}); n != 2 {
		t.Fatalf("%d honest votes for the first list", n)
	}
	truth := map[string][]byte{}
	for _, key := range ledgerObjects() {
		truth[key] = f.Get(key)
	}
	for _, x := range []struct{ pair, granted []int }{{[]int{0, 1}, nil}, {[]int{0, 2}, []int{2}}, {[]int{1, 2}, nil}} {
		for _, key := range ledgerObjects() {
			f.Replace(key, func([]byte) []byte { return nil })
		}
		if n := vote(x.pair); n != len(x.granted) {
			t.Errorf("a hidden ledger got %d honest votes of %v, want %v", n, x.pair, x.granted)
		}
	}
	for _, key := range ledgerObjects() {
		f.Replace(key, func([]byte) []byte { return nil })
	}
	for key, b := range truth {
		f.Put(key, b)
	}
	if n := vote([]int{0, 1}); n != 2 {
		t.Errorf("the true ledger got %d honest votes", n)
	}
}

// TestChangedReservation: a reservation under the right name that charges fewer vehicles than the
// one the ledger names is refused by all who count.
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
	for k := range 4 {
		d, exit := f.Decryptor(k)
		f.Unchanged(pipeline.ErrUntrusted, func() error { _, err := d.Check(ctx, f.Store, next, list, nil); return err })
		exit()
	}
	f.Unchanged(pipeline.ErrUntrusted, func() error {
		_, err := pipeline.LoadCharges(ctx, f.Store, f.Task.Scope, f.Task.Owner)
		return err
	})
}

// TestOneCommittee: who votes refuses a scope whose ledger another committee votes on, too.
func TestOneCommittee(t *testing.T) {
	f := pipelinetest.New(t, 4, pipelinetest.Task(50))
	play := func(epoch uint64) (*pipeline.Round, error) {
		r := f.Open(epoch)
		for i := range f.Vehicles {
			f.Forge(r, f.Vehicles[i], pipelinetest.Forgery{})
		}
		list, _, err := f.Collector.Close(ctx, f.Store, r)
		if err != nil {
			t.Fatal(err)
		}
		f.Committee([]int{0, 1, 2}, func(d *decryptor.Decryptor) error { _, err := d.Check(ctx, f.Store, r, list, nil); return err })
		if _, err := f.Collector.Propose(ctx, f.Store, r, list); err != nil {
			t.Fatal(err)
		}
		d, exit := f.Decryptor(0)
		defer exit()
		_, err = d.Vote(ctx, f.Store, r)
		return r, err
	}
	first := f.Task
	if _, err := play(1); err != nil {
		t.Fatal(err)
	}
	second := first
	second.Name, second.Batch.Max = "same committee", 32
	f.Use(second)
	if _, err := play(2); err != nil {
		t.Error("a second task of the same committee:", err)
	}
	third := first
	third.Name, third.Committee.Keys = "other committee", slices.Clone(first.Committee.Keys)
	third.Committee.Keys[2], third.Committee.Keys[3] = third.Committee.Keys[3], third.Committee.Keys[2]
	f.Members[2], f.Members[3] = f.Members[3], f.Members[2]
	f.Use(third)
	if _, err := play(3); !errors.Is(err, pipeline.ErrUntrusted) {
		t.Error("a task of another committee:", err)
	}
}
