// Package region is the border between the regions of a round and its root.
//
// Vehicles of a region report to a store of their own. The regional aggregator checks and adds
// what is there ([Sum]) and sends to the root's store the header objects, one partial sum and one signed
// statement: what the root takes in does not grow with the length of an update times the number of
// vehicles. The root believes nothing of it that it can check: [Root.Judge] verifies the statement, every header, and that
// the reports' corr add up to the sum's. That the sum of c is the reports' too shows only where pieces are:
// [Root.Verify] adds them again. A region that is late, lies or contradicts another is left out and named, and the
// others go on. REGIONS.md is the specification.
package region

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/aggregator"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// State is what the root thinks of a region.
type State string

// The states of a region.
const (
	Absent  State = "absent"   // it has signed no sum that the store shows
	Ready   State = "ready"    // its sum may be used
	LeftOut State = "left out" // its sum does not hold
)

// ErrLies: a region's partial sum is not the sum of its reports.
var ErrLies = errors.New("region: the reports do not add up to the region's sum")

// Standing is what the root finds of one region.
type Standing struct {
	schema.Region
	State     State
	Statement schema.Digest     // its name; zero if absent
	Partial   schema.Digest     // the sum's name
	Reports   []schema.ReportID // of a region that is ready; sorted
	Refused   []schema.Refusal  // by the region
	Why       error             // why it is left out
}

// Root is the root's store with those of the regions that it can read, which may be none: it needs them only for
// reports to subtract, for regions that contradict each other, and for [Root.Verify].
type Root struct {
	Store   storage.Store
	Regions map[string]storage.Store // by name
}

// pieces is the root's store with the pieces of one region. All else, the headers too, comes from the root: both
// must speak of the same report.
type pieces struct {
	storage.Store
	near storage.Store
}

// Get implements storage.Store.
func (p pieces) Get(ctx context.Context, key string) (io.ReadCloser, storage.Info, error) {
	if o, ok := pipeline.ParseObject(key); ok && o.Kind == pipeline.KindPiece && p.near != nil {
		rc, info, err := p.near.Get(ctx, key)
		if !errors.Is(err, storage.ErrNotExist) {
			return rc, info, err
		}
	}
	return p.Store.Get(ctx, key)
}

// Pieces returns the root's store with the pieces that lie in a region's.
func (x Root) Pieces(name string) storage.Store { return pieces{x.Store, x.Regions[name]} }

// Judge verifies what each region of the round signed, in the order of the descriptor.
func (x Root) Judge(ctx context.Context, r *pipeline.Round) ([]Standing, error) {
	all := make([]Standing, len(r.Descriptor.Regions))
	for i, reg := range r.Descriptor.Regions {
		s, err := x.judge(ctx, r, reg)
		if err != nil {
			return nil, err
		}
		all[i] = *s
	}
	return all, x.overlaps(ctx, r, all)
}

func (x Root) judge(ctx context.Context, r *pipeline.Round, reg schema.Region) (*Standing, error) {
	s := &Standing{Region: reg, State: Absent}
	sums, err := pipeline.LoadRegionSums(ctx, x.Store, r, reg)
	if errors.Is(err, pipeline.ErrUntrusted) {
		s.leaveOut(err) // its place is full of junk: that must not hold up the others
		return s, nil
	}
	if err != nil || len(sums.All) == 0 {
		return s, err
	}
	s.Statement, s.Partial, s.Refused = sums.All[0].Name, sums.Best.Body.Partial, sums.Best.Body.Refused
	p, err := aggregator.Load(ctx, x.Store, r, s.Partial)
	if err == nil {
		err = x.holds(ctx, r, sums.Best.Body, p)
	}
	switch {
	case err == nil:
		s.State, s.Reports = Ready, p.Reports
	case errors.Is(err, pipeline.ErrUntrusted) || errors.Is(err, storage.ErrNotExist):
		s.leaveOut(err)
	default:
		return nil, err
	}
	return s, nil
}

