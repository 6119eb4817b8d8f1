package decryptor

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/decryptor/record"
	"github.com/veilsum/veilsum/privacy/ledger"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/secagg"
	"github.com/veilsum/veilsum/secagg/committee"
	"github.com/veilsum/veilsum/storage"
)

// Vote votes, once in the life of the round key, for the first manifest (by
// its hash) that this decryptor can accept; asked again it sends the same vote.
func (d *Decryptor) Vote(ctx context.Context, s storage.Store, r *pipeline.Round) (schema.Vote, error) {
	k, f, err := d.open(r)
	if err != nil {
		return schema.Vote{}, err
	}
	if m, c, ok := f.record.Choice(); ok {
		return d.sendVote(ctx, s, r, k, f, schema.ManifestID{Digest: m}, c)
	}
	if err := d.refuseHandedOver(r.Plan); err != nil {
		return schema.Vote{}, err
	}
	if _, err := f.record.Key(); err != nil {
		return schema.Vote{}, fmt.Errorf("%w: %w", ErrNoKey, err)
	}
	if err := pipeline.Ended(ctx, s, r); err != nil {
		return schema.Vote{}, err
	}
	proposals, err := pipeline.ListManifests(ctx, s, r)
	if err != nil {
		return schema.Vote{}, err
	}
	if len(proposals) == 0 {
		return schema.Vote{}, fmt.Errorf("%w: no manifest was proposed for round %s", pipeline.ErrNotReady, r.Name)
	}
	l, err := d.ownLedger(ctx, s, r)
	if err != nil {
		return schema.Vote{}, err
	}
	var why []error
	for _, id := range proposals {
		v, err := d.voteFor(ctx, s, r, l, k, f, id)
		if err == nil || !refusable(err) {
			return v, err
		}
		why = append(why, fmt.Errorf("manifest %s: %w", id.Short(), err))
	}
	return schema.Vote{}, fmt.Errorf("%w: %w", ErrManifest, errors.Join(why...))
}

