package pipeline_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/auditor"
	"github.com/veilsum/veilsum/pipeline/decryptor"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/schema"
)

// reserved plays a round up to its reservation.
func reserved(t *testing.T, f *pipelinetest.Fleet, epoch uint64) *pipeline.Round {
	t.Helper()
	r := f.Open(epoch)
	for i := range f.Vehicles {
		f.Report(r, i)
	}
	list, _, err := f.Collector.Close(ctx, f.Store, r)
	if err != nil {
		t.Fatal(err)
	}
	f.Committee([]int{0, 1, 2, 3}, func(d *decryptor.Decryptor) error { _, err := d.Check(ctx, f.Store, r, list, nil); return err })
	if _, err := f.Collector.Propose(ctx, f.Store, r, list); err != nil {
		t.Fatal(err)
	}
	return r
}

// committed plays a round to its end; it is opened by the given decryptors.
func committed(t *testing.T, f *pipelinetest.Fleet, epoch uint64, members ...int) {
	t.Helper()
	r := reserved(t, f, epoch)
	f.Committee(members, func(d *decryptor.Decryptor) error { _, err := d.Vote(ctx, f.Store, r); return err })
	f.Committee(members, func(d *decryptor.Decryptor) error { _, err := d.Answer(ctx, f.Store, r, nil); return err })
	if _, err := f.Collector.Collect(ctx, f.Store, r, nil); err != nil {
		t.Fatal(err)
	}
}

func handOver(t *testing.T, f *pipelinetest.Fleet, members ...int) {
	t.Helper()
	f.Committee(members, func(d *decryptor.Decryptor) error { _, err := d.Handover(ctx, f.Store, f.Plan, 0); return err })
}

