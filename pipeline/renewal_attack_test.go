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

// TestHiddenVotesAcrossRenewal: the old committee certifies a list, the store hides the votes, the committee hands over and is
// replaced, and the Collector gives the charge back. Those who voted answer what they are shown, so the sum may be open: the new committee
// counts it, and has no budget left for a third.
func TestHiddenVotesAcrossRenewal(t *testing.T) {
	task := pipelinetest.Task(50)
	task.Scope.Epsilon = 7.5 // two rounds, not three
	f := pipelinetest.New(t, 4, task)
	committed(t, f, 1, 0, 1, 2)
	r := reserved(t, f, 2)
	hidden := map[string][]byte{}
	f.Committee([]int{0, 1, 2}, func(d *decryptor.Decryptor) error { _, err := d.Vote(ctx, f.Store, r); return err })
	for k := range 3 {
		key := pipeline.VoteKey(r.Name, k)
		hidden[key] = f.Get(key)
		f.Replace(key, func([]byte) []byte { return nil })
	}
	handOver(t, f, 0, 1, 2)
	old, members, homes := f.Plan, f.Members, f.Homes
	if err := f.Renew(3); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Collector.Abort(ctx, f.Store, r, "no vote in sight"); err != nil {
		t.Fatal(err)
	}
	next := f.Open(1)
	for i := range f.Vehicles {
		f.Report(next, i)
	}
	list, _, err := f.Collector.Close(ctx, f.Store, next)
	if err != nil {
		t.Fatal(err)
	}
	f.Committee([]int{0, 1, 2, 3}, func(d *decryptor.Decryptor) error { _, err := d.Check(ctx, f.Store, next, list, nil); return err })
	if _, err := f.Collector.Propose(ctx, f.Store, next, list); !errors.Is(err, pipeline.ErrBudget) {
		t.Fatal("a third round:", err)
	}
	// The sum of the void round really can be opened, by a store that hides the receipt from those who voted.
	for key, b := range hidden {
		f.Put(key, b)
	}
	f.Replace(pipeline.ReceiptKey(r.Name), func([]byte) []byte { return nil })
	f.Plan, f.Members, f.Homes = old, members, homes
	f.Committee([]int{0, 1, 2}, func(d *decryptor.Decryptor) error { _, err := d.Answer(ctx, f.Store, r, nil); return err })
}

// TestUnsentVoteAcrossHandover: a vote that was durable and not sent before the handover is sent afterward, a new one is not; and a
// crash between promise and handover costs nothing: it hands over again.
func TestUnsentVoteAcrossHandover(t *testing.T) {
	f := pipelinetest.New(t, 4, pipelinetest.Task(50))
	r := reserved(t, f, 1)
	f.Committee([]int{0}, func(d *decryptor.Decryptor) error { _, err := d.Vote(ctx, f.Store, r); return err })
	key := pipeline.VoteKey(r.Name, 0)
	vote := f.Get(key)
	f.Replace(key, func([]byte) []byte { return nil })
	handOver(t, f, 0, 1)
	folder := pipeline.HandoversPrefix(f.Task.Scope.ID(), f.Task.Committee.ID())
	for name := range f.Objects() {
		if strings.HasPrefix(name, folder) {
			f.Replace(name, func([]byte) []byte { return nil })
		}
	}
	d, exit := f.Decryptor(1)
	f.Unchanged(decryptor.ErrHandedOver, func() error { _, err := d.Vote(ctx, f.Store, r); return err })
	exit()
	f.Committee([]int{0}, func(d *decryptor.Decryptor) error { _, err := d.Vote(ctx, f.Store, r); return err })
	if string(f.Get(key)) != string(vote) {
		t.Fatal("another vote than before")
	}
	handOver(t, f, 0, 1, 2)
	if err := f.Renew(3); err != nil {
		t.Fatal(err)
	}
}

// TestHandoverReplayed: a handover of another scope or committee, or under another member's name, is silence.
func TestHandoverReplayed(t *testing.T) {
	f := pipelinetest.New(t, 4, pipelinetest.Task(50))
	handOver(t, f, 0, 1)
	key := pipeline.HandoverKey(f.Task.Scope.ID(), f.Task.Committee.ID(), 1, 0)
	f.Put(pipeline.HandoverKey(f.Task.Scope.ID(), f.Task.Committee.ID(), 1, 2), f.Get(key))
	f.Put(pipeline.HandoverKey(f.Task.Scope.ID(), f.Task.Committee.ID(), 2, 0), f.Get(key))
	f.Unchanged(pipeline.ErrDecryptors, func() error { _, err := pipeline.LoadHandovers(ctx, f.Store, f.Plan); return err })
	task := f.Task
	task.Scope.Name = "another"
	f.Use(task)
	for k := range 4 {
		if k < 2 {
			f.Put(pipeline.HandoverKey(f.Task.Scope.ID(), f.Task.Committee.ID(), 1, k), f.Get(key))
		}
	}
	f.Unchanged(pipeline.ErrDecryptors, func() error { _, err := pipeline.LoadHandovers(ctx, f.Store, f.Plan); return err })
}
