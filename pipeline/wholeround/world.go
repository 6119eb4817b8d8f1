package wholeround

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/client"
	"github.com/veilsum/veilsum/pipeline/collector"
	"github.com/veilsum/veilsum/pipeline/decryptor"
	"github.com/veilsum/veilsum/pipeline/state"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// committee opens with any three of four members.
var committee = schema.Committee{Size: 4, Threshold: 3, Malicious: 1}

// keysLive is how long round keys may live; a round takes minutes.
const keysLive = 24 * time.Hour

// world is everybody who takes part.
type world struct {
	store      storage.Store
	folder     string
	round      *Round
	owner      schema.PublicKey
	collector  *collector.Collector
	decryptors []*decryptor.Decryptor
	locked     []*state.Dir // the decryptors' directories
	vehicles   []client.Identity
	plan       *pipeline.Plan
	name       pipeline.RoundName
	snapshot   schema.Digest
}

// newWorld makes all keys, signs the task, enrolls the vehicles and publishes
// the committee's round keys.
func newWorld(ctx context.Context, s storage.Store, folder string, r *Round) (*world, error) {
	w, task := &world{store: s, folder: folder, round: r}, r.Task
	keys := make([]ed25519.PrivateKey, 3+committee.Size)
	for i := range keys {
		var err error
		if _, keys[i], err = ed25519.GenerateKey(rand.Reader); err != nil {
			return nil, err
		}
	}
	owner, authority, collects, members := keys[0], keys[1], keys[2], keys[3:]
	w.owner = schema.NewPublicKey(owner)
	task.Owner, task.Authority, task.Collector, task.Committee = w.owner, schema.NewPublicKey(authority), schema.NewPublicKey(collects), committee
	task.Committee.Keys = nil
	for _, m := range members {
		task.Committee.Keys = append(task.Committee.Keys, schema.NewPublicKey(m))
	}
	var err error
	if w.collector, err = collector.New(collects, nil); err != nil {
		return nil, err
	}
	if err := w.sign(ctx, task, owner); err != nil {
		return nil, err
	}
	if err := w.enroll(ctx, authority); err != nil {
		return nil, err
	}
	if err := w.seat(ctx, members); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

func (w *world) sign(ctx context.Context, task schema.Task, owner ed25519.PrivateKey) error {
	id, plan, err := pipeline.PublishTask(ctx, w.store, task, owner)
	w.name, w.plan = pipeline.RoundName{Task: id, Epoch: 1}, plan
	return err
}

// enroll gives each vehicle a pseudonym, a key and a device secret, in memory:
// it lives for one report.
func (w *world) enroll(ctx context.Context, authority ed25519.PrivateKey) error {
	list := make([]schema.Enrolled, w.round.Vehicles)
	w.vehicles = make([]client.Identity, len(list))
	for i := range list {
		public, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return err
		}
		v := client.Identity{Key: key}
		for _, b := range [][]byte{v.ID[:], v.DeviceSecret[:]} {
			if _, err := rand.Read(b); err != nil {
				return err
			}
		}
		w.vehicles[i], list[i] = v, schema.Enrolled{ID: v.ID, Key: schema.PublicKey(public)}
	}
	var err error
	w.snapshot, err = pipeline.PublishSnapshot(ctx, w.store, w.plan, 1, list, authority)
	return err
}

