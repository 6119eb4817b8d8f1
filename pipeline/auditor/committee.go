package auditor

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/privacy/ledger"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// candidates verifies every candidate list by its name, and every check.
func (r *roundAudit) candidates() error {
	lists, err := pipeline.ListCandidates(r.ctx, r.store, r.Round)
	if err != nil {
		return r.unnamed(blame(pipeline.CandidatesPrefix(r.Name), "the candidate lists", err))
	}
	for _, id := range lists {
		if _, err := pipeline.LoadCandidates(r.ctx, r.store, r.Round, id); err != nil {
			if err := r.unnamed(blame(pipeline.CandidatesKey(r.Name, id), "the candidate list", err)); err != nil {
				return err
			}
			continue
		}
		r.count("candidate list")
	}
	prefix := pipeline.RoundPrefix(r.Name) + "checks/"
	for info, err := range r.store.List(r.ctx, prefix, "") {
		if err != nil {
			return err
		}
		if err := r.unnamed(r.check(info.Key, info.Key[len(prefix):])); err != nil {
			return err
		}
	}
	return nil
}

// check verifies one check, whose name is "<candidates>/<index>.json".
func (r *roundAudit) check(key, name string) error {
	for k, signer := range r.Task.Committee.Keys {
		list, ok := strings.CutSuffix(name, fmt.Sprintf("/%d.json", k))
		if !ok {
			continue
		}
		x, err := load[schema.Check](r.auditor, key, signer)
		if err != nil {
			return blame(key, "the check", err)
		}
		if b := x.Body; b.RoundID != r.ID || b.Index != k || b.Candidates.String() != list {
			return flawf(key, "the check belongs to another round, list or decryptor")
		}
		r.count("check")
		for _, f := range x.Body.Refused {
			r.refused[k] = append(r.refused[k], f.Report)
		}
		return nil
	}
	return flawf(key, "not the name of a check")
}

// manifests verifies every proposed list, and keeps the certified one.
func (r *roundAudit) manifests() error {
	ids, err := pipeline.ListManifests(r.ctx, r.store, r.Round)
	if err != nil {
		return r.unnamed(blame(pipeline.ManifestsPrefix(r.Name), "the manifests", err))
	}
	if r.certified() && !slices.Contains(ids, r.receipt.Manifest) {
		ids = append(ids, r.receipt.Manifest) // it is missing: found below
	}
	for _, id := range ids {
		m, err := pipeline.LoadManifest(r.ctx, r.store, r.Round, id)
		err = blame(pipeline.ManifestKey(r.Name, id), "the manifest", err)
		named := r.certified() && id == r.receipt.Manifest
		if !named {
			err = r.unnamed(err)
			r.out.Orphans = append(r.out.Orphans, pipeline.ManifestKey(r.Name, id))
		}
		if err != nil {
			return err
		}
		r.count("manifest")
		if named {
			r.manifest = m
		}
	}
	return r.listSize()
}

func (r *roundAudit) listSize() error {
	if !r.certified() {
		return nil
	}
	n, b := len(r.manifest.Reports), r.Task.Batch
	if n < b.Min || n > b.Max {
		return flawf(pipeline.ManifestKey(r.Name, r.receipt.Manifest), "a list of %d reports, %d to %d are allowed", n, b.Min, b.Max)
	}
	if n != r.receipt.Reports {
		return flawf(pipeline.ReceiptKey(r.Name), "it states %d reports, the manifest lists %d", r.receipt.Reports, n)
	}
	return nil
}

// reservation verifies what pays for the certified list.
func (r *roundAudit) reservation() error {
	if !r.certified() {
		return nil
	}
	key := pipeline.ReservationKey(r.Task.Scope.ID(), r.Name, r.receipt.Manifest)
	x, err := pipeline.LoadReservation(r.ctx, r.store, r.Round, r.receipt.Manifest)
	if err != nil {
		return blame(key, "the reservation", err)
	}
	l, err := r.ledger(r.Task.Scope)
	if err != nil {
		return err
	}
	entry, checkpoint, err := l.paid(r.Round, r.receipt.Manifest)
	if err != nil {
		return &Flaw{Object: pipeline.ReceiptKey(r.Name), What: "the ledger does not charge its list", Err: err}
	}
	if schema.Digest(entry.Reservation) != x.ID() {
		return flawf(key, "entry %d of the ledger names another one", entry.Index)
	}
	if checkpoint != r.receipt.Checkpoint {
		return flawf(pipeline.ReceiptKey(r.Name), "its checkpoint is not the ledger's at size %d, with the reservation %s", entry.Index+1, key)
	}
	if signed := ledger.CheckpointKey(entry.Index + 1); !slices.Contains(l.signed, entry.Index+1) && entry.Index+1 < l.out.Size {
		r.note(l.prefix+signed, "missing; the votes name this checkpoint, and the entries give it")
	}
	r.index = entry.Index
	if len(x.Body.Vehicles) != len(r.manifest.Reports) {
		return flawf(key, "it charges %d vehicles for %d reports", len(x.Body.Vehicles), len(r.manifest.Reports))
	}
	r.count("certified reservation")
	r.out.vehicles = x.Body.Vehicles
	return nil
}

