package region

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/aggregator"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/secagg"
	"github.com/veilsum/veilsum/storage"
)

// heads reads and verifies header objects, and returns whose they are and the sum of their corr.
func heads(ctx context.Context, s storage.Store, r *pipeline.Round, ids []schema.ReportID) ([]schema.VehicleID, *secagg.Sum, error) {
	vehicles := make([]schema.VehicleID, len(ids))
	sums := make([]*secagg.Sum, pipeline.Workers(len(ids)))
	for i := range sums {
		sums[i] = secagg.NewSum(r.Secagg)
	}
	err := pipeline.ForEach(ctx, len(ids), func(ctx context.Context, w, i int) error {
		rep, err := r.ReadReport(ctx, s, ids[i])
		if err != nil {
			return err
		}
		vehicles[i] = rep.Header.Vehicle
		return sums[w].AddCorr(rep.Corr())
	})
	if err != nil {
		return nil, nil, err
	}
	for _, other := range sums[1:] {
		if err := sums[0].Merge(other); err != nil {
			return nil, nil, err
		}
	}
	return vehicles, sums[0], nil
}

// Candidates returns the reports that the root can add, sorted: those of the regions that are ready, and those that
// were uploaded to the root's store with their pieces. A header without pieces is one that a region sent; it counts
// through the region's list alone. Of shared reports there is one. Regions in without are left out.
func (x Root) Candidates(ctx context.Context, r *pipeline.Round, all []Standing, without ...string) ([]schema.ReportID, error) {
	ids, err := direct(ctx, x.Store, r)
	if err != nil {
		return nil, err
	}
	for _, s := range all {
		if !slices.Contains(without, s.Name) {
			ids = append(ids, s.Reports...)
		}
	}
	slices.SortFunc(ids, schema.CompareReports)
	return slices.Compact(ids), nil
}

// direct lists the reports whose header and pieces all have a name in the store.
func direct(ctx context.Context, s storage.Store, r *pipeline.Round) ([]schema.ReportID, error) {
	ids, err := pipeline.ListReports(ctx, s, r.Name) // bounds their number
	if err != nil {
		return nil, err
	}
	count := make(map[schema.ReportID]int, len(ids))
	h := r.Header()
	for info, err := range s.List(ctx, pipeline.ReportsPrefix(r.Name), "") {
		if err != nil {
			return nil, err
		}
		if o, ok := pipeline.ParseObject(info.Key); ok && o.Kind == pipeline.KindPiece && o.Index < h.Pieces() {
			count[o.Report]++
		}
	}
	return slices.DeleteFunc(ids, func(id schema.ReportID) bool { return count[id] < h.Pieces() }), nil
}

// In returns the regions that are ready and of which the list, sorted, holds reports: the largest first.
func In(all []Standing, list []schema.ReportID) []Standing {
	var in []Standing
	for _, s := range all {
		if s.State == Ready && pipeline.Listed(s.Reports, list) > 0 {
			in = append(in, s)
		}
	}
	slices.SortStableFunc(in, func(a, b Standing) int {
		return cmp.Or(cmp.Compare(len(b.Reports), len(a.Reports)), cmp.Compare(a.Name, b.Name))
	})
	return in
}

// Combine adds the regions' partial sums to one over the wanted reports, and what no region holds from the root's store;
// see [aggregator.Combine]. The committee may have refused a report that a region added, or two regions may hold one: it
// is subtracted, from its pieces in the region's store. A region of which that cannot be done is left out, named as unused.
func (x Root) Combine(ctx context.Context, r *pipeline.Round, all []Standing, want []schema.ReportID, progress aggregator.Progress) (*aggregator.Result, []aggregator.Unused, error) {
	var parts []aggregator.Part
	for _, s := range In(all, want) {
		parts = append(parts, x.part(r, s))
	}
	return aggregator.Combine(ctx, x.Store, r, parts, want, progress)
}

// part is what a region signed.
func (x Root) part(r *pipeline.Round, s Standing) aggregator.Part {
	return aggregator.Part{Name: s.Name, Pieces: x.Pieces(s.Name), Load: func(ctx context.Context) (*aggregator.PartialSum, error) {
		return aggregator.Load(ctx, x.Store, r, s.Partial)
	}}
}

// Finding is what adding a region's reports again showed: ErrLies, or why they could not be added.
type Finding struct {
	Name string
	Err  error
}

// Recombine is Combine with every region's sum added again from the pieces in its store, whatever the region signed. It
// finds which of them lied; one that shows no pieces is found too, and its sum taken as signed.
func (x Root) Recombine(ctx context.Context, r *pipeline.Round, all []Standing, want []schema.ReportID, progress aggregator.Progress) (*aggregator.Result, []Finding, error) {
	var parts []aggregator.Part
	var found []Finding
	for _, s := range In(all, want) {
		sum, err := x.again(ctx, r, s, progress)
		var refused *pipeline.Refused
		if err != nil && !errors.Is(err, ErrLies) && !errors.As(err, &refused) {
			return nil, nil, err
		}
		part := x.part(r, s)
		if err != nil {
			found = append(found, Finding{s.Name, err})
		}
		if sum != nil {
			part.Load = func(context.Context) (*aggregator.PartialSum, error) { return sum, nil }
		}
		parts = append(parts, part)
	}
	res, _, err := aggregator.Combine(ctx, x.Store, r, parts, want, progress)
	return res, found, err
}
