package pipeline_test

import (
	"strings"
	"testing"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/schema"
)

// TestFrozenCandidates: of the lists in the store the largest counts whose
// reports are all there; one with reports that do not exist, below
// min_batch_size, or of another round is passed over.
func TestFrozenCandidates(t *testing.T) {
	f := pipelinetest.New(t, 6, pipelinetest.Task(50))
	r := f.Open(1)
	plant := func(round schema.RoundID, ids ...schema.ReportID) schema.Digest {
		l := schema.Candidates{Version: schema.Version, RoundID: round, Reports: ids}
		raw, err := l.Encode()
		if err != nil {
			t.Fatal(err)
		}
		f.Put(pipeline.CandidatesKey(r.Name, l.ID()), raw)
		return l.ID()
	}
	frozen := func(want schema.Digest, reports int) {
		t.Helper()
		if id, n, err := pipeline.FrozenCandidates(ctx, f.Store, r); err != nil || n != reports || id != want {
			t.Errorf("%s of %d reports (%v), want %s of %d", id.Short(), n, err, want.Short(), reports)
		}
	}
	frozen(schema.Digest{}, 0)
	for i := range f.Vehicles {
		f.Report(r, i)
	}
	ids, err := pipeline.ListReports(ctx, f.Store, r.Name)
	if err != nil {
		t.Fatal(err)
	}
	plant(r.ID, ids[:3]...)
	plant(r.ID, append([]schema.ReportID{{}}, ids...)...)
	plant(schema.RoundID{Digest: schema.Digest{1}}, ids...)
	frozen(schema.Digest{}, 0)
	frozen(plant(r.ID, ids[:4]...), 4)
	five := plant(r.ID, ids[1:6]...)
	plant(r.ID, ids[2:6]...)
	frozen(five, 5)
	if id, n, err := f.Collector.Close(ctx, f.Store, r); err != nil || n != 5 || id != five {
		t.Error("the Collector freezes another list:", n, err)
	}
}

// TestReservationUnderAnotherName: a true reservation does not count where no ledger names it.
func TestReservationUnderAnotherName(t *testing.T) {
	f := pipelinetest.New(t, 4, pipelinetest.Task(50))
	r := f.Open(1)
	for i := range f.Vehicles {
		f.Report(r, i)
	}
	playOut(t, f, r)
	m, err := pipeline.ListManifests(ctx, f.Store, r)
	if err != nil || len(m) != 1 {
		t.Fatal(m, err)
	}
	charged := func(s schema.Scope, want int) {
		t.Helper()
		if c, err := pipeline.LoadCharges(ctx, f.Store, s, f.Task.Owner); err != nil || c.Epochs() != want {
			t.Errorf("%d epochs charged (%v), want %d", c.Epochs(), err, want)
		}
	}
	scope := f.Task.Scope
	right := pipeline.ReservationKey(scope.ID(), r.Name, m[0])
	other := scope
	other.Name = "another scope"
	f.Put(pipeline.ReservationKey(other.ID(), r.Name, m[0]), f.Get(right))
	next := r.Name
	next.Epoch++
	f.Put(pipeline.ReservationKey(scope.ID(), next, m[0]), f.Get(right))
	charged(scope, 1)
	charged(other, 0)
	// Nor does a whole ledger, under the name of another scope.
	for key := range f.Objects() {
		if rest, ok := strings.CutPrefix(key, pipeline.LedgerPrefix(scope.ID())); ok {
			f.Put(pipeline.LedgerPrefix(other.ID())+rest, f.Get(key))
		}
	}
	charged(scope, 1)
	f.Unchanged(pipeline.ErrUntrusted, func() error {
		_, err := pipeline.LoadCharges(ctx, f.Store, other, f.Task.Owner)
		return err
	})
}
