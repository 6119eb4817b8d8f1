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
	"fmt"
	"io"
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
	Refused []schema.Refusal
}

// Progress is told how many reports are done, by one goroutine at a time.
type Progress func(done, total int)

// Sum verifies and adds reports. A report that fails a check is refused, never
// added in part; of two reports of one vehicle the one with the smaller ReportID counts. An
// error of the store ends the sum.
func Sum(ctx context.Context, s storage.Store, r *pipeline.Round, ids []schema.ReportID, progress Progress) (*Result, error) {
	ids = slices.Clone(ids)
	slices.SortFunc(ids, schema.CompareReports)
	ids = slices.Compact(ids)
	a := &adder{store: s, round: r, progress: progress, total: len(ids)}
	workers := make([]*worker, pipeline.Workers(len(ids)))
	for i := range workers {
		workers[i] = newWorker(r)
	}
	if err := pipeline.ForEach(ctx, len(ids), func(ctx context.Context, w, i int) error {
		return a.add(ctx, workers[w], ids[i])
	}); err != nil {
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

// worker is one goroutine's accumulator and its buffer for one report.
type worker struct {
	sum    *secagg.Sum
	pieces []byte
	added  []added
}

type added struct {
	report  schema.ReportID
	vehicle schema.VehicleID
}

func newWorker(r *pipeline.Round) *worker {
	return &worker{sum: secagg.NewSum(r.Secagg), pieces: make([]byte, r.Secagg.Blocks()*r.Secagg.BlockBytes())}
}

func (a *adder) add(ctx context.Context, w *worker, id schema.ReportID) error {
	rep, err := a.round.ReadReport(ctx, a.store, id)
	if err == nil {
		err = readPieces(ctx, a.store, a.round, rep, w.pieces)
	}
	var refused *pipeline.Refused
	if errors.As(err, &refused) {
		a.note(schema.Refusal{Report: id, Reason: refused.Reason})
		return nil
	}
	if err != nil {
		return err
	}
	a.note(schema.Refusal{})
	w.added = append(w.added, added{id, rep.Header.Vehicle})
	return addReport(w.sum, rep, w.pieces)
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
	res := &Result{PartialSum: PartialSum{Sum: secagg.NewSum(a.round.Secagg)}, Refused: a.refused}
	var all []added
	for _, w := range workers {
		if err := res.Sum.Merge(w.sum); err != nil {
			return nil, err
		}
		all = append(all, w.added...)
	}
	slices.SortFunc(all, func(a, b added) int { return schema.CompareReports(a.report, b.report) })
	for _, x := range all {
		res.Reports = append(res.Reports, x.report)
	}
	again := repeated(all)
	for _, id := range again {
		res.Refused = append(res.Refused, schema.Refusal{Report: id, Reason: schema.ReasonVehicle})
	}
	slices.SortFunc(res.Refused, func(a, b schema.Refusal) int { return schema.CompareReports(a.Report, b.Report) })
	return res, subtract(ctx, a.store, a.round, &res.PartialSum, again)
}

// repeated returns all but the first report of every vehicle: counting two
// would give one vehicle twice its bound.
func repeated(all []added) []schema.ReportID {
	seen := make(map[schema.VehicleID]struct{}, len(all))
	var again []schema.ReportID
	for _, x := range all {
		if _, ok := seen[x.vehicle]; ok {
			again = append(again, x.report)
		}
		seen[x.vehicle] = struct{}{}
	}
	return again
}

// readPieces fills buf with all pieces, each read whole, and compares their
// root with the signed header before a single value is added.
func readPieces(ctx context.Context, s storage.Store, r *pipeline.Round, rep *schema.Report, buf []byte) error {
	hashes, rest := make([]schema.Digest, rep.Header.Pieces()), buf
	for i := range hashes {
		piece := rest[:rep.Header.PieceBytes(i)]
		rest = rest[len(piece):]
		if err := readPiece(ctx, s, pipeline.PieceKey(r.Name, rep.ID, i), piece); err != nil {
			if errors.Is(err, storage.ErrNotExist) || errors.Is(err, storage.ErrRange) || errors.Is(err, storage.ErrDamaged) {
				return &pipeline.Refused{Report: rep.ID, Reason: schema.ReasonMissing, Err: fmt.Errorf("piece %d: %w", i, err)}
			}
			return err
		}
		hashes[i] = schema.HashPiece(i, piece)
	}
	if !schema.PieceRoot(hashes).Equal(rep.Header.Root) {
		return &pipeline.Refused{Report: rep.ID, Reason: schema.ReasonPiece, Err: errors.New("pieces differ from their signed root")}
	}
	return nil
}

func readPiece(ctx context.Context, s storage.Store, key string, piece []byte) error {
	rc, info, err := s.Get(ctx, key)
	if err != nil {
		return err
	}
	defer rc.Close()
	if info.Size != int64(len(piece)) {
		return fmt.Errorf("%w: %s has %d bytes, want %d", storage.ErrRange, key, info.Size, len(piece))
	}
	if _, err := io.ReadFull(rc, piece); err != nil {
		return fmt.Errorf("aggregator: read %s: %w", key, err)
	}
	return nil
}
