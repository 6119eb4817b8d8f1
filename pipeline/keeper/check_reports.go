package keeper

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// allReports checks every report on all processors, and tells of them in order.
func (x *roundCheck) allReports() error {
	ids := sortedReports(x.reports)
	for _, id := range x.listed {
		if rep := x.reports[id]; rep == nil || !rep.header {
			x.flaw(pipeline.HeaderKey(x.name, id), "missing: the certified list names it")
		}
	}
	errs := make([]error, len(ids))
	gone := make([]int, len(ids)) // pieces that are not there
	var mu sync.Mutex
	err := pipeline.ForEach(x.ctx, len(ids), func(ctx context.Context, _, i int) error {
		n, err := x.report(ctx, ids[i])
		if err != nil && !blamed(err) {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		errs[i], gone[i] = err, n
		return nil
	})
	if err != nil {
		return err
	}
	return x.reportsFound(ids, errs, gone)
}

// report returns how many pieces of a complete report are missing. The error says what does not verify.
func (x *roundCheck) report(ctx context.Context, id schema.ReportID) (missing int, err error) {
	rep := x.reports[id]
	if !rep.header || x.r.Snapshot == nil {
		return 0, nil
	}
	whole, err := x.r.ReadReport(ctx, x.store, id)
	if err != nil {
		return 0, err
	}
	for _, j := range sortedPieces(rep.pieces) {
		if j >= whole.Header.Pieces() {
			return 0, at{pipeline.PieceKey(x.name, id, j), fmt.Errorf("%w: the report has %d pieces", storage.ErrKey, whole.Header.Pieces())}
		}
	}
	return x.pieces(ctx, id, rep, whole.Header)
}

func (x *roundCheck) pieces(ctx context.Context, id schema.ReportID, rep *report, h schema.Header) (missing int, err error) {
	var hashes []schema.Digest
	for j := range h.Pieces() {
		info, ok := rep.pieces[j]
		key := pipeline.PieceKey(x.name, id, j)
		switch {
		case !ok:
			missing++
			continue
		case info.Size != int64(h.PieceBytes(j)):
			return missing, at{key, fmt.Errorf("%w: %d bytes, %d are signed", pipeline.ErrUntrusted, info.Size, h.PieceBytes(j))}
		case x.opt.Quick:
			continue
		}
		b, err := storage.ReadAll(ctx, x.store, key, info.Size)
		if err != nil {
			return missing, at{key, err}
		}
		hashes = append(hashes, schema.HashPiece(j, b))
	}
	if missing == 0 && !x.opt.Quick && !schema.PieceRoot(hashes).Equal(h.Root) {
		key := pipeline.PieceKey(x.name, id, 0)
		if h.Pieces() > 1 {
			key = pipeline.ReportPrefix(x.name, id) // the root does not tell which
		}
		return 0, at{key, fmt.Errorf("%w: pieces differ from their signed root", pipeline.ErrUntrusted)}
	}
	return missing, nil
}

// reportsFound tells what was found of the reports.
func (x *roundCheck) reportsFound(ids []schema.ReportID, errs []error, gone []int) error {
	var incomplete, leftOut Amount
	without := 0 // listed reports whose pieces are gone
	for i, id := range ids {
		rep, key := x.reports[id], pipeline.HeaderKey(x.name, id)
		_, listed := slices.BinarySearchFunc(x.listed, id, schema.CompareReports)
		err := errs[i]
		if err == nil && gone[i] > 0 && x.receipt == nil && !x.elsewhere(gone[i]) {
			err = fmt.Errorf("%w: %d pieces of this report, which was acknowledged, are missing", pipeline.ErrUntrusted, gone[i])
		}
		switch {
		case listed:
			err = x.blame(key, err)
		default:
			err = x.unnamed(key, err)
		}
		if err != nil {
			return err
		}
		switch {
		case !rep.header:
			for _, info := range rep.pieces {
				incomplete.add(info)
			}
		case listed && gone[i] > 0:
			without++
		case !listed && x.receipt != nil:
			for _, info := range rep.pieces {
				leftOut.add(info)
			}
		}
	}
	if without > 0 {
		x.note(pipeline.ReportsPrefix(x.name), "pieces of %d of the %d reports in the list are gone: an audit takes the sum of c as signed", without, len(x.listed))
	}
	if x.receipt != nil {
		x.orphan(pipeline.ReportsPrefix(x.name), "pieces of reports that are not in the list", leftOut)
		x.orphan(pipeline.ReportsPrefix(x.name), "pieces of reports that were never complete", incomplete)
	} else if incomplete.Objects > 0 {
		x.note(pipeline.ReportsPrefix(x.name), "uploads under way, or given up: %s", incomplete)
	}
	return nil
}
