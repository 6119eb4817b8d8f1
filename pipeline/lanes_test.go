package pipeline_test

import (
	"errors"
	"testing"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/client"
	"github.com/veilsum/veilsum/pipeline/collector"
	"github.com/veilsum/veilsum/pipeline/decryptor"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/schema"
)

// TestLanes plays two lanes of one epoch: two aggregates over disjoint
// vehicles, one event charged, and no vehicle in the lane that is not its own,
// neither by its client nor by a forged report that the vehicle signed.
// With 24 vehicles one lane has fewer than 4 with chance below 3e-4; then lanes are drawn anew.
func TestLanes(t *testing.T) {
	f, byLane := twoLanes(t, pipelinetest.Task(50))
	var rounds [2]*pipeline.Round
	f.Keys(1)
	for lane := range rounds {
		n := f.Name(1)
		n.Lane = uint32(lane)
		r, err := f.Collector.Open(ctx, f.Store, f.Plan, collector.Opening{Name: n, Model: []byte("model"), Snapshot: f.Snapshot, Deadline: f.Now()})
		if err != nil {
			t.Fatal(err)
		}
		rounds[lane] = r
	}
	stranger := byLane[1][0]
	c := f.Client(stranger)
	if _, err := c.SealRound(rounds[0], f.Update(stranger)); !errors.Is(err, pipeline.ErrUntrusted) {
		t.Error("a client seals for another lane:", err)
	}
	forged := f.Forge(rounds[0], f.Vehicles[stranger], pipelinetest.Forgery{})
	for lane, r := range rounds {
		for _, i := range byLane[lane][:4] {
			if lane == 1 && i == stranger {
				s, err := c.Seal(ctx, f.Store, f.TaskID, 1, f.Update(i)) // finds its lane itself
				if err != nil || s.Name.Lane != 1 {
					t.Fatal(err)
				}
				if _, err := c.Upload(ctx, f.Store, s.File(), nil); err != nil {
					t.Fatal(err)
				}
				continue
			}
			f.Report(r, i)
		}
		refused := playOut(t, f, r)
		if lane == 0 && (len(refused) != 1 || refused[0] != schema.Refusal{Report: forged, Reason: schema.ReasonHeader}) || lane == 1 && len(refused) > 0 {
			t.Errorf("lane %d: refused %v", lane, refused)
		}
	}
	charges, err := pipeline.LoadCharges(ctx, f.Store, f.Task.Scope, f.Task.Owner)
	if err != nil || charges.Epochs() != 1 {
		t.Error(charges.Epochs(), "epochs charged", err)
	}
}

func twoLanes(t *testing.T, task schema.Task) (*pipelinetest.Fleet, [2][]int) {
	task.Batch.Lanes = 2
	for {
		f := pipelinetest.New(t, 24, task)
		var by [2][]int
		for i, v := range f.Vehicles {
			l := schema.LaneOf(f.TaskID, 1, v.ID, 2)
			by[l] = append(by[l], i)
		}
		if len(by[0]) >= 4 && len(by[1]) >= 4 {
			return f, by
		}
	}
}

// playOut closes, checks, proposes, votes, answers and collects, and returns who was left out.
func playOut(t *testing.T, f *pipelinetest.Fleet, r *pipeline.Round) []schema.Refusal {
	t.Helper()
	list, _, err := f.Collector.Close(ctx, f.Store, r)
	if err != nil {
		t.Fatal(err)
	}
	all := []int{0, 1, 2, 3}
	f.Committee(all, func(d *decryptor.Decryptor) error { _, err := d.Check(ctx, f.Store, r, list, nil); return err })
	p, err := f.Collector.Propose(ctx, f.Store, r, list)
	if err != nil {
		t.Fatal(err)
	}
	f.Committee(all, func(d *decryptor.Decryptor) error { _, err := d.Vote(ctx, f.Store, r); return err })
	f.Committee(all, func(d *decryptor.Decryptor) error { _, err := d.Answer(ctx, f.Store, r, nil); return err })
	got, err := f.Collector.Collect(ctx, f.Store, r, nil)
	if err != nil || got.Receipt.Status != schema.StatusCommitted {
		t.Fatal(got, err)
	}
	return p.Refused
}

