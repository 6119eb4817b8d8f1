package collector

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/aggregator"
	"github.com/veilsum/veilsum/pipeline/region"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/secagg/committee"
	"github.com/veilsum/veilsum/storage"
)

// Collected is the outcome of a round.
type Collected struct {
	Receipt schema.Receipt
	// Mean is the decoded mean, tensors concatenated; nil if the receipt was there already or the round is void.
	Mean []float64
	// Regions are those that lied about their sum, or do not show the pieces of their reports; looked for only if
	// the sum did not open.
	Regions []region.Finding
}

// Collect opens the sum over the certified list and publishes aggregate and
// receipt, and then settles the reservation in the ledger. If the round has a receipt, that is the result, and the
// ledger is made to say so. A round whose sum can never be opened, or carries too little noise, ends
// void, and stays charged.
func (c *Collector) Collect(ctx context.Context, s storage.Store, r *pipeline.Round, progress aggregator.Progress) (*Collected, error) {
	if err := c.authorized(r.Plan); err != nil {
		return nil, err
	}
	if old, err := pipeline.LoadReceipt(ctx, s, r); err == nil {
		return &Collected{Receipt: old}, c.settle(ctx, s, r)
	} else if !errors.Is(err, storage.ErrNotExist) {
		return nil, err
	}
	cert, err := certified(ctx, s, r)
	if err != nil {
		return nil, err
	}
	l, err := r.OpenLedger(ctx, s, nil)
	if err != nil {
		return nil, err
	}
	charge, err := l.Find(r, cert.id)
	if err != nil {
		return nil, err
	}
	cert.index = charge.Index
	sum, err := c.summed(ctx, s, r, cert.manifest.Reports, progress)
	if err != nil {
		return nil, err
	}
	x, res, err := openSum(r, cert, sum)
	var found []region.Finding
	if errors.Is(err, committee.ErrNotOpened) || errors.Is(err, committee.ErrWitness) {
		// Before a round is given up, only its reports count: partial sums are not signed, and a region's may be a lie.
		again, lied, e := c.fromReports(ctx, s, r, cert.manifest.Reports, progress)
		if found = lied; e == nil {
			sum = again
			x, res, err = openSum(r, cert, sum)
		}
		if hidden := hiding(found); err != nil && hidden != nil {
			return &Collected{Regions: found}, fmt.Errorf("%w: the sum does not open, and the pieces of a region's reports cannot be had: %w", pipeline.ErrNotReady, hidden)
		}
	}
	got, err := c.conclude(ctx, s, r, cert, sum, x, res, err)
	if got != nil {
		got.Regions = found
	}
	if err != nil {
		return got, err
	}
	return got, l.End(ctx, c.key, r)
}

// settle makes the ledger say how the round ended.
func (c *Collector) settle(ctx context.Context, s storage.Store, r *pipeline.Round) error {
	l, err := r.OpenLedger(ctx, s, nil)
	if err != nil {
		return err
	}
	return l.End(ctx, c.key, r)
}

// certificate is what t votes agreed on, with all valid answers to it.
type certificate struct {
	id         schema.ManifestID
	checkpoint schema.Digest
	index      int64 // of the reservation's entry in the ledger
	manifest   schema.Manifest
	votes      map[int]schema.Signed[schema.Vote]
	answers    map[int]schema.Signed[schema.Answer]
}

func certified(ctx context.Context, s storage.Store, r *pipeline.Round) (*certificate, error) {
	votes, err := pipeline.LoadVotes(ctx, s, r)
	if err != nil {
		return nil, err
	}
	cert := &certificate{votes: votes}
	if cert.id, cert.checkpoint, err = pipeline.Certified(r, votes); err != nil {
		return nil, err
	}
	if cert.manifest, err = pipeline.LoadManifest(ctx, s, r, cert.id); err != nil {
		return nil, err
	}
	if cert.answers, err = pipeline.LoadAnswers(ctx, s, r, cert.id); err != nil {
		return nil, err
	}
	if n, t := len(cert.answers), r.Task.Committee.Threshold; n < t {
		return nil, fmt.Errorf("%w: %d answers, %d are needed", pipeline.ErrDecryptors, n, t)
	}
	return cert, nil
}

