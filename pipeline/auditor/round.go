package auditor

import (
	"bytes"
	"errors"
	"slices"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// roundAudit is the audit of one round; each step verifies one kind of object.
type roundAudit struct {
	*auditor
	*pipeline.Round
	task     *Task
	out      *Round
	receipt  *schema.Receipt // nil while the round goes on
	manifest schema.Manifest // the certified list, if the receipt names one
	index    int64           // of the ledger's entry that reserves it
	answers  []schema.Signed[schema.Answer]
	members  []int // who gave them
	foreign  int   // votes that name a checkpoint which the ledger does not give
	// refused holds, by decryptor, the reports that one of its checks refuses.
	refused map[int][]schema.ReportID
	// partials are the sums that the round's regions signed.
	partials map[schema.Digest]bool
}

// lane is what the last round of a lane in which anybody voted rested on.
type lane struct {
	snapshot *schema.Snapshot
	follows  uint64 // one more than the epoch that its clipping norm follows from; 0: none
}

// round audits one round. lanes holds every lane's last round.
func (a *auditor) round(p *pipeline.Plan, n pipeline.RoundName, t *Task, lanes map[uint32]*lane) error {
	r, err := pipeline.LoadDescriptor(a.ctx, a.store, p, n)
	if err != nil {
		return blame(pipeline.DescriptorKey(n), "the descriptor", err)
	}
	a.count("descriptor")
	ra := &roundAudit{auditor: a, Round: r, task: t, out: newRound(r), refused: map[int][]schema.ReportID{}, partials: map[schema.Digest]bool{}}
	t.Rounds = append(t.Rounds, ra.out)
	if lanes[n.Lane] == nil {
		lanes[n.Lane] = &lane{}
	}
	for _, step := range []func() error{
		ra.clipping, ra.roundKeys, ra.snapshot, ra.model, ra.bound, ra.loadReceipt, ra.regions, ra.candidates, ra.manifests, ra.listed, ra.reservation,
		ra.votes, func() error { return ra.forward(lanes[n.Lane]) }, ra.loadAnswers, ra.sums, ra.orphans,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	ra.out.Verified = true
	return nil
}

// roundKeys compares the published keys with those in the descriptor, whose
// signatures LoadDescriptor verified.
func (r *roundAudit) roundKeys() error {
	for k, want := range r.Descriptor.RoundKeys {
		key := pipeline.RoundKeyKey(r.Name, k)
		raw, err := r.read(key)
		if err != nil {
			return blame(key, "the round key", err)
		}
		if !bytes.Equal(raw, want.Bytes()) {
			return flawf(key, "the round key differs from the one in the descriptor")
		}
		r.count("round key")
	}
	return nil
}

func (r *roundAudit) snapshot() error {
	root := r.Descriptor.Snapshot
	if r.last == nil || r.last.Root() != root || r.last.Scope != r.Task.Scope.ID() {
		s, err := pipeline.LoadSnapshot(r.ctx, r.store, r.Plan, root)
		if err != nil {
			return blame(pipeline.SnapshotKey(root), "the enrollment snapshot", err)
		}
		r.last = s
		r.count("snapshot")
	} else if err := r.last.Verify(r.Task.Authority); err != nil {
		return blame(pipeline.SnapshotKey(root), "the enrollment snapshot", err)
	}
	r.Snapshot = r.last
	r.out.Serial, r.out.Enrolled = r.Snapshot.Serial, len(r.Snapshot.Vehicles())
	return nil
}

// forward checks that the rounds of a lane never went back to an older snapshot, nor to a clipping norm that
// follows from an older round: else a Collector could choose among all norms there were. Rounds
// of different lanes overlap, so nothing follows from their order.
func (r *roundAudit) forward(last *lane) error {
	if len(r.out.Votes) == 0 {
		return nil // no decryptor accepted the descriptor
	}
	key, follows := pipeline.DescriptorKey(r.Name), uint64(0)
	if base := r.task.round(r.Descriptor.ClippingRound); base != nil {
		follows = base.Epoch + 1 // at most the epoch of this round
	}
	if old := last.snapshot; old != nil && r.Snapshot.Serial < old.Serial {
		return flawf(key, "its snapshot has serial %d, an earlier round's had %d", r.Snapshot.Serial, old.Serial)
	}
	if follows < last.follows {
		return flawf(key, "its clipping norm follows from an older round than that of the lane's round before")
	}
	last.snapshot, last.follows = r.Snapshot, follows
	return nil
}

// model hashes the published model without holding it in memory.
func (r *roundAudit) model() error {
	key := pipeline.ModelKey(r.Name.Task, r.Descriptor.ModelHash)
	got, err := pipeline.HashModel(r.ctx, r.store, key)
	if err != nil {
		return blame(key, "the model", err)
	}
	if got != r.Descriptor.ModelHash {
		return flawf(key, "its hash is %s", got)
	}
	r.count("model")
	return nil
}

// loadReceipt verifies the receipt's signature and that it is this round's; its claims are checked later.
func (r *roundAudit) loadReceipt() error {
	key := pipeline.ReceiptKey(r.Name)
	x, err := load[schema.Receipt](r.auditor, key, r.Task.Collector)
	if errors.Is(err, storage.ErrNotExist) {
		r.out.Status = StatusOpen
		return nil
	}
	if err != nil {
		return blame(key, "the receipt", err)
	}
	b := x.Body
	switch {
	case b.RoundID != r.ID || b.TaskID != r.Name.Task || b.Epoch != r.Name.Epoch || b.Lane != r.Name.Lane:
		return flawf(key, "it belongs to another round")
	case b.Event != r.Event():
		return flawf(key, "it states another event than the task costs")
	}
	r.count("receipt")
	r.receipt, r.out.receipt = &b, &b
	r.out.fromReceipt(b)
	return nil
}

// certified tells whether the receipt names a list.
func (r *roundAudit) certified() bool { return r.receipt != nil && !r.receipt.Manifest.IsZero() }

// orphans notes what the round left behind that no receipt names; nothing reads it.
func (r *roundAudit) orphans() error {
	var sum, aggregate string
	if r.receipt != nil && r.receipt.Status == schema.StatusCommitted {
		sum, aggregate = pipeline.PartialKey(r.Name, r.receipt.Sum), pipeline.AggregateKey(r.Name, r.receipt.Aggregate)
	}
	if err := r.orphansBelow(pipeline.PartialsPrefix(r.Name), sum); err != nil {
		return err
	}
	if err := r.orphansBelow(pipeline.RoundPrefix(r.Name)+"aggregate/", aggregate); err != nil {
		return err
	}
	ids, err := pipeline.ListReports(r.ctx, r.store, r.Name)
	if err != nil {
		return blame(pipeline.ReportsPrefix(r.Name), "the reports", err)
	}
	for _, id := range ids {
		if _, in := slices.BinarySearchFunc(r.manifest.Reports, id, schema.CompareReports); !in {
			r.out.LeftOut++
		}
	}
	return nil
}

func (r *roundAudit) orphansBelow(prefix, named string) error {
	for info, err := range r.store.List(r.ctx, prefix, "") {
		if err != nil {
			return err
		}
		if o, _ := pipeline.ParseObject(info.Key); info.Key != named && !(o.Kind == pipeline.KindPartial && r.partials[o.Hash]) {
			r.out.Orphans = append(r.out.Orphans, info.Key)
		}
	}
	return nil
}
