package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/client"
	"github.com/veilsum/veilsum/pipeline/collector"
	"github.com/veilsum/veilsum/pipeline/decryptor"
	"github.com/veilsum/veilsum/pipeline/fleetsim"
	"github.com/veilsum/veilsum/pipeline/releaser"
	"github.com/veilsum/veilsum/pipeline/state"
	"github.com/veilsum/veilsum/privacy"
	"github.com/veilsum/veilsum/schema"
)

// The demo's committee: any three of four open a sum, one may lie.
var demoCommittee = schema.Committee{Size: 4, Threshold: 3, Malicious: 1}

// demoKeysLive is how long round keys may live; a run is over long before.
const demoKeysLive = 24 * time.Hour

// demoWorld is everybody who takes part. What one role knows of another it
// reads from the store, save for the privacy owner's public key, which all pin.
type demoWorld struct {
	state      string // folder of all state directories
	owner      schema.PublicKey
	collector  *collector.Collector
	releaser   *releaser.Releaser // the collector: the task names no other
	decryptors []*decryptor.Decryptor
	locked     []*state.Dir // the decryptors' directories
	vehicles   []string     // their directories
	task       schema.TaskID
	plan       *pipeline.Plan
	snapshot   schema.Digest
}

// newDemoWorld makes all keys, signs the task, enrolls the vehicles and
// publishes the committee's round keys.
func newDemoWorld(ctx context.Context, d *demoRun, task schema.Task) (*demoWorld, error) {
	w := &demoWorld{state: filepath.Join(d.flags.out, "state")}
	owner, err := w.newRole("owner")
	if err != nil {
		return nil, err
	}
	authority, err := w.newRole("authority")
	if err != nil {
		return nil, err
	}
	collectKey, err := w.newRole("collector")
	if err != nil {
		return nil, err
	}
	w.owner = schema.NewPublicKey(owner)
	if w.collector, err = collector.New(collectKey, nil); err != nil {
		return nil, err
	}
	if w.releaser, err = releaser.New(collectKey); err != nil {
		return nil, err
	}
	committee := demoCommittee
	if committee.Keys, err = w.newCommittee(); err != nil {
		return nil, err
	}
	task.Committee, task.Owner, task.Authority, task.Collector = committee, w.owner, schema.NewPublicKey(authority), schema.NewPublicKey(collectKey)
	if w.task, w.plan, err = pipeline.PublishTask(ctx, d.store, task, owner); err != nil {
		return nil, err
	}
	if err := w.enroll(ctx, d, authority); err != nil {
		return nil, err
	}
	return w, w.publishRoundKeys(ctx, d)
}

