package auditor

import (
	"errors"
	"math"
	"slices"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/schema/delta"
	"github.com/veilsum/veilsum/storage"
)

// Release is one audited release of a task.
type Release struct {
	Serial uint64        `json:"serial"`
	ID     schema.Digest `json:"id"`
	Model  schema.Digest `json:"model"`
	Size   int64         `json:"size"`
	Rounds []string      `json:"rounds"` // their names, "epoch-lane"
	// Epsilon is what it states that the scope had spent, over Entries of the ledger.
	Epsilon schema.Real `json:"epsilon"`
	Entries int64       `json:"entries"`
	Deltas  int         `json:"deltas"` // each of which gives the model
	Note    string      `json:"note"`
}

// releases verifies the chain of a task's releases, after its rounds.
func (a *auditor) releases(p *pipeline.Plan, t *Task) error {
	serials, err := a.serials(t.ID)
	if err != nil {
		return err
	}
	named, before := map[string]uint64{}, schema.Signed[schema.Release]{}
	for i := range serials {
		ra := &releaseAudit{auditor: a, plan: p, task: t, key: pipeline.ReleaseKey(t.ID, uint64(i)+1)}
		for _, step := range []func() error{
			func() error { return ra.load(uint64(i)+1, before) }, func() error { return ra.rounds(named) }, ra.model, ra.deltas,
			func() error { return ra.since(before.Body.Spent.Entries) }, ra.spent,
		} {
			if err := step(); err != nil {
				return err
			}
		}
		before = ra.x
		t.Releases = append(t.Releases, ra.out)
		a.count("release")
	}
	return nil
}

// serials lists the releases, which must be 1 to n.
func (a *auditor) serials(id schema.TaskID) ([]uint64, error) {
	var all []uint64
	for info, err := range a.store.List(a.ctx, pipeline.ReleasesPrefix(id), "") {
		if err != nil {
			return nil, err
		}
		o, ok := pipeline.ParseObject(info.Key)
		if !ok {
			if err := a.unnamed(flawf(info.Key, "not the name of a release")); err != nil {
				return nil, err
			}
			continue
		}
		if next := uint64(len(all)) + 1; o.Serial != next {
			return nil, flawf(pipeline.ReleaseKey(id, next), "missing: release %d is there", o.Serial)
		}
		all = append(all, o.Serial)
	}
	return all, nil
}

// releaseAudit is the audit of one release; each step verifies one claim.
type releaseAudit struct {
	*auditor
	plan *pipeline.Plan
	task *Task
	key  string
	x    schema.Signed[schema.Release]
	out  *Release
}

func (r *releaseAudit) load(serial uint64, before schema.Signed[schema.Release]) (err error) {
	if r.x, err = pipeline.LoadModelRelease(r.ctx, r.store, r.plan, r.task.ID, serial); err != nil {
		return blame(r.key, "the release", err)
	}
	b := r.x.Body
	if serial > 1 && b.Previous != before.ID() {
		return flawf(r.key, "it does not follow the release before")
	}
	r.out = &Release{
		Serial: b.Serial, ID: r.x.ID(), Model: b.Model, Size: b.Size, Rounds: []string{},
		Epsilon: b.Spent.Epsilon, Entries: b.Spent.Entries, Deltas: len(b.Deltas), Note: b.Note,
	}
	return nil
}

// rounds checks that each round that the release names was audited and ended with the receipt that it names, and that no other release names it.
func (r *releaseAudit) rounds(named map[string]uint64) error {
	if err := pipeline.CheckProvenance(r.ctx, r.store, r.plan, r.x.Body); err != nil {
		return blame(r.key, "the rounds that it names", err)
	}
	for _, x := range r.x.Body.Rounds {
		round := r.task.round(x.RoundID)
		if round == nil {
			return flawf(r.key, "it names a round that is not in the store")
		}
		if by := named[round.Name]; by > 0 {
			return flawf(r.key, "it names round %s, as release %d does", round.Name, by)
		}
		named[round.Name] = r.x.Body.Serial
		r.out.Rounds = append(r.out.Rounds, round.Name)
	}
	return nil
}

// model hashes the released model without holding it in memory.
func (r *releaseAudit) model() error {
	key := pipeline.ModelKey(r.task.ID, r.out.Model)
	info, err := r.store.Stat(r.ctx, key)
	if err != nil {
		return blame(key, "the released model", err)
	}
	got, err := pipeline.HashModel(r.ctx, r.store, key)
	switch {
	case err != nil:
		return blame(key, "the released model", err)
	case got != r.out.Model:
		return flawf(key, "its hash is %s", got)
	case info.Size != r.out.Size:
		return flawf(r.key, "it states a model of %d bytes, which has %d", r.out.Size, info.Size)
	}
	r.count("model")
	return nil
}

