package decryptor_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/decryptor"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/schema"
)

// played is a round with records, which goes on step by step.
type played struct {
	*pipelinetest.Fleet
	r    *pipeline.Round
	list schema.Digest
}

// do plays one step of the committee, with what the others do for it.
func (p *played) do(t *testing.T, step string) {
	t.Helper()
	check := func(d *decryptor.Decryptor) error { _, err := d.Check(ctx, p.Store, p.r, p.list, nil); return err }
	vote := func(d *decryptor.Decryptor) error { _, err := d.Vote(ctx, p.Store, p.r); return err }
	answer := func(d *decryptor.Decryptor) error { _, err := d.Answer(ctx, p.Store, p.r, nil); return err }
	switch step {
	case "key":
		p.r = p.Open(1)
		for i := range p.Vehicles {
			p.Report(p.r, i)
		}
		list, _, err := p.Collector.Close(ctx, p.Store, p.r)
		if err != nil {
			t.Fatal(err)
		}
		p.list = list
	case "check":
		p.Committee([]int{0, 1, 2}, check)
	case "vote":
		if _, err := p.Collector.Propose(ctx, p.Store, p.r, p.list); err != nil {
			t.Fatal(err)
		}
		p.Committee([]int{0, 1, 2}, vote)
	case "answer":
		p.Committee([]int{0, 1, 2}, answer)
	case "handover":
		p.Committee([]int{0}, func(d *decryptor.Decryptor) error { _, err := d.Handover(ctx, p.Store, p.Plan, 0); return err })
	}
}

// steps are what a decryptor does in a round, in order; each is something that a backup can lack.
var steps = []string{"key", "check", "vote", "answer", "handover"}

func withRecords(t *testing.T, vehicles int) *played {
	f := pipelinetest.New(t, vehicles, pipelinetest.Task(100))
	f.Records = true
	return &played{Fleet: f}
}

// mayGoOn is what a process asks first.
func (p *played) mayGoOn() error {
	d, exit := p.Decryptor(0)
	defer exit()
	return d.CheckRecord(ctx, p.Store, p.TaskID, p.Plan)
}

func (p *played) folder(name string) string { return filepath.Join(p.Dir, name) }

