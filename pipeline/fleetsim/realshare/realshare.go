package realshare

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/client"
	"github.com/veilsum/veilsum/pipeline/fleetsim/planet"
	"github.com/veilsum/veilsum/pipeline/gateway/remote"
	"github.com/veilsum/veilsum/pipeline/state"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// ErrConfig is returned for a configuration without meaning.
var ErrConfig = errors.New("realshare: bad configuration")

// Config says what to run.
type Config struct {
	Store    storage.Store   // new and empty; required
	Folder   string          // for the roles' state; new, required
	Scenario planet.Scenario // whose vehicles and links are used
	Privacy  schema.Privacy  // of the task; the zero value is a discrete Gaussian of multiplier 1
	Suite    int             // of the boxes; 0 means 1
	// Vehicles take part, 8 to 10,000: every second breaks off once in mid-upload, the last comes too late.
	Vehicles int
	// Clock is the processor time of this process; nil: time on the wall.
	Clock func() time.Duration
	// Progress, if not nil, hears of every step.
	Progress func(what string, done, total int)
}

// Vehicle is what one real vehicle did.
type Vehicle struct {
	Number      int     `json:"number"`
	Profile     int     `json:"profile"`
	Region      int     `json:"region"`
	Reported    int64   `json:"report_bytes"`
	Sent        int64   `json:"sent_bytes"` // on the wire, TLS and HTTP included
	Requests    int     `json:"requests"`   // but those of pieces
	Breaks      int     `json:"breaks"`
	Seconds     float64 `json:"simulated_seconds"` // from the first connection of the upload to its answer
	SealSeconds float64 `json:"seal_seconds"`      // of processor time
	Fate        string  `json:"fate"`
}

// Calibration is what the real code cost.
type Calibration struct {
	Vehicles     []Vehicle `json:"vehicles"`
	ReportBytes  int64     `json:"report_bytes"`  // of all objects of a report in the real round
	PlannedBytes int64     `json:"planned_bytes"` // that the task promises for it: equal
	ConnectBytes int       `json:"connect_bytes"` // beside the report, of an upload without a break
	ConnectTrips float64   `json:"connect_trips"` // waits of such an upload, but those of pieces
	AgainBytes   float64   `json:"again_bytes"`   // mean, beyond an upload without a break, of those that broke off once
	AgainModel   float64   `json:"again_model"`   // that the model expects for the same breaks
	// Processor time: sealing one report; one member's check, vote and answer for each report; the collector's work for each report.
	SealSeconds     float64 `json:"seal_seconds"`
	MemberSeconds   float64 `json:"member_seconds_report"`
	CollectSeconds  float64 `json:"collect_seconds_report"`
	Listed          int     `json:"listed"` // 0 and no figures of the committee where too few reports got through
	Refused         int     `json:"refused"`
	GatewayRefusals int     `json:"gateway_refusals"`
	LateFate        string  `json:"late_fate"`
	// NoiseRatio is the deviation of the opened mean from the mean of the updates over the noise it should
	// carry: 1 to within NoiseStdErr.
	NoiseRatio  float64 `json:"noise_ratio"`
	NoiseStdErr float64 `json:"noise_std_err"`
}

// Task is the task that a scenario's rounds have, without keys, with its batch and one report of its values.
func Task(s planet.Scenario, p schema.Privacy) schema.Task {
	if p.TrustModel == "" {
		p = schema.Privacy{TrustModel: "distributed", Mechanism: "discrete_gaussian", ClippingNorm: 1, NoiseMultiplier: 1, Kappa: 1, KappaInf: 1}
	}
	return schema.Task{
		Name:          "simulated fleet",
		Scope:         schema.Scope{Name: "simulated fleet", Population: "vehicles of a simulation", Epsilon: 1e6, Delta: 1e-9, Unit: "vehicle", Relation: "zero_out"},
		Tensors:       []schema.Tensor{{Name: "update", DType: "float32", Shape: []int{s.Report.Values}}},
		Privacy:       p,
		Batch:         schema.Batch{Min: s.Schedule.MinBatch, Max: s.Schedule.Reports, Lanes: s.Schedule.Lanes},
		Participation: schema.Participation{MinSeparation: s.Schedule.MinSeparation},
		Committee:     schema.Committee{Size: 4, Threshold: 3, Malicious: 1},
		Suite:         1,
	}
}

// onTime is how many vehicles report before the close; some of them may find no link that suffices.
func (c *Config) onTime() int { return c.Vehicles - 1 }

// least is the smallest batch of the real round.
func (c *Config) least() int { return max(2, c.Vehicles/4) }

// Run plays one round with the real roles. The error wraps [ErrConfig] or is one of the roles'.
func Run(ctx context.Context, c Config) (*Calibration, error) {
	if c.Store == nil || c.Folder == "" || c.Vehicles < 8 || c.Vehicles > 10_000 || c.Vehicles > c.Scenario.Vehicles {
		return nil, fmt.Errorf("%w: store, folder and 8 to 10,000 vehicles of the scenario are required", ErrConfig)
	}
	if c.Progress == nil {
		c.Progress = func(string, int, int) {}
	}
	if c.Clock == nil {
		start := time.Now()
		c.Clock = func() time.Duration { return time.Since(start) }
	}
	w, err := newWorld(ctx, &c)
	if err != nil {
		return nil, err
	}
	defer w.close()
	out := &Calibration{PlannedBytes: w.Plan.Secagg.ReportBytes()}
	sum := make([]float64, c.Scenario.Report.Values)
	for i := range c.onTime() {
		if err := w.vehicle(ctx, i, out, sum); err != nil {
			return nil, fmt.Errorf("realshare: vehicle %d: %w", i, err)
		}
		c.Progress("real vehicles", i+1, c.Vehicles)
	}
	return out, w.finish(ctx, out, sum)
}

