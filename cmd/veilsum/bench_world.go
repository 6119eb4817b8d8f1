package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/client"
	"github.com/veilsum/veilsum/pipeline/collector"
	"github.com/veilsum/veilsum/pipeline/state"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/secagg"
	"github.com/veilsum/veilsum/storage/mem"
)

// benchWish says what task a world is about; all have z = 1, kappa = 1,
// MinBatchSize = MaxBatchSize, nobody dishonest, and the committee (4,3,1).
type benchWish struct {
	values, suite, vehicles int
}

// benchWorld is an open round over an in-memory store with all keys at hand.
type benchWorld struct {
	dir     string
	secret  [32]byte // of all vehicles
	store   *mem.Store
	owner   ed25519.PrivateKey
	round   *pipeline.Round
	keys    []secagg.RoundKey
	reports []schema.ReportID
}

// newWorld signs a task, enrolls the vehicles and opens a round.
func (b *bench) newWorld(ctx context.Context, wish benchWish) (*benchWorld, error) {
	w := &benchWorld{dir: b.dir, store: mem.New()}
	if _, err := rand.Read(w.secret[:]); err != nil {
		return nil, err
	}
	identities := make([]ed25519.PrivateKey, 3+secagg.DefaultCommittee.Size)
	for i := range identities {
		var err error
		if _, identities[i], err = ed25519.GenerateKey(rand.Reader); err != nil {
			return nil, err
		}
	}
	w.owner = identities[0]
	authority, collects, members := identities[1], identities[2], identities[3:]
	id, plan, err := pipeline.PublishTask(ctx, w.store, benchTask(wish, b.sizes.batch, w.owner, authority, collects, members), w.owner)
	if err != nil {
		return nil, err
	}
	snapshot, err := w.enroll(ctx, plan, wish.vehicles, authority)
	if err != nil {
		return nil, err
	}
	return w, w.open(ctx, plan, pipeline.RoundName{Task: id, Epoch: 1}, snapshot, collects, members)
}

func benchTask(wish benchWish, batch int, owner, authority, collects ed25519.PrivateKey, members []ed25519.PrivateKey) schema.Task {
	c := secagg.DefaultCommittee
	t := schema.Task{
		Name:          "bench",
		Scope:         schema.Scope{Name: "bench", Population: "benchmark", Epsilon: 1e6, Delta: 1e-5, Unit: "vehicle", Relation: "zero_out"},
		Tensors:       []schema.Tensor{{Name: "w", DType: "float32", Shape: []int{wish.values}}},
		Privacy:       schema.Privacy{TrustModel: "distributed", Mechanism: "discrete_gaussian", ClippingNorm: 1, NoiseMultiplier: 1, Kappa: 1, KappaInf: 1},
		Batch:         schema.Batch{Min: batch, Max: batch, Lanes: 1},
		Participation: schema.Participation{MinSeparation: 1},
		Committee:     schema.Committee{Size: c.Size, Threshold: c.Threshold, Malicious: c.Malicious},
		Suite:         wish.suite,
		Owner:         schema.NewPublicKey(owner), Authority: schema.NewPublicKey(authority), Collector: schema.NewPublicKey(collects),
	}
	for _, m := range members {
		t.Committee.Keys = append(t.Committee.Keys, schema.NewPublicKey(m))
	}
	return t
}

func (w *benchWorld) enroll(ctx context.Context, plan *pipeline.Plan, n int, authority ed25519.PrivateKey) (schema.Digest, error) {
	list := make([]schema.Enrolled, n)
	for i := range list {
		v := w.vehicle(i)
		list[i] = schema.Enrolled{ID: v.ID, Key: schema.NewPublicKey(v.Key)}
	}
	return pipeline.PublishSnapshot(ctx, w.store, plan, 1, list, authority)
}

// vehicle derives vehicle i, so that ten thousand need no memory.
func (w *benchWorld) vehicle(i int) client.Identity {
	h := func(label string) schema.Digest {
		return schema.Hash("bench/"+label, w.secret[:], binary.LittleEndian.AppendUint64(nil, uint64(i)))
	}
	id, seed := h("id"), h("key")
	return client.Identity{ID: schema.VehicleID(id[:16]), Key: ed25519.NewKeyFromSeed(seed[:]), DeviceSecret: h("device")}
}

// open publishes the round keys, which the benchmark keeps, and the descriptor.
func (w *benchWorld) open(ctx context.Context, plan *pipeline.Plan, name pipeline.RoundName, snapshot schema.Digest, collects ed25519.PrivateKey, members []ed25519.PrivateKey) error {
	expiry := time.Now().Add(24 * time.Hour)
	for k, m := range members {
		key, err := secagg.GenerateRoundKey(plan.Secagg.Suite())
		if err != nil {
			return err
		}
		signed, err := schema.SignBody(schema.RoundKey{
			Version: schema.Version, TaskID: name.Task, Epoch: name.Epoch, Index: k,
			PublicKey: key.Public(), Expiry: expiry.Unix(), Coin: schema.Hash("coin", nil),
		}, m)
		if err != nil {
			return err
		}
		if _, err := w.store.PutOnce(ctx, pipeline.RoundKeyKey(name, k), signed.Bytes()); err != nil {
			return err
		}
		w.keys = append(w.keys, key)
	}
	c, err := collector.New(collects, nil)
	if err != nil {
		return err
	}
	w.round, err = c.Open(ctx, w.store, plan, collector.Opening{Name: name, Snapshot: snapshot, Deadline: expiry})
	return err
}

// client calls f with a vehicle that has a fresh state directory.
func (w *benchWorld) client(i int, f func(*client.Client) error) error {
	root, err := os.MkdirTemp(w.dir, "vehicle-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(root)
	dir, err := state.Open(filepath.Join(root, "state"), state.WithoutSync())
	if err != nil {
		return err
	}
	defer dir.Close()
	c, err := client.New(client.Config{State: dir, Identity: w.vehicle(i), Owner: schema.NewPublicKey(w.owner)})
	if err != nil {
		return err
	}
	return f(c)
}

// report seals and uploads the reports of the first n vehicles.
func (w *benchWorld) report(ctx context.Context, n int) error {
	for i := range n {
		err := w.client(i, func(c *client.Client) error {
			sealed, err := c.SealRound(w.round, w.update())
			if err != nil {
				return err
			}
			id, err := c.Upload(ctx, w.store, sealed.File(), nil)
			w.reports = append(w.reports, id)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// update is a vector of norm near 1.4, above the clipping norm.
func (w *benchWorld) update() client.Update {
	v := make([]float32, w.round.Secagg.Values())
	fillUpdate(v)
	return client.Update{Values: v, ModelHash: schema.HashModel(nil)}
}

func fillUpdate(v []float32) {
	scale := 2 / math.Sqrt(float64(len(v)))
	for i := range v {
		v[i] = float32(scale * math.Sin(float64(i)*float64(i)))
	}
}

// stored is what all objects of report i take in the store.
func (w *benchWorld) stored(ctx context.Context, i int) (int64, error) {
	var n int64
	for info, err := range w.store.List(ctx, pipeline.ReportPrefix(w.round.Name, w.reports[i]), "") {
		if err != nil {
			return 0, err
		}
		n += info.Size
	}
	return n, nil
}
