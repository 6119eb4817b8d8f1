package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/aggregator"
	"github.com/veilsum/veilsum/pipeline/client"
	"github.com/veilsum/veilsum/pipeline/collector"
	"github.com/veilsum/veilsum/pipeline/decryptor"
	"github.com/veilsum/veilsum/pipeline/fleetsim"
	"github.com/veilsum/veilsum/privacy"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// demoRound is what is known of a round when it is over.
type demoRound struct {
	number    int // from 1
	accuracy  float64
	plain     float64
	epsilon   float64 // spent by all rounds so far
	delta     float64
	fates     []fleetsim.Fate
	inList    map[schema.ReportID]bool
	reports   []*client.Sealed // of each vehicle; nil if it sealed nothing
	bytes     int64            // of one report, the mean
	noise     float64          // standard deviation in one value of the mean
	rms       float64          // of the opened mean
	clip      float64          // the round's clipping norm
	silent    int              // the decryptor that is silent, or -1
	receipt   schema.Receipt
	receiptID schema.Digest
	file      string // the aggregate below --out
	seconds   float64
}

// round plays round number, counted from 0, from opening to receipt.
func (d *demoRun) round(ctx context.Context, number int) error {
	started := time.Now()
	r := demoRound{
		number: number + 1, fates: d.fleet.Plan(d.flags.seed, number), reports: make([]*client.Sealed, d.fleet.Vehicles()+d.flags.canaries),
		plain: d.plain[number], silent: silentDecryptor(number),
	}
	opened, err := d.open(ctx, &r)
	if err != nil {
		return err
	}
	if err := d.drive(ctx, opened, &r); err != nil {
		return err
	}
	candidates, _, err := d.world.collector.Close(ctx, d.store, opened)
	if err != nil {
		return err
	}
	if err := d.arriveLate(ctx, &r); err != nil {
		return err
	}
	if err := d.reachList(ctx, opened, &r, candidates); err != nil {
		return err
	}
	if err := d.collect(ctx, opened, &r); err != nil {
		return err
	}
	if err := d.learn(ctx, opened, &r); err != nil {
		return err
	}
	r.seconds = time.Since(started).Seconds()
	d.rounds = append(d.rounds, r)
	d.app.out.Event("round", d.roundLine(&r))
	return nil
}

// silentDecryptor names the decryptor that does nothing in a round, in every
// second one another: three of four are enough.
func silentDecryptor(number int) int {
	if number%2 == 0 {
		return -1
	}
	return number / 2 % demoCommittee.Size
}

// open opens a round that starts from the released model.
func (d *demoRun) open(ctx context.Context, r *demoRound) (*pipeline.Round, error) {
	if d.released == nil {
		if err := d.release(ctx, nil); err != nil {
			return nil, err
		}
	}
	return d.world.collector.Open(ctx, d.store, d.world.plan, collector.Opening{
		Name:    pipeline.RoundName{Task: d.world.task, Epoch: uint64(r.number)},
		Release: d.released.Release.Serial, OldestModel: uint64(r.number), Snapshot: d.world.snapshot,
		Deadline: time.Now().Add(time.Hour),
	})
}

// drive lets every vehicle do what its fate says until the list is closed.
func (d *demoRun) drive(ctx context.Context, opened *pipeline.Round, r *demoRound) error {
	what, n := fmt.Sprintf("round %d: vehicles", r.number), len(r.reports)
	var done atomic.Int64
	return pipeline.ForEach(ctx, n, func(ctx context.Context, _, i int) error {
		var err error
		if v := d.fleet.Vehicles(); i < v {
			err = d.vehicle(ctx, opened.Name, i, r)
		} else {
			err = d.canaryVehicle(ctx, opened.Name, i-v, r)
		}
		d.app.out.Progress(what, done.Add(1), int64(n))
		if err != nil {
			return fmt.Errorf("vehicle %d: %w", i, err)
		}
		return nil
	})
}

