// Package pipelinetest builds whole fleets with keys, committee and store, so
// that tests can play rounds. Only tests import it.
package pipelinetest

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/client"
	"github.com/veilsum/veilsum/pipeline/collector"
	"github.com/veilsum/veilsum/pipeline/decryptor"
	"github.com/veilsum/veilsum/pipeline/decryptor/record"
	"github.com/veilsum/veilsum/pipeline/state"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
	"github.com/veilsum/veilsum/storage/mem"
)

// Fleet is everybody of one task. Fields may be replaced before they are used.
type Fleet struct {
	T          testing.TB
	Store      storage.Store
	Owner      ed25519.PrivateKey
	Authority  ed25519.PrivateKey
	Collector  *collector.Collector
	CollectKey ed25519.PrivateKey
	Members    []ed25519.PrivateKey // the decryptors' identities
	Homes      []string             // their state directories in Dir
	Vehicles   []client.Identity
	Task       schema.Task
	TaskID     schema.TaskID
	Plan       *pipeline.Plan
	Snapshot   schema.Digest
	Dir        string // state directories
	Clock      *time.Time
	Floor      client.Floor   // of every vehicle
	Options    []state.Option // of every state directory
	Records    bool           // decryptor k keeps a record in record-k
	Keep       bool           // decryptors keep their ledgers in memory
	// Values, if not nil, is what vehicle i reports.
	Values func(i int) []float32
}

// Task returns a small valid task without keys: d values in one tensor, batches of 2 to 64.
func Task(d int) schema.Task {
	return schema.Task{
		Name:    "test",
		Scope:   schema.Scope{Name: "test", Population: "test vehicles", Epsilon: 1000, Delta: 1e-5, Unit: "vehicle", Relation: "zero_out"},
		Tensors: []schema.Tensor{{Name: "w", DType: "float32", Shape: []int{d}}},
		Privacy: schema.Privacy{TrustModel: "distributed", Mechanism: "discrete_gaussian", ClippingNorm: 1, NoiseMultiplier: 1, Kappa: 1, KappaInf: 1},
		Batch:   schema.Batch{Min: 4, Max: 64, MaxDishonest: 1, Lanes: 1},

		Participation: schema.Participation{MinSeparation: 1},
		Committee:     schema.Committee{Size: 4, Threshold: 3, Malicious: 1},
		Suite:         2,
	}
}

// New makes a fleet of n vehicles for the task, with all keys, a signed task
// and a snapshot in an in-memory store.
func New(t testing.TB, n int, task schema.Task) *Fleet {
	t.Helper()
	now := time.Unix(1_800_000_000, 0)
	f := &Fleet{T: t, Store: mem.New(), Owner: key(t), Authority: key(t), CollectKey: key(t), Dir: t.TempDir(), Clock: &now}
	task.Committee.Keys = nil
	for k := range task.Committee.Size {
		m := key(t)
		f.Members, f.Homes = append(f.Members, m), append(f.Homes, fmt.Sprintf("decryptor-%d", k))
		task.Committee.Keys = append(task.Committee.Keys, schema.NewPublicKey(m))
	}
	task.Collector, task.Authority, task.Owner = schema.NewPublicKey(f.CollectKey), schema.NewPublicKey(f.Authority), schema.NewPublicKey(f.Owner)
	var err error
	f.Collector, err = collector.New(f.CollectKey, f.Now)
	f.must(err)
	f.addTask(task)
	for range n {
		f.Vehicles = append(f.Vehicles, vehicle(t))
	}
	f.Enroll(1, f.Vehicles)
	return f
}

// Use makes another task of the same people the current one: it signs and
// publishes it, and keeps store, keys and state directories.
func (f *Fleet) Use(task schema.Task) {
	f.T.Helper()
	f.addTask(task)
}

// Renew replaces members of the committee by new ones with keys and directories of their own, as the privacy
// owner does after enough handovers. The slices of the members before are not changed.
func (f *Fleet) Renew(seats ...int) error {
	f.T.Helper()
	handovers, err := pipeline.LoadHandovers(context.Background(), f.Store, f.Plan)
	if err != nil {
		return err
	}
	next := f.Task.Committee
	next.Keys = slices.Clone(next.Keys)
	f.Members, f.Homes = slices.Clone(f.Members), slices.Clone(f.Homes)
	for _, k := range seats {
		f.Members[k], f.Homes[k] = key(f.T), f.Homes[k]+"-new"
		next.Keys[k] = schema.NewPublicKey(f.Members[k])
	}
	task, err := pipeline.Renew(f.Plan, next, handovers)
	if err != nil {
		return err
	}
	f.addTask(task)
	return nil
}

