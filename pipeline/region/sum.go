package region

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/aggregator"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// ErrLate: the root froze its list without this region.
var ErrLate = fmt.Errorf("%w for this region: the root's list was frozen without it", pipeline.ErrEnded)

// Summed is what a region sent to the root.
type Summed struct {
	Statement schema.Digest // its name
	schema.RegionSum
	Bytes int64 // of all that the region gave the root's store
}

// Options are for [Sum]. The zero value trusts nothing in the region's store.
type Options struct {
	// Partials lets Sum start from the partial sums in the region's store. They are not signed: only if nobody but
	// the aggregator can write them there, since with the region's signature a false one is the region's lie.
	Partials bool
	Progress aggregator.Progress // may be nil
}

// Sum is the regional aggregator's step: it freezes the list of the reports in the region's store, checks and adds them, and
// gives the root's store the header objects, the partial sum, and last the signed statement, which commits
// the region. Reports that fail a check are left out. Started again it goes on: once the statement lies in the
// region's own store, the same one is sent.
func Sum(ctx context.Context, near, root storage.Store, r *pipeline.Round, name string, key ed25519.PrivateKey, opt Options) (*Summed, error) {
	reg, ok := r.Region(name)
	if own := schema.NewPublicKey(key); !ok || own != reg.Aggregator {
		return nil, fmt.Errorf("%w: the round names no region %q with the key %s", pipeline.ErrKey, name, own)
	}
	u := &up{near: near, root: root, round: r, region: reg}
	sums, err := pipeline.LoadRegionSums(ctx, near, r, reg)
	if err != nil {
		return nil, err
	}
	signed := sums.Best
	if len(sums.All) == 0 {
		if err := u.inTime(ctx); err != nil {
			return nil, err
		}
		if signed, err = u.sign(ctx, key, opt); err != nil {
			return nil, err
		}
	}
	return u.send(ctx, signed)
}

// up is the way from a region to the root.
type up struct {
	near, root storage.Store
	round      *pipeline.Round
	region     schema.Region
}

// inTime returns an error if the root takes no region's sum any more.
func (u *up) inTime(ctx context.Context) error {
	if err := pipeline.Ended(ctx, u.root, u.round); err != nil {
		return err
	}
	_, n, err := pipeline.FrozenCandidates(ctx, u.root, u.round)
	if err == nil && n > 0 {
		err = ErrLate
	}
	return err
}

// sign makes the region's statement and stores it in the region's own store, where the partial sum is before it.
func (u *up) sign(ctx context.Context, key ed25519.PrivateKey, opt Options) (none schema.Signed[schema.RegionSum], err error) {
	ids, err := u.freeze(ctx)
	if err != nil {
		return none, err
	}
	good, refused, err := u.heads(ctx, ids)
	if err != nil {
		return none, err
	}
	add := aggregator.Sum
	if opt.Partials {
		add = aggregator.Addable
	}
	sum, err := add(ctx, u.near, u.round, good, opt.Progress)
	if err != nil {
		return none, err
	}
	if len(sum.Reports) == 0 {
		return none, fmt.Errorf("%w: none of the region's %d reports can be added", pipeline.ErrTooFew, len(ids))
	}
	refused = append(append([]schema.Refusal{}, refused...), sum.Refused...)
	slices.SortFunc(refused, func(a, b schema.Refusal) int { return schema.CompareReports(a.Report, b.Report) })
	partial, err := aggregator.Store(ctx, u.near, u.round, &sum.PartialSum)
	if err != nil {
		return none, err
	}
	signed, err := schema.SignBody(schema.RegionSum{
		Version: schema.Version, RoundID: u.round.ID, Region: u.region.Name, Partial: partial, Reports: len(sum.Reports), Refused: refused,
	}, key)
	if err != nil {
		return none, err
	}
	_, err = u.near.PutOnce(ctx, pipeline.RegionSumKey(u.round.Name, u.region.Name, pipeline.RegionSumName(signed)), signed.Bytes())
	return signed, err
}

// freeze returns the region's list: the one that is frozen in its store, which a vehicle that asks there is told, or all
// complete reports.
func (u *up) freeze(ctx context.Context) ([]schema.ReportID, error) {
	_, list, err := pipeline.FrozenList(ctx, u.near, u.round, 1)
	if err != nil || len(list) > 0 {
		return list, err
	}
	if list, err = pipeline.ListReports(ctx, u.near, u.round.Name); err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%w: no reports in the region's store", pipeline.ErrNotReady)
	}
	_, err = pipeline.Freeze(ctx, u.near, u.round, list)
	return list, err
}

