package auditor_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/auditor"
	"github.com/veilsum/veilsum/pipeline/collector"
	"github.com/veilsum/veilsum/pipeline/decryptor"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/schema/arrowipc"
	"github.com/veilsum/veilsum/storage"
)

// wantNote wants a verified audit with a note that holds text.
func (f *played) wantNote(t *testing.T, name, text string) *auditor.Report {
	t.Helper()
	rep, err := f.audit(auditor.Options{Depth: auditor.DepthPieces})
	if err != nil || !slices.ContainsFunc(rep.Notes, func(n auditor.Note) bool { return strings.Contains(n.Text, text) }) {
		t.Errorf("%s: error %v, notes %v, want one with %q", name, err, rep.Notes, text)
	}
	return rep
}

// The report of an honest store is complete, the same each time, and at both depths.
func TestHonestRounds(t *testing.T) {
	f := play(t, pipelinetest.Task(8), 2, 0, 1, 2, 3)
	var before []byte
	for range 2 {
		rep, err := f.audit(auditor.Options{Depth: auditor.DepthPieces})
		if err != nil || !rep.Complete || rep.Flaw != nil || len(rep.Notes) != 0 {
			t.Fatalf("error %v, notes %v", err, rep.Notes)
		}
		text, err := json.Marshal(rep)
		if err != nil {
			t.Fatal(err)
		}
		if before != nil && !bytes.Equal(before, text) {
			t.Error("two audits of one store gave two reports")
		}
		before = text
		for _, r := range rep.Tasks[0].Rounds {
			if r.Depth != auditor.SumRecomputed || r.Reports != 4 || r.Vehicles != 4 || !r.Confirmed || len(r.Votes) != 4 || !r.Verified {
				t.Errorf("round %+v", r)
			}
		}
		for kind, n := range map[string]int{"task": 1, "vote": 8, "answer": 8, "report": 8, "piece": 8, "receipt": 2, "aggregate": 2, "round key": 8, "check": 8, "reservation": 2} {
			if rep.Objects[kind] != n {
				t.Errorf("%d objects of kind %q, want %d", rep.Objects[kind], kind, n)
			}
		}
	}
	rep, err := f.audit(auditor.Options{Depth: auditor.DepthSigned, Task: &f.TaskID})
	if err != nil || rep.Tasks[0].Rounds[1].Depth != auditor.SumSigned || rep.Objects["piece"] != 0 {
		t.Errorf("depth %q, error %v", rep.Tasks[0].Rounds[1].Depth, err)
	}
}

// A lying decryptor is dropped and convicted by the receipt; the audit finds the same.
func TestDroppedDecryptor(t *testing.T) {
	f := play(t, pipelinetest.Task(8), 0)
	r := f.proposed(t, 1, []int{0, 1, 2, 3})
	f.step(r, []int{0, 1, 2, 3}, true)
	key := pipeline.AnswerKey(r.Name, 2)
	f.Replace(key, func(b []byte) []byte {
		x, err := schema.Decode[schema.Answer](b)
		if err != nil {
			t.Fatal(err)
		}
		x.Body.Shares[0][0] ^= 1
		lie, err := schema.SignBody(x.Body, f.Members[2])
		if err != nil {
			t.Fatal(err)
		}
		return lie.Bytes()
	})
	if _, err := f.Fleet.Collector.Collect(ctx, f.Store, r, nil); err != nil {
		t.Fatal(err)
	}
	rep, err := f.audit(auditor.Options{})
	if err != nil || !slices.Equal(rep.Tasks[0].Rounds[0].Dropped, []int{2}) {
		t.Errorf("dropped %v, error %v", rep.Tasks[0].Rounds[0].Dropped, err)
	}
}

// Answers and votes that came after the receipt, and a Collector that calls a
// round void though its answers open it, are noted.
func TestNotes(t *testing.T) {
	f := play(t, pipelinetest.Task(8), 1, 0, 1, 2)
	r := f.rounds[0]
	list, err := pipeline.ListCandidates(ctx, f.Store, r)
	if err != nil {
		t.Fatal(err)
	}
	receipt := f.Get(pipeline.ReceiptKey(r.Name))
	f.Replace(pipeline.ReceiptKey(r.Name), func([]byte) []byte { return nil })
	f.Committee([]int{3}, func(d *decryptor.Decryptor) error { _, err := d.Check(ctx, f.Store, r, list[0], nil); return err })
	f.step(r, []int{3}, true)
	f.Put(pipeline.ReceiptKey(r.Name), receipt)
	f.wantNote(t, "late answer", "an answer that the receipt does not name")

	c := f.receipt(t, 0)
	void := schema.Receipt{
		Version: c.Version, Status: schema.StatusVoid, Reason: "no set of answers opens the sum", TaskID: c.TaskID, RoundID: c.RoundID, Epoch: c.Epoch,
		Manifest: c.Manifest, Checkpoint: c.Checkpoint, Reports: c.Reports, Event: c.Event, Votes: c.Votes, Answers: c.Answers, Dropped: []int{}, Convicted: []int{},
	}
	f.unsettle(t)
	f.Replace(pipeline.ReceiptKey(r.Name), func([]byte) []byte { return sign(t, f, void) })
	rep := f.wantNote(t, "void", "but the answers that it names open the sum")
	if len(rep.Scopes[0].Charges) != 1 {
		t.Errorf("%d charges of a void round with votes, want 1", len(rep.Scopes[0].Charges))
	}
}

