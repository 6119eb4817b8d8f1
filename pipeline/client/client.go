// Package client is a vehicle's side of a round: it clips and encodes an
// update, seals it into one report, keeps the report on disk until the store
// has all of it, and counts what the vehicle has given.
//
// Call [New] with the vehicle's state directory and identity, then
// [Client.Seal] for each round and [Client.Upload] or [Client.Deliver] until it succeeds. A report is durable, as
// ciphertext, before its first byte is sent; its secrets exist only in memory
// while it is sealed. Sending again sends the same bytes.
//
// The client trusts the privacy owner's key that it was built with and
// recomputes everything else. It depends neither on Arrow nor on an S3 client.
package client

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/state"
	"github.com/veilsum/veilsum/privacy/statistics"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// Errors of this package; others wrap those of pipeline.
var (
	// ErrFloor: the task protects less than this vehicle insists on.
	ErrFloor = errors.New("client: the task is below this vehicle's floor")
	// ErrEpoch: the vehicle has reported in this epoch or a later one.
	ErrEpoch = errors.New("client: epoch is not above the last one")
	// ErrModel: the update starts from a model that the round does not accept.
	ErrModel = errors.New("client: model is not accepted by the round")
	// ErrExamples: the task weighs updates by their examples, and the number is missing.
	ErrExamples = errors.New("client: number of examples")
	// ErrExpired: the round's keys have expired.
	ErrExpired = errors.New("client: the round has expired")
)

// Identity is what a vehicle is: its pseudonym in a BudgetScope, its enrolled
// signing key, and a secret that hedges its randomness. It prints as "[redacted]".
type Identity struct {
	ID           schema.VehicleID
	Key          ed25519.PrivateKey
	DeviceSecret [32]byte
}

// String implements fmt.Stringer.
func (Identity) String() string { return "[redacted]" }

// GoString implements fmt.GoStringer.
func (Identity) GoString() string { return "[redacted]" }

// Format implements fmt.Formatter, for every verb.
func (Identity) Format(f fmt.State, _ rune) { io.WriteString(f, "[redacted]") }

// LogValue implements slog.LogValuer.
func (Identity) LogValue() slog.Value { return slog.StringValue("[redacted]") }

// MarshalJSON implements json.Marshaler: an identity never leaves by accident.
func (Identity) MarshalJSON() ([]byte, error) { return []byte(`"[redacted]"`), nil }

// Floor is the least protection the vehicle accepts, whatever a task says.
type Floor struct {
	MinBatchSize    int     // fewest reports in a list
	NoiseMultiplier float64 // least z
	// Fields are the local values that a task of statistics may ask for; nil allows all, an empty list none.
	Fields []string
}

// Client is one vehicle. It is not safe for concurrent use.
type Client struct {
	state *state.Dir
	id    Identity
	owner schema.PublicKey
	floor Floor
	now   func() time.Time
}

// Config is everything a client is built from.
type Config struct {
	State    *state.Dir       // required; survives power cuts
	Identity Identity         // required
	Owner    schema.PublicKey // the pinned key of the privacy owner; required
	Floor    Floor
	Now      func() time.Time // default time.Now; only the expiry of keys is compared with it
}

