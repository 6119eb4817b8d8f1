package keeper

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// Why an object may go.
const (
	WhyPartial    = "partial sum that no receipt names"
	WhyAggregate  = "aggregate that no receipt names"
	WhyIncomplete = "piece of a report that was never complete"
	WhyLeftOut    = "piece of a report that is not in the list"
	WhyClaim      = "gateway's note about an ended round"
	WhyBatch      = "plan or record of a batch of an ended round"
	WhyPiece      = "piece of an ended round, past its time"
	WhyProbe      = "probe of a store that was left behind"
	WhyLeftover   = "leftover of a write that was interrupted"
)

// SweepOptions say what may go. The zero value of a field is its default.
type SweepOptions struct {
	// Delete deletes. Without it nothing is changed.
	Delete bool
	// Grace is the least age of what an ended round left behind, and of its receipt; default 7 days.
	Grace time.Duration
	// Abandoned is the age at which an interrupted write is taken for dead; default 24 hours.
	Abandoned time.Duration
	// PiecesAfter is the age of a receipt at which the pieces of its round may go; 0 keeps
	// them for good. Without them an audit takes the sum of c as the Collector signed it.
	PiecesAfter time.Duration
	// Now is the time to measure ages from, by the clock of the store; default time.Now().
	Now time.Time
	// Removed is told of everything that is removed, or would be; may be nil.
	Removed func(Removal)
	// Progress is told how many rounds were looked at, of a number that is not known; may be nil.
	Progress func(rounds int)
}

// Removal is an object that is removed, or would be.
type Removal struct {
	Object string `json:"object"`
	Size   int64  `json:"size"` // bytes; -1 if unknown
	Why    string `json:"why"`
}

// Swept is what Sweep did, or would do.
type Swept struct {
	Deleted bool              `json:"deleted"` // else nothing was changed
	Rounds  int               `json:"rounds"`
	Ended   int               `json:"ended"` // rounds with a valid receipt
	Removed map[string]Amount `json:"removed"`
	Kept    Amount            `json:"kept"` // of all objects
	// Spared are rounds of which nothing was removed because something in them is
	// missing or does not verify: see Check.
	Spared []Note `json:"spared"`
}

// Note is something about an object.
type Note struct {
	Object string `json:"object"`
	Text   string `json:"text"`
}

const (
	defaultGrace     = 7 * 24 * time.Hour
	defaultAbandoned = 24 * time.Hour
)

// Sweep removes what nobody needs: from rounds with a valid receipt partial sums, aggregates
// and pieces that the receipt does not lead to; pieces that it does lead to once they are
// past their time, if the sum that takes their place is there; probes, and what interrupted writes left
// behind. All else stays: what is signed, reports' headers with their boxes, models,
// snapshots, the ledger, and every name that is of no kind. It may run beside all roles, and again.
func Sweep(ctx context.Context, s storage.Store, opt SweepOptions) (*Swept, error) {
	if opt.Grace < 0 || opt.Abandoned < 0 || opt.PiecesAfter < 0 {
		return nil, errors.New("keeper: negative age")
	}
	if opt.Grace == 0 {
		opt.Grace = defaultGrace
	}
	if opt.Abandoned == 0 {
		opt.Abandoned = defaultAbandoned
	}
	if opt.Now.IsZero() {
		opt.Now = time.Now()
	}
	w := &sweeper{plans: newPlans(ctx, s), opt: opt, out: &Swept{Deleted: opt.Delete, Removed: map[string]Amount{}, Spared: []Note{}}}
	if err := w.readKind(); err != nil {
		return w.out, err
	}
	if err := walk(ctx, s, w); err != nil {
		return w.out, err
	}
	return w.out, w.interrupted()
}

type sweeper struct {
	*plans
	opt SweepOptions
	out *Swept
}

// unknown implements visitor: what is of no kind is not ours to remove.
func (w *sweeper) unknown(info storage.Info) error { w.out.Kept.add(info); return nil }

// object implements visitor.
func (w *sweeper) object(o object) error {
	if o.Kind == pipeline.KindProbe && old(w.opt.Now, o.Modified, w.opt.Abandoned) {
		return w.remove(o.Info, WhyProbe)
	}
	w.out.Kept.add(o.Info)
	return nil
}

func (w *sweeper) remove(info storage.Info, why string) error {
	if w.opt.Delete {
		if err := w.store.Delete(w.ctx, info.Key); err != nil {
			return fmt.Errorf("keeper: remove %s: %w", info.Key, err)
		}
	}
	return w.gone(Removal{info.Key, info.Size, why})
}

func (w *sweeper) gone(r Removal) error {
	a := w.out.Removed[r.Why]
	a.add(storage.Info{Size: max(r.Size, 0)})
	w.out.Removed[r.Why] = a
	if w.opt.Removed != nil {
		w.opt.Removed(r)
	}
	return w.ctx.Err()
}

