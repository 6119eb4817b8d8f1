package decryptor_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/collector"
	"github.com/veilsum/veilsum/pipeline/decryptor"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/pipeline/state"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

var ctx = context.Background()

// proposed plays a round of 4 reports up to the votes.
func proposed(t testing.TB) (*pipelinetest.Fleet, *pipeline.Round) {
	t.Helper()
	f := pipelinetest.New(t, 4, pipelinetest.Task(100))
	r := f.Open(1)
	for i := range 4 {
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
	return f, r
}

func roundFile(f *pipelinetest.Fleet, k int, n pipeline.RoundName) string {
	return filepath.Join(f.Dir, "decryptor-"+string(rune('0'+k)), "rounds", n.Task.String(), n.String()+".json")
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestAnswerErases: one durable write destroys the key and every seed; neither
// is in any file afterwards, and the answer stays.
func TestAnswerErases(t *testing.T) {
	f := pipelinetest.New(t, 4, pipelinetest.Task(100))
	r := f.Open(1)
	var secrets [][]byte
	for i := range 4 {
		id := f.Report(r, i)
		seeds, err := f.Seeds(r, 0, id)
		if err != nil {
			t.Fatal(err)
		}
		secrets = append(secrets, seeds.Bytes())
	}
	list, _, err := f.Collector.Close(ctx, f.Store, r)
	if err != nil {
		t.Fatal(err)
	}
	all := []int{0, 1, 2}
	f.Committee(all, func(d *decryptor.Decryptor) error { _, err := d.Check(ctx, f.Store, r, list, nil); return err })
	if n := held(read(t, roundFile(f, 0, r.Name)), secrets); n != len(secrets) {
		t.Fatalf("the search finds %d of %d seeds while they are there", n, len(secrets))
	}
	if _, err := f.Collector.Propose(ctx, f.Store, r, list); err != nil {
		t.Fatal(err)
	}
	f.Committee(all, func(d *decryptor.Decryptor) error { _, err := d.Vote(ctx, f.Store, r); return err })
	f.Committee(all, func(d *decryptor.Decryptor) error { _, err := d.Answer(ctx, f.Store, r, nil); return err })
	if err := filepath.WalkDir(filepath.Join(f.Dir, "decryptor-0"), func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() && held(read(t, path), secrets) > 0 {
			t.Errorf("%s still holds a seed", path)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	f.Committee([]int{0}, func(d *decryptor.Decryptor) error {
		if _, err := d.Check(ctx, f.Store, r, otherList(t, f, r), nil); !errors.Is(err, decryptor.ErrNoKey) {
			t.Errorf("check after the answer: %v", err)
		}
		return nil
	})
}

// otherList plants another candidate list, which decryptor 0 did not check.
func otherList(t *testing.T, f *pipelinetest.Fleet, r *pipeline.Round) schema.Digest {
	t.Helper()
	l := schema.Candidates{Version: schema.Version, RoundID: r.ID, Reports: []schema.ReportID{{}}}
	raw, err := l.Encode()
	if err != nil {
		t.Fatal(err)
	}
	f.Put(pipeline.CandidatesKey(r.Name, l.ID()), raw)
	return l.ID()
}

func held(file []byte, secrets [][]byte) int {
	n := 0
	for _, s := range secrets {
		if bytes.Contains(file, []byte(base64.StdEncoding.EncodeToString(s))) {
			n++
		}
	}
	return n
}

// TestVotesOnce: whatever the store shows later, the vote stays; and a second process is refused.
func TestVotesOnce(t *testing.T) {
	f, r := proposed(t)
	var first schema.Vote
	f.Committee([]int{0}, func(d *decryptor.Decryptor) (err error) { first, err = d.Vote(ctx, f.Store, r); return err })
	for _, prefix := range []string{pipeline.ManifestsPrefix(r.Name), pipeline.RoundPrefix(r.Name) + "votes/"} {
		for info, err := range f.Store.List(ctx, prefix, "") {
			if err != nil {
				t.Fatal(err)
			}
			f.Replace(info.Key, func([]byte) []byte { return nil })
		}
	}
	for range 2 {
		f.Committee([]int{0}, func(d *decryptor.Decryptor) error {
			v, err := d.Vote(ctx, f.Store, r)
			if v != first {
				t.Errorf("another vote: %v, first %v", v, first)
			}
			return err
		})
	}
	_, exit := f.Decryptor(1)
	defer exit()
	if _, err := state.Open(filepath.Join(f.Dir, "decryptor-1")); !errors.Is(err, state.ErrLocked) {
		t.Error("two processes with one identity:", err)
	}
}

// TestVoteNeedsItsRecord: if the record cannot be written, no vote leaves.
func TestVoteNeedsItsRecord(t *testing.T) {
	f, r := proposed(t)
	power := &pipelinetest.Power{Left: 1} // the reservation is written, the record is not
	f.Options = []state.Option{state.WithHook(power.Hook)}
	d, exit := f.Decryptor(0)
	f.Unchanged(pipelinetest.ErrPower, func() error { _, err := d.Vote(ctx, f.Store, r); return err })
	exit()
}

// TestAnswerNeedsVotes: t valid votes of distinct members for the own choice, in the store.
func TestAnswerNeedsVotes(t *testing.T) {
	f, r := proposed(t)
	d, exit := f.Decryptor(0)
	defer exit()
	f.Unchanged(pipeline.ErrNotReady, func() error { _, err := d.Answer(ctx, f.Store, r, nil); return err })
	if _, err := d.Vote(ctx, f.Store, r); err != nil {
		t.Fatal(err)
	}
	// Decryptor 0's vote under three names.
	for k := 1; k < 4; k++ {
		f.Put(pipeline.VoteKey(r.Name, k), f.Get(pipeline.VoteKey(r.Name, 0)))
	}
	f.Unchanged(pipeline.ErrDecryptors, func() error { _, err := d.Answer(ctx, f.Store, r, nil); return err })
}

// TestDescriptorExpiry: keys go at the descriptor's expiry, though they were promised for longer.
func TestDescriptorExpiry(t *testing.T) {
	f := pipelinetest.New(t, 4, pipelinetest.Task(100))
	f.Keys(1)
	r, err := f.Collector.Open(ctx, f.Store, f.Plan, collector.Opening{
		Name: f.Name(1), Snapshot: f.Snapshot, Deadline: f.Now(), KeyExpiry: f.Now().Add(10 * time.Minute),
	})
	if err != nil {
		t.Fatal(err)
	}
	d, exit := f.Decryptor(0)
	defer exit()
	if _, err := d.Vote(ctx, f.Store, r); !errors.Is(err, pipeline.ErrNotReady) {
		t.Fatal(err) // binds the key to the round
	}
	if n, err := d.Erase(); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	*f.Clock = f.Now().Add(11 * time.Minute)
	if n, err := d.Erase(); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if _, err := d.Vote(ctx, f.Store, r); !errors.Is(err, decryptor.ErrNoKey) {
		t.Fatal(err)
	}
}

// TestEraseGoesOn: a damaged file is told, without its content, and does not keep other keys alive.
func TestEraseGoesOn(t *testing.T) {
	f := pipelinetest.New(t, 4, pipelinetest.Task(100))
	f.Keys(1)
	f.Keys(2)
	path := roundFile(f, 0, f.Name(1))
	b := read(t, path)
	if err := os.WriteFile(path, b[:len(b)-1], 0o600); err != nil {
		t.Fatal(err)
	}
	*f.Clock = f.Now().Add(2 * time.Hour)
	d, exit := f.Decryptor(0)
	defer exit()
	n, err := d.Erase()
	if n != 1 || err == nil || strings.Contains(err.Error(), string(b[40:60])) {
		t.Error(n, err)
	}
	if left := read(t, path); string(left) != "{}" {
		t.Errorf("the damaged file still holds %d bytes, perhaps a key", len(left))
	}
}

// TestNoSecondKey: published again a key is the same; one that was lost is never made anew under its name.
func TestNoSecondKey(t *testing.T) {
	f := pipelinetest.New(t, 4, pipelinetest.Task(100))
	f.Keys(1)
	f.Unchanged(nil, func() error { f.Keys(1); return nil })
	if err := os.RemoveAll(filepath.Join(f.Dir, "decryptor-0")); err != nil {
		t.Fatal(err)
	}
	d, exit := f.Decryptor(0)
	defer exit()
	f.Unchanged(storage.ErrConflict, func() error {
		_, err := d.PublishKeys(ctx, f.Store, f.TaskID, 1, 1, f.Now().Add(time.Hour))
		return err
	})
}

// TestConfig: what a decryptor cannot work without is required.
func TestConfig(t *testing.T) {
	if _, err := decryptor.New(decryptor.Config{}); err == nil {
		t.Error("an empty configuration is accepted")
	}
}

// FuzzRoundFile: a state file is decoded without a panic, and what is decoded encodes again.
func FuzzRoundFile(f *testing.F) {
	fleet, r := proposed(f)
	f.Add(read(f, roundFile(fleet, 0, r.Name)))
	fleet.Committee([]int{0, 1, 2}, func(d *decryptor.Decryptor) error { _, err := d.Vote(ctx, fleet.Store, r); return err })
	f.Add(read(f, roundFile(fleet, 0, r.Name)))
	fleet.Committee([]int{0}, func(d *decryptor.Decryptor) error { _, err := d.Answer(ctx, fleet.Store, r, nil); return err })
	f.Add(read(f, roundFile(fleet, 0, r.Name)))
	fleet.Keys(2)
	f.Add(read(f, roundFile(fleet, 0, fleet.Name(2))))
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		again, err := decryptor.DecodeRoundFile(r.Secagg, b)
		if err != nil {
			return
		}
		if _, err := decryptor.DecodeRoundFile(r.Secagg, again); err != nil {
			t.Fatalf("encoded again it does not decode: %v\n%s", err, again)
		}
	})
}