// heads checks the header objects of the list and gives the good ones to the root; of two reports of one vehicle the one
// with the smaller ReportID. A good one whose name is taken at the root by an object that does not verify is left out, since the
// committee could not read it.
func (u *up) heads(ctx context.Context, ids []schema.ReportID) (good []schema.ReportID, refused []schema.Refusal, err error) {
	vehicles, reasons := make([]schema.VehicleID, len(ids)), make([]string, len(ids))
	err = pipeline.ForEach(ctx, len(ids), func(ctx context.Context, _, i int) error {
		rep, err := u.round.ReadReport(ctx, u.near, ids[i])
		var no *pipeline.Refused
		if errors.As(err, &no) {
			reasons[i] = no.Reason
			return nil
		}
		if err == nil {
			vehicles[i] = rep.Header.Vehicle
		}
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	seen := map[schema.VehicleID]bool{}
	for i, id := range ids {
		if reasons[i] == "" && seen[vehicles[i]] {
			reasons[i] = schema.ReasonVehicle
		}
		if reasons[i] != "" {
			refused = append(refused, schema.Refusal{Report: id, Reason: reasons[i]})
			continue
		}
		seen[vehicles[i]] = true
		good = append(good, id)
	}
	there, err := u.sendHeads(ctx, good)
	if err != nil {
		return nil, nil, err
	}
	kept := good[:0:0]
	for i, id := range good {
		if there[i] {
			kept = append(kept, id)
		} else {
			refused = append(refused, schema.Refusal{Report: id, Reason: schema.ReasonMissing})
		}
	}
	return kept, refused, nil
}

// sendHeads tells of which reports, sorted, the root holds a good header object now. It sends none that is there.
func (u *up) sendHeads(ctx context.Context, ids []schema.ReportID) ([]bool, error) {
	stored, err := pipeline.ListReports(ctx, u.root, u.round.Name)
	if err != nil {
		return nil, err
	}
	there := make([]bool, len(ids))
	err = pipeline.ForEach(ctx, len(ids), func(ctx context.Context, _, i int) error {
		if _, found := slices.BinarySearchFunc(stored, ids[i], schema.CompareReports); !found {
			raw, err := storage.ReadAll(ctx, u.near, pipeline.HeaderKey(u.round.Name, ids[i]), int64(u.round.Secagg.HeaderObjectBytes()))
			if err != nil {
				return err
			}
			_, err = u.root.PutOnce(ctx, pipeline.HeaderKey(u.round.Name, ids[i]), raw)
			if there[i] = err == nil; !errors.Is(err, storage.ErrConflict) {
				return err
			}
		}
		// Boxes and signature are no part of the ReportID: what lies there may differ, or be no report at all.
		_, err := u.round.ReadReport(ctx, u.root, ids[i])
		if there[i] = err == nil; errors.Is(err, pipeline.ErrUntrusted) {
			return nil
		}
		return err
	})
	return there, err
}

// send gives the root what the statement rests on, and then the statement.
func (u *up) send(ctx context.Context, st schema.Signed[schema.RegionSum]) (*Summed, error) {
	p, err := aggregator.Load(ctx, u.near, u.round, st.Body.Partial)
	if err != nil {
		return nil, err
	}
	if _, err := u.sendHeads(ctx, p.Reports); err != nil {
		return nil, err
	}
	raw, id, err := p.Encode(u.round)
	if err != nil {
		return nil, err
	}
	for _, o := range []struct {
		key  string
		body []byte
	}{{pipeline.PartialKey(u.round.Name, id), raw}, {pipeline.RegionSumKey(u.round.Name, u.region.Name, pipeline.RegionSumName(st)), st.Bytes()}} {
		if _, err := u.root.PutOnce(ctx, o.key, o.body); err != nil {
			return nil, err
		}
	}
	sent := int64(len(p.Reports))*int64(u.round.Secagg.HeaderObjectBytes()) + int64(len(raw)+len(st.Bytes()))
	return &Summed{Statement: pipeline.RegionSumName(st), RegionSum: st.Body, Bytes: sent}, u.taken(ctx, p.Reports)
}

// taken returns ErrLate if the root's list is frozen and holds none of the reports.
func (u *up) taken(ctx context.Context, reports []schema.ReportID) error {
	_, list, err := pipeline.FrozenList(ctx, u.root, u.round, u.round.Task.Batch.Min)
	if err == nil && len(list) > 0 && pipeline.Listed(reports, list) == 0 {
		err = ErrLate
	}
	return err
}