// vehicle is one vehicle's part. It knows its own rows, the store and the
// privacy owner's key; round and model it reads and verifies. The task, the same
// for all rounds, was verified once.
func (d *demoRun) vehicle(ctx context.Context, name pipeline.RoundName, i int, r *demoRound) error {
	fate := r.fates[i]
	if fate == fleetsim.GoneBeforeSealing {
		return nil
	}
	c, stop, err := d.world.client(i)
	if err != nil {
		return err
	}
	defer stop()
	// What broke off in an earlier round came too late for it.
	if err := c.Discard(func(n pipeline.RoundName) bool { return n.Epoch < name.Epoch }); err != nil {
		return err
	}
	round, err := pipeline.LoadDescriptor(ctx, d.store, d.world.plan, name)
	if err != nil {
		return err
	}
	update, err := d.train(ctx, round, i)
	if err != nil {
		return err
	}
	sealed, err := c.SealRound(round, update)
	if err != nil {
		return err
	}
	r.reports[i] = sealed
	return upload(ctx, d.store, c, sealed, fate)
}

// train computes an update on the model that the round's descriptor announces.
func (d *demoRun) train(ctx context.Context, round *pipeline.Round, i int) (client.Update, error) {
	hash := round.Descriptor.ModelHash
	raw, err := storage.ReadAll(ctx, d.store, pipeline.ModelKey(round.Name.Task, hash), int64(4*d.fleet.Dimension()))
	if err != nil {
		return client.Update{}, err
	}
	if schema.HashModel(raw) != hash {
		return client.Update{}, fmt.Errorf("%w: model %s has another hash", pipeline.ErrUntrusted, hash.Short())
	}
	values, err := d.fleet.LocalUpdate(fleetsim.DecodeModel(raw), i)
	return client.Update{Values: values, ModelHash: hash}, err
}

// errLinkLost is how an upload ends when the vehicle drives into a tunnel.
var errLinkLost = errors.New("the link is lost")

// brokenLink is a store that a vehicle loses before the last object of its report.
type brokenLink struct{ storage.Store }

// PutOnce implements storage.Store.
func (b brokenLink) PutOnce(ctx context.Context, key string, content []byte) (storage.Outcome, error) {
	if strings.HasSuffix(key, "/header") {
		return 0, errLinkLost
	}
	return b.Store.PutOnce(ctx, key, content)
}

func upload(ctx context.Context, s storage.Store, c *client.Client, sealed *client.Sealed, fate fleetsim.Fate) error {
	if fate == fleetsim.Late {
		return nil // the report waits in the outbox
	}
	if fate == fleetsim.GoneMidUpload {
		s = brokenLink{s}
	}
	_, err := c.Upload(ctx, s, sealed.File(), nil)
	if fate == fleetsim.GoneMidUpload && errors.Is(err, errLinkLost) {
		return nil
	}
	return err
}

// arriveLate uploads the reports that miss the list.
func (d *demoRun) arriveLate(ctx context.Context, r *demoRound) error {
	return pipeline.ForEach(ctx, len(r.fates), func(ctx context.Context, _, i int) error {
		if r.fates[i] != fleetsim.Late {
			return nil
		}
		c, stop, err := d.world.client(i)
		if err != nil {
			return err
		}
		defer stop()
		_, err = c.Upload(ctx, d.store, r.reports[i].File(), nil)
		return err
	})
}

// reachList has the candidates checked and one list proposed.
func (d *demoRun) reachList(ctx context.Context, opened *pipeline.Round, r *demoRound, candidates schema.Digest) error {
	what := fmt.Sprintf("round %d: checks", r.number)
	err := d.committee(r, func(m *decryptor.Decryptor) error {
		_, err := m.Check(ctx, d.store, opened, candidates, decryptor.Progress(d.app.progress(what)))
		return err
	})
	if err != nil {
		return err
	}
	proposal, err := d.world.collector.Propose(ctx, d.store, opened, candidates)
	if err != nil {
		return err
	}
	manifest, err := pipeline.LoadManifest(ctx, d.store, opened, proposal.Manifest)
	if err != nil {
		return err
	}
	r.inList = map[schema.ReportID]bool{}
	for _, id := range manifest.Reports {
		r.inList[id] = true
	}
	return nil
}