func (f *Fleet) addTask(task schema.Task) {
	f.T.Helper()
	var err error
	f.TaskID, f.Plan, err = pipeline.PublishTask(context.Background(), f.Store, task, f.Owner)
	f.must(err)
	f.Task = f.Plan.Task
}

// Enroll publishes a snapshot of the vehicles.
func (f *Fleet) Enroll(serial uint64, vehicles []client.Identity) {
	f.T.Helper()
	var list []schema.Enrolled
	for _, v := range vehicles {
		list = append(list, schema.Enrolled{ID: v.ID, Key: schema.NewPublicKey(v.Key)})
	}
	var err error
	f.Snapshot, err = pipeline.PublishSnapshot(context.Background(), f.Store, f.Plan, serial, list, f.Authority)
	f.must(err)
}

// Put writes an object that must not conflict.
func (f *Fleet) Put(key string, b []byte) {
	f.T.Helper()
	_, err := f.Store.PutOnce(context.Background(), key, b)
	f.must(err)
}

// Now is the fleet's clock.
func (f *Fleet) Now() time.Time { return *f.Clock }

func (f *Fleet) must(err error) {
	f.T.Helper()
	if err != nil {
		f.T.Fatal(err)
	}
}

// Client opens vehicle i's client; the test closes its state directory at the end.
func (f *Fleet) Client(i int) *client.Client {
	f.T.Helper()
	c, done := f.Vehicle(i)
	f.T.Cleanup(done)
	return c
}

// Vehicle opens vehicle i's client, as a process that starts does.
func (f *Fleet) Vehicle(i int) (*client.Client, func()) {
	f.T.Helper()
	dir := f.open(fmt.Sprintf("vehicle-%d", i))
	c, err := client.New(client.Config{State: dir, Identity: f.Vehicles[i], Owner: schema.NewPublicKey(f.Owner), Floor: f.Floor, Now: f.Now})
	f.must(err)
	return c, func() { dir.Close() }
}

// Decryptor opens decryptor k, as a process that starts does.
func (f *Fleet) Decryptor(k int) (*decryptor.Decryptor, func()) {
	f.T.Helper()
	dir, exit := f.open(f.Homes[k]), func() {}
	c := decryptor.Config{State: dir, Key: f.Members[k], Owner: schema.NewPublicKey(f.Owner), Now: f.Now, KeepLedgers: f.Keep}
	if f.Records {
		shelf := f.open(f.Homes[k] + "-record")
		exit = func() { shelf.Close() }
		var err error
		c.Record, err = record.Open(shelf, schema.NewPublicKey(f.Members[k]))
		f.must(err)
	}
	d, err := decryptor.New(c)
	f.must(err)
	return d, func() { dir.Close(); exit() }
}

func (f *Fleet) open(name string) *state.Dir {
	f.T.Helper()
	d, err := state.Open(filepath.Join(f.Dir, name), append([]state.Option{state.WithoutSync()}, f.Options...)...)
	f.must(err)
	return d
}

// Name returns the name of a round in lane 0.
func (f *Fleet) Name(epoch uint64) pipeline.RoundName {
	return pipeline.RoundName{Task: f.TaskID, Epoch: epoch}
}

// Keys publishes all round keys of an epoch, for one hour.
func (f *Fleet) Keys(epoch uint64) {
	f.T.Helper()
	for k := range f.Members {
		d, done := f.Decryptor(k)
		_, err := d.PublishKeys(context.Background(), f.Store, f.TaskID, epoch, epoch, f.Now().Add(time.Hour))
		done()
		f.must(err)
	}
}

// Open publishes all round keys of an epoch and opens its round in lane 0.
func (f *Fleet) Open(epoch uint64) *pipeline.Round {
	f.T.Helper()
	f.Keys(epoch)
	r, err := f.Collector.Open(context.Background(), f.Store, f.Plan, collector.Opening{
		Name: f.Name(epoch), Model: []byte("model"), Snapshot: f.Snapshot, Deadline: f.Now().Add(time.Minute),
	})
	f.must(err)
	return r
}

