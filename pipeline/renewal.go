package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/veilsum/veilsum/privacy/ledger"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// maxHandovers bounds the handover objects of one committee that a reader looks at: anybody may have written them.
const maxHandovers = 1 << 12

// Renew returns a task that goes on in the scope of old with another committee: everything but the
// committee is the same. The handovers must be of enough members of the old committee, verified, and all
// of one checkpoint, as [LoadHandovers] returns them.
func Renew(old *Plan, next schema.Committee, handovers []schema.Signed[schema.Handover]) (schema.Task, error) {
	t := old.Task
	if n, least := len(handovers), t.Committee.MinHandovers(); n < least {
		return t, fmt.Errorf("%w: %d decryptors handed over at one checkpoint, %d are needed", ErrDecryptors, n, least)
	}
	r := schema.Renewal{Committee: t.Committee, Root: handovers[0].Body.Root}
	if t.Renewal != nil {
		r.Lineage = slices.Clone(t.Renewal.Lineage)
	}
	r.Lineage = append(r.Lineage, schema.Predecessor{Committee: t.Committee.ID(), Size: handovers[0].Body.Size})
	for _, h := range handovers {
		r.Handovers = append(r.Handovers, schema.HandoverSignature{Index: h.Body.Index, Signature: h.Signature})
	}
	t.Committee, t.Renewal = next, &r
	return Complete(t)
}

// OtherRenewal returns a task of the same scope and owner in the store that replaced the task's committee by another one
// than next, nil if there is none. Two successors of one committee could be shown two ledgers, so the owner must sign no second one.
func OtherRenewal(ctx context.Context, s storage.Store, p *Plan, next schema.Committee) (*schema.TaskID, error) {
	return findTask(ctx, s, p.Task, func(t schema.Task) bool {
		return t.Renewal != nil && t.Renewal.Committee.ID() == p.Task.Committee.ID() && t.Committee.ID() != next.ID()
	})
}

// OtherCommittee returns a task of the same scope and owner in the store that has another committee than t, and is none that t
// replaced; nil if there is none. No decryptor that sees both votes for either (LEDGER.md section 7), so the owner should not sign t.
func OtherCommittee(ctx context.Context, s storage.Store, t schema.Task) (*schema.TaskID, error) {
	return findTask(ctx, s, t, func(other schema.Task) bool {
		_, before := replaced(t, other.Committee.ID())
		return !before && other.Committee.ID() != t.Committee.ID()
	})
}

// findTask returns the first task in the store of t's scope and owner that is meant.
func findTask(ctx context.Context, s storage.Store, t schema.Task, meant func(schema.Task) bool) (*schema.TaskID, error) {
	const prefix = "tasks/"
	for after := prefix; ; {
		folder, err := firstFolder(ctx, s, prefix, after)
		if folder == "" || err != nil {
			return nil, err
		}
		after = prefix + folder + "/~" // '~' sorts behind all that a key may hold
		d, err := schema.ParseDigest(folder)
		if err != nil {
			continue // planted
		}
		id := schema.TaskID{Digest: d}
		p, err := LoadTask(ctx, s, id, t.Owner)
		if errors.Is(err, storage.ErrNotExist) || errors.Is(err, ErrUntrusted) || errors.Is(err, ErrTask) {
			continue // planted, or another owner's
		}
		if err != nil {
			return nil, err
		}
		if p.Task.Scope == t.Scope && meant(p.Task) {
			return &id, nil
		}
	}
}

// LoadHandovers reads the handovers of a task's committee and returns those of the largest checkpoint that enough
// members named, sorted by index. It returns ErrDecryptors if there is none. What does not verify is silence.
func LoadHandovers(ctx context.Context, s storage.Store, p *Plan) ([]schema.Signed[schema.Handover], error) {
	bySize, err := handovers(ctx, s, p)
	if err != nil {
		return nil, err
	}
	most := 0
	for _, size := range slices.Backward(slices.Sorted(maps.Keys(bySize))) {
		for _, all := range bySize[size] {
			if most = max(most, len(all)); len(all) >= p.Task.Committee.MinHandovers() {
				return all, nil
			}
		}
	}
	return nil, fmt.Errorf("%w: %d decryptors handed over at one checkpoint, %d are needed", ErrDecryptors, most, p.Task.Committee.MinHandovers())
}