// seat opens the decryptors and publishes their keys.
func (w *world) seat(ctx context.Context, members []ed25519.PrivateKey) error {
	for k, key := range members {
		dir, err := state.Open(filepath.Join(w.folder, "decryptor-"+strconv.Itoa(k)), state.WithoutSync())
		if err != nil {
			return err
		}
		w.locked = append(w.locked, dir)
		d, err := decryptor.New(decryptor.Config{State: dir, Key: key, Owner: w.owner})
		if err != nil {
			return err
		}
		w.decryptors = append(w.decryptors, d)
		if _, err := d.PublishKeys(ctx, w.store, w.name.Task, w.name.Epoch, w.name.Epoch, time.Now().Add(keysLive)); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) close() {
	for _, dir := range w.locked {
		dir.Close()
	}
}

// play plays the round and returns the mean that was published.
func (w *world) play(ctx context.Context) (*collector.Collected, error) {
	r, err := w.collector.Open(ctx, w.store, w.plan, collector.Opening{Name: w.name, Snapshot: w.snapshot, Deadline: time.Now().Add(keysLive / 2)})
	if err != nil {
		return nil, err
	}
	if err := w.report(ctx, r); err != nil {
		return nil, err
	}
	candidates, _, err := w.collector.Close(ctx, w.store, r)
	if err != nil {
		return nil, err
	}
	if err := w.committee(func(k int, d *decryptor.Decryptor) error {
		_, err := d.Check(ctx, w.store, r, candidates, w.progress(fmt.Sprintf("reports checked by decryptor %d", k)))
		return err
	}); err != nil {
		return nil, err
	}
	p, err := w.collector.Propose(ctx, w.store, r, candidates)
	if err != nil {
		return nil, err
	}
	if p.Reports != w.round.Vehicles { // a refused report would make the noise less than is asked for
		return nil, fmt.Errorf("wholeround: %d of %d reports are in the list", p.Reports, w.round.Vehicles)
	}
	if err := w.committee(func(_ int, d *decryptor.Decryptor) error {
		_, err := d.Vote(ctx, w.store, r)
		return err
	}); err != nil {
		return nil, err
	}
	if err := w.committee(func(_ int, d *decryptor.Decryptor) error {
		_, err := d.Answer(ctx, w.store, r, nil)
		return err
	}); err != nil {
		return nil, err
	}
	got, err := w.collector.Collect(ctx, w.store, r, w.progress("reports added"))
	if err != nil {
		return nil, err
	}
	if got.Receipt.Status != schema.StatusCommitted {
		return nil, fmt.Errorf("wholeround: the round ended %s", got.Receipt.Status)
	}
	return got, nil
}

// report seals and uploads every vehicle's report.
func (w *world) report(ctx context.Context, r *pipeline.Round) error {
	progress := w.progress("reports sealed")
	var done atomic.Int64
	return pipeline.ForEach(ctx, w.round.Vehicles, func(ctx context.Context, _, i int) error {
		update, err := w.round.Update(i)
		if err == nil {
			err = w.vehicle(ctx, r, i, update)
		}
		if err != nil {
			return fmt.Errorf("vehicle %d: %w", i, err)
		}
		progress(int(done.Add(1)), w.round.Vehicles)
		return nil
	})
}

// vehicle is one vehicle's whole life.
func (w *world) vehicle(ctx context.Context, r *pipeline.Round, i int, update []float32) error {
	folder := filepath.Join(w.folder, "vehicles", strconv.Itoa(i))
	defer os.RemoveAll(folder) // nobody needs it once the report is in the store
	dir, err := state.Open(folder, state.WithoutSync())
	if err != nil {
		return err
	}
	defer dir.Close()
	c, err := client.New(client.Config{State: dir, Identity: w.vehicles[i], Owner: w.owner})
	if err != nil {
		return err
	}
	sealed, err := c.SealRound(r, client.Update{Values: update, ModelHash: schema.HashModel(nil)})
	if err != nil {
		return err
	}
	_, err = c.Upload(ctx, w.store, sealed.File(), nil)
	return err
}

// committee runs a step on every decryptor.
func (w *world) committee(step func(int, *decryptor.Decryptor) error) error {
	var g errgroup.Group
	for k, d := range w.decryptors {
		g.Go(func() error {
			if err := step(k, d); err != nil {
				return fmt.Errorf("decryptor %d: %w", k, err)
			}
			return nil
		})
	}
	return g.Wait()
}

func (w *world) progress(what string) func(done, total int) {
	return func(done, total int) { w.round.Progress(what, done, total) }
}
