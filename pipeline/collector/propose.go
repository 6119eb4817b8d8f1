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

// Proposal is a manifest with the checkpoint of the ledger that pays for it.
type Proposal struct {
	Manifest   schema.ManifestID
	Checkpoint schema.Digest
	Reports    int
	Refused    []schema.Refusal // left out of the candidate list, and why
	Ignored    []int            // decryptors whose refusals were ignored
	// Unused are regions of whose sum a report that does not count could not be subtracted: their reports are refused.
	Unused []aggregator.Unused
}

// Propose makes the manifest: the candidates less every report that a
// decryptor refused or that cannot be added, whose sum it stores for [Collector.Collect].
// It publishes both with the vehicles that it charges, and reserves the cost in the scope's ledger. At least t
// decryptors must have checked. If the ledger holds a reservation of the round, that is the proposal.
func (c *Collector) Propose(ctx context.Context, s storage.Store, r *pipeline.Round, candidates schema.Digest) (*Proposal, error) {
	if err := c.authorized(r.Plan); err != nil {
		return nil, err
	}
	if err := pipeline.Ended(ctx, s, r); err != nil {
		return nil, err
	}
	l, err := r.OpenLedger(ctx, s, nil)
	if err != nil {
		return nil, err
	}
	if p, err := c.existing(ctx, s, r, l); p != nil || err != nil {
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
	return p, c.propose(ctx, s, r, l, reports, p)
}

// existing returns the first manifest that the ledger charges.
func (c *Collector) existing(ctx context.Context, s storage.Store, r *pipeline.Round, l *pipeline.Ledger) (*Proposal, error) {
	ids, err := pipeline.ListManifests(ctx, s, r)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if _, err := l.Find(r, id); errors.Is(err, pipeline.ErrNotReady) {
			continue // a Collector died before it was charged, or somebody planted it
		} else if err != nil {
			return nil, err
		}
		m, err := pipeline.LoadManifest(ctx, s, r, id)
		var res schema.Signed[schema.Reservation]
		if err == nil {
			res, err = pipeline.LoadReservation(ctx, s, r, id)
		}
		if errors.Is(err, storage.ErrNotExist) || errors.Is(err, pipeline.ErrUntrusted) {
			continue // nobody can vote for it
		}
		if err != nil {
			return nil, err
		}
		p := &Proposal{Manifest: id, Reports: len(m.Reports)}
		return p, c.reserve(ctx, r, l, res, p)
	}
	return nil, nil
}

// reserve charges the proposal, or finds that it is charged and publishes what a Collector
// that died after that did not: a signed checkpoint.
func (c *Collector) reserve(ctx context.Context, r *pipeline.Round, l *pipeline.Ledger, res schema.Signed[schema.Reservation], p *Proposal) error {
	checkpoint, err := l.Reserve(ctx, c.key, r, res)
	p.Checkpoint = schema.Digest(checkpoint.ID())
	return err
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

func (c *Collector) propose(ctx context.Context, s storage.Store, r *pipeline.Round, l *pipeline.Ledger, reports []schema.ReportID, p *Proposal) error {
	charges, err := l.ChargesFor(ctx, r.Plan)
	if err != nil {
		return err
	}
	sum, reports, vehicles, err := c.admissible(ctx, s, r, charges, reports, p)
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
	if err := charges.Admit(r, res); err != nil {
		return err // before anything is written
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
	if _, err = s.PutOnce(ctx, pipeline.ReservationKey(res.Scope, r.Name, p.Manifest), signed.Bytes()); err != nil {
		return err
	}
	return c.reserve(ctx, r, l, signed, p) // judges again, on top of what others reserved meanwhile
}

// affordable leaves out vehicles whose participation limit was reached after
// the check, by a round of another task, cuts the list to the allowed length, and returns the vehicles it charges.
func (p *Proposal) affordable(ctx context.Context, s storage.Store, r *pipeline.Round, charges *pipeline.Charges, reports []schema.ReportID) (kept []schema.ReportID, vehicles []schema.VehicleID, err error) {
	all, err := vehiclesOf(ctx, s, r, reports)
	if err != nil {
		return nil, nil, err
	}
	for i, v := range all {
		switch {
		case charges.CheckVehicle(r.Task.Participation, r.Name.Task, r.Name.Epoch, v) != nil:
			p.Refused = append(p.Refused, schema.Refusal{Report: reports[i], Reason: schema.ReasonLimit})
		case len(kept) < r.Task.Batch.Max: // ReportIDs are hashes: the cut is not anybody's choice
			kept, vehicles = append(kept, reports[i]), append(vehicles, v)
		}
	}
	slices.SortFunc(p.Refused, func(a, b schema.Refusal) int { return schema.CompareReports(a.Report, b.Report) })
	if len(kept) < r.Task.Batch.Min {
		return nil, nil, fmt.Errorf("%w: %d reports remain, min_batch_size is %d", pipeline.ErrTooFew, len(kept), r.Task.Batch.Min)
	}
	pipeline.SortVehicles(vehicles)
	if len(slices.Compact(slices.Clone(vehicles))) != len(vehicles) {
		return nil, nil, fmt.Errorf("%w: two reports of one vehicle remain in the list", pipeline.ErrUntrusted)
	}
	return kept, vehicles, nil
}

// vehiclesOf returns the vehicle of each report.
func vehiclesOf(ctx context.Context, s storage.Store, r *pipeline.Round, reports []schema.ReportID) ([]schema.VehicleID, error) {
	v := make([]schema.VehicleID, len(reports))
	err := pipeline.ForEach(ctx, len(reports), func(ctx context.Context, _, i int) error {
		rep, _, err := r.ReadHead(ctx, s, reports[i], -1)
		if err == nil {
			v[i] = rep.Header.Vehicle
		}
		return err
	})
	return v, err
}