// round implements visitor.
func (w *sweeper) round(r *round) error {
	w.out.Rounds++
	if w.opt.Progress != nil {
		w.opt.Progress(w.out.Rounds)
	}
	needed, err := w.needed(r)
	if err != nil && !blamed(err) {
		return err
	}
	if err != nil { // it does not verify: touch nothing
		w.out.Spared = append(w.out.Spared, Note{pipeline.RoundPrefix(r.name), err.Error()})
	}
	removed := false
	sweep := func(info storage.Info, why string) error {
		if needed == nil || why == "" || !old(w.opt.Now, info.Modified, w.opt.Grace) {
			w.out.Kept.add(info)
			return nil
		}
		removed = true
		return w.remove(info, why)
	}
	for _, o := range r.objects {
		if err := sweep(o.Info, needed.why(o)); err != nil {
			return err
		}
	}
	for _, id := range sortedReports(r.reports) {
		rep := r.reports[id]
		if rep.header {
			w.out.Kept.add(storage.Info{Size: rep.size})
		}
		for _, j := range sortedPieces(rep.pieces) {
			if err := sweep(rep.pieces[j], needed.whyPiece(id, rep)); err != nil {
				return err
			}
		}
	}
	return w.tidy(r, removed)
}

// tidy removes folders that are empty now.
func (w *sweeper) tidy(r *round, removed bool) error {
	f, ok := w.store.(storage.Folders)
	if !ok || !removed || !w.opt.Delete {
		return nil
	}
	return f.RemoveEmptyFolders(w.ctx, pipeline.RoundPrefix(r.name))
}

// need is what of an ended round must stay. Nil: everything.
type need struct {
	receipt *schema.Receipt
	listed  []schema.ReportID // of the certified list, sorted
	spent   bool              // the pieces of the list may go
	// regional are the partial sums that the round's regions signed: evidence of who said what.
	regional map[schema.Digest]bool
}

// needed returns nil if everything must stay: the round goes on, or ended a short time ago.
func (w *sweeper) needed(r *round) (*need, error) {
	receipt, there := r.find(pipeline.ReceiptKey(r.name))
	if !there {
		return nil, nil
	}
	p, c, err := w.ended(r.name)
	if err != nil || c == nil {
		return nil, err
	}
	w.out.Ended++
	if !old(w.opt.Now, receipt.Modified, w.opt.Grace) {
		return nil, nil
	}
	n := &need{receipt: c, regional: map[schema.Digest]bool{}}
	signed, err := regionSums(w.plans, p)
	if err != nil {
		return nil, err
	}
	for _, partial := range signed {
		n.regional[partial] = true
	}
	if !c.Manifest.IsZero() {
		m, err := pipeline.LoadManifest(w.ctx, w.store, p, c.Manifest)
		if err != nil {
			return nil, err
		}
		n.listed = m.Reports
	}
	n.spent = w.opt.PiecesAfter > 0 && old(w.opt.Now, receipt.Modified, w.opt.PiecesAfter)
	return n, w.replaced(p.Name, n)
}

// replaced makes sure that the sum which takes the place of pieces is whole.
func (w *sweeper) replaced(name pipeline.RoundName, n *need) error {
	if !n.spent || n.receipt.Status != schema.StatusCommitted {
		return nil
	}
	sums := []schema.Digest{n.receipt.Sum}
	if w.region { // the root's sum is not here
		sums = slices.SortedFunc(maps.Keys(n.regional), schema.CompareDigests)
	}
	for _, sum := range sums {
		key := pipeline.PartialKey(name, sum)
		have, _, err := pipeline.HashObject(w.ctx, w.store, key)
		if err != nil && !blamed(err) {
			return err
		}
		if err != nil || have != sum {
			n.spent = false
			w.out.Spared = append(w.out.Spared, Note{key, "missing or damaged: the pieces of its reports stay, from which it can be added again"})
		}
	}
	return nil
}

// why tells for what reason an object of the round may go, "" if it must stay.
func (n *need) why(o object) string {
	switch {
	case n == nil:
	case o.Kind == pipeline.KindPartial && n.regional[o.Hash]:
	case o.Kind == pipeline.KindPartial && (n.receipt.Status != schema.StatusCommitted || o.Hash != n.receipt.Sum):
		return WhyPartial
	case o.Kind == pipeline.KindAggregate && (n.receipt.Status != schema.StatusCommitted || o.Hash != n.receipt.Aggregate):
		return WhyAggregate
	case o.Kind == pipeline.KindClaim:
		return WhyClaim
	case o.Kind == pipeline.KindBatch || o.Kind == pipeline.KindStep:
		return WhyBatch
	}
	return ""
}

func (n *need) whyPiece(id schema.ReportID, rep *report) string {
	if n == nil {
		return ""
	}
	_, listed := slices.BinarySearchFunc(n.listed, id, schema.CompareReports)
	switch {
	case listed && n.spent:
		return WhyPiece
	case listed:
		return ""
	case rep.header:
		return WhyLeftOut
	}
	return WhyIncomplete
}

// interrupted removes what interrupted writes left behind.
func (w *sweeper) interrupted() error {
	left, err := w.leftovers(w.opt.Now.Add(-w.opt.Abandoned))
	if err != nil {
		return err
	}
	for _, l := range left {
		if w.opt.Delete {
			if err := w.store.(storage.Janitor).RemoveLeftover(w.ctx, l); err != nil {
				return err
			}
		}
		if err := w.gone(Removal{l.Name, l.Size, WhyLeftover}); err != nil {
			return err
		}
	}
	return nil
}

func sortedReports(all map[schema.ReportID]*report) []schema.ReportID {
	ids := make([]schema.ReportID, 0, len(all))
	for id := range all {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, schema.CompareReports)
	return ids
}

func sortedPieces(pieces map[int]storage.Info) []int {
	all := make([]int, 0, len(pieces))
	for j := range pieces {
		all = append(all, j)
	}
	slices.Sort(all)
	return all
}