// TestForeignRoles: a collector or decryptor that the task does not name, and a
// task of another privacy owner, are refused before anything is written.
func TestForeignRoles(t *testing.T) {
	f := pipelinetest.New(t, 4, pipelinetest.Task(50))
	r := f.Open(1)
	for i := range 4 {
		f.Report(r, i)
	}
	other := pipelinetest.New(t, 4, pipelinetest.Task(50))
	list, _, err := f.Collector.Close(ctx, f.Store, r)
	if err != nil {
		t.Fatal(err)
	}
	foreign := other.Collector
	f.Unchanged(pipeline.ErrKey, func() error { _, _, err := foreign.Close(ctx, f.Store, r); return err })
	f.Unchanged(pipeline.ErrKey, func() error { _, err := foreign.Propose(ctx, f.Store, r, list); return err })
	f.Unchanged(pipeline.ErrKey, func() error { _, err := foreign.Collect(ctx, f.Store, r, nil); return err })
	f.Unchanged(pipeline.ErrKey, func() error { _, err := foreign.Abort(ctx, f.Store, r, "no"); return err })
	f.Unchanged(pipeline.ErrKey, func() error {
		_, err := foreign.Open(ctx, f.Store, f.Plan, collector.Opening{Name: f.Name(2), Snapshot: f.Snapshot})
		return err
	})
	d, exit := other.Decryptor(0) // pins another owner
	defer exit()
	f.Unchanged(pipeline.ErrUntrusted, func() error { _, err := d.Check(ctx, f.Store, r, list, nil); return err })
	f.Unchanged(pipeline.ErrUntrusted, func() error { _, err := d.Vote(ctx, f.Store, r); return err })
	f.Unchanged(pipeline.ErrUntrusted, func() error {
		_, err := d.PublishKeys(ctx, f.Store, f.TaskID, 2, 2, f.Now())
		return err
	})
	c := other.Client(0)
	f.Unchanged(pipeline.ErrUntrusted, func() error { _, err := c.SealRound(r, f.Update(0)); return err })
	f.Unchanged(pipeline.ErrUntrusted, func() error { _, err := c.Seal(ctx, f.Store, f.TaskID, 1, f.Update(0)); return err })
	outsider := *f
	outsider.Members = other.Members
	outsider.Dir = t.TempDir()
	e, exit2 := outsider.Decryptor(0) // pins the owner, but the task does not name its key
	defer exit2()
	f.Unchanged(pipeline.ErrKey, func() error { _, err := e.Check(ctx, f.Store, r, list, nil); return err })
}

// TestBadOpenings: the Collector opens no round that somebody would refuse later.
func TestBadOpenings(t *testing.T) {
	f := pipelinetest.New(t, 4, pipelinetest.Task(50))
	open := func(change func(*collector.Opening)) error {
		o := collector.Opening{Name: f.Name(1), Snapshot: f.Snapshot, Deadline: f.Now()}
		change(&o)
		_, err := f.Collector.Open(ctx, f.Store, f.Plan, o)
		return err
	}
	f.Unchanged(pipeline.ErrNotReady, func() error { return open(func(*collector.Opening) {}) }) // no keys yet
	f.Keys(1)
	f.Unchanged(pipeline.ErrTask, func() error { return open(func(o *collector.Opening) { o.Name.Lane = 1 }) })
	f.Unchanged(pipeline.ErrTask, func() error { return open(func(o *collector.Opening) { o.KeyExpiry = f.Now().AddDate(1, 0, 0) }) })
	f.Unchanged(nil, func() error {
		if open(func(o *collector.Opening) { o.Snapshot = schema.Digest{1} }) == nil {
			return errors.New("an absent snapshot was accepted")
		}
		return nil
	})
	f.Replace(pipeline.RoundKeyKey(f.Name(1), 2), func([]byte) []byte { return f.Get(pipeline.RoundKeyKey(f.Name(1), 1)) })
	f.Unchanged(pipeline.ErrUntrusted, func() error { return open(func(*collector.Opening) {}) })
}

// TestBadUpdates: a wrong length and values that are no numbers are refused, and cost no participation.
func TestBadUpdates(t *testing.T) {
	f := pipelinetest.New(t, 4, pipelinetest.Task(50))
	r := f.Open(1)
	c := f.Client(0)
	for name, values := range map[string][]float32{"short": make([]float32, 49), "long": make([]float32, 51), "nan": append(make([]float32, 49), float32(nan())), "none": nil} {
		u := f.Update(0)
		u.Values = values
		if _, err := c.SealRound(r, u); err == nil || errors.Is(err, client.ErrEpoch) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if files, err := c.Pending(); err != nil || len(files) > 0 {
		t.Error(files, err)
	}
	if _, err := c.SealRound(r, f.Update(0)); err != nil {
		t.Error("after refusals:", err)
	}
}

func nan() float64 { var zero float64; return zero / zero }