func openSum(r *pipeline.Round, cert *certificate, sum *aggregator.PartialSum) ([]int32, committee.Result, error) {
	var answers []committee.Answer
	for k := range r.Task.Committee.Size {
		if a, ok := cert.answers[k]; ok {
			answers = append(answers, committee.Answer{Index: k, Shares: a.Body.Shares})
		}
	}
	x := make([]int32, 0, r.Secagg.Values())
	res, err := committee.Open(r.Secagg, r.ID.Digest, len(cert.manifest.Reports), r.Task.Batch.MaxDishonest, sum.Sum, answers, func(j int, block []int32) error {
		x = append(x[:min(len(x), j*r.Secagg.N())], block...)
		return nil
	})
	return x, res, err
}

// conclude publishes an opened sum, ends the round void, or says what it waits for.
func (c *Collector) conclude(ctx context.Context, s storage.Store, r *pipeline.Round, cert *certificate, sum *aggregator.PartialSum, x []int32, res committee.Result, err error) (*Collected, error) {
	switch {
	case err == nil:
		return c.publish(ctx, s, r, cert, sum, x[:r.Secagg.Values()], res)
	case errors.Is(err, committee.ErrWitness):
		return c.void(ctx, s, r, cert, "the opened sum carries too little noise")
	case errors.Is(err, committee.ErrNotOpened) && c.final(r, cert):
		return c.void(ctx, s, r, cert, "no set of answers opens the sum")
	case errors.Is(err, committee.ErrNotOpened) || errors.Is(err, committee.ErrAnswers):
		return nil, fmt.Errorf("%w: %d answers do not open the sum; more may: %w", pipeline.ErrDecryptors, len(cert.answers), err)
	}
	return nil, err
}

// final tells that no further answer can come.
func (c *Collector) final(r *pipeline.Round, cert *certificate) bool {
	return len(cert.answers) == r.Task.Committee.Size || c.now().Unix() >= r.Descriptor.KeyExpiry
}

func (c *Collector) publish(ctx context.Context, s storage.Store, r *pipeline.Round, cert *certificate, sum *aggregator.PartialSum, x []int32, res committee.Result) (*Collected, error) {
	opened, file, err := Aggregate(r, x, len(cert.manifest.Reports), cert.index)
	if err != nil {
		return nil, err
	}
	partial, err := aggregator.Store(ctx, s, r, sum)
	if err != nil {
		return nil, err
	}
	rec := c.receipt(r, cert)
	rec.Status, rec.Aggregate, rec.AggregateSize, rec.Sum = schema.StatusCommitted, schema.Digest(sha256.Sum256(file)), int64(len(file)), partial
	rec.Dropped, rec.Convicted, rec.Confirmed = append([]int{}, res.Dropped...), append([]int{}, res.Convicted...), res.Confirmed
	rec.WitnessVariance, rec.WitnessFloor = schema.Real(res.WitnessVariance), schema.Real(res.WitnessFloor)
	rec.Unclipped = opened.Unclipped
	if _, err := s.PutOnce(ctx, pipeline.AggregateKey(r.Name, rec.Aggregate), file); err != nil {
		return nil, err
	}
	won, err := c.end(ctx, s, r, rec)
	if err != nil || won.Status != schema.StatusCommitted || won.Aggregate != rec.Aggregate {
		return &Collected{Receipt: won}, err
	}
	return &Collected{Receipt: won, Mean: opened.Mean}, nil
}

