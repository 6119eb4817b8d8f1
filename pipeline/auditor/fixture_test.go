package auditor_test

import (
	"context"
	"strings"
	"testing"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/auditor"
	"github.com/veilsum/veilsum/pipeline/decryptor"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/privacy/ledger"
	"github.com/veilsum/veilsum/schema"
)

var ctx = context.Background()

// played is a fleet with some committed rounds.
type played struct {
	*pipelinetest.Fleet
	rounds []*pipeline.Round
}

// play plays rounds 1 to n with four vehicles and the given decryptors.
func play(t testing.TB, task schema.Task, n int, members ...int) *played {
	t.Helper()
	f := &played{Fleet: pipelinetest.New(t, 4, task)}
	for epoch := range uint64(n) {
		f.playRound(t, epoch+1, members)
	}
	return f
}

func (f *played) playRound(t testing.TB, epoch uint64, members []int) {
	t.Helper()
	r := f.proposed(t, epoch, members)
	f.step(r, members, true)
	if _, err := f.Fleet.Collector.Collect(ctx, f.Store, r, nil); err != nil {
		t.Fatal(err)
	}
}

// proposed plays a round up to its manifest.
func (f *played) proposed(t testing.TB, epoch uint64, members []int) *pipeline.Round {
	t.Helper()
	r := f.Open(epoch)
	f.rounds = append(f.rounds, r)
	for i := range f.Vehicles {
		f.Report(r, i)
	}
	list, _, err := f.Fleet.Collector.Close(ctx, f.Store, r)
	if err != nil {
		t.Fatal(err)
	}
	f.Committee(members, func(d *decryptor.Decryptor) error { _, err := d.Check(ctx, f.Store, r, list, nil); return err })
	if _, err := f.Fleet.Collector.Propose(ctx, f.Store, r, list); err != nil {
		t.Fatal(err)
	}
	return r
}

// step lets the decryptors vote, and answer if asked.
func (f *played) step(r *pipeline.Round, members []int, answer bool) {
	f.Committee(members, func(d *decryptor.Decryptor) error { _, err := d.Vote(ctx, f.Store, r); return err })
	if answer {
		f.Committee(members, func(d *decryptor.Decryptor) error { _, err := d.Answer(ctx, f.Store, r, nil); return err })
	}
}

func (f *played) audit(opt auditor.Options) (*auditor.Report, error) {
	return auditor.Audit(ctx, f.Store, schema.NewPublicKey(f.Owner), opt)
}

// receipt returns the receipt of the i-th round.
func (f *played) receipt(t testing.TB, i int) schema.Receipt {
	t.Helper()
	c, err := pipeline.LoadReceipt(ctx, f.Store, f.rounds[i])
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// entries counts the single entries of the ledger.
func (f *played) entries() (n int64) {
	for key := range f.Objects() {
		if strings.Contains(key, "/ledger/entry/") {
			n++
		}
	}
	return n
}

// ledgerKey is the full name of an object of the ledger.
func (f *played) ledgerKey(name string) string {
	return pipeline.LedgerPrefix(f.Task.Scope.ID()) + name
}

// unsettle takes the newest entry of the ledger away, as if the Collector had died before it.
func (f *played) unsettle(t testing.TB) {
	t.Helper()
	n := f.entries()
	last := f.ledgerKey(ledger.EntryKey(n - 1))
	if !strings.Contains(string(f.Get(last)), `"kind":"settle"`) {
		t.Fatalf("%s settles nothing", last)
	}
	for _, key := range []string{last, f.ledgerKey(ledger.CheckpointKey(n))} {
		if err := f.Store.Delete(ctx, key); err != nil {
			t.Fatal(err)
		}
	}
}

// ledgerIndex is the entry that pays for a manifest.
func ledgerIndex(t testing.TB, f *played, r *pipeline.Round, id schema.ManifestID) int64 {
	t.Helper()
	l, err := r.OpenLedger(ctx, f.Store, nil)
	if err != nil {
		t.Fatal(err)
	}
	x, err := l.Find(r, id)
	if err != nil {
		t.Fatal(err)
	}
	return x.Index
}