// A fleet that forgot its noise ends void and charged, and the audit says nothing else.
func TestVoidWithoutNoise(t *testing.T) {
	task := pipelinetest.Task(8)
	task.Privacy.NoiseMultiplier = 40
	f := play(t, task, 0)
	r := f.Open(1)
	for _, v := range f.Vehicles {
		f.Forge(r, v, pipelinetest.Forgery{Params: f.Weak()})
	}
	list, _, err := f.Fleet.Collector.Close(ctx, f.Store, r)
	if err != nil {
		t.Fatal(err)
	}
	members := []int{0, 1, 2}
	f.Committee(members, func(d *decryptor.Decryptor) error { _, err := d.Check(ctx, f.Store, r, list, nil); return err })
	if _, err := f.Fleet.Collector.Propose(ctx, f.Store, r, list); err != nil {
		t.Fatal(err)
	}
	f.step(r, members, true)
	got, err := f.Fleet.Collector.Collect(ctx, f.Store, r, nil)
	if err != nil || got.Receipt.Status != schema.StatusVoid {
		t.Fatalf("receipt %+v, error %v", got, err)
	}
	rep, err := f.audit(auditor.Options{Depth: auditor.DepthPieces})
	if err != nil || len(rep.Notes) != 0 || len(rep.Scopes[0].Charges) != 1 || rep.Tasks[0].Rounds[0].Vehicles != 4 {
		t.Errorf("notes %v, scope %+v, error %v", rep.Notes, rep.Scopes[0], err)
	}
}

// Two lanes of one epoch are two rounds and one event.
func TestLanesCostOneEvent(t *testing.T) {
	task := pipelinetest.Task(8)
	task.Batch.Lanes = 2
	f := &played{Fleet: pipelinetest.New(t, 24, task)}
	f.Keys(1)
	members := []int{0, 1, 2}
	for lane := range uint32(2) {
		name := pipeline.RoundName{Task: f.TaskID, Epoch: 1, Lane: lane}
		r, err := f.Fleet.Collector.Open(ctx, f.Store, f.Plan, collector.Opening{Name: name, Model: []byte("model"), Snapshot: f.Snapshot, Deadline: f.Now()})
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range f.Vehicles {
			if schema.LaneOf(f.TaskID, 1, v.ID, 2) == lane {
				f.Report(r, i)
			}
		}
		list, _, err := f.Fleet.Collector.Close(ctx, f.Store, r)
		if err != nil {
			t.Skipf("lane %d: %v (chance below 2^-12)", lane, err)
		}
		f.Committee(members, func(d *decryptor.Decryptor) error { _, err := d.Check(ctx, f.Store, r, list, nil); return err })
		if _, err := f.Fleet.Collector.Propose(ctx, f.Store, r, list); err != nil {
			t.Fatal(err)
		}
		f.step(r, members, true)
		if _, err := f.Fleet.Collector.Collect(ctx, f.Store, r, nil); err != nil {
			t.Fatal(err)
		}
	}
	rep, err := f.audit(auditor.Options{})
	if err != nil || len(rep.Tasks[0].Rounds) != 2 || len(rep.Scopes[0].Charges) != 1 {
		t.Fatalf("report %+v, error %v", rep, err)
	}
	if c := rep.Scopes[0].Charges[0]; c.Lanes != 2 || c.Vehicles != 24 || rep.Scopes[0].MaxParticipation != 1 {
		t.Errorf("charge %+v, at most %d participations", c, rep.Scopes[0].MaxParticipation)
	}
}

// A snapshot older than an earlier round's is a flaw even if decryptors that forgot voted on it.
func TestStaleSnapshot(t *testing.T) {
	f := play(t, pipelinetest.Task(8), 0)
	old := f.Snapshot
	f.Enroll(2, f.Vehicles)
	f.playRound(t, 1, []int{0, 1, 2})
	f.Snapshot, f.Dir = old, t.TempDir()
	f.playRound(t, 2, []int{0, 1, 2})
	f.wantFlaw(t, "serial 1 after 2", f.Store, auditor.Options{}, "000000000002-0/descriptor.json")
}

