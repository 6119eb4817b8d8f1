package collector

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/aggregator"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// Proposal is a manifest with its reservation.
type Proposal struct {
	Manifest schema.ManifestID
	Reports  int
	Refused  []schema.Refusal // left out of the candidate list, and why
	Ignored  []int            // decryptors whose refusals were ignored
}

// Propose makes the manifest: the candidates less every report that a
// decryptor refused or that cannot be added, whose sum it stores for [Collector.Collect].
// It reserves the cost and publishes both. At least t decryptors must have checked. If a
// manifest with its reservation exists, it is the proposal.
func (c *Collector) Propose(ctx context.Context, s storage.Store, r *pipeline.Round, candidates schema.Digest) (*Proposal, error) {
	if err := c.authorized(r.Plan); err != nil {
		return nil, err
	}
	if err := pipeline.Ended(ctx, s, r); err != nil {
		return nil, err
	}
	if p, err := existing(ctx, s, r); p != nil || err != nil {
		return p, err
	}
	list, err := pipeline.LoadCandidates(ctx, s, r, candidates)
	if err != nil {
		return nil, err
	}
	checks, err := pipeline.LoadChecks(ctx, s, r, candidates)
	if err != nil {
		return nil, err
	}
	if t := r.Task.Committee.Threshold; len(checks) < t {
		return nil, fmt.Errorf("%w: %d have checked the candidates, %d are needed", pipeline.ErrDecryptors, len(checks), t)
	}
	p := &Proposal{Ignored: ignored(r, checks)}
	reports := without(list.Reports, checks, p)
	return p, c.propose(ctx, s, r, reports, p)
}

// existing returns the first manifest whose reservation is in the store.
func existing(ctx context.Context, s storage.Store, r *pipeline.Round) (*Proposal, error) {
	ids, err := pipeline.ListManifests(ctx, s, r)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		m, err := pipeline.LoadManifest(ctx, s, r, id)
		if err == nil {
			_, err = pipeline.LoadReservation(ctx, s, r, id)
		}
		if errors.Is(err, storage.ErrNotExist) || errors.Is(err, pipeline.ErrUntrusted) {
			continue // nobody can vote for it
		}
		return &Proposal{Manifest: id, Reports: len(m.Reports)}, err
	}
	return nil, nil
}

// ignored returns the decryptors that refuse more than F_c reports which all
// others accept, never leaving fewer than t: a malicious decryptor must not empty the list.
func ignored(r *pipeline.Round, checks map[int]schema.Signed[schema.Check]) []int {
	count := map[schema.ReportID]int{}
	for _, c := range checks {
		for _, f := range c.Body.Refused {
			count[f.Report]++
		}
	}
	var out []int
	for k := range r.Task.Committee.Size {
		alone := 0
		for _, f := range checks[k].Body.Refused {
			if count[f.Report] == 1 {
				alone++
			}
		}
		if alone > r.Task.Batch.MaxDishonest && len(checks)-len(out) > r.Task.Committee.Threshold {
			out = append(out, k)
		}
	}
	return out
}

// without removes what the remaining decryptors refuse.
func without(reports []schema.ReportID, checks map[int]schema.Signed[schema.Check], p *Proposal) []schema.ReportID {
	refused := map[schema.ReportID]string{}
	for k, c := range checks {
		if slices.Contains(p.Ignored, k) {
			continue
		}
		for _, f := range c.Body.Refused {
			if old, ok := refused[f.Report]; !ok || f.Reason < old {
				refused[f.Report] = f.Reason
			}
		}
	}
	var kept []schema.ReportID
	for _, id := range reports {
		if reason, ok := refused[id]; ok {
			p.Refused = append(p.Refused, schema.Refusal{Report: id, Reason: reason})
		} else {
			kept = append(kept, id)
		}
	}
	return kept
}

func (c *Collector) propose(ctx context.Context, s storage.Store, r *pipeline.Round, reports []schema.ReportID, p *Proposal) error {
	// Decryptors never look at pieces: without this step one report whose pieces are missing could never be collected.
	sum, err := aggregator.Addable(ctx, s, r, reports, nil)
	if err != nil {
		return err
	}
	reports, p.Refused = sum.Reports, append(p.Refused, sum.Refused...)
	slices.SortFunc(p.Refused, func(a, b schema.Refusal) int { return schema.CompareReports(a.Report, b.Report) })
	if len(reports) < r.Task.Batch.Min {
		return fmt.Errorf("%w: %d reports remain, min_batch_size is %d", pipeline.ErrNotReady, len(reports), r.Task.Batch.Min)
	}
	if len(reports) > r.Task.Batch.Max {
		// ReportIDs are hashes: the cut is not anybody's choice.
		reports = reports[:r.Task.Batch.Max]
	}
	vehicles, err := vehiclesOf(ctx, s, r, reports)
	if err != nil {
		return err
	}
	m, err := schema.SignBody(schema.Manifest{Version: schema.Version, RoundID: r.ID, Reports: reports}, c.key)
	if err != nil {
		return err
	}
	p.Manifest, p.Reports = schema.NewManifestID(m), len(reports)
	res := schema.Reservation{
		Version: schema.Version, Scope: r.Task.Scope.ID(), TaskID: r.Name.Task, RoundID: r.ID, Epoch: r.Name.Epoch, Lane: r.Name.Lane,
		Manifest: p.Manifest, Vehicles: vehicles, Event: r.Event(),
	}
	if err := reserve(ctx, s, r, res); err != nil {
		return err
	}
	if _, err := aggregator.Store(ctx, s, r, &sum.PartialSum); err != nil {
		return err
	}
	if _, err := s.PutOnce(ctx, pipeline.ManifestKey(r.Name, p.Manifest), m.Bytes()); err != nil {
		return err
	}
	signed, err := schema.SignBody(res, c.key)
	if err != nil {
		return err
	}
	_, err = s.PutOnce(ctx, pipeline.ReservationKey(res.Scope, r.Name, p.Manifest), signed.Bytes())
	return err
}

// reserve refuses before anything is written.
func reserve(ctx context.Context, s storage.Store, r *pipeline.Round, res schema.Reservation) error {
	charges, err := pipeline.LoadCharges(ctx, s, r.Task.Scope, r.Task.Owner)
	if err != nil {
		return err
	}
	return charges.Admit(r, res)
}

func vehiclesOf(ctx context.Context, s storage.Store, r *pipeline.Round, reports []schema.ReportID) ([]schema.VehicleID, error) {
	v := make([]schema.VehicleID, len(reports))
	err := pipeline.ForEach(ctx, len(reports), func(ctx context.Context, _, i int) error {
		rep, _, err := r.ReadHead(ctx, s, reports[i], -1)
		if err == nil {
			v[i] = rep.Header.Vehicle
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	pipeline.SortVehicles(v)
	if len(slices.Compact(slices.Clone(v))) != len(v) {
		return nil, fmt.Errorf("%w: two reports of one vehicle remain in the list", pipeline.ErrUntrusted)
	}
	return v, nil
}
