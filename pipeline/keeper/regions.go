package keeper

import (
	"fmt"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/schema"
)

// regions checks what the round's regions signed, and that the sums which that names are there.
func (x *roundCheck) regions() error {
	signed, err := regionSums(x.plans, x.r)
	if err != nil {
		return err
	}
	for _, o := range x.objects {
		if o.Kind != pipeline.KindRegionSum {
			continue
		}
		var err error
		partial, ok := signed[o.Info.Key]
		if x.regional[partial] = ok; !ok {
			err = fmt.Errorf("%w: the region did not sign it for this round", pipeline.ErrUntrusted)
		} else if !x.has(pipeline.PartialKey(x.name, partial)) {
			err = fmt.Errorf("%w: the sum that it names is missing", pipeline.ErrUntrusted)
		}
		if err := x.unnamed(o.Info.Key, err); err != nil {
			return err
		}
	}
	return nil
}

// regionSums returns, by their objects' names, the partial sums that the round's regions signed.
func regionSums(p *plans, r *pipeline.Round) (map[string]schema.Digest, error) {
	all := map[string]schema.Digest{}
	for _, reg := range r.Descriptor.Regions {
		sums, err := pipeline.LoadRegionSums(p.ctx, p.store, r, reg)
		if err != nil {
			return nil, err
		}
		for _, s := range sums {
			all[pipeline.RegionSumKey(r.Name, reg.Name, pipeline.RegionSumName(s))] = s.Body.Partial
		}
	}
	return all, nil
}

// elsewhere tells whether a report that lacks this many pieces here, all of them, may have come from a region, where they are.
func (x *roundCheck) elsewhere(missing int) bool {
	h := x.r.Header()
	return len(x.r.Descriptor.Regions) > 0 && missing == h.Pieces()
}