// newRole makes a role's key in a state directory of its own.
func (w *demoWorld) newRole(name string) (ed25519.PrivateKey, error) {
	dir := filepath.Join(w.state, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return newKeyFile(filepath.Join(dir, identityFile), false)
}

// close gives the decryptors' directories free.
func (w *demoWorld) close() {
	for _, dir := range w.locked {
		dir.Close()
	}
}

// newCommittee opens the decryptors; their directories stay locked until close.
func (w *demoWorld) newCommittee() ([]schema.PublicKey, error) {
	var keys []schema.PublicKey
	for k := range demoCommittee.Size {
		name := fmt.Sprintf("decryptor-%d", k)
		key, err := w.newRole(name)
		if err != nil {
			return nil, err
		}
		dir, err := state.Open(filepath.Join(w.state, name), state.WithoutSync())
		if err != nil {
			return nil, err
		}
		w.locked = append(w.locked, dir)
		d, err := decryptor.New(decryptor.Config{State: dir, Key: key, Owner: w.owner})
		if err != nil {
			return nil, err
		}
		w.decryptors, keys = append(w.decryptors, d), append(keys, schema.NewPublicKey(key))
	}
	return keys, nil
}

// demoTask is the task without keys, with the least noise that keeps all
// rounds together within the budget. With adaptive clipping the norm follows the median of the norms.
// Canaries never vanish, so they are counted in the smallest batch.
func demoTask(fleet *fleetsim.Fleet, canaries int, adaptive bool) (schema.Task, error) {
	c := fleet.Config()
	var run [4]byte
	if _, err := rand.Read(run[:]); err != nil {
		return schema.Task{}, err
	}
	least, most := fleet.MinBatchSize()+canaries, fleet.Vehicles()+canaries
	z, err := privacy.NoiseMultiplierFor(privacy.Literal{
		Values: fleet.Dimension() + 1, ClippingNorm: c.ClippingNorm,
		MinBatchSize: least, MaxBatchSize: most, MaxDishonest: c.MaxDishonest,
	}, int64(c.Rounds), c.Epsilon, c.Delta)
	if err != nil {
		return schema.Task{}, usage("--epsilon %g: %w", c.Epsilon, err)
	}
	return schema.Task{
		Name: "veilsum demo",
		Scope: schema.Scope{
			Name: "veilsum demo " + hex.EncodeToString(run[:]), Population: "the simulated vehicles of one run of the demo",
			Epsilon: schema.Real(c.Epsilon), Delta: schema.Real(c.Delta), Unit: "vehicle", Relation: "zero_out",
		},
		Tensors: demoTensors(fleet),
		Privacy: schema.Privacy{
			TrustModel: "distributed", Mechanism: "discrete_gaussian", ClippingNorm: schema.Real(c.ClippingNorm),
			NoiseMultiplier: schema.Real(z), Kappa: 1, KappaInf: 1, Adaptive: demoAdaptive(fleet, adaptive, z),
		},
		Batch:         schema.Batch{Min: least, Max: most, MaxDishonest: c.MaxDishonest, Lanes: 1},
		Participation: schema.Participation{Max: c.Rounds, MinSeparation: 1},
		Suite:         1,
	}, nil
}

// demoTensors names the model's tensors.
func demoTensors(fleet *fleetsim.Fleet) []schema.Tensor {
	names := []string{"weights"}
	if fleet.Config().Hidden > 0 {
		names = []string{"hidden.kernel", "hidden.bias", "output.kernel", "output.bias"}
	}
	var tensors []schema.Tensor
	for i, shape := range fleet.Shapes() {
		tensors = append(tensors, schema.Tensor{Name: names[i], DType: "float32", Shape: shape})
	}
	return tensors
}

// demoLearningRate moves the norm by up to a factor of e^0.5 a round, as a demo has few rounds.
const demoLearningRate = 1

// demoAdaptive keeps the noise in the count at 5 % of the batch, or in small fleets at what takes a quarter of D.
func demoAdaptive(fleet *fleetsim.Fleet, adaptive bool, z float64) *schema.Adaptive {
	if !adaptive {
		return nil
	}
	count := math.Max(float64(fleet.MinBatchSize())/20, 2*z)
	return &schema.Adaptive{LearningRate: demoLearningRate, CountStdDev: schema.Real(count)}
}

// enroll gives each vehicle a key, a pseudonym and a device secret in a
// directory of its own, and publishes the signed list.
func (w *demoWorld) enroll(ctx context.Context, d *demoRun, authority ed25519.PrivateKey) error {
	enrolled := make([]schema.Enrolled, d.fleet.Vehicles()+d.flags.canaries)
	for i := range enrolled {
		var err error
		if enrolled[i], err = newVehicle(filepath.Join(w.state, "vehicles")); err != nil {
			return err
		}
		w.vehicles = append(w.vehicles, filepath.Join(w.state, "vehicles", enrolled[i].ID.String()))
	}
	var err error
	w.snapshot, err = pipeline.PublishSnapshot(ctx, d.store, w.plan, 1, enrolled, authority)
	return err
}

// client starts vehicle i's program, as after an ignition, with what its own
// directory holds. It does not wait for the disk.
func (w *demoWorld) client(i int) (c *client.Client, stop func(), err error) {
	id, floor, err := readVehicle(w.vehicles[i]) // its key is in clear
	if err != nil {
		return nil, nil, err
	}
	dir, err := state.Open(w.vehicles[i], state.WithoutSync())
	if err != nil {
		return nil, nil, err
	}
	c, err = client.New(client.Config{State: dir, Identity: id, Owner: w.owner, Floor: floor})
	return c, func() { dir.Close() }, err
}

func (w *demoWorld) publishRoundKeys(ctx context.Context, d *demoRun) error {
	for k, member := range w.decryptors {
		if _, err := member.PublishKeys(ctx, d.store, w.task, 1, uint64(d.fleet.Config().Rounds), time.Now().Add(demoKeysLive)); err != nil {
			return fmt.Errorf("decryptor %d: %w", k, err)
		}
	}
	return nil
}

// smallestShorter returns a number of values, to within a percent, from which on a sealed
// report of such a task is shorter than the same values as float32; 0 if there is none in range.
func smallestShorter(t schema.Task) int {
	low, high := 1, 1<<24
	if !surelyShorter(t, high) {
		return 0
	}
	for high-low > 1+low/100 {
		middle := max(low+1, int(math.Sqrt(float64(low)*float64(high))))
		if surelyShorter(t, middle) {
			high = middle
		} else {
			low = middle
		}
	}
	return high
}

// surelyShorter counts a whole block for the padding, so that it holds for
// all larger numbers of values too: with one value more a report may grow by a block.
func surelyShorter(t schema.Task, values int) bool {
	t.Tensors, t.PieceBlocks = []schema.Tensor{{Name: "weights", DType: "float32", Shape: []int{values}}}, 0
	done, err := pipeline.Complete(t)
	if err != nil {
		return false
	}
	p, err := pipeline.NewPlan(done)
	if err != nil {
		return false
	}
	packed := (values+schema.WitnessValues)*p.Secagg.Bits()/8 + p.Secagg.BlockBytes()
	return p.Secagg.HeaderObjectBytes()+packed < 4*values
}