// number spreads the real vehicles over the fleet.
func (c *Config) number(i int) int {
	return int(int64(i) * int64(c.Scenario.Vehicles) / int64(c.Vehicles))
}

// trip is a real vehicle on its way.
type trip struct {
	wire   *wire
	store  *remote.Store
	client *client.Client
	sealed *client.Sealed
	dir    *state.Dir
	seal   time.Duration
}

func (t *trip) end() {
	if t.store != nil {
		t.store.Close()
	}
	if t.dir != nil {
		t.dir.Close()
	}
}

// set gives vehicle i a link and has it seal a report.
func (w *world) set(ctx context.Context, i int) (*trip, error) {
	link, err := planet.NewLink(w.c.Scenario, w.c.number(i))
	if err != nil {
		return nil, err
	}
	t := &trip{wire: &wire{link: link}}
	if t.store, err = w.gate.remote(w.Identity(i), t.wire); err != nil {
		return nil, err
	}
	if t.dir, err = state.Open(w.Home(i), state.WithoutSync()); err != nil {
		t.end()
		return nil, err
	}
	if t.client, err = client.New(client.Config{State: t.dir, Identity: w.Identity(i), Owner: w.Owner}); err != nil {
		t.end()
		return nil, err
	}
	values, model := update(i, w.c.Scenario.Report.Values), w.round.Descriptor.ModelHash
	before := w.c.Clock()
	if t.sealed, err = t.client.Seal(ctx, t.store, w.round.Name.Task, w.round.Name.Epoch, client.Update{Values: values, ModelHash: model}); err != nil {
		t.end()
		return nil, err
	}
	t.seal = w.c.Clock() - before
	return t, nil
}

// update is made up, shorter than the clipping norm.
func update(i, n int) []float32 {
	v := make([]float32, n)
	scale := 0.5 / math.Sqrt(float64(n))
	for j := range v {
		v[j] = float32(scale * math.Sin(float64(j)*0.7+float64(i)))
	}
	return v
}

// vehicle seals and delivers; every second one breaks off once, somewhere in its pieces.
func (w *world) vehicle(ctx context.Context, i int, out *Calibration, sum []float64) error {
	t, err := w.set(ctx, i)
	if err != nil {
		return err
	}
	defer t.end()
	t.store.Close() // the upload is a connection of its own
	if t.store, err = w.gate.remote(w.Identity(i), t.wire); err != nil {
		return err
	}
	cut := int64(0)
	if i%2 == 1 {
		share := (float64(i/2) + 0.5) / float64(w.c.Vehicles/2)
		at := int(share * float64(t.sealed.Bytes-int64(w.headerBytes())))
		w.cuts = append(w.cuts, at)
		cut = int64(out.ConnectBytes + at)
	}
	t.wire.reset(cut)
	w.gate.take()
	fate, err := w.deliver(ctx, t)
	if err != nil {
		return err
	}
	if fate == client.Sent.String() {
		w.delivered++
		for j, v := range update(i, len(sum)) {
			sum[j] += float64(v)
		}
	}
	w.note(i, t, fate, out)
	return nil
}

// gaveUp is the fate of a vehicle whose link is never up for a whole piece.
const gaveUp = "gave up"

// deliver tries as often as a vehicle that meets its link a few more times.
func (w *world) deliver(ctx context.Context, t *trip) (string, error) {
	for range 5 {
		d, err := t.client.Deliver(ctx, t.store, w.Plan, t.sealed.File(), nil)
		if err == nil {
			return d.Fate.String(), nil
		}
		if !errors.Is(err, pipeline.ErrNotReady) || ctx.Err() != nil {
			return "", err
		}
	}
	return gaveUp, nil
}

func (w *world) headerBytes() int { return w.Plan.Secagg.HeaderObjectBytes() }

// note writes down what a vehicle did. The first one that does not break tells what a connection costs.
func (w *world) note(i int, t *trip, fate string, out *Calibration) {
	requests, refused := w.gate.take()
	sent, elapsed, dials, breaks := t.wire.counts()
	profile, place := w.c.Scenario.Vehicle(w.c.number(i))
	trips := float64(requests+2*dials) + w.c.Scenario.Report.PieceTrips*float64(w.Plan.Header().Pieces())
	out.Vehicles = append(out.Vehicles, Vehicle{
		Number: w.c.number(i), Profile: profile, Region: place.Region, Reported: t.sealed.Bytes, Sent: sent, Requests: requests, Breaks: breaks,
		Seconds: elapsed.Seconds() + trips*t.wire.link.RoundTrip.Seconds(), SealSeconds: t.seal.Seconds(), Fate: fate,
	})
	out.GatewayRefusals += refused
	if out.ReportBytes == 0 && breaks == 0 {
		out.ConnectBytes = int(sent - t.sealed.Bytes)
		out.ReportBytes = t.sealed.Bytes
	}
}
