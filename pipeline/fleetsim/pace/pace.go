// Package pace trains a real model on the rounds of a simulated fleet, to compare what
// buffered rounds, in which vehicles start from whatever model they have, and synchronous ones make of the same links.
//
// [Train] simulates the fleet with package planet, then replays what counted: each vehicle trains its own rows from the
// version of the model that it had downloaded, the update is weighted by its staleness as the round's descriptor
// says, clipped, summed with the noise of the task, and the model that comes out is rounded and released as
// a delta. It stops when the rounds that the budget affords are opened: curves of one fleet have spent the same epsilon
// at the same round, whatever their schedule.
//
// Clipping and noise are imitated in floating point, as fleetsim.NoisyRun does. It protects nobody.
package pace

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/veilsum/veilsum/pipeline/fleetsim"
	"github.com/veilsum/veilsum/pipeline/fleetsim/planet"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/schema/delta"
)

// ErrSettings: fleet and scenario do not fit together.
var ErrSettings = errors.New("pace: fleet and scenario do not fit")

// Settings are one way to train.
type Settings struct {
	// Scenario is simulated with the fleet's vehicles, each of which is watched. Its rounds must have one lane, and open with
	// no fewer reports than the fleet's MinBatchSize, for which the noise is sized.
	Scenario planet.Scenario
	// Weighted counts a stale update by [schema.StalenessInverseSqrt].
	Weighted bool
	// Bits of the update that a release keeps (delta.Round); 0 rounds nothing and has no deltas.
	Bits int
	// Bases are from how many versions before a release has a delta.
	Bases int
}

// Point is the state after one opened round. Bytes are those of the whole fleet since the start.
type Point struct {
	Round     int           `json:"round"` // opened ones, from 1
	At        time.Duration `json:"at"`    // since the start, when the model came out
	Accuracy  float64       `json:"accuracy"`
	Reports   int           `json:"reports"`   // in the round's list
	Staleness float64       `json:"staleness"` // mean, in versions that came out from a vehicle's start to the round's close
	Up        float64       `json:"bytes_up"`
	Down      float64       `json:"bytes_down"`       // models, by deltas where there is one
	Whole     float64       `json:"bytes_down_whole"` // the same without deltas
}

// Curve is one training.
type Curve struct {
	Points   []Point `json:"points"`
	Void     int     `json:"void"`     // rounds with too few reports before the last point; they charge nothing
	Counted  int     `json:"counted"`  // reports in opened rounds
	Uploaded int     `json:"uploaded"` // reports that arrived until the last point, late ones too
	// ModelBytes is a whole model, DeltaBytes the mean delta from the version before.
	ModelBytes int     `json:"model_bytes"`
	DeltaBytes float64 `json:"delta_bytes"`
	// OnRows is the mean over the vehicles of what each gets right of its own rows with the last model, loaded from its released bytes.
	OnRows float64   `json:"accuracy_on_own_rows"`
	Model  []float32 `json:"-"`
}

// Reached returns the first point of at least this accuracy.
func (c *Curve) Reached(accuracy float64) (Point, bool) {
	i := slices.IndexFunc(c.Points, func(p Point) bool { return p.Accuracy >= accuracy })
	if i < 0 {
		return Point{}, false
	}
	return c.Points[i], true
}

// Train simulates and trains. The same fleet, settings and seed of the scenario give the same curve.
func Train(ctx context.Context, fleet *fleetsim.Fleet, s Settings) (*Curve, error) {
	c := s.Scenario.Schedule
	if c.Lanes != 1 || c.MinBatch < fleet.MinBatchSize() || fleet.Config().MaxDishonest >= fleet.MinBatchSize() {
		return nil, fmt.Errorf("%w: one lane and min_batch of at least %d are required", ErrSettings, fleet.MinBatchSize())
	}
	s.Scenario.Vehicles, s.Scenario.Watched = fleet.Vehicles(), fleet.Vehicles()
	s.Scenario.Report.ModelBytes = 4 * fleet.Dimension()
	var all []planet.Attempt
	result, err := planet.Run(s.Scenario, planet.Options{Context: ctx, Observe: func(a planet.Attempt) { all = append(all, a) }})
	if err != nil {
		return nil, err
	}
	t := &training{
		fleet: fleet, settings: s, attempts: all, random: rand.New(rand.NewPCG(s.Scenario.Seed, 77)),
		trainer: fleet.Trainer(), curve: &Curve{ModelBytes: 4 * fleet.Dimension()},
	}
	first := t.trainer.Model()
	t.versions = []version{{model: first, bytes: fleetsim.EncodeModel(first)}}
	if err := t.run(ctx, result); err != nil {
		return nil, err
	}
	t.account()
	return t.curve, t.evaluate()
}