func (s *Standing) leaveOut(why error) { s.State, s.Reports, s.Why = LeftOut, nil, why }

// holds checks a statement against its partial sum and the headers: all of the reports are of this round and of different
// vehicles, and their corr add up.
func (x Root) holds(ctx context.Context, r *pipeline.Round, st schema.RegionSum, p *aggregator.PartialSum) error {
	if len(p.Reports) != st.Reports {
		return fmt.Errorf("%w: it states %d reports, its sum holds %d", pipeline.ErrUntrusted, st.Reports, len(p.Reports))
	}
	vehicles, corr, err := heads(ctx, x.Store, r, p.Reports)
	if err != nil {
		return err
	}
	pipeline.SortVehicles(vehicles)
	if len(slices.Compact(vehicles)) != len(p.Reports) {
		return fmt.Errorf("%w: its sum holds two reports of one vehicle", pipeline.ErrUntrusted)
	}
	mine, theirs := make([]uint32, r.Secagg.N()), make([]uint32, r.Secagg.N())
	if err := errors.Join(corr.Corr(mine), p.Sum.Corr(theirs)); err != nil {
		return err
	}
	if !slices.Equal(mine, theirs) {
		return fmt.Errorf("%w: its reports' corr do not add up to its sum's", pipeline.ErrUntrusted)
	}
	return nil
}

// overlaps leaves out regions whose lists share reports unless they can show these reports' pieces: whoever saw a header
// can put it on a list. A report that two can show counts once, see [Root.Combine].
func (x Root) overlaps(ctx context.Context, r *pipeline.Round, all []Standing) error {
	holders := map[schema.ReportID][]int{}
	for i, s := range all {
		for _, id := range s.Reports {
			holders[id] = append(holders[id], i)
		}
	}
	shared := make([][]schema.ReportID, len(all))
	others := make([]string, len(all))
	for i, s := range all {
		for _, id := range s.Reports {
			if h := holders[id]; len(h) > 1 {
				shared[i] = append(shared[i], id)
				others[i] = all[h[(slices.Index(h, i)+1)%len(h)]].Name
			}
		}
	}
	for i := range all {
		if len(shared[i]) == 0 {
			continue
		}
		res, err := aggregator.Sum(ctx, x.Pieces(all[i].Name), r, shared[i], nil)
		if err != nil {
			return err
		}
		if n := len(res.Refused); n > 0 {
			all[i].leaveOut(fmt.Errorf("%w: %d of its reports are on the list of %s too, and the pieces of %d cannot be had (first %s: %s)",
				pipeline.ErrUntrusted, len(shared[i]), others[i], n, res.Refused[0].Report.Short(), res.Refused[0].Reason))
		}
	}
	return nil
}

// Verify adds a region's reports again from their pieces: ErrLies if they do not add up to what it signed, a
// *pipeline.Refused if the pieces of one cannot be had or do not fit its header.
func (x Root) Verify(ctx context.Context, r *pipeline.Round, s Standing, progress aggregator.Progress) error {
	_, err := x.again(ctx, r, s, progress)
	return err
}

// again returns the true sum of a region's reports, with ErrLies if the region signed another one.
func (x Root) again(ctx context.Context, r *pipeline.Round, s Standing, progress aggregator.Progress) (*aggregator.PartialSum, error) {
	res, err := aggregator.Sum(ctx, x.Pieces(s.Name), r, s.Reports, progress)
	if err != nil {
		return nil, err
	}
	if n := len(res.Refused); n > 0 {
		f := res.Refused[0]
		return nil, &pipeline.Refused{Report: f.Report, Reason: f.Reason, Err: fmt.Errorf("region %s shows no pieces for %d of its %d reports", s.Name, n, len(s.Reports))}
	}
	_, id, err := res.Encode(r)
	if err == nil && id != s.Partial { // a partial sum is named by its bytes
		err = fmt.Errorf("%w: %s", ErrLies, s.Name)
	}
	return &res.PartialSum, err
}
