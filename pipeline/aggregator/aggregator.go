// Package aggregator adds reports without learning any of them: it verifies
// each against the round, adds its packed residues, and writes partial sums
// that merge by the same addition.
//
// A regional aggregator calls [Sum] on its reports and [Store] on the result;
// the root calls [Merge]. [ForManifest] gives the sum over exactly one
// manifest, from partial sums where they fit and from reports where they do
// not. All of it is deterministic and may be started again at any point. Memory
// is one accumulator of 4 bytes a value and one packed report for each
// processor, and one partial sum, whatever the number of reports.
package aggregator

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/secagg"
	"github.com/veilsum/veilsum/storage"
)

// PartialSum is the ciphertext sum of some reports of one round.
type PartialSum struct {
	Reports []schema.ReportID // sorted, distinct
	Sum     *secagg.Sum
}

// Result is what [Sum] did: the reports it added, and those it refused with the reason.
type Result struct {
	PartialSum
	// Vehicles are those of the added reports, in their order; only Sum and SumWith tell them.
	Vehicles schema.Vehicles
	Refused  []schema.Refusal
}

// Progress is told how many reports are done, by one goroutine at a time.
type Progress func(done, total int)

// Sum verifies and adds reports. A report that fails a check is refused, never
// added in part; of two reports of one vehicle the one with the smaller ReportID counts. An
// error of the store ends the sum.
func Sum(ctx context.Context, s storage.Store, r *pipeline.Round, ids []schema.ReportID, progress Progress) (*Result, error) {
	return SumWith(ctx, s, r, ids, Options{Progress: progress})
}

// SumWith is Sum with a say in how many goroutines read and add.
func SumWith(ctx context.Context, s storage.Store, r *pipeline.Round, ids []schema.ReportID, opt Options) (*Result, error) {
	ids = slices.Clone(ids)
	slices.SortFunc(ids, schema.CompareReports)
	ids = slices.Compact(ids)
	opt = opt.limited(len(ids))
	a := &adder{store: s, round: r, progress: opt.Progress, total: len(ids)}
	workers := make([]*worker, opt.Workers)
	for i := range workers {
		workers[i] = &worker{sum: secagg.NewSum(r.Secagg)}
	}
	if err := a.run(ctx, ids, workers, opt.Readers); err != nil {
		return nil, err
	}
	return a.finish(ctx, workers)
}

type adder struct {
	store    storage.Store
	round    *pipeline.Round
	progress Progress
	total    int

	mu      sync.Mutex
	done    int
	refused []schema.Refusal
}

// worker is one goroutine's accumulator.
type worker struct {
	sum   *secagg.Sum
	added []added
}

type added struct {
	report  schema.ReportID
	vehicle schema.VehicleID
}

// add verifies a report that was read and adds it, or notes why not.
func (a *adder) add(w *worker, f *fetched) error {
	rep, err := f.verify(a.round)
	var refused *pipeline.Refused
	if errors.As(err, &refused) {
		a.note(schema.Refusal{Report: f.id, Reason: refused.Reason})
		return nil
	}
	if err != nil {
		return err
	}
	if err := addReport(w.sum, rep, f.pieces); err != nil {
		return err
	}
	w.added = append(w.added, added{f.id, rep.Header.Vehicle})
	a.note(schema.Refusal{})
	return nil
}

func addReport(sum *secagg.Sum, rep *schema.Report, pieces []byte) error {
	if err := sum.AddCorr(rep.Corr()); err != nil {
		return err
	}
	return sum.AddBlocks(0, pieces)
}

func (a *adder) note(r schema.Refusal) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.Reason != "" {
		a.refused = append(a.refused, r)
	}
	a.done++
	if a.progress != nil {
		a.progress(a.done, a.total)
	}
}

func (a *adder) finish(ctx context.Context, workers []*worker) (*Result, error) {
	res := &Result{PartialSum: PartialSum{Sum: workers[0].sum}, Refused: a.refused}
	all := workers[0].added
	for _, w := range workers[1:] {
		if err := res.Sum.Merge(w.sum); err != nil {
			return nil, err
		}
		all = append(all, w.added...)
	}
	slices.SortFunc(all, func(a, b added) int { return schema.CompareReports(a.report, b.report) })
	res.Reports, res.Vehicles = make([]schema.ReportID, 0, len(all)), make(schema.Vehicles, 0, len(all))
	for _, x := range all {
		res.Reports = append(res.Reports, x.report)
		res.Vehicles = append(res.Vehicles, x.vehicle)
	}
	return res, res.OnePerVehicle(ctx, a.store, a.round)
}

// OnePerVehicle takes back, and refuses, all but the first report of each vehicle: counting two
// would give one vehicle twice its bound. What is taken back is read and verified again.
func (r *Result) OnePerVehicle(ctx context.Context, s storage.Store, round *pipeline.Round) error {
	again := r.again()
	slices.SortFunc(r.Refused, func(a, b schema.Refusal) int { return schema.CompareReports(a.Report, b.Report) })
	return subtract(ctx, s, round, &r.PartialSum, again)
}

// again moves the reports that are not the first of their vehicle to the refused ones.
func (r *Result) again() []schema.ReportID {
	if r.Vehicles.Distinct() {
		return nil // almost always, and in little memory
	}
	seen := make(map[schema.VehicleID]struct{}, len(r.Vehicles))
	var again []schema.ReportID
	kept := r.Vehicles[:0]
	for i, v := range r.Vehicles {
		if _, ok := seen[v]; ok {
			again = append(again, r.Reports[i])
			r.Refused = append(r.Refused, schema.Refusal{Report: r.Reports[i], Reason: schema.ReasonVehicle})
			continue
		}
		seen[v] = struct{}{}
		kept = append(kept, v)
	}
	r.Vehicles = kept
	return again
}
