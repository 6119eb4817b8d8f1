package auditor_test

import (
	"strings"
	"testing"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/auditor"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/privacy/ledger"
	"github.com/veilsum/veilsum/schema"
)

// remove takes objects out of the store.
func (f *played) remove(t *testing.T, keys ...string) {
	t.Helper()
	for _, key := range keys {
		if err := f.Store.Delete(ctx, key); err != nil {
			t.Fatal(key, err)
		}
	}
}

// forget takes the ledger's entries from first on away, with their checkpoints.
func (f *played) forget(t *testing.T, first int64) {
	t.Helper()
	for i, n := first, f.entries(); i < n; i++ {
		f.remove(t, f.ledgerKey(ledger.EntryKey(i)))
		if key := f.ledgerKey(ledger.CheckpointKey(i + 1)); f.Objects()[key] != (schema.Digest{}) {
			f.remove(t, key)
		}
	}
}

// TestTailForgotten: Collector and store take back a whole round: the newest entries of the ledger, receipt, reservation, sum and
// aggregate. The votes of more than f decryptors give it away, one does not; without them only a kept checkpoint does.
func TestTailForgotten(t *testing.T) {
	f := play(t, pipelinetest.Task(8), 2, 0, 1, 2)
	before, err := f.audit(auditor.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r, c := f.rounds[1], f.receipt(t, 1)
	f.forget(t, ledgerIndex(t, f, r, c.Manifest))
	f.remove(t, pipeline.ReceiptKey(r.Name), pipeline.ReservationKey(f.Task.Scope.ID(), r.Name, c.Manifest), pipeline.PartialKey(r.Name, c.Sum), pipeline.AggregateKey(r.Name, c.Aggregate))
	f.wantFlaw(t, "with the votes", f.Store, auditor.Options{}, "/ledger/")
	for k := range 3 {
		f.remove(t, pipeline.AnswerKey(r.Name, k))
	}
	f.wantFlaw(t, "without the answers", f.Store, auditor.Options{}, "/ledger/")
	f.remove(t, pipeline.VoteKey(r.Name, 0), pipeline.VoteKey(r.Name, 1))
	f.wantNote(t, "one vote", "it names a checkpoint that this ledger does not give")
	f.remove(t, pipeline.VoteKey(r.Name, 2))
	rep, err := f.audit(auditor.Options{})
	if err != nil || len(rep.Scopes[0].Charges) != 1 {
		t.Fatal("nothing is left to see:", err)
	}
	f.wantFlaw(t, "a kept checkpoint", f.Store, auditor.Options{Remembered: before.Checkpoints()}, "/ledger/entry/")
}

// TestOpenedThenVoided: the Collector opens the sum for itself, hides the votes and the sum, and gives the charge back with a well
// signed void receipt and entry. The answers tell.
func TestOpenedThenVoided(t *testing.T) {
	f := play(t, pipelinetest.Task(8), 1, 0, 1, 2)
	r := f.proposed(t, 2, []int{0, 1, 2})
	f.step(r, []int{0, 1, 2}, true)
	for k := range 3 {
		f.remove(t, pipeline.VoteKey(r.Name, k))
	}
	if _, err := f.Fleet.Collector.Abort(ctx, f.Store, r, "nobody voted"); err != nil {
		t.Fatal(err)
	}
	if last := string(f.Get(f.ledgerKey(ledger.EntryKey(f.entries() - 1)))); !strings.Contains(last, `"kind":"void"`) {
		t.Fatal("not voided:", last)
	}
	rep, err := f.audit(auditor.Options{})
	if err != nil || len(rep.Scopes[0].Charges) != 2 || len(rep.Scopes[0].Uncharged) != 0 {
		t.Fatalf("%d charges, want 2: %v", len(rep.Scopes[0].Charges), err)
	}
}

// TestDescriptorOfAnotherLane: one well signed round cannot stand in two lanes, whose vehicles would then be charged once for two sums.
func TestDescriptorOfAnotherLane(t *testing.T) {
	task := pipelinetest.Task(8)
	task.Batch.Lanes = 2
	f := &played{Fleet: pipelinetest.New(t, 4, task)}
	r := f.Open(1)
	twin := r.Name
	twin.Lane = 1
	f.Put(pipeline.DescriptorKey(twin), f.Get(pipeline.DescriptorKey(r.Name)))
	f.wantFlaw(t, "descriptor of another lane", f.Store, auditor.Options{}, pipeline.RoundPrefix(twin))
}
