package keeper

import (
	"fmt"
	"slices"
	"time"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/aggregator"
	"github.com/veilsum/veilsum/pipeline/batch"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// farFuture is later than any time of a store.
var farFuture = time.Unix(1<<40, 0)

// roundCheck is the check of one round.
type roundCheck struct {
	*checker
	*round
	r       *pipeline.Round
	receipt *schema.Receipt // nil while the round goes on
	listed  []schema.ReportID
	votes   map[schema.Digest]bool // valid ones, by identity
	answers map[schema.Digest]bool
	// regional are the partial sums that the round's regions signed.
	regional map[schema.Digest]bool
}

// round implements visitor.
func (c *checker) round(r *round) error {
	if c.opt.Progress != nil {
		c.opt.Progress(c.out.Committed + c.out.Void + c.out.Open + 1)
	}
	for _, o := range r.objects {
		c.count(o.Kind, o.Info)
	}
	for _, rep := range r.reports {
		if rep.header {
			c.count(pipeline.KindHeader, storage.Info{Size: rep.size})
		}
		for _, info := range rep.pieces {
			c.count(pipeline.KindPiece, info)
		}
	}
	x := &roundCheck{checker: c, round: r, votes: map[schema.Digest]bool{}, answers: map[schema.Digest]bool{}, regional: map[schema.Digest]bool{}}
	return x.run()
}

func (x *roundCheck) run() error {
	p, err := x.load(x.name.Task)
	if err != nil {
		return x.orphaned(pipeline.RoundPrefix(x.name), err)
	}
	if x.r, err = pipeline.LoadDescriptor(x.ctx, x.store, p, x.name); err != nil {
		x.out.Open++
		return x.blame(pipeline.DescriptorKey(x.name), err)
	}
	for _, step := range []func() error{x.basis, x.end, x.lists, x.committee, x.regions, x.sums, x.allReports, x.names} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// basis is what the descriptor names.
func (x *roundCheck) basis() error {
	root := x.r.Descriptor.Snapshot
	var err error
	if x.r.Snapshot, err = pipeline.LoadSnapshot(x.ctx, x.store, x.r.Plan, root); err != nil {
		if err := x.blame(pipeline.SnapshotKey(root), err); err != nil {
			return err
		}
	}
	named := []string{pipeline.ModelKey(x.name.Task, x.r.Descriptor.ModelHash)}
	if ref := x.r.Descriptor.Release; ref != nil && !x.region { // the chain of releases is the root's
		named = append(named, pipeline.ReleaseKey(x.name.Task, ref.Serial))
	}
	for k := range x.r.Descriptor.RoundKeys {
		named = append(named, pipeline.RoundKeyKey(x.name, k))
	}
	for _, key := range named { // their content is checked where they are listed
		_, err := x.store.Stat(x.ctx, key)
		if err := x.blame(key, err); err != nil {
			return err
		}
	}
	return nil
}

// end reads the receipt.
func (x *roundCheck) end() error {
	_, receipt, err := x.ended(x.name)
	if err != nil {
		x.out.Open++
		return x.blame(pipeline.ReceiptKey(x.name), err)
	}
	x.receipt = receipt
	switch {
	case receipt == nil:
		x.out.Open++
		return nil
	case receipt.Status == schema.StatusCommitted:
		x.out.Committed++
	default:
		x.out.Void++
	}
	if receipt.Manifest.IsZero() {
		return nil
	}
	if x.region {
		return x.endedElsewhere()
	}
	key := pipeline.ManifestKey(x.name, receipt.Manifest)
	m, err := pipeline.LoadManifest(x.ctx, x.store, x.r, receipt.Manifest)
	if err != nil {
		return x.blame(key, err)
	}
	x.listed = m.Reports
	if len(m.Reports) != receipt.Reports {
		x.flaw(pipeline.ReceiptKey(x.name), "it states %d reports, its manifest lists %d", receipt.Reports, len(m.Reports))
	}
	if !receipt.Checkpoint.IsZero() {
		s := x.scope(x.r.Task.Scope.ID())
		s.receipts = append(s.receipts, pending{x.r, receipt})
	}
	res := pipeline.ReservationKey(x.r.Task.Scope.ID(), x.name, receipt.Manifest)
	_, err = pipeline.LoadReservation(x.ctx, x.store, x.r, receipt.Manifest)
	return x.blame(res, err)
}

// lists checks candidates, checks and manifests.
func (x *roundCheck) lists() error {
	for _, o := range x.objects {
		var err error
		switch o.Kind {
		case pipeline.KindCandidates:
			_, err = pipeline.LoadCandidates(x.ctx, x.store, x.r, o.Hash)
		case pipeline.KindManifest:
			if x.receipt != nil && x.receipt.Manifest.Digest == o.Hash {
				continue // done
			}
			_, err = pipeline.LoadManifest(x.ctx, x.store, x.r, schema.ManifestID{Digest: o.Hash})
		case pipeline.KindCheck:
			_, err = signed(x, o, func(b schema.Check) bool {
				return b.RoundID == x.r.ID && b.Index == o.Index && b.Candidates == o.Hash
			})
		}
		if err := x.unnamed(o.Info.Key, err); err != nil {
			return err
		}
	}
	return nil
}

// signed reads an object of a decryptor and verifies that it is its own.
func signed[T schema.Object](x *roundCheck, o object, own func(T) bool) (schema.Signed[T], error) {
	var none schema.Signed[T]
	if o.Index >= x.r.Task.Committee.Size {
		return none, fmt.Errorf("%w: the committee has %d decryptors", storage.ErrKey, x.r.Task.Committee.Size)
	}
	raw, err := storage.ReadAll(x.ctx, x.store, o.Info.Key, schema.MaxObject)
	if err != nil {
		return none, err
	}
	s, err := schema.Decode[T](raw)
	if err != nil {
		return none, err
	}
	if err := s.Verify(x.r.Task.Committee.Keys[o.Index]); err != nil {
		return none, err
	}
	if !own(s.Body) {
		return none, fmt.Errorf("%w: it belongs to another round, list or decryptor", pipeline.ErrUntrusted)
	}
	return s, nil
}

// committee checks votes and answers, I4, and that those which the receipt names are there.
func (x *roundCheck) committee() error {
	votes := map[int]schema.Signed[schema.Vote]{}
	for _, o := range x.objects {
		var err error
		switch o.Kind {
		case pipeline.KindVote:
			var v schema.Signed[schema.Vote]
			if v, err = signed(x, o, func(b schema.Vote) bool { return b.RoundID == x.r.ID && b.Index == o.Index }); err == nil {
				votes[o.Index], x.votes[v.ID()] = v, true
			}
		case pipeline.KindAnswer:
			var a schema.Signed[schema.Answer]
			if a, err = signed(x, o, func(b schema.Answer) bool {
				return b.RoundID == x.r.ID && b.Index == o.Index && len(b.Shares) == x.r.Secagg.HeldSets()
			}); err == nil {
				x.answers[a.ID()] = true
			}
		}
		if err := x.unnamed(o.Info.Key, err); err != nil {
			return err
		}
	}
	if x.receipt == nil || x.region {
		return nil
	}
	key := pipeline.ReceiptKey(x.name)
	x.named(key, "vote", x.receipt.Votes, x.votes)
	x.named(key, "answer", x.receipt.Answers, x.answers)
	if x.receipt.Status != schema.StatusCommitted {
		return nil
	}
	if id, at, err := pipeline.Certified(x.r, votes); err != nil || id != x.receipt.Manifest || at != x.receipt.Checkpoint {
		x.flaw(key, "the votes in the store do not certify its list")
	}
	return nil
}

func (x *roundCheck) named(key, what string, names []schema.Digest, there map[schema.Digest]bool) {
	for _, id := range names {
		if !there[id] {
			x.flaw(key, "it names %s %s, which is missing or does not verify", what, id.Short())
		}
	}
}

// sums checks partial sums and aggregates; those that the receipt names must be there.
func (x *roundCheck) sums() error {
	committed := !x.region && x.receipt != nil && x.receipt.Status == schema.StatusCommitted
	var named [2]string
	if committed {
		named = [2]string{pipeline.PartialKey(x.name, x.receipt.Sum), pipeline.AggregateKey(x.name, x.receipt.Aggregate)}
		for _, key := range named {
			if !x.has(key) {
				x.flaw(key, "missing: the receipt names it")
			}
		}
	}
	for _, o := range x.objects {
		if o.Kind != pipeline.KindPartial && o.Kind != pipeline.KindAggregate {
			continue
		}
		needed := slices.Contains(named[:], o.Info.Key)
		err := x.content(o)
		if needed {
			err = x.blame(o.Info.Key, err)
		} else {
			err = x.unnamed(o.Info.Key, err)
		}
		if err != nil {
			return err
		}
		if !needed && x.receipt != nil && !(o.Kind == pipeline.KindPartial && x.regional[o.Hash]) {
			x.orphan(o.Info.Key, "no receipt names it", Amount{1, o.Info.Size})
		}
	}
	return nil
}

func (x *roundCheck) content(o object) error {
	if o.Kind == pipeline.KindAggregate && x.receipt != nil && o.Hash == x.receipt.Aggregate && o.Info.Size != x.receipt.AggregateSize {
		return fmt.Errorf("%w: %d bytes, the receipt states %d", pipeline.ErrUntrusted, o.Info.Size, x.receipt.AggregateSize)
	}
	if x.opt.Quick {
		return nil
	}
	switch o.Kind {
	case pipeline.KindPartial: // one in memory at a time
		_, err := aggregator.Load(x.ctx, x.store, x.r, o.Hash)
		return err
	case pipeline.KindBatch:
		_, err := batch.Load(x.ctx, x.store, x.r, o.Hash)
		return err
	case pipeline.KindStep:
		_, err := batch.LoadRecord(x.ctx, x.store, x.r, schema.StepID{Digest: o.Hash})
		return err
	}
	have, _, err := pipeline.HashObject(x.ctx, x.store, o.Info.Key)
	if err == nil && have != o.Hash {
		err = fmt.Errorf("%w: its SHA-256 is %s", pipeline.ErrUntrusted, have)
	}
	return err
}

// names checks what nobody relies on: notes of gateways and of batches.
func (x *roundCheck) names() error {
	var claims, steps Amount
	for _, o := range x.objects {
		switch o.Kind {
		case pipeline.KindClaim:
			claims.add(o.Info)
		case pipeline.KindBatch, pipeline.KindStep:
			steps.add(o.Info)
			if err := x.unnamed(o.Info.Key, x.content(o)); err != nil {
				return err
			}
		}
	}
	if x.receipt != nil {
		x.orphan(pipeline.RoundPrefix(x.name)+"claims/", "notes of a gateway, of no use after the round", claims)
		x.orphan(pipeline.RoundPrefix(x.name)+"steps/", "plans and records of a batch, of no use after the round", steps)
	}
	return nil
}