// deltas makes the model anew from every delta whose base is in the store.
func (r *releaseAudit) deltas() error {
	for _, d := range r.x.Body.Deltas {
		key := pipeline.DeltaKey(r.task.ID, d.Hash)
		b, err := storage.ReadAll(r.ctx, r.store, key, d.Size)
		if err != nil {
			return blame(key, "the delta", err)
		}
		if int64(len(b)) != d.Size || schema.HashDelta(b) != d.Hash {
			return flawf(key, "it is not the delta that release %d names", r.out.Serial)
		}
		base, err := storage.ReadAll(r.ctx, r.store, pipeline.ModelKey(r.task.ID, d.Base), r.plan.Task.MaxModelBytes())
		if errors.Is(err, storage.ErrNotExist) {
			r.note(key, "the model that it starts from is not in the store: the delta is not tried")
			continue
		}
		if err != nil {
			return blame(pipeline.ModelKey(r.task.ID, d.Base), "the model that a delta starts from", err)
		}
		made, err := delta.Decode(base, b, r.out.Size)
		if err != nil {
			return &Flaw{Object: key, What: "it gives no model", Err: err}
		}
		if schema.HashModel(made) != r.out.Model {
			return flawf(key, "it gives another model than release %d", r.out.Serial)
		}
		r.count("delta")
	}
	return nil
}

// since checks that the ledger that the release speaks of is not one of an earlier time, whose root and epsilon would be true too: it
// has all entries of the release before, and the reservation of each round that this one names.
func (r *releaseAudit) since(before int64) error {
	stated := r.x.Body.Spent.Entries
	if stated < before {
		return flawf(r.key, "it states %d entries of the ledger, the release before %d", stated, before)
	}
	l, err := r.ledger(r.plan.Task.Scope)
	if err != nil {
		return err
	}
	for _, x := range l.log.Reservations() {
		if x.Index < stated || roundOf(x).Task != r.task.ID {
			continue
		}
		round := r.task.round(schema.RoundID{Digest: schema.Digest(x.Round)})
		if round != nil && round.Manifest.Digest == schema.Digest(x.Manifest) && slices.Contains(r.out.Rounds, round.Name) {
			return flawf(r.key, "it states the ledger's first %d entries, and round %s, which it names, is charged by entry %d", stated, round.Name, x.Index)
		}
	}
	return nil
}

// spent recomputes what the ledger had charged when the model was released. Less than its final entries cost is a lie about
// privacy; more than all its entries cost, with those that were given back later, is one too.
func (r *releaseAudit) spent() error {
	stated := r.x.Body.Spent
	l, err := r.ledger(r.plan.Task.Scope)
	if err != nil {
		return err
	}
	at, err := l.log.At(stated.Entries)
	if err != nil || schema.Digest(at.Root) != stated.Root {
		return &Flaw{Object: r.key, What: "the ledger did not have the entries that it states", Err: errors.Join(pipeline.ErrFork, err)}
	}
	least, most, err := r.bounds(l, stated.Entries)
	if err != nil {
		return &Flaw{Object: r.key, What: "what the scope had spent", Err: err}
	}
	if eps := float64(stated.Epsilon); !(eps >= least*(1-1e-9)) || !(eps <= most*(1+1e-9)) {
		return flawf(r.key, "it states that epsilon %g was spent; the ledger's first %d entries cost %g to %g", eps, stated.Entries, least, most)
	}
	return nil
}

// bounds returns the epsilon of the entries below an index that were never given back, by the tightest of the fast
// accountants, and that of all entries below it, by the loosest.
func (r *releaseAudit) bounds(l *scopeLedger, entries int64) (low, high float64, err error) {
	type place struct {
		task  schema.TaskID
		epoch uint64
	}
	kept, all := newAccounts(l.scope), newAccounts(l.scope)
	seenKept, seenAll := map[place]bool{}, map[place]bool{}
	for _, x := range l.log.Reservations() {
		n := roundOf(x)
		if x.Index >= entries {
			continue
		}
		p, err := r.loadTask(n.Task)
		if err != nil {
			return 0, 0, err
		}
		at := place{n.Task, n.Epoch}
		if x.Voided == 0 && !seenKept[at] {
			seenKept[at] = true
			kept.add(p)
		}
		if !seenAll[at] {
			seenAll[at] = true
			all.add(p)
		}
	}
	for _, a := range []struct {
		*accounts
		n   int
		out *float64
		of  func(float64, float64) float64
	}{{kept, len(seenKept), &low, math.Min}, {all, len(seenAll), &high, math.Max}} {
		if a.n == 0 {
			continue
		}
		found, err := a.spent(false)
		if err != nil {
			return 0, 0, err
		}
		*a.out = found[0].Epsilon
		for _, x := range found[1:] {
			*a.out = a.of(*a.out, x.Epsilon)
		}
	}
	return low, high, nil
}

// bound checks that the release that a descriptor names is the one that was published, and of the model that the round announces.
func (r *roundAudit) bound() error {
	ref := r.Descriptor.Release
	if ref == nil {
		return nil
	}
	key := pipeline.DescriptorKey(r.Name)
	x, err := pipeline.LoadModelRelease(r.ctx, r.store, r.Plan, r.Name.Task, ref.Serial)
	if err != nil {
		return blame(pipeline.ReleaseKey(r.Name.Task, ref.Serial), "the release of round "+r.Name.String(), err)
	}
	if x.ID() != ref.ID || x.Body.Model != r.Descriptor.ModelHash {
		return flawf(key, "it names release %d, which is another one, or of another model", ref.Serial)
	}
	return nil
}
