package aggregator

import (
	"context"
	"errors"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/secagg"
	"github.com/veilsum/veilsum/storage"
)

// Part is a partial sum that somebody vouches for, such as a region's aggregator. Its reports' pieces need not be in
// the round's store.
type Part struct {
	Name string
	Load func(context.Context) (*PartialSum, error)
	// Pieces is where the reports are of which some may have to be subtracted.
	Pieces storage.Store
}

// Unused is a part that could not be used, and why.
type Unused struct {
	Name string
	Err  error // from Combine a *pipeline.Refused of the report that could not be subtracted
}

// Combine returns the sum over those of the wanted reports, sorted and distinct, that can be added, and the rest as
// refused: from the parts, in their order, and for what no part holds from the store. Of a part, reports that are not
// wanted, or that a part before it holds, are subtracted; a part of which one cannot be is not used at all. No other
// partial sums of the store are looked at.
func Combine(ctx context.Context, s storage.Store, r *pipeline.Round, parts []Part, want []schema.ReportID, progress Progress) (*Result, []Unused, error) {
	base := &PartialSum{Sum: secagg.NewSum(r.Secagg)}
	var unused []Unused
	for _, part := range parts {
		p, err := part.Load(ctx)
		if err != nil {
			return nil, nil, err
		}
		if p, err = p.restricted(ctx, r, part.Pieces, difference(want, base.Reports)); err != nil {
			var refused *pipeline.Refused
			if !errors.As(err, &refused) {
				return nil, nil, err
			}
			unused = append(unused, Unused{part.Name, err})
			continue
		}
		if err := base.absorb(p); err != nil {
			return nil, nil, err
		}
	}
	rest, err := Sum(ctx, s, r, difference(want, base.Reports), progress)
	if err != nil {
		return nil, nil, err
	}
	return rest, unused, rest.absorb(base)
}

// restricted returns the sum over those of p's reports that are wanted; nothing is read if none or all are.
func (p *PartialSum) restricted(ctx context.Context, r *pipeline.Round, s storage.Store, want []schema.ReportID) (*PartialSum, error) {
	extra := difference(p.Reports, want)
	if len(extra) == len(p.Reports) {
		return &PartialSum{Sum: secagg.NewSum(r.Secagg)}, nil
	}
	return p, subtract(ctx, s, r, p, extra)
}

// Whole returns the sum of a result over exactly what was asked for: a report that could not be added is an error.
func (res *Result) Whole() (*PartialSum, error) { return whole(res, nil) }

// absorb adds a partial sum, of whose reports nobody knows the vehicles.
func (res *Result) absorb(p *PartialSum) error {
	res.Vehicles = nil
	return res.PartialSum.absorb(p)
}