// refusable tells a proposal that this decryptor cannot accept from a failure of its own.
func refusable(err error) bool {
	for _, e := range []error{pipeline.ErrUntrusted, pipeline.ErrBudget, pipeline.ErrLimit, pipeline.ErrNotReady, pipeline.ErrEnded, storage.ErrNotExist} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func (d *Decryptor) voteFor(ctx context.Context, s storage.Store, r *pipeline.Round, l *pipeline.Ledger, k int, f *roundFile, id schema.ManifestID) (schema.Vote, error) {
	m, err := pipeline.LoadManifest(ctx, s, r, id)
	if err != nil {
		return schema.Vote{}, err
	}
	reservation, err := pipeline.LoadReservation(ctx, s, r, id)
	if errors.Is(err, storage.ErrNotExist) {
		return schema.Vote{}, fmt.Errorf("%w: its cost is not reserved yet", pipeline.ErrNotReady)
	}
	if err != nil {
		return schema.Vote{}, err
	}
	if err := acceptable(r, f, m, reservation.Body); err != nil {
		return schema.Vote{}, err
	}
	signed, err := d.signed(r.Task.Scope.ID())
	if err != nil {
		return schema.Vote{}, err
	}
	checkpoint, err := l.CheckVote(ctx, signed, r, reservation)
	if err != nil {
		return schema.Vote{}, err
	}
	next, err := f.record.Vote(id.Digest, checkpoint.ID())
	if err != nil {
		return schema.Vote{}, err
	}
	// Reservation and checkpoint are remembered before the vote, and the vote before it leaves.
	if err := d.state.Replace(votedDir(r.Task.Scope.ID())+"/"+id.String()+".json", reservation.Bytes()); err != nil {
		return schema.Vote{}, err
	}
	if err := d.remember(r.Task.Scope.ID(), ledger.Later(signed, checkpoint)); err != nil {
		return schema.Vote{}, err
	}
	f.record, f.Checkpoint = next, checkpoint.Text()
	if err := d.save(r.Name, f); err != nil {
		return schema.Vote{}, err
	}
	return d.sendVote(ctx, s, r, k, f, id, schema.Digest(checkpoint.ID()))
}

// votes tells what this decryptor voted for, also by votes that never left: only
// they keep a void from freeing what it voted for.
func (d *Decryptor) votes(scope schema.ScopeID) (pipeline.Voted, error) {
	names, err := d.state.Names(votedDir(scope))
	return func(_ context.Context, x ledger.Reservation) (bool, error) {
		_, voted := slices.BinarySearch(names, x.Manifest.String()+".json")
		return voted, nil
	}, err
}

// acceptable tells whether this decryptor accepted every report of a list, and whether the reservation
// names exactly their vehicles.
func acceptable(r *pipeline.Round, f *roundFile, m schema.Manifest, res schema.Reservation) error {
	if n := len(m.Reports); n < r.Task.Batch.Min || n > r.Task.Batch.Max {
		return fmt.Errorf("%w: a list of %d reports, the task allows %d to %d", pipeline.ErrUntrusted, n, r.Task.Batch.Min, r.Task.Batch.Max)
	}
	chosen, err := pick(f.Accepted, m.Reports)
	if err != nil {
		return err
	}
	vehicles := make([]schema.VehicleID, len(chosen))
	for i, a := range chosen {
		vehicles[i] = a.Vehicle
	}
	pipeline.SortVehicles(vehicles)
	if !slices.Equal(vehicles, res.Vehicles) {
		return fmt.Errorf("%w: the reservation charges other vehicles than the list's", pipeline.ErrUntrusted)
	}
	return nil
}

// pick returns the accepted reports of a list; each must have been accepted by this decryptor itself.
func pick(all []accepted, reports []schema.ReportID) ([]accepted, error) {
	chosen := make([]accepted, 0, len(reports))
	for _, id := range reports {
		i, ok := slices.BinarySearchFunc(all, id, func(a accepted, id schema.ReportID) int { return schema.CompareReports(a.Report, id) })
		if !ok {
			return nil, fmt.Errorf("%w: report %s was not accepted by this decryptor", pipeline.ErrUntrusted, id.Short())
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

func (d *Decryptor) sendVote(ctx context.Context, s storage.Store, r *pipeline.Round, k int, f *roundFile, m schema.ManifestID, checkpoint schema.Digest) (schema.Vote, error) {
	signed, err := d.signVote(r, k, f, m, checkpoint)
	if err != nil {
		return schema.Vote{}, err
	}
	_, err = s.PutOnce(ctx, pipeline.VoteKey(r.Name, k), signed.Bytes())
	return signed.Body, err
}

// signVote signs a vote that is durable in the round's file, and records it.
func (d *Decryptor) signVote(r *pipeline.Round, k int, f *roundFile, m schema.ManifestID, checkpoint schema.Digest) (schema.Signed[schema.Vote], error) {
	signed, err := schema.SignBody(schema.Vote{Version: schema.Version, RoundID: r.ID, Index: k, Manifest: m, Checkpoint: checkpoint}, d.key)
	if err != nil {
		return signed, err
	}
	e := record.Entry{Kind: record.Vote, Round: r.ID, List: m.Digest, Scope: r.Task.Scope.ID(), Checkpoint: f.Checkpoint}
	return signed, d.note(e, r.Name, signed.Bytes())
}

// Answer answers, once, when t decryptors voted for the list this one voted
// for. The key and all seeds are destroyed in the same durable write that
// stores the answer, before it is sent; asked again it sends the same bytes.
func (d *Decryptor) Answer(ctx context.Context, s storage.Store, r *pipeline.Round, progress Progress) (schema.Answer, error) {
	k, f, err := d.open(r)
	if err != nil {
		return schema.Answer{}, err
	}
	votes, err := pipeline.LoadVotes(ctx, s, r)
	if err != nil {
		return schema.Answer{}, err
	}
	id, checkpoint, ok := f.record.Choice()
	if !ok {
		return schema.Answer{}, fmt.Errorf("%w: this decryptor has not voted in round %s", pipeline.ErrNotReady, r.Name)
	}
	if _, done := f.record.Answered(); !done {
		if err := notVoid(ctx, s, r); err != nil {
			return schema.Answer{}, err
		}
		if err := d.answer(ctx, s, r, k, f, schema.ManifestID{Digest: id}, checkpoint, refs(votes), progress); err != nil {
			return schema.Answer{}, err
		}
	}
	return d.sendAnswer(ctx, s, r, f, schema.ManifestID{Digest: id})
}

// notVoid refuses to open the list of a round that ended void. It must run after
// the votes were read: if the round was aborted while no vote was to be seen, its cost may have been
// given to another round before these votes appeared.
func notVoid(ctx context.Context, s storage.Store, r *pipeline.Round) error {
	x, err := pipeline.LoadReceipt(ctx, s, r)
	if errors.Is(err, storage.ErrNotExist) {
		return nil
	}
	if err == nil && x.Status == schema.StatusVoid {
		err = fmt.Errorf("%w: %s is void", pipeline.ErrEnded, r.Name)
	}
	return err
}

func refs(votes map[int]schema.Signed[schema.Vote]) []committee.VoteRef {
	var all []committee.VoteRef
	for k, v := range votes {
		all = append(all, committee.VoteRef{Index: k, Manifest: v.Body.Manifest.Digest, Checkpoint: v.Body.Checkpoint})
	}
	return all
}

func (d *Decryptor) answer(ctx context.Context, s storage.Store, r *pipeline.Round, k int, f *roundFile, id schema.ManifestID, checkpoint schema.Digest, votes []committee.VoteRef, progress Progress) error {
	if _, err := f.record.Key(); err != nil {
		return fmt.Errorf("%w: %w", ErrNoKey, err)
	}
	if n := supporters(votes, id.Digest, checkpoint); n < r.Task.Committee.Threshold {
		return fmt.Errorf("%w: %d votes for this list, %d are needed", pipeline.ErrDecryptors, n, r.Task.Committee.Threshold)
	}
	m, err := pipeline.LoadManifest(ctx, s, r, id)
	if err != nil {
		return err
	}
	shares, err := sumShares(ctx, r, k, f, m.Reports, progress)
	if err != nil {
		return err
	}
	defer shares.Erase()
	next, err := f.record.Answer(id.Digest, checkpoint, votes, shares.Packed())
	if err != nil {
		return err
	}
	f.record, f.Accepted = next, nil
	return d.save(r.Name, f)
}

func supporters(votes []committee.VoteRef, manifest, checkpoint [32]byte) int {
	n := 0
	for _, v := range votes {
		if v.Manifest == manifest && v.Checkpoint == checkpoint {
			n++
		}
	}
	return n
}

// sumShares adds the seeds' expansions over exactly the manifest.
func sumShares(ctx context.Context, r *pipeline.Round, k int, f *roundFile, reports []schema.ReportID, progress Progress) (*committee.Shares, error) {
	chosen, err := pick(f.Accepted, reports)
	if err != nil {
		return nil, err
	}
	parts := make([]*committee.Shares, pipeline.Workers(len(chosen)))
	for i := range parts {
		if parts[i], err = committee.NewShares(r.Secagg, k); err != nil {
			return nil, err
		}
	}
	err = pipeline.ForEach(ctx, len(chosen), func(_ context.Context, w, i int) error {
		seeds, err := secagg.ParseSeeds(r.Secagg, k, chosen[i].Seeds)
		if err != nil {
			return err
		}
		defer seeds.Erase()
		return parts[w].Add(seeds)
	})
	for _, p := range parts[1:] {
		if err == nil {
			err = parts[0].Merge(p)
		}
		p.Erase()
	}
	if progress != nil {
		progress(len(chosen), len(chosen))
	}
	return parts[0], err
}

func (d *Decryptor) sendAnswer(ctx context.Context, s storage.Store, r *pipeline.Round, f *roundFile, id schema.ManifestID) (schema.Answer, error) {
	signed, err := d.signAnswer(r, f, id)
	if err != nil {
		return schema.Answer{}, err
	}
	_, err = s.PutOnce(ctx, pipeline.AnswerKey(r.Name, signed.Body.Index), signed.Bytes())
	return signed.Body, err
}

// signAnswer signs the answer that is durable in the round's file, and records it.
func (d *Decryptor) signAnswer(r *pipeline.Round, f *roundFile, id schema.ManifestID) (schema.Signed[schema.Answer], error) {
	a, _ := f.record.Answered()
	signed, err := schema.SignBody(schema.Answer{Version: schema.Version, RoundID: r.ID, Index: a.Index, Manifest: id, Shares: a.Shares}, d.key)
	if err != nil {
		return signed, err
	}
	return signed, d.note(record.Entry{Kind: record.Answer, Round: r.ID, List: id.Digest}, r.Name, signed.Bytes())
}
