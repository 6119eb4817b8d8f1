package pipeline

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"slices"

	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// Region returns the round's region of a name.
func (r *Round) Region(name string) (schema.Region, bool) {
	i := slices.IndexFunc(r.Descriptor.Regions, func(x schema.Region) bool { return x.Name == name })
	if i < 0 {
		return schema.Region{}, false
	}
	return r.Descriptor.Regions[i], true
}

// RegionSumName is what a regional sum is called in a store: the SHA-256 of the whole object. Its identity would not do: it
// does not cover the signature, so that anybody could take the name with another one.
func RegionSumName(s schema.Signed[schema.RegionSum]) schema.Digest { return sha256.Sum256(s.Bytes()) }

// RegionSums is what a region signed in a round.
type RegionSums struct {
	// Best is the sum that counts, of most reports and then of the smallest name. It is the zero value if All is empty.
	Best schema.Signed[schema.RegionSum]
	All  []SignedSum // Best first
}

// SignedSum tells of one regional sum what is worth keeping: its lists of refused reports may be long, and a
// region may sign as many as it likes.
type SignedSum struct {
	Name    schema.Digest // as RegionSumName
	Partial schema.Digest
	Reports int
}

// maxRegionSums bounds the objects of one region and round that are looked at, by whomever they were written.
const maxRegionSums = 1 << 14

// LoadRegionSums returns what a region of the round signed. What does not verify counts for nothing: whoever may write to
// the store can put it there. ErrUntrusted if there are more objects than anybody should read. It holds two of them at a time.
func LoadRegionSums(ctx context.Context, s storage.Store, r *Round, region schema.Region) (*RegionSums, error) {
	ids, err := listAtMost(ctx, s, RegionSumsPrefix(r.Name, region.Name), maxRegionSums)
	if err != nil {
		return nil, err
	}
	all := &RegionSums{}
	for _, id := range ids {
		key := RegionSumKey(r.Name, region.Name, id)
		x, err := load[schema.RegionSum](ctx, s, key, region.Aggregator)
		if err == nil && (RegionSumName(x) != id || x.Body.RoundID != r.ID || x.Body.Region != region.Name) {
			err = Untrusted(key, errors.New("it belongs to another round or region, or differs from its name"))
		}
		switch {
		case err == nil:
			all.add(x)
		case !errors.Is(err, ErrUntrusted) && !errors.Is(err, storage.ErrNotExist):
			return nil, err
		}
	}
	slices.SortStableFunc(all.All, func(a, b SignedSum) int {
		return cmp.Compare(b.Reports, a.Reports) // names are sorted
	})
	return all, nil
}

// add notes a sum; names ascend, so that of equally many reports the first stays the best.
func (a *RegionSums) add(x schema.Signed[schema.RegionSum]) {
	if len(a.All) == 0 || x.Body.Reports > a.Best.Body.Reports {
		a.Best = x
	}
	a.All = append(a.All, SignedSum{Name: RegionSumName(x), Partial: x.Body.Partial, Reports: x.Body.Reports})
}