// New checks the configuration.
func New(c Config) (*Client, error) {
	if c.State == nil || len(c.Identity.Key) != ed25519.PrivateKeySize || c.Owner.IsZero() {
		return nil, errors.New("client: state, identity key and owner key are required")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Client{state: c.State, id: c.Identity, owner: c.Owner, floor: c.Floor, now: c.Now}, nil
}

// Update is what the vehicle has computed. Values are overwritten by Seal.
type Update struct {
	Values []float32 // d values, tensors concatenated in the task's order
	// ModelHash is H("model"; bytes) of the model the update starts from.
	ModelHash schema.Digest
	// Examples is how many examples it was made from, at least 1, in a task that weighs by them (schema.Task.MaxExamples); other tasks pass over it.
	Examples int
}

// MaxLearned bounds the descriptors that [Client.Learn] reads: so many epochs back it looks.
const MaxLearned = 64

// Learn looks for the descriptor that announced a model, among those of the epochs that the round accepts, newest
// first and at most 64 of them, and remembers it: a vehicle that sealed nothing in the epoch it started from has not
// seen its descriptor. A model that none of them announced is left to SealRound, which refuses it.
func (c *Client) Learn(ctx context.Context, s storage.Store, r *pipeline.Round, model schema.Digest) error {
	h, err := c.history()
	if err != nil || model == r.Descriptor.ModelHash {
		return err
	}
	if _, err := h.checkModel(r, model); err == nil {
		return nil
	}
	for i := uint64(1); i <= MaxLearned && i <= r.Name.Epoch-r.Descriptor.OldestModel; i++ {
		n := pipeline.RoundName{Task: r.Name.Task, Epoch: r.Name.Epoch - i}
		n.Lane = schema.LaneOf(n.Task, n.Epoch, c.id.ID, r.Task.Batch.Lanes)
		old, err := pipeline.LoadDescriptor(ctx, s, r.Plan, n)
		if errors.Is(err, pipeline.ErrNotReady) {
			continue // an epoch that was left out
		}
		if err != nil {
			return err
		}
		if old.Descriptor.ModelHash == model {
			_, t := h.of(r)
			t.Models[n.Epoch] = model
			return c.save(h)
		}
	}
	return nil
}

// Seal makes this epoch's report for the vehicle's lane and puts it into the
// outbox. From then on the participation is counted on the device.
func (c *Client) Seal(ctx context.Context, s storage.Store, task schema.TaskID, epoch uint64, u Update) (*Sealed, error) {
	plan, err := pipeline.LoadTask(ctx, s, task, c.owner)
	if err != nil {
		return nil, err
	}
	if err := c.floor.Check(plan); err != nil {
		return nil, err
	}
	lane := schema.LaneOf(task, epoch, c.id.ID, plan.Task.Batch.Lanes)
	r, err := pipeline.LoadDescriptor(ctx, s, plan, pipeline.RoundName{Task: task, Epoch: epoch, Lane: lane})
	if err != nil {
		return nil, err
	}
	if err := c.Learn(ctx, s, r, u.ModelHash); err != nil {
		return nil, err
	}
	return c.SealRound(r, u)
}

// SealRound is Seal for a round that was loaded already.
func (c *Client) SealRound(r *pipeline.Round, u Update) (*Sealed, error) {
	h, err := c.history()
	if err != nil {
		return nil, err
	}
	from, err := c.admit(r, h, u.ModelHash)
	if err != nil {
		return nil, err
	}
	if r.Task.MaxExamples > 0 && u.Examples < 1 {
		return nil, fmt.Errorf("%w: %d; this task weighs updates by them", ErrExamples, u.Examples)
	}
	weigh(u.Values, r.Descriptor.StalenessWeight(from)*r.Task.ExampleWeight(u.Examples))
	return c.seal(r, h, u.Values)
}

// weigh scales an update that is late or made from few examples. It is clipped afterwards, so that the round's sensitivity is what it was, and the
// report does not tell by how much.
func weigh(values []float32, by float64) {
	if by == 1 {
		return
	}
	for i, v := range values {
		values[i] = float32(float64(v) * by)
	}
}

// Check refuses a task that protects less than this, or asks for what the vehicle does not give. The error wraps [ErrFloor].
func (f Floor) Check(p *pipeline.Plan) error {
	if p.Task.Batch.Min < f.MinBatchSize {
		return fmt.Errorf("%w: min_batch_size %d, at least %d", ErrFloor, p.Task.Batch.Min, f.MinBatchSize)
	}
	if z := float64(p.Task.Privacy.NoiseMultiplier); z < f.NoiseMultiplier {
		return fmt.Errorf("%w: noise_multiplier %g, at least %g", ErrFloor, z, f.NoiseMultiplier)
	}
	return f.asked(p)
}

// asked refuses questions about values that the vehicle does not give.
func (f Floor) asked(p *pipeline.Plan) error {
	if f.Fields == nil || p.Statistics == nil {
		return nil
	}
	for _, field := range p.Statistics.Fields() {
		if !slices.Contains(f.Fields, field) {
			return fmt.Errorf("%w: it asks for %.64q, which this vehicle does not give", ErrFloor, field)
		}
	}
	return nil
}

// Answer makes the update that answers a task of statistics from the vehicle's records; predictions
// among them are read as [statistics.Predict] says. Errors wrap [statistics.ErrValue] or [pipeline.ErrNoStatistics].
func Answer(p *pipeline.Plan, records []statistics.Record) (Update, error) {
	if p.Statistics == nil {
		return Update{}, pipeline.ErrNoStatistics
	}
	read, err := statistics.Predict(records)
	if err != nil {
		return Update{}, err
	}
	values, err := p.Statistics.Encode(read)
	return Update{Values: values, ModelHash: schema.HashModel(nil)}, err
}

// admit applies the rules of protocol section 1 that only the vehicle can
// enforce for itself: its floor, epochs that only grow, the participation
// limits, and a model it has seen announced, whose epoch it returns.
func (c *Client) admit(r *pipeline.Round, h *history, model schema.Digest) (uint64, error) {
	for _, check := range []func(*pipeline.Round) error{c.mayReport, h.admit, c.checkRelease} {
		if err := check(r); err != nil {
			return 0, err
		}
	}
	h.learnModel(r)
	return h.checkModel(r, model)
}

// mayReport checks the round by itself.
func (c *Client) mayReport(r *pipeline.Round) error {
	if err := c.floor.Check(r.Plan); err != nil {
		return err
	}
	if r.Task.Owner != c.owner {
		return fmt.Errorf("%w: the round's task is another privacy owner's", pipeline.ErrUntrusted)
	}
	if schema.LaneOf(r.Name.Task, r.Name.Epoch, c.id.ID, r.Task.Batch.Lanes) != r.Name.Lane {
		return fmt.Errorf("%w: %s is not this vehicle's lane", pipeline.ErrUntrusted, r.Name)
	}
	if now := c.now(); now.Unix() >= r.Descriptor.KeyExpiry {
		return fmt.Errorf("%w: at %s, and this vehicle's clock shows %s", ErrExpired, stamp(time.Unix(r.Descriptor.KeyExpiry, 0)), stamp(now))
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// Format implements fmt.Formatter: a client never prints its keys.
func (Client) Format(f fmt.State, _ rune) { io.WriteString(f, "[redacted]") }

// LogValue implements slog.LogValuer.
func (Client) LogValue() slog.Value { return slog.StringValue("[redacted]") }

// Format implements fmt.Formatter.
func (Config) Format(f fmt.State, _ rune) { io.WriteString(f, "[redacted]") }

// LogValue implements slog.LogValuer.
func (Config) LogValue() slog.Value { return slog.StringValue("[redacted]") }
