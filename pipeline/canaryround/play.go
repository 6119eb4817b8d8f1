package canaryround

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path/filepath"

	"github.com/veilsum/veilsum/pipeline/state"
	"github.com/veilsum/veilsum/pipeline/wholeround"
	"github.com/veilsum/veilsum/privacy"
	"github.com/veilsum/veilsum/privacy/canary"
	"github.com/veilsum/veilsum/privacy/privacybench"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// ErrConfig reports a configuration without meaning; the message names the field.
var ErrConfig = errors.New("canaryround: invalid configuration")

// Bounds of the configuration.
const (
	minCanaries = 16
	maxCanaries = 100_000
)

// Config says what to play.
type Config struct {
	// Claim is the (epsilon, delta) that one round is said to give, under zero_out. Required.
	Claim canary.Claim
	// Canaries is m: vehicles, reports, values and coordinates; 16 to 100,000. Required.
	// Time and space grow with its square.
	Canaries int
	// NoiseScale is 1, or less to see the audit fail: the task is then signed
	// with so much less noise than the claim needs. Above 0, at most 1. Required.
	NoiseScale float64
	// Progress, if not nil, hears of every step; it may be called concurrently.
	Progress func(what string, done, total int)
}

// Validate refuses configurations without meaning; the error wraps [ErrConfig].
func (c Config) Validate() error {
	switch {
	case c.Canaries < minCanaries || c.Canaries > maxCanaries:
		return fmt.Errorf("%w: Canaries is %d, want %d to %d", ErrConfig, c.Canaries, minCanaries, maxCanaries)
	case !(c.NoiseScale > 0 && c.NoiseScale <= 1):
		return fmt.Errorf("%w: NoiseScale is %g, want above 0, at most 1", ErrConfig, c.NoiseScale)
	}
	if err := c.Claim.Validate(); err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return nil
}

// Played is a round that was opened, with the coins that were kept from its roles.
type Played struct {
	Included []bool    // by coordinate
	Released []float64 // the opened sum in units of the clipping norm: 1 or 0, and noise
	// NoiseMultiplier is z of the round, and Epsilon what that gives at the
	// claim's delta: more than claimed if NoiseScale is below 1.
	NoiseMultiplier float64
	Epsilon         float64
	Task            schema.TaskID    // in the store; zero after [Config.PlayClear]
	Owner           schema.PublicKey // pins it
}

// clippingNorm is C; no result depends on it.
const clippingNorm = 1