// version is one released model. The grid is that of its release.
type version struct {
	model []float32
	bytes []byte
	grid  int
}

type training struct {
	fleet    *fleetsim.Fleet
	settings Settings
	attempts []planet.Attempt
	random   *rand.Rand
	trainer  *fleetsim.Trainer // of the newest version
	versions []version
	curve    *Curve
}

// run opens the rounds in the order in which they closed, until the budget is spent.
func (t *training) run(ctx context.Context, result *planet.Result) error {
	lists := make([][]planet.Attempt, len(result.Rounds))
	for _, a := range t.attempts {
		if a.Outcome == planet.Counted {
			lists[a.Round] = append(lists[a.Round], a)
		}
	}
	order := make([]int, len(result.Rounds))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return int(result.Rounds[a].Closed - result.Rounds[b].Closed) })
	publish := time.Duration(t.settings.Scenario.Schedule.PublishSeconds * float64(time.Second))
	for _, i := range order {
		r := &result.Rounds[i]
		if err := ctx.Err(); err != nil {
			return err
		}
		if len(t.curve.Points) == t.fleet.Config().Rounds {
			return nil
		}
		if r.Void {
			t.curve.Void++
			continue
		}
		p := Point{Round: len(t.curve.Points) + 1, At: r.Closed + publish, Reports: len(lists[i])}
		if err := t.open(lists[i], r.Model, &p); err != nil {
			return err
		}
		t.curve.Counted += p.Reports
		t.curve.Points = append(t.curve.Points, p)
	}
	return nil
}

// open applies one round's noisy mean and releases the model. announced is the version of the round's descriptor.
func (t *training) open(list []planet.Attempt, announced int, p *Point) error {
	config := t.fleet.Config()
	sum := make([]float64, t.fleet.Dimension())
	d := schema.Descriptor{Epoch: uint64(announced)}
	if t.settings.Weighted {
		d.Staleness = schema.StalenessInverseSqrt
	}
	for _, a := range list {
		u, err := t.fleet.LocalUpdate(t.versions[a.Model].model, a.Vehicle)
		if err != nil {
			return err
		}
		w := d.StalenessWeight(uint64(a.Model)) // a vehicle may have got a newer version than the round announced: not stale
		p.Staleness += float64(a.Staleness) / float64(len(list))
		clipped := w * min(1, config.ClippingNorm/max(w*norm(u), 1e-30))
		for i, v := range u {
			sum[i] += clipped * float64(v)
		}
	}
	local := t.fleet.LocalStdDev() * math.Sqrt(float64(len(list)))
	for i := range sum {
		sum[i] = (sum[i] + local*t.random.NormFloat64()) / float64(len(list))
	}
	if err := t.trainer.Apply(sum); err != nil {
		return err
	}
	if err := t.release(); err != nil {
		return err
	}
	p.Accuracy = t.trainer.Accuracy()
	return nil
}

// release rounds the model as releaser.Releaser does, and goes on from what it released.
func (t *training) release() error {
	v := version{bytes: fleetsim.EncodeModel(t.trainer.Model()), grid: delta.NoGrid}
	if t.settings.Bits > 0 {
		var err error
		if v.bytes, v.grid, err = delta.Round(t.versions[len(t.versions)-1].bytes, v.bytes, t.settings.Bits); err != nil {
			return err
		}
	}
	v.model = fleetsim.DecodeModel(v.bytes)
	t.versions = append(t.versions, v)
	return t.trainer.Load(v.model)
}

// evaluate has every vehicle run the last released model on its own rows.
func (t *training) evaluate() error {
	t.curve.Model = t.versions[len(t.versions)-1].model
	for v := range t.fleet.Vehicles() {
		share, err := t.fleet.AccuracyOf(v, t.curve.Model)
		if err != nil {
			return err
		}
		t.curve.OnRows += share / float64(t.fleet.Vehicles())
	}
	return nil
}

func norm(v []float32) float64 {
	total := 0.0
	for _, x := range v {
		total += float64(x) * float64(x)
	}
	return math.Sqrt(total)
}
