package aggregator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/secagg"
	"github.com/veilsum/veilsum/storage"
)

// ForManifest returns the sum over exactly the given reports, as [Addable]
// does; that one of them cannot be added is an error.
func ForManifest(ctx context.Context, s storage.Store, r *pipeline.Round, want []schema.ReportID, progress Progress) (*PartialSum, error) {
	return whole(Addable(ctx, s, r, want, progress))
}

// FromReports is ForManifest from the reports alone. Partial sums carry no
// signature: if one in the store is wrong, the sum opens to garbage, and this one tells.
func FromReports(ctx context.Context, s storage.Store, r *pipeline.Round, want []schema.ReportID, progress Progress) (*PartialSum, error) {
	return whole(Sum(ctx, s, r, want, progress))
}

func whole(res *Result, err error) (*PartialSum, error) {
	if err != nil {
		return nil, err
	}
	if len(res.Refused) > 0 {
		f := res.Refused[0]
		return nil, fmt.Errorf("%w: report %s of the manifest cannot be added: %s (%d such reports)", pipeline.ErrUntrusted, f.Report.Short(), f.Reason, len(res.Refused))
	}
	return &res.PartialSum, nil
}

// Addable returns the sum over those of the given reports, sorted and distinct,
// that can be added, and the rest as refused. It starts from the stored partial sums, largest first, that are
// disjoint and mostly inside the list; reports outside the list are subtracted
// and missing ones added, each verified. One partial sum is in memory at a time.
func Addable(ctx context.Context, s storage.Store, r *pipeline.Round, want []schema.ReportID, progress Progress) (*Result, error) {
	base, err := fromPartials(ctx, s, r, want)
	if errors.Is(err, pipeline.ErrUntrusted) {
		base, err = &PartialSum{Sum: secagg.NewSum(r.Secagg)}, nil // a partial sum names a report that is none
	}
	if err != nil {
		return nil, err
	}
	rest, err := Sum(ctx, s, r, difference(want, base.Reports), progress)
	if err != nil {
		return nil, err
	}
	return rest, rest.absorb(base)
}

// fromPartials adds fitting partial sums and takes out what is not wanted.
func fromPartials(ctx context.Context, s storage.Store, r *pipeline.Round, want []schema.ReportID) (*PartialSum, error) {
	base := &PartialSum{Sum: secagg.NewSum(r.Secagg)}
	infos, err := list(ctx, s, r)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(infos, func(a, b stored) int { return cmp.Compare(b.size, a.size) })
	left := len(want)
	for _, x := range infos {
		// More than half of what fits must be wanted and not there yet: the size tells that it cannot be, without
		// reading. So where a tree of steps left its root, its other partial sums cost nothing.
		if most := (x.size - r.Secagg.SumBytes()) / 32; int64(2*left) <= most-partialSlack {
			continue
		}
		if left == 0 {
			break
		}
		p, err := Load(ctx, s, r, x.id)
		if errors.Is(err, pipeline.ErrUntrusted) {
			continue // its reports are added anew
		}
		if err != nil {
			return nil, err
		}
		if base.fits(p, want) {
			if err := base.absorb(p); err != nil {
				return nil, err
			}
			left = len(difference(want, base.Reports))
		}
	}
	return base, subtract(ctx, s, r, base, difference(base.Reports, want))
}

// partialSlack is more than the head of a partial sum takes, in ReportIDs.
const partialSlack = 2

// fits tells a partial sum that is disjoint and has fewer reports to subtract than it saves.
func (p *PartialSum) fits(other *PartialSum, want []schema.ReportID) bool {
	extra := len(difference(other.Reports, want))
	return len(difference(other.Reports, p.Reports)) == len(other.Reports) && 2*extra < len(other.Reports)
}

// absorb adds a disjoint partial sum in place.
func (p *PartialSum) absorb(other *PartialSum) error {
	all := slices.Concat(p.Reports, other.Reports)
	slices.SortFunc(all, schema.CompareReports)
	if len(slices.Compact(slices.Clone(all))) != len(all) {
		return ErrOverlap
	}
	p.Reports = all
	return p.Sum.Merge(other.Sum)
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
	a, f := &adder{store: s, round: r}, &fetched{}
	for _, id := range ids {
		if err := a.fetch(ctx, f, id); err != nil {
			return err
		}
		rep, err := f.verify(r)
		if err != nil {
			return err
		}
		if err := p.Sum.SubCorr(rep.Corr()); err != nil {
			return err
		}
		if err := p.Sum.SubBlocks(0, f.pieces); err != nil {
			return err
		}
	}
	p.Reports = difference(p.Reports, ids)
	return nil
}
