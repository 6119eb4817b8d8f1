package coordinator

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/collector"
	"github.com/veilsum/veilsum/pipeline/lanes"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// Errors of a coordinator, beside those of package pipeline.
var (
	// ErrConfig: a field of Config is missing or out of range.
	ErrConfig = errors.New("coordinator: bad configuration")
	// ErrVoid: no lane of the epoch published an aggregate. The result says why, lane by lane.
	ErrVoid = errors.New("coordinator: the round is void")
)

// Config is everything a coordinator is built from.
type Config struct {
	Store storage.Store      // required
	Owner schema.PublicKey   // the pinned key of the privacy owner; required
	Task  schema.TaskID      // required
	Key   ed25519.PrivateKey // the Collector's, which the task names; required

	// Reports freezes a lane's list once so many complete reports are there. Default: the task's min_batch_size and max_dishonest
	// together, so that refused reports do not end the round; at most max_batch_size.
	Reports int
	// Deadline, counted from the opening, freezes the list with what is there, or aborts a lane with fewer than min_batch_size
	// reports, which costs nothing. Default one hour. It lies in the descriptor, so a coordinator that is restarted keeps it.
	Deadline time.Duration
	// Staleness accepts updates that started from the models of so many earlier epochs.
	Staleness uint64
	// Window is the most rounds that [Coordinator.Train] leaves unfinished at once, 1 to 64. Default 1.
	Window int
	// Poll is the time between two looks at the store while a round waits. Default one second.
	Poll time.Duration
	// Rule merges the lanes' means into one: a name that [robust.Parse] takes. Default "mean", in which each report counts alike; with malicious
	// vehicles take another, and the lanes that [robust.Choose] gives. Whoever wants a rule of their own merges Result.Lanes.
	Rule string
	// Observe is told what happens, by several goroutines one at a time; it must not block. May be nil.
	Observe func(Event)
	// Now may be nil. It decides deadlines and key expiry only; no guarantee rests on it.
	Now func() time.Time
}

const maxWindow = 64

// Coordinator opens and collects the rounds of one task. It keeps no state but the store's, and is safe for
// concurrent use: calls for one epoch do the same work twice and end in one receipt.
type Coordinator struct {
	config    Config
	plan      *pipeline.Plan
	collector *collector.Collector
	events    *events
}

// Open reads and verifies the task. ErrConfig, [pipeline.ErrKey] and [pipeline.ErrUntrusted] are final.
func Open(ctx context.Context, c Config) (*Coordinator, error) {
	if c.Store == nil || c.Owner.IsZero() || len(c.Key) != ed25519.PrivateKeySize {
		return nil, fmt.Errorf("%w: store, owner and key are required", ErrConfig)
	}
	plan, err := pipeline.LoadTask(ctx, c.Store, c.Task, c.Owner)
	if err != nil {
		return nil, err
	}
	if own := schema.NewPublicKey(c.Key); own != plan.Task.Collector {
		return nil, fmt.Errorf("%w: the task's collector is %s, this key is %s", pipeline.ErrKey, plan.Task.Collector, own)
	}
	if err := c.complete(plan.Task.Batch); err != nil {
		return nil, err
	}
	if _, err := lanes.Rule(plan, c.Rule, nil); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	col, err := collector.New(c.Key, c.Now)
	if err != nil {
		return nil, err
	}
	return &Coordinator{config: c, plan: plan, collector: col, events: &events{to: c.Observe}}, nil
}

// complete fills in defaults and checks ranges.
func (c *Config) complete(b schema.Batch) error {
	if c.Reports == 0 {
		c.Reports = min(b.Min+b.MaxDishonest, b.Max)
	}
	if c.Deadline == 0 {
		c.Deadline = time.Hour
	}
	if c.Window == 0 {
		c.Window = 1
	}
	if c.Poll == 0 {
		c.Poll = time.Second
	}
	if c.Rule == "" {
		c.Rule = "mean"
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	switch {
	case c.Reports < b.Min || c.Reports > b.Max:
		return fmt.Errorf("%w: Reports %d, the task's batches have %d to %d", ErrConfig, c.Reports, b.Min, b.Max)
	case c.Deadline < 0 || c.Poll < 0:
		return fmt.Errorf("%w: Deadline %s, Poll %s: want times above 0", ErrConfig, c.Deadline, c.Poll)
	case c.Window < 1 || c.Window > maxWindow:
		return fmt.Errorf("%w: Window %d: want 1 to %d", ErrConfig, c.Window, maxWindow)
	}
	return nil
}

// Plan returns the verified task with the parameters that follow from it.
func (c *Coordinator) Plan() *pipeline.Plan { return c.plan }

// Spent returns the guarantee that all rounds of the task's BudgetScope leave, those reserved by now included.
func (c *Coordinator) Spent(ctx context.Context) (Guarantee, error) {
	charges, err := pipeline.LoadCharges(ctx, c.config.Store, c.plan.Task.Scope, c.config.Owner)
	if err != nil {
		return Guarantee{}, err
	}
	g, err := charges.Guarantee()
	return Guarantee{Epsilon: g.Epsilon, Delta: g.Delta, Relation: string(g.Relation), Unit: g.Unit}, err
}

// Guarantee is (epsilon, delta) for one privacy unit under a neighboring relation, for the sum of all rounds.
type Guarantee struct {
	Epsilon, Delta float64
	Relation, Unit string
}

// Format implements fmt.Formatter: a coordinator never prints its key.
func (Coordinator) Format(f fmt.State, _ rune) { io.WriteString(f, "[redacted]") }

// LogValue implements slog.LogValuer.
func (Coordinator) LogValue() slog.Value { return slog.StringValue("[redacted]") }
