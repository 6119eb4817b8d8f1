package decryptor_test

import (
	"context"
	"io"
	"iter"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/collector"
	"github.com/veilsum/veilsum/pipeline/decryptor"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// chronicle plays rounds of two tasks of one scope, with one decryptor 0 that lives all along.
type chronicle struct {
	*pipelinetest.Fleet
	zero   *decryptor.Decryptor
	exit   func()
	tasks  []taskOf
	epochs []uint64
}

type taskOf struct {
	id   schema.TaskID
	plan *pipeline.Plan
}

func newChronicle(t testing.TB, vehicles int) *chronicle {
	task := pipelinetest.Task(40)
	task.Participation.Max, task.Participation.MinSeparation = 4, 2
	task.Scope.Epsilon = 25 // some rounds more than are affordable
	f := pipelinetest.New(t, vehicles, task)
	c := &chronicle{Fleet: f, tasks: []taskOf{{f.TaskID, f.Plan}}, epochs: make([]uint64, 2)}
	other := f.Task
	other.Name = "other"
	f.Use(other)
	c.tasks = append(c.tasks, taskOf{f.TaskID, f.Plan})
	f.Keep = true
	c.zero, c.exit = f.Decryptor(0)
	return c
}

// each runs a step on decryptors 0 to 2; a step that fails is part of the story.
func (c *chronicle) each(members []int, step func(*decryptor.Decryptor) error) {
	for _, k := range members {
		if k == 0 {
			step(c.zero)
			continue
		}
		d, exit := c.Fleet.Decryptor(k)
		step(d)
		exit()
	}
}

// round plays the next round of a task up to the proposal.
func (c *chronicle) round(t testing.TB, which int) (*pipeline.Round, schema.ManifestID) {
	t.Helper()
	c.epochs[which]++
	c.TaskID, c.Plan = c.tasks[which].id, c.tasks[which].plan
	e := c.epochs[which]
	for k := range c.Members {
		c.each([]int{k}, func(d *decryptor.Decryptor) error {
			_, err := d.PublishKeys(ctx, c.Store, c.TaskID, e, e, c.Now().Add(time.Hour))
			return err
		})
	}
	r, err := c.Collector.Open(ctx, c.Store, c.Plan, collector.Opening{Name: c.Name(e), Snapshot: c.Snapshot, Deadline: c.Now()})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range c.Vehicles {
		c.Forge(r, v, pipelinetest.Forgery{})
	}
	list, _, err := c.Collector.Close(ctx, c.Store, r)
	if err != nil {
		t.Fatal(err)
	}
	c.each([]int{0, 1, 2}, func(d *decryptor.Decryptor) error { _, err := d.Check(ctx, c.Store, r, list, nil); return err })
	p, err := c.Collector.Propose(ctx, c.Store, r, list)
	if err != nil {
		return r, schema.ManifestID{} // budget or limits
	}
	return r, p.Manifest
}

// TestKeptLedgers: whatever happens in the ledger (reservations, votes, voids, settlements, rounds that exceed budget or
// limits, votes that are hidden), what a decryptor learns from the ledger that it keeps is what it learns from one read anew.
func TestKeptLedgers(t *testing.T) {
	seeds := uint64(4)
	if testing.Short() {
		seeds = 1
	}
	for seed := range seeds {
		rnd := rand.New(rand.NewPCG(seed, 1))
		c := newChronicle(t, 4+int(seed)%2)
		compare := func(r *pipeline.Round, id schema.ManifestID, when string) {
			t.Helper()
			var vehicles []schema.VehicleID
			for _, v := range c.Vehicles {
				vehicles = append(vehicles, v.ID)
			}
			kept, fresh := c.zero.Judge(ctx, c.Store, r, id, vehicles, false), c.zero.Judge(ctx, c.Store, r, id, vehicles, true)
			if kept != fresh {
				t.Fatalf("seed %d, round %s, %s:\nkept\n%s\nread anew\n%s", seed, r.Name, when, kept, fresh)
			}
		}
		for range 9 {
			r, id := c.round(t, rnd.IntN(2))
			compare(r, id, "proposed")
			voters := [][]int{{}, {0}, {1}, {1, 2}, {0, 1, 2}}[rnd.IntN(5)]
			c.each(voters, func(d *decryptor.Decryptor) error { _, err := d.Vote(ctx, c.Store, r); return err })
			compare(r, id, "voted")
			if hidden := pipeline.VoteKey(r.Name, 1); len(voters) == 1 && voters[0] == 1 && rnd.IntN(2) == 0 {
				c.Replace(hidden, func([]byte) []byte { return nil })
				compare(r, id, "hidden")
			}
			if len(voters) == 3 {
				c.each(voters, func(d *decryptor.Decryptor) error { _, err := d.Answer(ctx, c.Store, r, nil); return err })
				c.Collector.Collect(ctx, c.Store, r, nil)
			} else {
				c.Collector.Abort(ctx, c.Store, r, "chance")
			}
			compare(r, id, "ended")
		}
		c.exit()
	}
}

// counted counts what is asked of a store.
type counted struct {
	storage.Store
	n *atomic.Int64
}

func (s counted) Get(ctx context.Context, key string) (io.ReadCloser, storage.Info, error) {
	s.n.Add(1)
	return s.Store.Get(ctx, key)
}

func (s counted) List(ctx context.Context, prefix, after string) iter.Seq2[storage.Info, error] {
	s.n.Add(1)
	return s.Store.List(ctx, prefix, after)
}

// TestKeptLedgerReadsWhatIsNew: a look at the ledger for a check and a vote asks the store a few times, however
// many rounds the scope had; read anew it asks for every reservation. With VEILSUM_SLOW=1 the scope has 300 rounds.
func TestKeptLedgerReadsWhatIsNew(t *testing.T) {
	rounds := 12
	if os.Getenv("VEILSUM_SLOW") != "" {
		rounds = 300
	}
	task := pipelinetest.Task(40)
	task.Participation.Max, task.Privacy.NoiseMultiplier = 1000, 20
	f := pipelinetest.New(t, 4, task)
	f.Keep = true
	var n atomic.Int64
	f.Store = counted{f.Store, &n}
	zero, exit := f.Decryptor(0)
	defer exit()
	c := &chronicle{Fleet: f, zero: zero, tasks: []taskOf{{f.TaskID, f.Plan}}, epochs: make([]uint64, 1)}
	for range rounds - 1 {
		c.round(t, 0)
	}
	r, id := c.round(t, 0)
	if id == (schema.ManifestID{}) {
		t.Fatal("the budget is too small for this test")
	}
	vehicles := []schema.VehicleID{f.Vehicles[0].ID}
	look := func(anew bool) (asked int64) {
		n.Store(0)
		begin := time.Now()
		zero.Judge(ctx, f.Store, r, id, vehicles, anew)
		asked = n.Load()
		t.Logf("%d rounds, read anew %t: %d requests, %v with a store in memory", rounds, anew, asked, time.Since(begin))
		return asked
	}
	look(false)
	if kept, anew := look(false), look(true); kept > 10 || anew < int64(rounds) {
		t.Errorf("%d requests with a kept ledger, %d read anew", kept, anew)
	}
}