// Update returns vehicle i's update: a fixed vector of norm near 1/2.
func (f *Fleet) Update(i int) client.Update {
	if f.Values != nil {
		return client.Update{Values: f.Values(i), ModelHash: schema.HashModel([]byte("model"))}
	}
	v := make([]float32, f.Plan.Privacy.Values())
	for j := range v {
		v[j] = float32((i*31+j*17)%13-6) / 13 / float32(len(v))
	}
	return client.Update{Values: v, ModelHash: schema.HashModel([]byte("model"))}
}

// Report seals and uploads vehicle i's report.
func (f *Fleet) Report(r *pipeline.Round, i int) schema.ReportID {
	f.T.Helper()
	c, done := f.Vehicle(i)
	defer done()
	s, err := c.SealRound(r, f.Update(i))
	f.must(err)
	id, err := c.Upload(context.Background(), f.Store, s.File(), nil)
	f.must(err)
	return id
}

// Commit plays a whole round in lane 0, in which all vehicles report.
func (f *Fleet) Commit(epoch uint64) *pipeline.Round {
	f.T.Helper()
	r := f.Open(epoch)
	for i := range f.Vehicles {
		f.Report(r, i)
	}
	f.End(r)
	return r
}

// End closes a round and has its sum opened by the whole committee.
func (f *Fleet) End(r *pipeline.Round) {
	f.T.Helper()
	ctx, all := context.Background(), make([]int, len(f.Members))
	for k := range all {
		all[k] = k
	}
	list, _, err := f.Collector.Close(ctx, f.Store, r)
	f.must(err)
	f.Committee(all, func(d *decryptor.Decryptor) error { _, err := d.Check(ctx, f.Store, r, list, nil); return err })
	_, err = f.Collector.Propose(ctx, f.Store, r, list)
	f.must(err)
	f.Committee(all, func(d *decryptor.Decryptor) error { _, err := d.Vote(ctx, f.Store, r); return err })
	f.Committee(all, func(d *decryptor.Decryptor) error { _, err := d.Answer(ctx, f.Store, r, nil); return err })
	_, err = f.Collector.Collect(ctx, f.Store, r, nil)
	f.must(err)
}

// Committee runs a step on the given decryptors.
func (f *Fleet) Committee(members []int, step func(*decryptor.Decryptor) error) {
	f.T.Helper()
	for _, k := range members {
		d, done := f.Decryptor(k)
		err := step(d)
		done()
		f.must(err)
	}
}

func key(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func vehicle(t testing.TB) client.Identity {
	v := client.Identity{Key: key(t)}
	rand.Read(v.ID[:])
	rand.Read(v.DeviceSecret[:])
	return v
}

// Round reads an open round of lane 0, and its frozen candidate list if there is one.
func (f *Fleet) Round(epoch uint64) (*pipeline.Round, schema.Digest) {
	f.T.Helper()
	r, err := pipeline.LoadRound(context.Background(), f.Store, f.Plan, f.Name(epoch))
	f.must(err)
	list, _, err := pipeline.FrozenCandidates(context.Background(), f.Store, r)
	f.must(err)
	return r, list
}

// Listed closes a round and lets the given decryptors check its list.
func (f *Fleet) Listed(r *pipeline.Round, members ...int) schema.Digest {
	f.T.Helper()
	list, _, err := f.Collector.Close(context.Background(), f.Store, r)
	f.must(err)
	f.Committee(members, func(d *decryptor.Decryptor) error {
		_, err := d.Check(context.Background(), f.Store, r, list, nil)
		return err
	})
	return list
}

// Finish plays a round from its checked list to its receipt; the given decryptors vote and answer.
func (f *Fleet) Finish(r *pipeline.Round, list schema.Digest, members ...int) *collector.Collected {
	f.T.Helper()
	ctx := context.Background()
	_, err := f.Collector.Propose(ctx, f.Store, r, list)
	f.must(err)
	f.Committee(members, func(d *decryptor.Decryptor) error { _, err := d.Vote(ctx, f.Store, r); return err })
	f.Committee(members, func(d *decryptor.Decryptor) error { _, err := d.Answer(ctx, f.Store, r, nil); return err })
	got, err := f.Collector.Collect(ctx, f.Store, r, nil)
	f.must(err)
	return got
}