// LargestHandover returns the size of the largest checkpoint of this ledger that a member of the task's committee
// handed over at, 0 if none did. A member that named what is not in it is passed over: it could stop the others.
func (l *Ledger) LargestHandover(ctx context.Context, p *Plan) (int64, error) {
	bySize, err := handovers(ctx, l.store, p)
	if err != nil {
		return 0, err
	}
	for _, size := range slices.Backward(slices.Sorted(maps.Keys(bySize))) {
		c, err := l.log.At(size)
		if errors.Is(err, ledger.ErrFork) { // the ledger is shorter
			continue
		}
		if err != nil {
			return 0, ledgerError(err)
		}
		if bySize[size][schema.Digest(c.Root)] != nil {
			return size, nil
		}
	}
	return 0, nil
}

// HandoversBy returns, by name, the verified handovers of member k of the task's committee.
func HandoversBy(ctx context.Context, s storage.Store, p *Plan, k int) (map[string][]byte, error) {
	all, err := handovers(ctx, s, p)
	if errors.Is(err, ErrUntrusted) {
		return nil, nil // more than anybody reads: somebody floods the folder
	}
	found := map[string][]byte{}
	for _, byRoot := range all {
		for _, members := range byRoot {
			for _, h := range members {
				if b := h.Body; b.Index == k {
					found[HandoverKey(b.Scope, b.Committee, b.Size, k)] = h.Bytes()
				}
			}
		}
	}
	return found, err
}

// handovers groups the verified handovers by size and root.
func handovers(ctx context.Context, s storage.Store, p *Plan) (map[int64]map[schema.Digest][]schema.Signed[schema.Handover], error) {
	all, seen := map[int64]map[schema.Digest][]schema.Signed[schema.Handover]{}, 0
	for info, err := range s.List(ctx, HandoversPrefix(p.Task.Scope.ID(), p.Task.Committee.ID()), "") {
		if err != nil {
			return nil, err
		}
		if seen++; seen > maxHandovers {
			return nil, Untrusted(info.Key, fmt.Errorf("more than %d handovers", maxHandovers))
		}
		h, ok, err := loadHandover(ctx, s, p, info.Key)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		if all[h.Body.Size] == nil {
			all[h.Body.Size] = map[schema.Digest][]schema.Signed[schema.Handover]{}
		}
		all[h.Body.Size][h.Body.Root] = append(all[h.Body.Size][h.Body.Root], h)
	}
	for _, byRoot := range all {
		for _, members := range byRoot { // names sort 10 before 2
			slices.SortFunc(members, func(a, b schema.Signed[schema.Handover]) int { return cmp.Compare(a.Body.Index, b.Body.Index) })
		}
	}
	return all, nil
}

func loadHandover(ctx context.Context, s storage.Store, p *Plan, key string) (h schema.Signed[schema.Handover], ok bool, err error) {
	b, err := Read(ctx, s, key, 4<<10)
	if errors.Is(err, storage.ErrNotExist) || errors.Is(err, storage.ErrDamaged) || errors.Is(err, storage.ErrTooLarge) {
		return h, false, nil
	}
	if err != nil {
		return h, false, err
	}
	if h, err = schema.Decode[schema.Handover](b); err != nil {
		return h, false, nil
	}
	scope, committee := p.Task.Scope.ID(), p.Task.Committee
	x := h.Body
	ok = x.Scope == scope && x.Committee == committee.ID() && x.Index < committee.Size &&
		key == HandoverKey(scope, x.Committee, x.Size, x.Index) && h.Verify(committee.Keys[x.Index]) == nil
	return h, ok, nil
}

// checkRenewal verifies what a task says about the committee before its own.
func checkRenewal(t schema.Task) error {
	if t.Renewal == nil {
		return nil
	}
	if err := t.Renewal.Verify(t.Scope.ID()); err != nil {
		return fmt.Errorf("%w: renewal: %w", ErrTask, err)
	}
	return nil
}