// Tasks of other owners in the same store are none of this audit's business, unless asked for.
func TestOtherOwners(t *testing.T) {
	f := play(t, pipelinetest.Task(8), 1, 0, 1, 2)
	other := play(t, pipelinetest.Task(8), 0)
	f.Put(pipeline.TaskKey(other.TaskID), other.Get(pipeline.TaskKey(other.TaskID)))
	f.wantNote(t, "two owners", "another privacy owner")
	key := pipeline.TaskKey(other.TaskID)
	signed := f.Get(key)
	signed[len(signed)-5] ^= 1 // in the signature
	f.wantFlaw(t, "a broken signature", f.with(key, signed), auditor.Options{}, key)
	f.wantFlaw(t, "asked for", f.Store, auditor.Options{Task: &other.TaskID}, other.TaskID.String())
	if _, err := auditor.Audit(ctx, other.Store, schema.NewPublicKey(f.Owner), auditor.Options{}); !errors.Is(err, auditor.ErrNothing) {
		t.Errorf("error %v, want ErrNothing", err)
	}
}

// What the store or the caller is to blame for is no flaw of the evidence.
func TestErrorsOfTheStore(t *testing.T) {
	f := play(t, pipelinetest.Task(8), 1, 0, 1, 2)
	broken := errors.New("broken link")
	for _, key := range []string{pipeline.TaskKey(f.TaskID), pipeline.ReceiptKey(f.rounds[0].Name), pipeline.VoteKey(f.rounds[0].Name, 1)} {
		_, err := auditor.Audit(ctx, failing{f.Store, key, broken}, schema.NewPublicKey(f.Owner), auditor.Options{})
		if !errors.Is(err, broken) || errors.Is(err, auditor.ErrFlaw) {
			t.Errorf("%s: error %v, want the store's and no flaw", key, err)
		}
	}
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := auditor.Audit(canceled, f.Store, schema.NewPublicKey(f.Owner), auditor.Options{}); !errors.Is(err, context.Canceled) || errors.Is(err, auditor.ErrFlaw) {
		t.Errorf("error %v, want that the context was canceled", err)
	}
}

// failing is a store that cannot read one object.
type failing struct {
	storage.Store
	key string
	err error
}

// Get implements storage.Store.
func (o failing) Get(ctx context.Context, key string) (io.ReadCloser, storage.Info, error) {
	if key == o.key {
		return nil, storage.Info{}, o.err
	}
	return o.Store.Get(ctx, key)
}

// The statement and the table say what the report does.
func TestStatementAndTable(t *testing.T) {
	f := play(t, pipelinetest.Task(8), 2, 0, 1, 2)
	rep, err := f.audit(auditor.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := rep.Statement()
	if s.Format != auditor.StatementFormat || !s.Complete || len(s.Scopes) != 1 || len(s.Tasks) != 1 {
		t.Fatalf("statement %+v", s)
	}
	sc, task := s.Scopes[0], s.Tasks[0]
	if sc.Spent != rep.Scopes[0].Spent[0].Epsilon || sc.Worst.Epochs != 2 || sc.Epochs != 2 || sc.Sampling != "none" || sc.Unit != "vehicle" || sc.Rho == nil || *sc.Rho < 0.99 || *sc.Rho > 1.01 {
		t.Errorf("scope %+v", sc)
	}
	if task.Committed != 2 || task.Recomputed != 2 || task.NoiseStdDev != rep.Tasks[0].Rounds[0].NoiseStdDev {
		t.Errorf("task %+v", task)
	}
	if all := strings.Join(s.Plain, "\n"); !strings.Contains(all, "2 sums were opened") || !strings.Contains(all, "99.9157\u00a0% sure") {
		t.Errorf("plain language:\n%s", all)
	}
	data, err := rep.Table()
	if err != nil {
		t.Fatal(err)
	}
	table, err := arrowipc.ReadTable(data)
	if err != nil || table.Rows != 2 || table.Meta[arrowipc.MetaFormat] != auditor.TableFormat {
		t.Fatalf("table %+v, error %v", table, err)
	}
	after, _, err := table.Floats("epsilon_after")
	if err != nil || after[1] != rep.Scopes[0].Spent[0].Epsilon || after[0] >= after[1] {
		t.Errorf("epsilon %v, error %v", after, err)
	}
	if names, err := table.Strings("round"); err != nil || !slices.Equal(names, []string{"000000000001-0", "000000000002-0"}) {
		t.Errorf("rounds %q, error %v", names, err)
	}
}