// committee runs a step on all decryptors but the silent one.
func (d *demoRun) committee(r *demoRound, step func(*decryptor.Decryptor) error) error {
	var g errgroup.Group
	for k, m := range d.world.decryptors {
		if k == r.silent {
			continue
		}
		g.Go(func() error {
			if err := step(m); err != nil {
				return fmt.Errorf("decryptor %d: %w", k, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// collect adds the reports region by region, has the committee vote and
// answer, and opens the sum.
func (d *demoRun) collect(ctx context.Context, opened *pipeline.Round, r *demoRound) error {
	if err := d.merge(ctx, opened, r); err != nil {
		return err
	}
	if err := d.committee(r, func(m *decryptor.Decryptor) error {
		_, err := m.Vote(ctx, d.store, opened)
		return err
	}); err != nil {
		return err
	}
	if err := d.committee(r, func(m *decryptor.Decryptor) error {
		_, err := m.Answer(ctx, d.store, opened, nil)
		return err
	}); err != nil {
		return err
	}
	_, err := d.world.collector.Collect(ctx, d.store, opened, nil)
	return err
}

// merge lets each regional aggregator add the reports that its vehicles sent
// and the list names, and the root merge the partial sums.
func (d *demoRun) merge(ctx context.Context, opened *pipeline.Round, r *demoRound) error {
	parts := make([]*aggregator.PartialSum, d.fleet.Config().Regions)
	for region := range parts {
		var ids []schema.ReportID
		for i, s := range r.reports {
			if s != nil && d.fleet.Region(i) == region && r.inList[s.Report] {
				ids = append(ids, s.Report)
			}
		}
		sum, err := aggregator.Sum(ctx, d.store, opened, ids, nil)
		if err != nil {
			return err
		}
		hash, err := aggregator.Store(ctx, d.store, opened, &sum.PartialSum)
		if err != nil {
			return err
		}
		if parts[region], err = aggregator.Load(ctx, d.store, opened, hash); err != nil { // as the root reads it
			return err
		}
	}
	root, err := aggregator.Merge(opened, parts...)
	if err != nil {
		return err
	}
	_, err = aggregator.Store(ctx, d.store, opened, root)
	return err
}

// learn reads the published aggregate back, as anybody may, and moves the model.
func (d *demoRun) learn(ctx context.Context, opened *pipeline.Round, r *demoRound) error {
	var err error
	if r.receipt, err = pipeline.LoadReceipt(ctx, d.store, opened); err != nil {
		return err
	}
	raw, err := storage.ReadAll(ctx, d.store, pipeline.ReceiptKey(opened.Name), schema.MaxObject)
	if err != nil {
		return err
	}
	signed, err := schema.Decode[schema.Receipt](raw)
	if err != nil {
		return err
	}
	r.receiptID = signed.ID()
	if r.receipt.Status == schema.StatusCommitted {
		if err := d.apply(ctx, opened, r); err != nil {
			return err
		}
		if err := d.release(ctx, []pipeline.RoundName{opened.Name}); err != nil {
			return err
		}
	}
	r.accuracy, r.bytes = d.trainer.Accuracy(), meanBytes(r.reports)
	charges, err := pipeline.LoadCharges(ctx, d.store, d.world.plan.Task.Scope, d.world.owner)
	if err != nil {
		return err
	}
	g, err := charges.Guarantee()
	r.epsilon, r.delta = g.Epsilon, g.Delta
	return err
}

func (d *demoRun) apply(ctx context.Context, opened *pipeline.Round, r *demoRound) error {
	aggregate, raw, err := collector.Published(ctx, d.store, opened, r.receipt)
	if err != nil {
		return err
	}
	encoder, err := privacy.NewEncoder(opened.Privacy, opened.ID.Digest)
	if err != nil {
		return err
	}
	r.noise, r.clip = encoder.NoiseStdDev(r.receipt.Reports), opened.Privacy.ClippingNorm()
	for _, v := range aggregate.Values {
		r.rms += v * v / float64(len(aggregate.Values))
	}
	r.rms = math.Sqrt(r.rms)
	r.file = filepath.Join(d.flags.out, "aggregates", fmt.Sprintf("round-%03d.arrow", r.number))
	if err := writeFile(r.file, raw, 0o644, false); err != nil {
		return err
	}
	if err := d.score(aggregate.Values, r); err != nil {
		return err
	}
	return d.trainer.Apply(d.vehiclesOnly(aggregate.Values, r))
}

// meanBytes is what a vehicle that sealed a report has to send.
func meanBytes(reports []*client.Sealed) int64 {
	var sum, n int64
	for _, s := range reports {
		if s != nil {
			sum, n = sum+s.Bytes, n+1
		}
	}
	if n == 0 {
		return 0
	}
	return sum / n
}
