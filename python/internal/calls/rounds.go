package calls

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/aggregator"
	"github.com/veilsum/veilsum/pipeline/client"
	"github.com/veilsum/veilsum/pipeline/collector"
	"github.com/veilsum/veilsum/pipeline/courier"
	"github.com/veilsum/veilsum/schema"
)

// round is a verified round of a task. Of a bundle it has no snapshot, and can only merge sums.
type round struct {
	*task
	*pipeline.Round
}

func openCollector(c *call, q path) (any, error) {
	key, err := readKey(q.Path)
	if err != nil {
		return nil, err
	}
	x, err := collector.New(key, nil)
	if err != nil {
		return nil, err
	}
	h, err := c.keep(x)
	return map[string]any{"handle": h, "public_key": schema.NewPublicKey(key)}, err
}

type roundAnswer struct {
	Handle    int64          `json:"handle"`
	RoundID   schema.RoundID `json:"round_id"`
	Epoch     uint64         `json:"epoch"`
	Lane      uint32         `json:"lane"`
	ModelHash schema.Digest  `json:"model_hash"`
	KeyExpiry int64          `json:"key_expiry"`
	Norm      float64        `json:"clipping_norm"`
}

func (c *call) keepRound(t *task, r *pipeline.Round) (any, error) {
	h, err := c.keep(&round{t, r})
	return roundAnswer{h, r.ID, r.Name.Epoch, r.Name.Lane, r.Descriptor.ModelHash, r.Descriptor.KeyExpiry, r.Privacy.ClippingNorm()}, err
}

// openRound opens a round with the newest snapshot; the only buffer, if any, is the model.
func openRound(c *call, q struct {
	Collector int64   `json:"collector"`
	Task      int64   `json:"task"`
	Epoch     uint64  `json:"epoch"`
	Lane      uint32  `json:"lane"`
	Oldest    uint64  `json:"oldest_model"`
	Staleness string  `json:"staleness"`
	Deadline  float64 `json:"deadline"` // seconds from now, advice to clients
},
) (any, error) {
	x, err := get[*collector.Collector](c.Library, q.Collector)
	if err != nil {
		return nil, err
	}
	t, err := get[*task](c.Library, q.Task)
	if err != nil {
		return nil, err
	}
	snap, err := pipeline.NewestSnapshot(c, t.store, t.plan)
	if err != nil {
		return nil, err
	}
	o := collector.Opening{Name: pipeline.RoundName{Task: t.id, Epoch: q.Epoch, Lane: q.Lane}, OldestModel: q.Oldest, Staleness: q.Staleness, Snapshot: snap.Root()}
	if q.Oldest == 0 {
		o.OldestModel = q.Epoch
	}
	if !(q.Deadline >= 0 && q.Deadline < 1e9) {
		return nil, mistake("deadline: %g seconds", q.Deadline)
	}
	o.Deadline = time.Now().Add(time.Duration(q.Deadline * float64(time.Second)))
	if len(c.bodies) > 0 {
		if o.Model, err = c.one("the model"); err != nil {
			return nil, err
		}
	}
	r, err := x.Open(c, t.store, t.plan, o)
	if err != nil {
		return nil, err
	}
	return c.keepRound(t, r)
}

// loadRound loads an open round; a bundle's comes without the snapshot.
func loadRound(c *call, q struct {
	Task     int64  `json:"task"`
	Epoch    uint64 `json:"epoch"`
	Lane     uint32 `json:"lane"`
	Snapshot bool   `json:"snapshot"`
},
) (any, error) {
	t, err := get[*task](c.Library, q.Task)
	if err != nil {
		return nil, err
	}
	load := pipeline.LoadDescriptor
	if q.Snapshot {
		load = pipeline.LoadRound
	}
	r, err := load(c, t.store, t.plan, pipeline.RoundName{Task: t.id, Epoch: q.Epoch, Lane: q.Lane})
	if err != nil {
		return nil, err
	}
	return c.keepRound(t, r)
}

type roundRequest struct {
	Round int64 `json:"round"`
}

// whole returns a round with its snapshot.
func (c *call) whole(h int64) (*round, error) {
	r, err := get[*round](c.Library, h)
	if err == nil && r.Snapshot == nil {
		err = mistake("this round is a bundle's: it knows no client's key and has no store")
	}
	return r, err
}

// addReport puts a report that a client sealed from a bundle into the store.
func addReport(c *call, q roundRequest) (any, error) {
	r, err := c.whole(q.Round)
	if err != nil {
		return nil, err
	}
	raw, err := c.one("a report")
	if err != nil {
		return nil, err
	}
	a, err := courier.Add(c, r.store, r.Round, bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		return nil, err
	}
	return struct {
		Report  schema.ReportID  `json:"report_id"`
		Vehicle schema.VehicleID `json:"client_id"`
		Fate    client.Fate      `json:"fate"`
	}{a.Report, a.Vehicle, a.Fate}, nil
}

