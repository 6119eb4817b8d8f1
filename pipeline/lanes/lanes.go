// Package lanes joins what the lanes of an epoch opened into one mean.
//
// Lanes keep a batch near [GoodBatch] reports whatever the size of the fleet: each has a round, a list and a receipt of
// its own, over vehicles that no other lane has, so that the epoch costs what one round costs. [Load] reads what they opened,
// [Merge] makes one mean of it by a rule of package robust. Merging is post-processing of published means: it needs no key, costs no
// budget, and anybody can repeat it.
package lanes

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/collector"
	"github.com/veilsum/veilsum/pipeline/robust"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/schema/arrowipc"
	"github.com/veilsum/veilsum/storage"
)

// Lane is what one lane of an epoch opened.
type Lane struct {
	Number  uint32
	Round   schema.RoundID
	Reports int       // in the mean, above 0
	Mean    []float64 // tensors concatenated, in the units of the update
	// NoiseStdDev is the standard deviation of the noise in each value of Mean.
	NoiseStdDev  float64
	ClippingNorm float64 // of the round
	Epsilon      string  // of the epoch, as the lane's aggregate states it, with Delta
	Delta        string
}

// Merged is the mean of an epoch.
type Merged struct {
	Mean    []float64
	Reports int // in it
	// NoiseStdDev is the standard deviation of the noise in each value of the mean over these reports; a median carries up to a quarter more.
	NoiseStdDev float64
	Used        []uint32 // the lanes that counted, by number
	Rejected    []Rejection
}

// Rejection says why the rule left a lane out.
type Rejection struct {
	Lane   uint32 `json:"lane"`
	Reason string `json:"reason"`
}

// Combine makes one mean of the lanes' means, which must be what [Check] takes. It is a pure function: the same lanes give the same.
// If the rule rejects all lanes, the error comes with the rejections.
func Combine(all []Lane, rule robust.Rule) (Merged, error) {
	if err := Check(all); err != nil {
		return Merged{}, err
	}
	opened := make([]robust.Lane, len(all))
	for i, l := range all {
		opened[i] = robust.Lane{Reports: l.Reports, Mean: l.Mean, StdDev: l.NoiseStdDev}
	}
	m, err := rule(opened)
	if m == nil {
		return Merged{}, err
	}
	out := Merged{Mean: m.Mean}
	for _, r := range m.Rejected {
		out.Rejected = append(out.Rejected, Rejection{all[r.Lane].Number, r.Reason})
	}
	for _, i := range m.Used {
		out.Used, out.Reports = append(out.Used, all[i].Number), out.Reports+all[i].Reports
	}
	if err == nil {
		out.NoiseStdDev = robust.NoiseStdDev(opened, m.Used)
	}
	return out, err
}

// Rule reads the name of a rule for lanes of this task; see [robust.Parse]. The gate knows how long an honest mean is only where vehicles send
// all values: not in a task that compresses.
func Rule(p *pipeline.Plan, name string, all []Lane) (robust.Rule, error) {
	if p.Task.Compression != nil && strings.HasPrefix(name, "gate+") {
		return nil, fmt.Errorf("%w: the task compresses, so no norm bounds an honest mean; take a rule without the gate", robust.ErrRule)
	}
	norm := p.Privacy.ClippingNorm()
	for _, l := range all { // of adaptive tasks
		norm = max(norm, l.ClippingNorm)
	}
	return robust.Parse(name, norm)
}

// ErrLanes: these are no lanes of one epoch.
var ErrLanes = errors.New("lanes: they cannot be merged")

// Check refuses what no merger takes: no lanes, means of different lengths, an empty lane, or one twice.
func Check(all []Lane) error {
	if len(all) == 0 {
		return fmt.Errorf("%w: there are none", ErrLanes)
	}
	for i, l := range all {
		switch {
		case len(l.Mean) != len(all[0].Mean):
			return fmt.Errorf("%w: lane %d has %d values, lane %d has %d", ErrLanes, l.Number, len(l.Mean), all[0].Number, len(all[0].Mean))
		case l.Reports < 1:
			return fmt.Errorf("%w: lane %d has no reports", ErrLanes, l.Number)
		case i > 0 && all[i-1].Number >= l.Number:
			return fmt.Errorf("%w: lane %d is out of order", ErrLanes, l.Number)
		}
	}
	return nil
}

// Epoch is what the lanes of an epoch have come to.
type Epoch struct {
	Lanes []Lane // committed, sorted by number
	Void  []uint32
	Open  []uint32 // without a receipt, or not opened at all
}