// TestRenewalIsVerified: whoever reads a task refuses a renewal that the old committee did not sign.
func TestRenewalIsVerified(t *testing.T) {
	f := pipelinetest.New(t, 4, pipelinetest.Task(50))
	committed(t, f, 1, 0, 1, 2)
	handOver(t, f, 0, 1, 2)
	if err := f.Renew(3); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*schema.Renewal){
		"larger checkpoint":           func(r *schema.Renewal) { r.Lineage[0].Size++ },
		"other ledger":                func(r *schema.Renewal) { r.Root[0]++ },
		"a member that was not asked": func(r *schema.Renewal) { r.Handovers[2].Index = 3 },
		"too few":                     func(r *schema.Renewal) { r.Handovers = r.Handovers[:2] },
		"another committee": func(r *schema.Renewal) {
			r.Committee.Keys[0], r.Committee.Keys[1] = r.Committee.Keys[1], r.Committee.Keys[0]
		},
	} {
		task, renewal := f.Task, *f.Task.Renewal
		renewal.Committee.Keys = slices.Clone(renewal.Committee.Keys)
		renewal.Lineage, renewal.Handovers = slices.Clone(renewal.Lineage), slices.Clone(renewal.Handovers)
		change(&renewal)
		task.Renewal = &renewal
		if _, err := pipeline.NewPlan(task); !errors.Is(err, pipeline.ErrTask) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestTwiceRenewed: a scope goes on through two renewals, the second before the first was used, and
// the audit finds all of it in order.
func TestTwiceRenewed(t *testing.T) {
	f := pipelinetest.New(t, 4, pipelinetest.Task(50))
	committed(t, f, 1, 0, 1, 2)
	handOver(t, f, 0, 1, 2)
	if err := f.Renew(3); err != nil {
		t.Fatal(err)
	}
	handOver(t, f, 0, 2, 3) // the new member signed nothing before
	if err := f.Renew(1); err != nil {
		t.Fatal(err)
	}
	if n := len(f.Task.Renewal.Lineage); n != 2 {
		t.Fatal(n, "committees before")
	}
	committed(t, f, 1, 0, 1, 3)
	r, err := auditor.Audit(ctx, f.Store, f.Task.Owner, auditor.Options{})
	if err != nil || len(r.Notes) > 0 {
		t.Fatal(err, r.Notes)
	}
	c, err := pipeline.LoadCharges(ctx, f.Store, f.Task.Scope, f.Task.Owner)
	if err != nil || c.Epochs() != 2 {
		t.Fatal(c.Epochs(), "epochs charged", err)
	}
}

// TestHandoverNamesOneCheckpoint: members that named different checkpoints do not count together, until they
// hand over again at the larger one.
func TestHandoverNamesOneCheckpoint(t *testing.T) {
	f := pipelinetest.New(t, 4, pipelinetest.Task(50))
	committed(t, f, 1, 0, 1, 2)
	handOver(t, f, 0, 3)
	r := reserved(t, f, 2)
	handOver(t, f, 0) // takes its own of before, which others named, too
	f.Committee([]int{1, 2}, func(d *decryptor.Decryptor) error { _, err := d.Vote(ctx, f.Store, r); return err })
	f.Unchanged(pipeline.ErrDecryptors, func() error { _, err := pipeline.LoadHandovers(ctx, f.Store, f.Plan); return err })
	handOver(t, f, 1) // has signed more than they named
	f.Unchanged(pipeline.ErrDecryptors, func() error { _, err := pipeline.LoadHandovers(ctx, f.Store, f.Plan); return err })
	handOver(t, f, 0, 3)
	all, err := pipeline.LoadHandovers(ctx, f.Store, f.Plan)
	if err != nil || len(all) != 3 {
		t.Fatal(len(all), err)
	}
	d, exit := f.Decryptor(1)
	defer exit()
	f.Unchanged(pipeline.ErrFork, func() error { _, err := d.Handover(ctx, f.Store, f.Plan, 3); return err }) // less than it signed
	f.Unchanged(pipeline.ErrFork, func() error { _, err := d.Handover(ctx, f.Store, f.Plan, 99); return err })
}

// TestHandoverRefusesVoided: no member hands over a ledger that gives back what it voted for.
func TestHandoverRefusesVoided(t *testing.T) {
	f := pipelinetest.New(t, 4, pipelinetest.Task(50))
	r := reserved(t, f, 1)
	f.Committee([]int{0}, func(d *decryptor.Decryptor) error { _, err := d.Vote(ctx, f.Store, r); return err })
	hidden := f.Get(pipeline.VoteKey(r.Name, 0))
	f.Replace(pipeline.VoteKey(r.Name, 0), func([]byte) []byte { return nil })
	if _, err := f.Collector.Abort(ctx, f.Store, r, "the vote was hidden"); err != nil {
		t.Fatal(err)
	}
	f.Put(pipeline.VoteKey(r.Name, 0), hidden)
	d, exit := f.Decryptor(0)
	defer exit()
	f.Unchanged(pipeline.ErrFork, func() error { _, err := d.Handover(ctx, f.Store, f.Plan, 0); return err })
	handOver(t, f, 1) // it knows of no vote
}

// TestBrokenHandover: a list that more than f members certified after they had handed over is a flaw to the auditor.
func TestBrokenHandover(t *testing.T) {
	f := pipelinetest.New(t, 4, pipelinetest.Task(50))
	committed(t, f, 1, 0, 1, 2)
	handOver(t, f, 0, 1, 2)
	task, id, plan, members, homes := f.Task, f.TaskID, f.Plan, f.Members, f.Homes
	if err := f.Renew(3); err != nil {
		t.Fatal(err)
	}
	f.Task, f.TaskID, f.Plan, f.Members, f.Homes = task, id, plan, members, homes
	if _, err := auditor.Audit(ctx, f.Store, f.Task.Owner, auditor.Options{}); err != nil {
		t.Fatal(err)
	}
	f.Dir = t.TempDir() // they forget their word, and all that they signed; the vehicles forget, too
	committed(t, f, 2, 0, 1, 2)
	_, err := auditor.Audit(ctx, f.Store, f.Task.Owner, auditor.Options{})
	if flaw := (*auditor.Flaw)(nil); !errors.As(err, &flaw) || flaw.Object != pipeline.ReceiptKey(f.Name(2)) {
		t.Fatal(err)
	}
}
