package region_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"testing"
	"time"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/aggregator"
	"github.com/veilsum/veilsum/pipeline/collector"
	"github.com/veilsum/veilsum/pipeline/decryptor"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/pipeline/region"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
	"github.com/veilsum/veilsum/storage/mem"
)

var ctx = context.Background()

// world is a fleet whose round has regions.
type world struct {
	*pipelinetest.Fleet
	r    *pipeline.Round
	near map[string]storage.Store
	keys map[string]ed25519.PrivateKey
}

var three = []string{"east", "north", "west"}

// newWorld opens a round with three regions; n vehicles report to each, in turn, and a last vehicle to none.
func newWorld(t testing.TB, d, n int) *world {
	t.Helper()
	w := emptyWorld(t, pipelinetest.Task(d), 3*n+1)
	w.open(1)
	for i := range 3 * n {
		w.report(three[i%3], i)
	}
	return w
}

// emptyWorld is a fleet with three regions, without a round.
func emptyWorld(t testing.TB, task schema.Task, vehicles int) *world {
	t.Helper()
	w := &world{Fleet: pipelinetest.New(t, vehicles, task), near: map[string]storage.Store{}, keys: map[string]ed25519.PrivateKey{}}
	for _, name := range three {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		w.ok(err)
		w.near[name], w.keys[name] = mem.New(), key
	}
	return w
}

// open opens the epoch's round and copies it to the regions.
func (w *world) open(epoch uint64) {
	w.T.Helper()
	w.Keys(epoch)
	w.openWith(collector.Opening{Name: w.Name(epoch), Model: []byte("model"), Snapshot: w.Snapshot, Deadline: w.Now().Add(time.Minute)})
}

func (w *world) openWith(o collector.Opening) {
	w.T.Helper()
	for name, key := range w.keys {
		o.Regions = append(o.Regions, schema.Region{Name: name, Aggregator: schema.NewPublicKey(key), Deadline: w.Now().Unix()})
	}
	var err error
	w.r, err = w.Collector.Open(ctx, w.Store, w.Plan, o)
	w.ok(err)
	for name := range w.keys {
		near := w.near[name]
		_, err := region.Sync(ctx, near, w.Store, w.r)
		w.ok(err)
	}
}

func (w *world) ok(err error) {
	w.T.Helper()
	if err != nil {
		w.T.Fatal(err)
	}
}

// report seals vehicle i's report and uploads it to a region.
func (w *world) report(name string, i int) schema.ReportID {
	w.T.Helper()
	root := w.Store
	defer func() { w.Store = root }()
	w.Store = w.near[name]
	return w.Report(w.r, i)
}

// forge is Fleet.Forge in a region's store.
func (w *world) forge(name string, i int, g pipelinetest.Forgery) schema.ReportID {
	w.T.Helper()
	root := w.Store
	defer func() { w.Store = root }()
	w.Store = w.near[name]
	return w.Forge(w.r, w.Vehicles[i], g)
}

func (w *world) sum(name string) *region.Summed {
	w.T.Helper()
	s, err := region.Sum(ctx, w.near[name], w.Store, w.r, name, w.keys[name], region.Options{})
	w.ok(err)
	return s
}

// sums lets all regions sum.
func (w *world) sums() {
	w.T.Helper()
	for _, name := range three {
		w.sum(name)
	}
}

// root is the root's view, of the regions that it can read.
func (w *world) root(readable ...string) region.Root {
	x := region.Root{Store: w.Store, Regions: map[string]storage.Store{}}
	for _, name := range readable {
		x.Regions[name] = w.near[name]
	}
	return x
}

// judge returns the standings by name.
func (w *world) judge(readable ...string) map[string]region.Standing {
	w.T.Helper()
	all, err := w.root(readable...).Judge(ctx, w.r)
	w.ok(err)
	by := map[string]region.Standing{}
	for _, s := range all {
		by[s.Name] = s
	}
	return by
}

// checked closes the round and lets the committee check it.
func (w *world) checked(c *collector.Collector, without ...string) (list schema.Digest, n int) {
	w.T.Helper()
	list, n, err := c.Close(ctx, w.Store, w.r, without...)
	w.ok(err)
	w.Committee([]int{0, 1, 2, 3}, func(d *decryptor.Decryptor) error { _, err := d.Check(ctx, w.Store, w.r, list, nil); return err })
	return list, n
}

// answered lets the committee vote and answer.
func (w *world) answered() {
	w.T.Helper()
	all := []int{0, 1, 2, 3}
	w.Committee(all, func(d *decryptor.Decryptor) error { _, err := d.Vote(ctx, w.Store, w.r); return err })
	w.Committee(all, func(d *decryptor.Decryptor) error { _, err := d.Answer(ctx, w.Store, w.r, nil); return err })
}

// played plays the round from its close to its receipt with a collector that can read these regions.
func (w *world) played(readable ...string) (*collector.Proposal, *collector.Collected) {
	w.T.Helper()
	c := w.Collector.Reading(w.root(readable...).Regions)
	list, _ := w.checked(c)
	p, err := c.Propose(ctx, w.Store, w.r, list)
	w.ok(err)
	w.answered()
	got, err := c.Collect(ctx, w.Store, w.r, nil)
	w.ok(err)
	if got.Receipt.Status != schema.StatusCommitted {
		w.T.Fatalf("%+v", got.Receipt)
	}
	w.truth(got.Receipt)
	return p, got
}

// truth checks that the sum which the receipt names is that of the list's reports, whichever store they lie in.
func (w *world) truth(rec schema.Receipt) {
	w.T.Helper()
	m, err := pipeline.LoadManifest(ctx, w.Store, w.r, rec.Manifest)
	w.ok(err)
	var parts []*aggregator.PartialSum
	rest := m.Reports
	for _, s := range append([]storage.Store{w.Store}, w.near[three[0]], w.near[three[1]], w.near[three[2]]) {
		res, err := aggregator.Sum(ctx, s, w.r, rest, nil)
		w.ok(err)
		rest = nil
		for _, f := range res.Refused {
			rest = append(rest, f.Report)
		}
		parts = append(parts, &res.PartialSum)
	}
	all, err := aggregator.Merge(w.r, parts...)
	w.ok(err)
	_, id, err := all.Encode(w.r)
	if err != nil || len(rest) > 0 || id != rec.Sum {
		w.T.Errorf("the receipt names another sum than that of its %d reports (%v)", len(m.Reports), err)
	}
}

// statement signs a regional sum with a key and puts it into the root's store.
func (w *world) statement(name string, key ed25519.PrivateKey, s schema.RegionSum) schema.Digest {
	w.T.Helper()
	if s.Refused == nil {
		s.Refused = []schema.Refusal{}
	}
	s.Version = 1
	signed, err := schema.SignBody(s, key)
	w.ok(err)
	w.Put(pipeline.RegionSumKey(w.r.Name, name, pipeline.RegionSumName(signed)), signed.Bytes())
	return pipeline.RegionSumName(signed)
}