// Replaced finds a committee among those that the scope had before the task's own.
func (p *Plan) Replaced(committee schema.Committee) (schema.Predecessor, bool) {
	return replaced(p.Task, committee.ID())
}

func replaced(t schema.Task, committee schema.Digest) (schema.Predecessor, bool) {
	if t.Renewal == nil {
		return schema.Predecessor{}, false
	}
	i := slices.IndexFunc(t.Renewal.Lineage, func(p schema.Predecessor) bool { return p.Committee == committee })
	if i < 0 {
		return schema.Predecessor{}, false
	}
	return t.Renewal.Lineage[i], true
}

// VoidedLate tells of a reservation of a task that it was voided after the task's committee had been replaced, as
// one of the tasks that share its scope says. Those who voted for it may be gone then, and nobody else can tell that they
// did: it counts (LEDGER.md section 8).
func VoidedLate(tasks iter.Seq[*Plan], own *Plan, x ledger.Reservation) bool {
	id := own.Task.Committee.ID()
	for p := range tasks {
		if p.Task.Scope != own.Task.Scope { // a committee may serve several scopes, each with a ledger of its own
			continue
		}
		if r, ok := replaced(p.Task, id); ok && x.Index < r.Size && x.Voided >= r.Size {
			return true
		}
	}
	return false
}

func (l *Ledger) final(ctx context.Context, x ledger.Reservation) (bool, error) {
	p, err := l.plan(ctx, x.Task)
	if err != nil {
		return false, err
	}
	return VoidedLate(maps.Values(l.plans), p, x), nil
}

// Continues returns nil if a ledger continues the checkpoint at which a renewed task begins: its new members have
// signed nothing yet, and hold on to what the old ones named. The error wraps ErrFork.
func (p *Plan) Continues(log *ledger.Ledger) error {
	r := p.Task.Renewal
	if r == nil {
		return nil
	}
	c, err := log.At(r.Size())
	if err != nil {
		return ledgerError(err)
	}
	if c.Root != ledger.ID(r.Root) {
		return fmt.Errorf("%w: at size %d it has root %s, the committee before handed over at %s", ErrFork, c.Size, schema.Digest(c.Root).Short(), r.Root.Short())
	}
	return nil
}

// Continues is [Plan.Continues] for a task that the ledger need not name yet.
func (l *Ledger) Continues(p *Plan) error { return p.Continues(l.log) }

// checkRenewals asks this of all tasks that the ledger names.
func (l *Ledger) checkRenewals() error {
	for id, p := range l.plans {
		if err := p.Continues(l.log); err != nil {
			return fmt.Errorf("task %s renews a committee: %w", id.Short(), err)
		}
	}
	return nil
}

// oneCommittee refuses a ledger that another committee votes on, too, unless it is one that the task's own replaced: two
// committees with too few honest members in common could be shown two ledgers (LEDGER.md section 7).
func (l *Ledger) oneCommittee(r *Round) error {
	own := r.Task.Committee.ID()
	for id, p := range l.plans {
		c := p.Task.Committee.ID()
		if _, before := replaced(r.Task, c); before || c == own {
			continue
		}
		if _, after := replaced(p.Task, own); after {
			return fmt.Errorf("%w: task %s replaced this committee", ErrUntrusted, id.Short())
		}
		return fmt.Errorf("%w: task %s spends from the same scope with another committee", ErrUntrusted, id.Short())
	}
	return nil
}

// CheckHandover returns the checkpoint of that size for a decryptor that hands over, see [ledger.Ledger.CheckHandover]. Size 0
// takes the whole ledger. The ledger must have been opened with the decryptor's own votes.
func (l *Ledger) CheckHandover(ctx context.Context, signed ledger.Checkpoint, size int64) (ledger.Checkpoint, error) {
	if size == 0 {
		head, err := l.log.Head()
		if err != nil {
			return head, ledgerError(err)
		}
		size = head.Size
	}
	c, err := l.log.CheckHandover(ctx, signed, size)
	return c, ledgerError(err)
}