type sumAnswer struct {
	Reports []schema.ReportID `json:"reports"`
	Refused []schema.Refusal  `json:"refused"`
}

// sumReports adds reports of the store, all or the named ones, and answers with the partial sum.
func sumReports(c *call, q struct {
	Round   int64    `json:"round"`
	Reports []string `json:"reports"` // null is all
},
) (any, error) {
	r, err := c.whole(q.Round)
	if err != nil {
		return nil, err
	}
	ids, err := parseDigests(q.Reports)
	if q.Reports == nil {
		ids, err = pipeline.ListReports(c, r.store, r.Name)
	}
	if err != nil {
		return nil, err
	}
	res, err := aggregator.Sum(c, r.store, r.Round, ids, nil)
	if err != nil {
		return nil, err
	}
	return sumAnswer{res.Reports, append([]schema.Refusal{}, res.Refused...)}, c.partial(r, &res.PartialSum)
}

func (c *call) partial(r *round, p *aggregator.PartialSum) error {
	raw, _, err := p.Encode(r.Round)
	if errors.Is(err, aggregator.ErrEmpty) {
		return fmt.Errorf("%w: no report can be added", pipeline.ErrTooFew)
	}
	if err != nil {
		return err
	}
	return c.reply(raw)
}

// mergeSums adds partial sums of disjoint lists. It needs no store.
func mergeSums(c *call, q roundRequest) (any, error) {
	r, err := get[*round](c.Library, q.Round)
	if err != nil {
		return nil, err
	}
	all := &aggregator.PartialSum{}
	for i, raw := range c.bodies {
		p, err := aggregator.Decode(r.Round, raw)
		if err != nil {
			return nil, fmt.Errorf("partial sum %d: %w", i, err)
		}
		if i == 0 {
			all = p
		} else if all, err = aggregator.Merge(r.Round, all, p); err != nil {
			return nil, caller{err}
		}
	}
	return sumAnswer{all.Reports, []schema.Refusal{}}, c.partial(r, all)
}

// putSum stores a partial sum for the collector, who uses it if it fits.
func putSum(c *call, q roundRequest) (any, error) {
	r, err := c.whole(q.Round)
	if err != nil {
		return nil, err
	}
	raw, err := c.one("a partial sum")
	if err != nil {
		return nil, err
	}
	p, err := aggregator.Decode(r.Round, raw)
	if err != nil {
		return nil, err
	}
	id, err := aggregator.Store(c, r.store, r.Round, p)
	return map[string]any{"sha256": id, "reports": len(p.Reports)}, err
}

type stepRequest struct {
	Collector int64  `json:"collector"`
	Round     int64  `json:"round"`
	Reason    string `json:"reason"`
}

func (c *call) step(q stepRequest) (*collector.Collector, *round, error) {
	x, err := get[*collector.Collector](c.Library, q.Collector)
	if err != nil {
		return nil, nil, err
	}
	r, err := c.whole(q.Round)
	return x, r, err
}

func closeRound(c *call, q stepRequest) (any, error) {
	x, r, err := c.step(q)
	if err != nil {
		return nil, err
	}
	id, n, err := x.Close(c, r.store, r.Round)
	return map[string]any{"candidates": id, "reports": n}, err
}

func propose(c *call, q stepRequest) (any, error) {
	x, r, err := c.step(q)
	if err != nil {
		return nil, err
	}
	if err := pipeline.Ended(c, r.store, r.Round); err != nil {
		return nil, err
	}
	id, n, err := pipeline.FrozenCandidates(c, r.store, r.Round)
	if err == nil && n == 0 {
		err = fmt.Errorf("%w: no list is frozen: close the round first", pipeline.ErrNotReady)
	}
	if err != nil {
		return nil, err
	}
	p, err := x.Propose(c, r.store, r.Round, id)
	if err != nil {
		return nil, err
	}
	return map[string]any{"manifest": p.Manifest, "reports": p.Reports, "refused": append([]schema.Refusal{}, p.Refused...)}, nil
}

// collect opens the sum and answers as [result] does.
func collect(c *call, q stepRequest) (any, error) {
	x, r, err := c.step(q)
	if err != nil {
		return nil, err
	}
	got, err := x.Collect(c, r.store, r.Round, nil)
	if err != nil {
		return nil, err
	}
	return c.aggregate(r, got.Receipt)
}

func abort(c *call, q stepRequest) (any, error) {
	x, r, err := c.step(q)
	if err != nil {
		return nil, err
	}
	got, err := x.Abort(c, r.store, r.Round, q.Reason)
	if errors.Is(err, pipeline.ErrEnded) && got.Receipt.Status == schema.StatusVoid {
		err = nil // aborted before: the same outcome
	}
	if err != nil {
		return nil, err
	}
	return got.Receipt, nil
}
