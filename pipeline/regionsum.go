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

// LoadRegionSums returns what a region of the round signed, the sum of most reports first and
// then by name. What does not verify counts for nothing: whoever may write to the store can put it there.
func LoadRegionSums(ctx context.Context, s storage.Store, r *Round, region schema.Region) ([]schema.Signed[schema.RegionSum], error) {
	ids, err := listDigests(ctx, s, RegionSumsPrefix(r.Name, region.Name))
	if err != nil {
		return nil, err
	}
	var all []schema.Signed[schema.RegionSum]
	for _, id := range ids {
		key := RegionSumKey(r.Name, region.Name, id)
		x, err := load[schema.RegionSum](ctx, s, key, region.Aggregator)
		if err == nil && (RegionSumName(x) != id || x.Body.RoundID != r.ID || x.Body.Region != region.Name) {
			err = untrusted(key, errors.New("it belongs to another round or region, or differs from its name"))
		}
		switch {
		case err == nil:
			all = append(all, x)
		case !errors.Is(err, ErrUntrusted) && !errors.Is(err, storage.ErrNotExist):
			return nil, err
		}
	}
	slices.SortStableFunc(all, func(a, b schema.Signed[schema.RegionSum]) int {
		return cmp.Compare(b.Body.Reports, a.Body.Reports) // names are sorted
	})
	return all, nil
}