func backup(t *testing.T, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "backup")
	if _, err := os.Stat(from); err != nil {
		return to // nothing yet: restoring it loses everything
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

func restore(t *testing.T, backup, to string) {
	t.Helper()
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(backup); err != nil {
		return
	}
	if err := os.CopyFS(to, os.DirFS(backup)); err != nil {
		t.Fatal(err)
	}
}

// TestRestoredDecryptorIsRefused takes a backup of the state directory, of the record, or of both, before
// each step of a round, and restores it after that step: the decryptor may not go on. Without, it may.
// The state alone knows nothing of a key that was made after its backup, but cannot sign with it either.
func TestRestoredDecryptorIsRefused(t *testing.T) {
	for _, what := range [][]string{{"decryptor-0"}, {"decryptor-0-record"}, {"decryptor-0", "decryptor-0-record"}} {
		p := withRecords(t, 4)
		for _, step := range steps {
			before := map[string]string{}
			for _, name := range what {
				before[name] = backup(t, p.folder(name))
			}
			p.do(t, step)
			if err := p.mayGoOn(); err != nil {
				t.Fatalf("%v after %s: an honest decryptor is refused: %v", what, step, err)
			}
			after := map[string]string{}
			for _, name := range what {
				after[name] = backup(t, p.folder(name))
				restore(t, before[name], p.folder(name))
			}
			harmless := step == "key" && len(what) == 1 && what[0] == "decryptor-0"
			if err := p.mayGoOn(); !errors.Is(err, decryptor.ErrRestored) && !harmless {
				t.Errorf("%v of before %s: %v", what, step, err)
			}
			for _, name := range what {
				restore(t, after[name], p.folder(name))
			}
		}
	}
}

// TestHiddenVotes: a store that hides what was signed does not make the record too new; and where it hides
// the vote from a decryptor whose state was restored, the record alone tells.
func TestHiddenVotes(t *testing.T) {
	p := withRecords(t, 4)
	p.do(t, "key")
	p.do(t, "check")
	old := backup(t, p.folder("decryptor-0"))
	p.do(t, "vote")
	p.Replace(pipeline.VoteKey(p.r.Name, 0), func([]byte) []byte { return nil })
	if err := p.mayGoOn(); err != nil {
		t.Fatal(err)
	}
	restore(t, old, p.folder("decryptor-0"))
	if err := p.mayGoOn(); !errors.Is(err, decryptor.ErrRestored) {
		t.Error(err)
	}
}

// TestRecordForbidsASecondVote: even a process that does not ask first cannot sign for another list.
func TestRecordForbidsASecondVote(t *testing.T) {
	p := withRecords(t, 5)
	p.do(t, "key")
	p.do(t, "check")
	old := backup(t, p.folder("decryptor-0"))
	p.do(t, "vote")
	restore(t, old, p.folder("decryptor-0"))
	for _, prefix := range []string{pipeline.ManifestsPrefix(p.r.Name), pipeline.RoundPrefix(p.r.Name) + "votes/"} {
		for info, err := range p.Store.List(ctx, prefix, "") {
			if err != nil {
				t.Fatal(err)
			}
			p.Replace(info.Key, func([]byte) []byte { return nil })
		}
	}
	p.proposeFewer(t)
	d, exit := p.Decryptor(0)
	defer exit()
	p.Unchanged(decryptor.ErrRestored, func() error { _, err := d.Vote(ctx, p.Store, p.r); return err })
}

// proposeFewer proposes another list: all reports but the first.
func (p *played) proposeFewer(t *testing.T) {
	t.Helper()
	l := schema.Candidates{Version: schema.Version, RoundID: p.r.ID}
	full, err := pipeline.LoadCandidates(ctx, p.Store, p.r, p.list)
	if err != nil {
		t.Fatal(err)
	}
	l.Reports = full.Reports[1:]
	raw, err := l.Encode()
	if err != nil {
		t.Fatal(err)
	}
	p.Put(pipeline.CandidatesKey(p.r.Name, l.ID()), raw)
	p.Committee([]int{0, 1, 2}, func(d *decryptor.Decryptor) error {
		_, err := d.Check(ctx, p.Store, p.r, l.ID(), nil)
		return err
	})
	if _, err := p.Collector.Propose(ctx, p.Store, p.r, l.ID()); err != nil {
		t.Fatal(err)
	}
}

// TestCopiedSignatures: whoever may write to the store cannot stop a decryptor by copying its own
// signed objects to other places, or by planting what it did not sign.
func TestCopiedSignatures(t *testing.T) {
	p := withRecords(t, 4)
	for _, step := range steps[:3] {
		p.do(t, step)
	}
	other := p.Name(2)
	p.Keys(2)
	p.Put(pipeline.VoteKey(other, 0), p.Get(pipeline.VoteKey(p.r.Name, 0)))
	p.Put(pipeline.AnswerKey(other, 0), []byte("junk"))
	p.Put(pipeline.CheckKey(other, p.list, 0), p.Get(pipeline.CheckKey(p.r.Name, p.list, 1)))
	p.Put(pipeline.RoundKeyKey(p.Name(3), 0), p.Get(pipeline.RoundKeyKey(other, 0)))
	p.Put(pipeline.RoundKeysPrefix(p.TaskID, 0)+"notes", nil)
	if err := p.mayGoOn(); err != nil {
		t.Error(err)
	}
}

// TestRestoredKeyIsDestroyed: a key that came back with a backup after its answer does not stay.
func TestRestoredKeyIsDestroyed(t *testing.T) {
	p := withRecords(t, 4)
	for _, step := range steps[:3] {
		p.do(t, step)
	}
	old := backup(t, p.folder("decryptor-0"))
	p.do(t, "answer")
	restore(t, old, p.folder("decryptor-0"))
	if err := p.mayGoOn(); !errors.Is(err, decryptor.ErrRestored) {
		t.Fatal(err)
	}
	d, exit := p.Decryptor(0)
	defer exit()
	all, err := d.Rounds(p.TaskID)
	if err != nil || len(all) != 1 || all[0].Live || all[0].Accepted > 0 {
		t.Errorf("%+v %v", all, err)
	}
}

// TestOtherTaskOfTheScope: a vote in another task of the scope counts, too.
func TestOtherTaskOfTheScope(t *testing.T) {
	p := withRecords(t, 4)
	task := p.Task
	for _, step := range steps[:2] {
		p.do(t, step)
	}
	old := map[string]string{"decryptor-0": backup(t, p.folder("decryptor-0")), "decryptor-0-record": backup(t, p.folder("decryptor-0-record"))}
	p.do(t, "vote")
	task.Name = "second"
	p.Use(task)
	for name, b := range old {
		restore(t, b, p.folder(name))
	}
	if err := p.mayGoOn(); !errors.Is(err, decryptor.ErrRestored) {
		t.Error(err)
	}
}

// TestAdopt: a decryptor of a program that kept no record gets one, once, after whatever step, and goes on.
func TestAdopt(t *testing.T) {
	p := withRecords(t, 4)
	p.Records = false
	for _, step := range steps {
		p.do(t, step)
		p.Records = true
		old := backup(t, p.folder("decryptor-0"))
		if err := p.mayGoOn(); err != nil {
			t.Errorf("after %s: %v", step, err)
		}
		if err := os.RemoveAll(p.folder("decryptor-0-record")); err != nil {
			t.Fatal(err)
		}
		if err := p.mayGoOn(); !errors.Is(err, decryptor.ErrRestored) {
			t.Errorf("after %s: a record that was lost is made anew: %v", step, err)
		}
		restore(t, old, p.folder("decryptor-0"))
		restore(t, filepath.Join(t.TempDir(), "none"), p.folder("decryptor-0-record"))
		p.Records = false
	}
}

// TestAdoptRestored: adopting believes the state, not against the store.
func TestAdoptRestored(t *testing.T) {
	p := withRecords(t, 4)
	p.Records = false
	p.do(t, "key")
	p.do(t, "check")
	old := backup(t, p.folder("decryptor-0"))
	p.do(t, "vote")
	restore(t, old, p.folder("decryptor-0"))
	p.Records = true
	if err := p.mayGoOn(); !errors.Is(err, decryptor.ErrRestored) {
		t.Error(err)
	}
}