// votes verifies every vote in the store, and that those the receipt names are
// there and certify its list. A decryptor has one name for its vote, so it voted for one list only.
func (r *roundAudit) votes() error {
	var named []schema.Digest
	if r.receipt != nil {
		named = r.receipt.Votes
	}
	found := 0
	for k, signer := range r.Task.Committee.Keys {
		key := pipeline.VoteKey(r.Name, k)
		v, err := load[schema.Vote](r.auditor, key, signer)
		if errors.Is(err, storage.ErrNotExist) {
			continue
		}
		if err == nil && (v.Body.RoundID != r.ID || v.Body.Index != k) {
			err = fmt.Errorf("%w: it belongs to another round or decryptor", pipeline.ErrUntrusted)
		}
		if err != nil {
			if err := r.unnamed(blame(key, "the vote", err)); err != nil {
				return err
			}
			continue
		}
		r.count("vote")
		r.out.Votes = append(r.out.Votes, k)
		if found < len(named) && v.ID() == named[found] {
			found++
			if v.Body.Manifest != r.receipt.Manifest || v.Body.Checkpoint != r.receipt.Checkpoint {
				return flawf(key, "the receipt names this vote, which is for another list or checkpoint")
			}
			r.changedMind(key, k)
		} else if r.certified() && v.Body.Manifest != r.receipt.Manifest {
			r.note(key, "a vote for another list, %s, which was not certified", v.Body.Manifest.Short())
		}
		if err := r.voteInLedger(key, v.Body); err != nil {
			return err
		}
	}
	return r.certificate(found, named)
}

// voteInLedger notes a vote that the ledger does not explain, and counts it in r.foreign. The decryptor lied, or it was
// shown another ledger than this audit: more than lie were.
func (r *roundAudit) voteInLedger(key string, v schema.Vote) error {
	l, err := r.ledger(r.Task.Scope)
	if err != nil {
		return err
	}
	_, checkpoint, err := l.paid(r.Round, v.Manifest)
	if err != nil && !errors.Is(err, ledger.ErrNotReserved) {
		return l.blame(err)
	}
	if checkpoint == v.Checkpoint {
		return nil
	}
	if r.foreign++; r.foreign > r.Task.Committee.Malicious {
		return flawf(l.prefix, "it is not the ledger that at least %d decryptors saw who voted in round %s: it was rolled back or replaced", r.foreign-r.Task.Committee.Malicious, r.Name)
	}
	r.note(key, "it names a checkpoint that this ledger does not give: the decryptor lied, or it saw another ledger")
	return nil
}

// changedMind notes a vote for a list with a report that the voter refused. It may
// have accepted it in a check of another list, as one whose box came late.
func (r *roundAudit) changedMind(key string, k int) {
	for _, id := range r.refused[k] {
		if _, in := slices.BinarySearchFunc(r.manifest.Reports, id, schema.CompareReports); in {
			r.note(key, "a vote for a list with report %s, which a check of this decryptor refused", id.Short())
			return
		}
	}
}

func (r *roundAudit) certificate(found int, named []schema.Digest) error {
	key := pipeline.ReceiptKey(r.Name)
	switch {
	case found < len(named):
		return flawf(key, "vote %d of %d that it names, %s, is not in the store", found+1, len(named), named[found].Short())
	case r.receipt == nil:
	case r.receipt.Status == schema.StatusCommitted && found < r.Task.Committee.Threshold:
		return flawf(key, "%d votes for the list, %d are needed", found, r.Task.Committee.Threshold)
	case r.receipt.Status == schema.StatusVoid && r.receipt.Checkpoint.IsZero() && len(r.out.Votes) > 0:
		// A vote may be durable before it shows, so the Collector need not have lied.
		r.note(key, "it says that nothing is charged, but decryptors %v voted: the round is charged", r.out.Votes)
	}
	return nil
}

// loadAnswers verifies every answer in the store, and that those the receipt names are there.
func (r *roundAudit) loadAnswers() error {
	var named []schema.Digest
	if r.receipt != nil {
		named = r.receipt.Answers
	}
	for k, signer := range r.Task.Committee.Keys {
		key := pipeline.AnswerKey(r.Name, k)
		x, err := load[schema.Answer](r.auditor, key, signer)
		if errors.Is(err, storage.ErrNotExist) {
			continue
		}
		if err == nil && (x.Body.RoundID != r.ID || x.Body.Index != k || len(x.Body.Shares) != r.Secagg.HeldSets() ||
			r.certified() && x.Body.Manifest != r.receipt.Manifest) {
			err = fmt.Errorf("%w: it belongs to another round, list or decryptor", pipeline.ErrUntrusted)
		}
		if err != nil {
			if err := r.unnamed(blame(key, "the answer", err)); err != nil {
				return err
			}
			continue
		}
		r.count("answer")
		r.out.Answers = append(r.out.Answers, k)
		if len(r.answers) < len(named) && x.ID() == named[len(r.answers)] {
			r.answers, r.members = append(r.answers, x), append(r.members, k)
		} else {
			r.note(key, "an answer that the receipt does not name, as one that came later")
		}
	}
	key := pipeline.ReceiptKey(r.Name)
	if found := len(r.answers); found < len(named) {
		return flawf(key, "answer %d of %d that it names, %s, is not in the store", found+1, len(named), named[found].Short())
	}
	if r.receipt != nil && r.receipt.Status == schema.StatusCommitted && len(named) < r.Task.Committee.Threshold {
		return flawf(key, "%d answers opened the list, %d are needed", len(named), r.Task.Committee.Threshold)
	}
	return nil
}
