package aggregator

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// ForManifest returns the sum over exactly the given reports. It starts from
// the stored partial sums, largest first, that are disjoint and mostly inside
// the list; reports outside the list are subtracted and missing ones added, each verified.
func ForManifest(ctx context.Context, s storage.Store, r *pipeline.Round, want []schema.ReportID, progress Progress) (*PartialSum, error) {
	parts, err := loadAll(ctx, s, r)
	if err != nil {
		return nil, err
	}
	base, err := Merge(r, choose(parts, want)...)
	if err != nil {
		return nil, err
	}
	if err := subtract(ctx, s, r, base, difference(base.Reports, want)); err != nil {
		return nil, err
	}
	rest, err := Sum(ctx, s, r, difference(want, base.Reports), progress)
	if err != nil {
		return nil, err
	}
	if len(rest.Refused) > 0 {
		f := rest.Refused[0]
		return nil, fmt.Errorf("%w: report %s of the manifest cannot be added: %s (%d such reports)", pipeline.ErrUntrusted, f.Report.Short(), f.Reason, len(rest.Refused))
	}
	return Merge(r, base, &rest.PartialSum)
}

// loadAll loads every partial sum; one that does not decode is passed over, for its reports can be added anew.
func loadAll(ctx context.Context, s storage.Store, r *pipeline.Round) ([]*PartialSum, error) {
	ids, err := List(ctx, s, r)
	if err != nil {
		return nil, err
	}
	var parts []*PartialSum
	for _, id := range ids {
		p, err := Load(ctx, s, r, id)
		if errors.Is(err, pipeline.ErrUntrusted) {
			continue
		}
		if err != nil {
			return nil, err
		}
		parts = append(parts, p)
	}
	return parts, nil
}

// choose takes disjoint partial sums, largest first, each with fewer reports to subtract than it saves.
func choose(parts []*PartialSum, want []schema.ReportID) []*PartialSum {
	slices.SortStableFunc(parts, func(a, b *PartialSum) int { return len(b.Reports) - len(a.Reports) })
	var chosen []*PartialSum
	var have []schema.ReportID
	for _, p := range parts {
		extra := len(difference(p.Reports, want))
		overlap := len(p.Reports) - len(difference(p.Reports, have))
		if overlap == 0 && 2*extra < len(p.Reports) {
			chosen, have = append(chosen, p), append(have, p.Reports...)
			slices.SortFunc(have, schema.CompareReports)
		}
	}
	return chosen
}

// difference returns the reports of a that are not in b; both are sorted.
func difference(a, b []schema.ReportID) []schema.ReportID {
	var d []schema.ReportID
	for _, x := range a {
		if _, ok := slices.BinarySearchFunc(b, x, schema.CompareReports); !ok {
			d = append(d, x)
		}
	}
	return d
}

// subtract takes reports out of a sum that they were added to.
func subtract(ctx context.Context, s storage.Store, r *pipeline.Round, p *PartialSum, ids []schema.ReportID) error {
	if len(ids) == 0 {
		return nil
	}
	w := newWorker(r)
	for _, id := range ids {
		rep, err := r.ReadReport(ctx, s, id)
		if err != nil {
			return err
		}
		if err := readPieces(ctx, s, r, rep, w.pieces); err != nil {
			return err
		}
		if err := p.Sum.SubCorr(rep.Corr()); err != nil {
			return err
		}
		if err := p.Sum.SubBlocks(0, w.pieces); err != nil {
			return err
		}
	}
	p.Reports = difference(p.Reports, ids)
	return nil
}