// params are the claim as parameters: as few reports as are counted, all of
// them honest, so that the sum carries the noise that is claimed and no more.
func (c *Config) params(out *Played) (privacy.Params, error) {
	l := privacy.Literal{
		Values: c.Canaries, ClippingNorm: clippingNorm, MinBatchSize: c.Canaries, MaxBatchSize: c.Canaries,
		// The canaries are orthogonal, so their mean is at most C/sqrt(m) long.
		Kappa: 1 / math.Sqrt(float64(c.Canaries)),
	}
	z, err := privacy.NoiseMultiplierFor(l, 1, c.Claim.Epsilon, c.Claim.Delta)
	if err != nil {
		return privacy.Params{}, fmt.Errorf("%w: no noise gives epsilon %g: %w", ErrConfig, c.Claim.Epsilon, err)
	}
	l.NoiseMultiplier = z * c.NoiseScale
	p, err := privacy.New(l)
	if err != nil {
		return p, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	g, err := p.Guarantee(1, c.Claim.Delta)
	if err != nil { // next to no noise: no budget that a ledger could keep
		return p, fmt.Errorf("%w: NoiseScale is %g: %w", ErrConfig, c.NoiseScale, err)
	}
	out.NoiseMultiplier, out.Epsilon = l.NoiseMultiplier, g.Epsilon
	return p, nil
}

// Play draws the coins, records them in folder/auditor/coins.json before anything is
// sealed, plays the round in the store, and returns what was released. folder
// holds the state directories of all roles; it and the store must be new. The
// error wraps [ErrConfig] or is one of the roles'.
func (c Config) Play(ctx context.Context, s storage.Store, folder string) (*Played, error) {
	out, p, err := c.prepare()
	if err != nil {
		return nil, err
	}
	r := wholeround.Round{
		Task: c.task(p, out.Epsilon), Vehicles: c.Canaries, Progress: c.Progress,
		Update: func(i int) ([]float32, error) {
			update := make([]float32, c.Canaries)
			if out.Included[i] {
				update[i] = clippingNorm
			}
			return update, nil
		},
		Signed: func(task schema.TaskID, owner schema.PublicKey) error {
			out.Task, out.Owner = task, owner
			return Record(filepath.Join(folder, "auditor"), task, out.Included)
		},
	}
	got, err := r.Play(ctx, s, folder)
	if err != nil {
		return nil, err
	}
	mean := got.Mean
	for i := range mean {
		mean[i] *= float64(c.Canaries) / clippingNorm
	}
	out.Released = mean
	return out, nil
}

// PlayClear is Play without sealing, committee, store and ledger, see
// [privacybench.CanaryRound]: several times faster, for audits in many runs.
func (c Config) PlayClear(ctx context.Context) (*Played, error) {
	out, p, err := c.prepare()
	if err != nil {
		return nil, err
	}
	r := privacybench.CanaryRound{Params: p, Included: out.Included, Progress: func(done, total int) { c.Progress("canaries added", done, total) }}
	out.Released, err = r.Play(ctx)
	return out, err
}

func (c *Config) prepare() (*Played, privacy.Params, error) {
	if err := c.Validate(); err != nil {
		return nil, privacy.Params{}, err
	}
	if c.Progress == nil {
		c.Progress = func(string, int, int) {}
	}
	out := &Played{}
	p, err := c.params(out)
	if err != nil {
		return nil, p, err
	}
	out.Included, err = canary.Coins(c.Canaries)
	return out, p, err
}

// coins is the record of who was included.
type coins struct {
	Task     schema.TaskID `json:"task"`
	Canaries int           `json:"canaries"`
	Included string        `json:"included"` // hexadecimal, a bit a canary, lowest of the first byte first
}

// Record makes coins durable in coins.json of a new folder, for its owner only:
// call it before the first canary is sealed.
func Record(folder string, task schema.TaskID, included []bool) error {
	raw := make([]byte, (len(included)+7)/8)
	for i, in := range included {
		if in {
			raw[i/8] |= 1 << (i % 8)
		}
	}
	b, err := json.MarshalIndent(coins{task, len(included), hex.EncodeToString(raw)}, "", "  ")
	if err != nil {
		return err
	}
	dir, err := state.Open(folder)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Create("coins.json", append(b, '\n'))
}

// task is the task of the claim, without keys.
func (c *Config) task(p privacy.Params, epsilon float64) schema.Task {
	l := p.Literal()
	return schema.Task{
		Name: "canary audit",
		Scope: schema.Scope{
			Name: "canary audit", Population: "made-up vehicles of one canary audit",
			// The ledger refuses more than the budget: a task that is weak on purpose has to say so here.
			Epsilon: schema.Real(math.Max(c.Claim.Epsilon, epsilon)), Delta: schema.Real(c.Claim.Delta), Unit: "vehicle", Relation: "zero_out",
		},
		Tensors: []schema.Tensor{{Name: "canaries", DType: "float32", Shape: []int{c.Canaries}}},
		Privacy: schema.Privacy{
			TrustModel: "distributed", Mechanism: "discrete_gaussian", ClippingNorm: clippingNorm,
			NoiseMultiplier: schema.Real(l.NoiseMultiplier), Kappa: schema.Real(l.Kappa), KappaInf: 1,
		},
		Batch:         schema.Batch{Min: l.MinBatchSize, Max: l.MaxBatchSize, Lanes: 1},
		Participation: schema.Participation{Max: 1, MinSeparation: 1},
		Suite:         1,
	}
}
