package keeper

import (
	"errors"
	"fmt"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
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

// readKind finds out whether the store is a region's own.
func (p *plans) readKind() error {
	f, err := pipeline.ReadFormat(p.ctx, p.store)
	if p.region = err == nil && f.Region; errors.Is(err, storage.ErrNotExist) || errors.Is(err, pipeline.ErrFormat) {
		return nil // it says nothing of itself, or somebody else tells
	}
	return err
}

// endedElsewhere reads the manifest of a round that ended at the root: which of the reports here are in its list.
func (x *roundCheck) endedElsewhere() error {
	m, err := pipeline.LoadManifest(x.ctx, x.store, x.r, x.receipt.Manifest)
	if err != nil {
		return x.blame(pipeline.ManifestKey(x.name, x.receipt.Manifest), err)
	}
	for _, id := range m.Reports {
		if rep := x.reports[id]; rep != nil && rep.header {
			x.listed = append(x.listed, id)
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
		for _, s := range sums.All {
			all[pipeline.RegionSumKey(r.Name, reg.Name, s.Name)] = s.Partial
		}
	}
	return all, nil
}

// elsewhere tells whether a report that lacks this many pieces here, all of them, may have come from a region, where they are.
func (x *roundCheck) elsewhere(missing int) bool {
	h := x.r.Header()
	return !x.region && len(x.r.Descriptor.Regions) > 0 && missing == h.Pieces()
}
