package auditor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/aggregator"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// Region is what a region of a round signed, and how much of it is in the round's list.
type Region struct {
	Name       string           `json:"name"`
	Aggregator schema.PublicKey `json:"aggregator"`
	Signed     int              `json:"reports_signed"` // 0: it signed no sum that verifies
	Listed     int              `json:"reports_listed"` // of these in the list that was opened
	Partial    schema.Digest    `json:"partial"`
	// Read tells whether the audit could read the region's own store, where the pieces of its reports are.
	Read bool `json:"read"`

	list []schema.ReportID
}

// regions verifies what the round's regions signed. That they are late or were left out is no flaw: how much of them
// is in the list is told after the manifest is known.
func (r *roundAudit) regions() error {
	for _, reg := range r.Descriptor.Regions {
		out := &Region{Name: reg.Name, Aggregator: reg.Aggregator, Read: r.opt.Regions[reg.Name] != nil}
		r.out.Regions = append(r.out.Regions, out)
		sums, err := pipeline.LoadRegionSums(r.ctx, r.store, r.Round, reg)
		if err != nil {
			return blame(pipeline.RegionSumsPrefix(r.Name, reg.Name), "the region's sums", err)
		}
		if err := r.planted(reg, sums.All); err != nil {
			return err
		}
		for i, s := range sums.All {
			r.count("regional sum")
			r.partials[s.Partial] = true
			if i > 0 {
				r.note(pipeline.RegionSumKey(r.Name, reg.Name, s.Name), "region %s signed a second sum in this round", reg.Name)
				continue
			}
			key := pipeline.PartialKey(r.Name, s.Partial)
			p, err := aggregator.Load(r.ctx, r.store, r.Round, s.Partial)
			if err != nil {
				if err := r.unnamed(blame(key, "the sum that region "+reg.Name+" signed", err)); err != nil {
					return err
				}
				continue
			}
			out.Signed, out.Partial, out.list = s.Reports, s.Partial, p.Reports
		}
	}
	return nil
}

// planted finds objects among the region's sums that it did not sign.
func (r *roundAudit) planted(reg schema.Region, sums []pipeline.SignedSum) error {
	for info, err := range r.store.List(r.ctx, pipeline.RegionSumsPrefix(r.Name, reg.Name), "") {
		if err != nil {
			return err
		}
		own := slices.ContainsFunc(sums, func(s pipeline.SignedSum) bool {
			return pipeline.RegionSumKey(r.Name, reg.Name, s.Name) == info.Key
		})
		if own {
			continue
		}
		if err := r.unnamed(flawf(info.Key, "region %s did not sign it for this round", reg.Name)); err != nil {
			return err
		}
	}
	return nil
}

// listed counts how much of each region's sum is in the certified list.
func (r *roundAudit) listed() error {
	for _, reg := range r.out.Regions {
		reg.Listed = pipeline.Listed(reg.list, r.manifest.Reports)
	}
	return nil
}

// sources returns the audited store and those of the regions, in the order of their names. Pieces prove themselves by their
// signed root, so it does not matter which region's it is.
func sources(s storage.Store, regions map[string]storage.Store) []storage.Store {
	all := []storage.Store{s}
	for _, name := range slices.Sorted(maps.Keys(regions)) {
		all = append(all, regions[name])
	}
	return all
}

// unread says which regions' stores the audit was not given.
func (r *roundAudit) unread() string {
	var names []string
	for _, reg := range r.out.Regions {
		if !reg.Read && reg.Listed > 0 {
			names = append(names, reg.Name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return fmt.Sprintf("; the audit was not given the stores of these regions: %s", strings.Join(names, ", "))
}

// allPieces returns the pieces of a report from the first store that has all of them as they were signed. If none has, the error
// is that of a store which has other ones, or else that they are missing.
func (w *worker) allPieces(ctx context.Context, rep *schema.Report) (pieces [][]byte, err error) {
	var absent, wrong error
	for _, s := range w.sources {
		pieces, err := w.piecesIn(ctx, s, rep)
		switch {
		case err == nil:
			return pieces, nil
		case errors.Is(err, storage.ErrNotExist):
			absent = cmp.Or(absent, err)
		case errors.Is(err, ErrFlaw):
			wrong = cmp.Or(wrong, err)
		default:
			return nil, err
		}
	}
	return nil, cmp.Or(wrong, absent)
}