func (c *Collector) receipt(r *pipeline.Round, cert *certificate) schema.Receipt {
	rec := schema.Receipt{
		Version: schema.Version, TaskID: r.Name.Task, RoundID: r.ID, Epoch: r.Name.Epoch, Lane: r.Name.Lane,
		Votes: []schema.Digest{}, Answers: []schema.Digest{}, Dropped: []int{}, Convicted: []int{}, Event: r.Event(),
	}
	if cert == nil {
		return rec
	}
	rec.Manifest, rec.Checkpoint, rec.Reports = cert.id, cert.checkpoint, len(cert.manifest.Reports)
	for k := range r.Task.Committee.Size {
		if v, ok := cert.votes[k]; ok && v.Body.Manifest == cert.id && v.Body.Checkpoint == cert.checkpoint {
			rec.Votes = append(rec.Votes, v.ID())
		}
		if a, ok := cert.answers[k]; ok {
			rec.Answers = append(rec.Answers, a.ID())
		}
	}
	return rec
}

func (c *Collector) void(ctx context.Context, s storage.Store, r *pipeline.Round, cert *certificate, reason string) (*Collected, error) {
	rec := c.receipt(r, cert)
	rec.Status, rec.Reason = schema.StatusVoid, reason
	won, err := c.end(ctx, s, r, rec)
	return &Collected{Receipt: won}, err
}

// end writes the receipt; if another one won, that one counts.
func (c *Collector) end(ctx context.Context, s storage.Store, r *pipeline.Round, rec schema.Receipt) (schema.Receipt, error) {
	signed, err := schema.SignBody(rec, c.key)
	if err != nil {
		return rec, err
	}
	_, err = s.PutOnce(ctx, pipeline.ReceiptKey(r.Name), signed.Bytes())
	if errors.Is(err, storage.ErrConflict) {
		return pipeline.LoadReceipt(ctx, s, r)
	}
	return rec, err
}

// ErrVoted: the round cannot be aborted any more, its cost is final.
var ErrVoted = errors.New("collector: a decryptor has voted; collect the round or let its keys expire")

// Abort ends a round without an aggregate. If nobody has voted, its reservations are voided in the ledger, after the
// receipt, and nothing is charged; afterwards only [Collector.Collect] can end it, because an unseen answer may
// exist, until the keys have expired: then it ends void and charged.
func (c *Collector) Abort(ctx context.Context, s storage.Store, r *pipeline.Round, reason string) (*Collected, error) {
	if err := c.authorized(r.Plan); err != nil {
		return nil, err
	}
	if old, err := pipeline.LoadReceipt(ctx, s, r); err == nil {
		return &Collected{Receipt: old}, errors.Join(fmt.Errorf("%w: %s", pipeline.ErrEnded, old.Status), c.settle(ctx, s, r))
	} else if !errors.Is(err, storage.ErrNotExist) {
		return nil, err
	}
	votes, err := pipeline.LoadVotes(ctx, s, r)
	if err != nil {
		return nil, err
	}
	var cert *certificate
	if len(votes) > 0 {
		if c.now().Unix() < r.Descriptor.KeyExpiry {
			return nil, ErrVoted
		}
		cert = charged(r, votes)
	}
	got, err := c.void(ctx, s, r, cert, reason)
	if err != nil {
		return got, err
	}
	return got, c.settle(ctx, s, r)
}

// charged keeps the reservation that most decryptors voted for in the receipt.
func charged(r *pipeline.Round, votes map[int]schema.Signed[schema.Vote]) *certificate {
	cert, most, count := &certificate{votes: votes}, 0, map[schema.Vote]int{}
	for k := range r.Task.Committee.Size {
		v, ok := votes[k]
		if !ok {
			continue
		}
		pair := schema.Vote{Manifest: v.Body.Manifest, Checkpoint: v.Body.Checkpoint}
		if count[pair]++; count[pair] > most {
			cert.id, cert.checkpoint, most = pair.Manifest, pair.Checkpoint, count[pair]
		}
	}
	return cert
}
