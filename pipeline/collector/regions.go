package collector

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/aggregator"
	"github.com/veilsum/veilsum/pipeline/region"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// Reading returns a collector that can read these regions' stores, by their names. It needs them only for reports that
// have to be subtracted from a region's sum, for regions that contradict each other, and to find which region lied.
func (c *Collector) Reading(regions map[string]storage.Store) *Collector {
	other := *c
	other.regions = regions
	return &other
}

func sortedRegions(all []schema.Region) []schema.Region {
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b schema.Region) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// sameRegions compares names and keys; a deadline is advice.
func sameRegions(stands, wanted []schema.Region) bool {
	return slices.EqualFunc(stands, sortedRegions(wanted), func(a, b schema.Region) bool {
		return a.Name == b.Name && a.Aggregator == b.Aggregator
	})
}

func (c *Collector) root(s storage.Store) region.Root {
	return region.Root{Store: s, Regions: c.regions}
}

// complete lists the reports that the round may be closed with.
func (c *Collector) complete(ctx context.Context, s storage.Store, r *pipeline.Round, without []string) ([]schema.ReportID, error) {
	if len(r.Descriptor.Regions) == 0 {
		return pipeline.ListReports(ctx, s, r.Name)
	}
	all, err := c.root(s).Judge(ctx, r)
	if err != nil {
		return nil, err
	}
	return c.root(s).Candidates(ctx, r, all, without...)
}

// admissible returns the sum over the reports that can be added, the list that it proposes of them, and the vehicles
// which that charges.
func (c *Collector) admissible(ctx context.Context, s storage.Store, r *pipeline.Round, charges *pipeline.Charges, reports []schema.ReportID, p *Proposal) (*aggregator.Result, []schema.ReportID, []schema.VehicleID, error) {
	var all []region.Standing
	var err error
	if len(r.Descriptor.Regions) > 0 {
		if all, err = c.root(s).Judge(ctx, r); err != nil {
			return nil, nil, nil, err
		}
	}
	for {
		// Decryptors never look at pieces: without this step one report whose pieces are missing could never be collected.
		sum, err := c.addable(ctx, s, r, all, reports, p)
		if err != nil {
			return nil, nil, nil, err
		}
		p.Refused = append(p.Refused, sum.Refused...)
		if fit := c.fitting(r, all, sum.Reports, p); len(fit) < len(sum.Reports) {
			reports = fit
			continue
		}
		kept, vehicles, err := p.affordable(ctx, s, r, charges, sum.Reports)
		// What a region added may be impossible to subtract later: the sum of such a round is over the list exactly.
		if err != nil || len(all) == 0 || len(kept) == len(sum.Reports) {
			return sum, kept, vehicles, err
		}
		reports = kept
	}
}

// fitting cuts the list of a round with regions to max_batch_size. From the sum of a region whose store cannot be read no
// report can be subtracted: it is in the list whole or not at all, the largest that fits first. The room that is left is the others',
// by their ReportIDs.
func (c *Collector) fitting(r *pipeline.Round, all []region.Standing, reports []schema.ReportID, p *Proposal) []schema.ReportID {
	most := r.Task.Batch.Max
	if len(all) == 0 || len(reports) <= most {
		return reports
	}
	var fit []schema.ReportID
	rest := reports
	for _, s := range region.In(all, reports) {
		if c.regions[s.Name] != nil {
			continue
		}
		var mine []schema.ReportID
		mine, rest = divide(rest, s.Reports)
		if len(fit)+len(mine) > most {
			p.unuse(aggregator.Unused{Name: s.Name, Err: fmt.Errorf("%w: its %d reports are more than max_batch_size, %d, leaves room for, and without its store none of them can be subtracted", ErrCrowded, len(mine), most)})
			continue
		}
		fit = append(fit, mine...)
	}
	fit = append(fit, rest[:min(len(rest), most-len(fit))]...)
	slices.SortFunc(fit, schema.CompareReports)
	return fit
}

// ErrCrowded: a region's reports are more than the batch has room for.
var ErrCrowded = errors.New("collector: no room for the region")

// divide returns those of all that are in some, which is sorted, and those that are not.
func divide(all, some []schema.ReportID) (in, out []schema.ReportID) {
	for _, id := range all {
		if _, ok := slices.BinarySearchFunc(some, id, schema.CompareReports); ok {
			in = append(in, id)
		} else {
			out = append(out, id)
		}
	}
	return in, out
}

// unuse notes once that a region is not used.
func (p *Proposal) unuse(u aggregator.Unused) {
	if !slices.ContainsFunc(p.Unused, func(x aggregator.Unused) bool { return x.Name == u.Name }) {
		p.Unused = append(p.Unused, u)
	}
}

func (c *Collector) addable(ctx context.Context, s storage.Store, r *pipeline.Round, all []region.Standing, reports []schema.ReportID, p *Proposal) (*aggregator.Result, error) {
	if len(all) == 0 {
		return aggregator.Addable(ctx, s, r, reports, nil)
	}
	sum, unused, err := c.root(s).Combine(ctx, r, all, reports, nil)
	for _, u := range unused {
		p.unuse(u)
	}
	return sum, err
}

// summed returns the sum over exactly the list. In a round with regions that is what they signed, or else what
// Propose left: a store that anybody writes to may hold a partial sum that opens to something else.
func (c *Collector) summed(ctx context.Context, s storage.Store, r *pipeline.Round, list []schema.ReportID, progress aggregator.Progress) (*aggregator.PartialSum, error) {
	if len(r.Descriptor.Regions) > 0 {
		all, err := c.root(s).Judge(ctx, r)
		if err != nil {
			return nil, err
		}
		sum, _, err := c.root(s).Combine(ctx, r, all, list, progress)
		if err != nil {
			return nil, err
		}
		if whole, err := sum.Whole(); err == nil {
			return whole, nil
		}
	}
	return aggregator.ForManifest(ctx, s, r, list, progress)
}

// hiding returns what is known of a region that shows no pieces, nil if all do: without them nobody can say that a
// round can never be opened.
func hiding(found []region.Finding) error {
	for _, f := range found {
		if !errors.Is(f.Err, region.ErrLies) {
			return f.Err
		}
	}
	return nil
}

// fromReports is summed from the pieces of reports alone, with what that shows of the regions.
func (c *Collector) fromReports(ctx context.Context, s storage.Store, r *pipeline.Round, list []schema.ReportID, progress aggregator.Progress) (*aggregator.PartialSum, []region.Finding, error) {
	if len(r.Descriptor.Regions) == 0 {
		sum, err := aggregator.FromReports(ctx, s, r, list, progress)
		return sum, nil, err
	}
	all, err := c.root(s).Judge(ctx, r)
	if err != nil {
		return nil, nil, err
	}
	res, found, err := c.root(s).Recombine(ctx, r, all, list, progress)
	if err != nil {
		return nil, found, err
	}
	sum, err := res.Whole()
	return sum, found, err
}
