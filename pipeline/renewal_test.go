package pipeline_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/auditor"
	"github.com/veilsum/veilsum/pipeline/decryptor"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/privacy/ledger"
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

// forkLedger replaces the ledger by another of as many entries or more, which charges less: what a store and a Collector
// of the task can show to who signed nothing in the scope.
func forkLedger(t *testing.T, f *pipelinetest.Fleet, entries int64) {
	t.Helper()
	folder := pipeline.LedgerPrefix(f.Task.Scope.ID())
	for key := range f.Objects() {
		if strings.HasPrefix(key, folder) && !strings.HasSuffix(key, ledger.EntryKey(0)) {
			f.Replace(key, func([]byte) []byte { return nil })
		}
	}
	event, err := f.Plan.Privacy.Event()
	if err != nil {
		t.Fatal(err)
	}
	for i := int64(1); i < entries; i++ {
		f.ForgeEntry(f.CollectKey, i, ledger.Request{
			Task: ledger.ID(f.TaskID.Digest), Round: ledger.ID{byte(i)}, Epoch: 1, Manifest: ledger.ID{byte(i)}, Reservation: ledger.ID{byte(i)}, Reports: 6, Event: event,
		})
	}
}

// TestHandoverContinuesTheRenewal: a committee that was seated and never voted hands over nothing but the ledger that it was given. Its
// members signed no checkpoint of it, and no entry need name their task yet: else the
// committee after them would start from a ledger that forgets what the first one opened.
func TestHandoverContinuesTheRenewal(t *testing.T) {
	f := pipelinetest.New(t, 4, pipelinetest.Task(50))
	committed(t, f, 1, 0, 1, 2)
	committed(t, f, 2, 0, 1, 2)
	handOver(t, f, 0, 1, 2)
	task, id, plan := f.Task, f.TaskID, f.Plan
	if err := f.Renew(0, 1, 2, 3); err != nil {
		t.Fatal(err)
	}
	next, nextID, nextPlan := f.Task, f.TaskID, f.Plan
	f.Task, f.TaskID, f.Plan = task, id, plan
	forkLedger(t, f, 8)
	f.Task, f.TaskID, f.Plan = next, nextID, nextPlan
	for k := range 4 {
		d, exit := f.Decryptor(k)
		for _, size := range []int64{0, 5, 8} {
			f.Unchanged(pipeline.ErrFork, func() error { _, err := d.Handover(ctx, f.Store, f.Plan, size); return err })
		}
		exit()
	}
}

// TestHandoverAtNonsense: a member that names a checkpoint that does not exist does not stop the others.
func TestHandoverAtNonsense(t *testing.T) {
	f := pipelinetest.New(t, 4, pipelinetest.Task(50))
	committed(t, f, 1, 0, 1, 2)
	for _, size := range []int64{3, 1 << 40} {
		h := schema.Handover{Version: schema.Version, Scope: f.Task.Scope.ID(), Committee: f.Task.Committee.ID(), Index: 3, Size: size, Root: schema.Digest{1}}
		signed, err := schema.SignBody(h, f.Members[3])
		if err != nil {
			t.Fatal(err)
		}
		f.Put(pipeline.HandoverKey(h.Scope, h.Committee, size, 3), signed.Bytes())
	}
	handOver(t, f, 0, 1, 2)
	if err := f.Renew(3); err != nil {
		t.Fatal(err)
	}
}

// TestRenewalOfManyMembers: indices of two digits are in order, too.
func TestRenewalOfManyMembers(t *testing.T) {
	task := pipelinetest.Task(50)
	task.Committee.Size, task.Committee.Threshold, task.Committee.Malicious = 12, 7, 1
	f := pipelinetest.New(t, 4, task)
	for k := range 12 {
		handOver(t, f, k)
	}
	if err := f.Renew(3); err != nil {
		t.Fatal(err)
	}
}

// TestOtherRenewal: the owner can see that a committee was replaced already by another one.
func TestOtherRenewal(t *testing.T) {
	f := pipelinetest.New(t, 4, pipelinetest.Task(50))
	committed(t, f, 1, 0, 1, 2)
	handOver(t, f, 0, 1, 2)
	old := f.Plan
	if err := f.Renew(3); err != nil {
		t.Fatal(err)
	}
	f.Put("tasks/x/planted", []byte("x"))
	other, err := pipeline.OtherRenewal(ctx, f.Store, old, f.Task.Committee)
	if err != nil || other != nil {
		t.Fatal(other, err)
	}
	next := f.Task.Committee
	next.Keys = slices.Clone(next.Keys)
	next.Keys[2], next.Keys[3] = next.Keys[3], next.Keys[2]
	if other, err = pipeline.OtherRenewal(ctx, f.Store, old, next); err != nil || other == nil || *other != f.TaskID {
		t.Fatal(other, err)
	}
}

// TestOtherCommittee: the owner can see that a task would bring a second committee into a scope.
func TestOtherCommittee(t *testing.T) {
	f := pipelinetest.New(t, 4, pipelinetest.Task(50))
	committed(t, f, 1, 0, 1, 2)
	first, old := f.TaskID, f.Task
	handOver(t, f, 0, 1, 2)
	if err := f.Renew(3); err != nil {
		t.Fatal(err)
	}
	again := f.Task
	again.Renewal = nil // the new committee without its lineage
	stranger := again
	stranger.Scope.Name = "another"
	for name, c := range map[string]struct {
		task schema.Task
		want *schema.TaskID
	}{"renewal": {f.Task, nil}, "no lineage": {again, &first}, "old committee": {old, &f.TaskID}, "another scope": {stranger, nil}} {
		other, err := pipeline.OtherCommittee(ctx, f.Store, c.task)
		if err != nil || (other == nil) != (c.want == nil) || other != nil && *other != *c.want {
			t.Errorf("%s: %v, %v", name, other, err)
		}
	}
}

// TestVoidsOfAnotherScope: where a committee was replaced in one scope says nothing about its voids in another.
func TestVoidsOfAnotherScope(t *testing.T) {
	f := pipelinetest.New(t, 4, pipelinetest.Task(50))
	if _, err := f.Collector.Abort(ctx, f.Store, reserved(t, f, 1), "nobody voted"); err != nil {
		t.Fatal(err)
	}
	first := f.Task.Scope
	task := f.Task
	task.Scope.Name = "another"
	f.Use(task)
	f.Enroll(1, f.Vehicles)
	reserved(t, f, 1)
	handOver(t, f, 0, 1, 2)
	if err := f.Renew(3); err != nil {
		t.Fatal(err)
	}
	r, err := auditor.Audit(ctx, f.Store, f.Task.Owner, auditor.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range r.Scopes {
		if s.ID == first.ID() && (len(s.Charges) != 0 || len(s.Uncharged) != 1) {
			t.Fatal(len(s.Charges), "charges", s.Uncharged)
		}
	}
}
