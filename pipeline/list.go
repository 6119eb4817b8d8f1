package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// LoadCandidates reads a candidate list of this round.
func LoadCandidates(ctx context.Context, s storage.Store, r *Round, id schema.Digest) (schema.Candidates, error) {
	key := CandidatesKey(r.Name, id)
	raw, err := Read(ctx, s, key, schema.MaxObject)
	if err != nil {
		return schema.Candidates{}, err
	}
	c, err := schema.DecodeCandidates(raw)
	if err == nil && (c.RoundID != r.ID || c.ID() != id) {
		err = errors.New("it belongs to another round or differs from its name")
	}
	if err != nil {
		return c, Untrusted(key, err)
	}
	return c, nil
}

// ListCandidates returns the identities of all candidate lists of the round.
func ListCandidates(ctx context.Context, s storage.Store, r *Round) ([]schema.Digest, error) {
	return listDigests(ctx, s, CandidatesPrefix(r.Name))
}

// FrozenCandidates returns the largest candidate list in the store whose
// reports are all there, and how many they are; 0 if there is none of at least
// min_batch_size. Candidate lists are not signed: one that somebody planted can be
// ignored, or leave reports out.
func FrozenCandidates(ctx context.Context, s storage.Store, r *Round) (best schema.Digest, n int, err error) {
	best, reports, err := FrozenList(ctx, s, r, r.Task.Batch.Min)
	return best, len(reports), err
}

// FrozenList is FrozenCandidates for a list of at least that many reports, which it returns; nil if there is none.
func FrozenList(ctx context.Context, s storage.Store, r *Round, least int) (best schema.Digest, reports []schema.ReportID, err error) {
	lists, err := ListCandidates(ctx, s, r)
	if err != nil || len(lists) == 0 {
		return best, nil, err
	}
	stored, err := ListReports(ctx, s, r.Name)
	if err != nil {
		return best, nil, err
	}
	for _, id := range lists {
		l, err := LoadCandidates(ctx, s, r, id)
		if errors.Is(err, ErrUntrusted) {
			continue
		}
		if err != nil {
			return best, nil, err
		}
		if len(l.Reports) >= max(least, len(reports)+1) && Listed(l.Reports, stored) == len(l.Reports) {
			best, reports = id, l.Reports
		}
	}
	return best, reports, nil
}

// Freeze writes a candidate list of the round, of sorted reports, and returns its identity.
func Freeze(ctx context.Context, s storage.Store, r *Round, reports []schema.ReportID) (schema.Digest, error) {
	l := schema.Candidates{Version: schema.Version, RoundID: r.ID, Reports: reports}
	raw, err := l.Encode()
	if err != nil {
		return schema.Digest{}, err
	}
	id := l.ID()
	_, err = s.PutOnce(ctx, CandidatesKey(r.Name, id), raw)
	return id, err
}

// Listed counts the reports that are in a sorted list.
func Listed(reports, list []schema.ReportID) (n int) {
	for _, id := range reports {
		if _, ok := slices.BinarySearchFunc(list, id, schema.CompareReports); ok {
			n++
		}
	}
	return n
}

// ListManifests returns the identities of all proposed manifests of the round, sorted.
func ListManifests(ctx context.Context, s storage.Store, r *Round) ([]schema.ManifestID, error) {
	ids, err := listDigests(ctx, s, ManifestsPrefix(r.Name))
	all := make([]schema.ManifestID, len(ids))
	for i, id := range ids {
		all[i] = schema.ManifestID{Digest: id}
	}
	return all, err
}

// maxProposals bounds the candidate lists, and the manifests, of one round that
// are looked at: honest collectors leave one or two.
const maxProposals = 1024

func listDigests(ctx context.Context, s storage.Store, prefix string) ([]schema.Digest, error) {
	return listAtMost(ctx, s, prefix, maxProposals)
}

func listAtMost(ctx context.Context, s storage.Store, prefix string, most int) ([]schema.Digest, error) {
	var ids []schema.Digest
	for info, err := range s.List(ctx, prefix, "") {
		if err != nil {
			return nil, err
		}
		if id, err := schema.ParseDigest(strings.TrimSuffix(info.Key[len(prefix):], ".json")); err == nil {
			ids = append(ids, id)
		}
		if len(ids) > most {
			return nil, Untrusted(prefix, fmt.Errorf("more than %d objects", most))
		}
	}
	return ids, nil
}

// LoadChecks returns the valid checks of a candidate list by decryptor.
func LoadChecks(ctx context.Context, s storage.Store, r *Round, candidates schema.Digest) (map[int]schema.Signed[schema.Check], error) {
	return byDecryptor(r, func(k int) (schema.Signed[schema.Check], error) {
		key := CheckKey(r.Name, candidates, k)
		c, err := load[schema.Check](ctx, s, key, r.Task.Committee.Keys[k])
		if err == nil && (c.Body.RoundID != r.ID || c.Body.Index != k || c.Body.Candidates != candidates) {
			err = Untrusted(key, errors.New("it belongs to another round, list or decryptor"))
		}
		return c, err
	})
}

// SortVehicles sorts pseudonyms by their bytes.
func SortVehicles(v []schema.VehicleID) {
	slices.SortFunc(v, func(a, b schema.VehicleID) int { return bytes.Compare(a[:], b[:]) })
}