// Load reads what every lane of an epoch opened: verified receipts, and the aggregates that they name. Lanes that started from different
// models cannot be merged: ErrLanes.
func Load(ctx context.Context, s storage.Store, p *pipeline.Plan, task schema.TaskID, epoch uint64) (*Epoch, error) {
	e := &Epoch{}
	var model schema.Digest
	for number := range uint32(p.Task.Batch.Lanes) {
		r, err := pipeline.LoadDescriptor(ctx, s, p, pipeline.RoundName{Task: task, Epoch: epoch, Lane: number})
		if errors.Is(err, storage.ErrNotExist) {
			e.Open = append(e.Open, number)
			continue
		}
		if err != nil {
			return nil, err
		}
		rec, err := pipeline.LoadReceipt(ctx, s, r)
		switch {
		case errors.Is(err, storage.ErrNotExist):
			e.Open = append(e.Open, number)
			continue
		case err != nil:
			return nil, err
		case rec.Status != schema.StatusCommitted:
			e.Void = append(e.Void, number)
			continue
		}
		if len(e.Lanes) > 0 && r.Descriptor.ModelHash != model {
			return nil, fmt.Errorf("%w: lane %d started from another model than lane %d", ErrLanes, number, e.Lanes[0].Number)
		}
		model = r.Descriptor.ModelHash
		l, err := Read(ctx, s, r, rec)
		if err != nil {
			return nil, err
		}
		e.Lanes = append(e.Lanes, l)
	}
	return e, nil
}

// Read reads the aggregate that a committed receipt names, by its hash.
func Read(ctx context.Context, s storage.Store, r *pipeline.Round, rec schema.Receipt) (Lane, error) {
	a, _, err := collector.Published(ctx, s, r, rec)
	if err != nil {
		return Lane{}, err
	}
	noise, err := strconv.ParseFloat(a.Meta[arrowipc.MetaNoiseStdDev], 64)
	if err != nil || !(noise >= 0) || a.Meta[arrowipc.MetaReportCount] != strconv.Itoa(rec.Reports) {
		return Lane{}, fmt.Errorf("%w: %s: its metadata is not that of its round", pipeline.ErrUntrusted, pipeline.AggregateKey(r.Name, rec.Aggregate))
	}
	return Lane{
		Number: r.Name.Lane, Round: r.ID, Reports: rec.Reports, Mean: a.Values, NoiseStdDev: noise, ClippingNorm: r.Privacy.ClippingNorm(),
		Epsilon: a.Meta[arrowipc.MetaEpsilon], Delta: a.Meta[arrowipc.MetaDelta],
	}, nil
}

// Merge applies the rule of this name to an epoch's committed lanes and returns the mean with an Arrow file of it. The file depends on nothing
// but the lanes and the rule; it names the rule, how many lanes counted and how many there are, so that half an epoch cannot pass for the whole, and, by one hash, which rounds the rule was given.
func Merge(p *pipeline.Plan, task schema.TaskID, epoch uint64, all []Lane, name string) (Merged, []byte, error) {
	rule, err := Rule(p, name, all)
	if err != nil {
		return Merged{}, nil, err
	}
	m, err := Combine(all, rule)
	if err != nil {
		return m, nil, err
	}
	rounds := make([][]byte, 0, len(all))
	for _, l := range all {
		rounds = append(rounds, slices.Clone(l.Round.Digest[:]))
	}
	file, err := arrowipc.EncodeAggregate(p.Task.Tensors, m.Mean, map[string]string{
		arrowipc.MetaTaskID: task.String(), arrowipc.MetaReportCount: strconv.Itoa(m.Reports), arrowipc.MetaReduction: "mean",
		arrowipc.MetaNoiseStdDev: strconv.FormatFloat(m.NoiseStdDev, 'g', -1, 64), arrowipc.MetaEpsilon: all[0].Epsilon, arrowipc.MetaDelta: all[0].Delta,
		arrowipc.MetaRelation: p.Task.Scope.Relation, arrowipc.MetaUnit: p.Task.Scope.Unit, arrowipc.MetaProducer: "veilsum",
		arrowipc.MetaEpoch: strconv.FormatUint(epoch, 10), arrowipc.MetaLanes: strconv.Itoa(len(m.Used)), arrowipc.MetaMerger: name,
		arrowipc.MetaTaskLanes: strconv.Itoa(p.Task.Batch.Lanes), arrowipc.MetaRoundsHash: schema.Hash("merged-rounds", rounds...).String(),
	})
	return m, file, err
}
