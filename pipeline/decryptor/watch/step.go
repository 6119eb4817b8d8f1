package watch

import (
	"context"
	"errors"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/decryptor"
	"github.com/veilsum/veilsum/privacy/ledger"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// maxActions bounds what is done in one round in one pass: accept, check, vote, answer, finish.
const maxActions = 6

// step takes one round as far as it goes.
func (w *Watcher) step(ctx context.Context, t *task, k decryptor.Status) error {
	key := t.id.String() + "/" + k.Name.String()
	if w.resting(key) {
		return nil
	}
	err := w.advance(ctx, t, k)
	if errors.Is(err, pipeline.ErrNotReady) || errors.Is(err, pipeline.ErrDecryptors) {
		err = nil // the Collector, or other decryptors, come first
	}
	return w.note(key, err, "task", t.id, "epoch", k.Name.Epoch, "lane", k.Name.Lane)
}

func (w *Watcher) advance(ctx context.Context, t *task, k decryptor.Status) error {
	r := t.rounds[k.Name]
	if r == nil {
		r = newRound()
		t.rounds[k.Name] = r
	}
	for range maxActions {
		v, err := w.look(ctx, t, k, r)
		if err != nil {
			return err
		}
		switch do := Next(v); do {
		case Wait:
			return nil
		case Finish:
			t.finished[k.Name] = true
			delete(t.rounds, k.Name)
			return nil
		default:
			if err := w.observed(ctx, t, r, v, do); err != nil {
				return err
			}
		}
		if k, err = w.Decryptor.Round(k.Name); err != nil {
			return err
		}
	}
	return nil
}

// look gathers what the store shows of a round, as little as the next step needs.
func (w *Watcher) look(ctx context.Context, t *task, k decryptor.Status, r *round) (View, error) {
	v := View{Status: k}
	var err error
	if k.Voted && !r.voteSent {
		if r.voteSent, err = w.exists(ctx, pipeline.VoteKey(k.Name, t.index)); err != nil {
			return v, err
		}
	}
	if k.Answered && !r.answerSent {
		if r.answerSent, err = w.exists(ctx, pipeline.AnswerKey(k.Name, t.index)); err != nil {
			return v, err
		}
	}
	v.VoteSent, v.AnswerSent = r.voteSent, r.answerSent
	if Next(v) == Finish { // no store can change that
		return v, nil
	}
	if r.Round == nil {
		x, err := pipeline.LoadRound(ctx, w.Store, t.plan, k.Name)
		if errors.Is(err, pipeline.ErrNotReady) {
			return v, nil
		}
		if err != nil {
			return v, err
		}
		r.Round, r.since = x, w.Now()
	}
	v.Open = true
	return v, w.lookInside(ctx, r, &v)
}

func (w *Watcher) lookInside(ctx context.Context, r *round, v *View) error {
	receipt, err := pipeline.LoadReceipt(ctx, w.Store, r.Round)
	if err != nil && !errors.Is(err, storage.ErrNotExist) {
		return err
	}
	if v.Ended = receipt.Status; v.Voted {
		if !v.Answered {
			votes, err := pipeline.LoadVotes(ctx, w.Store, r.Round)
			if err != nil {
				return err
			}
			_, _, err = pipeline.Certified(r.Round, votes)
			v.Certified = err == nil
		}
		return nil
	}
	if v.Ended != "" {
		return nil
	}
	manifests, err := pipeline.ListManifests(ctx, w.Store, r.Round) // before the lists: then theirs are seen, too
	if err != nil {
		return err
	}
	v.Proposed = len(manifests) > 0
	lists, err := pipeline.ListCandidates(ctx, w.Store, r.Round)
	if err != nil {
		return err
	}
	for _, id := range lists {
		if !r.dealt[id] {
			v.Unchecked = append(v.Unchecked, id)
		}
	}
	return nil
}

func (w *Watcher) exists(ctx context.Context, key string) (bool, error) {
	_, err := w.Store.Stat(ctx, key)
	if errors.Is(err, storage.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func (w *Watcher) act(ctx context.Context, t *task, r *round, v View, do Action) error {
	log := w.Log.With("task", t.id, "epoch", r.Name.Epoch, "lane", r.Name.Lane)
	switch do {
	case Accept:
		if err := w.Decryptor.Accept(r.Round); err != nil {
			return err
		}
		log.Info("accepted", "round_id", r.ID)
	case Check:
		return w.check(ctx, r, v, log.Info)
	case Vote:
		return w.vote(ctx, r, v, log.Info)
	case Answer:
		a, err := w.Decryptor.Answer(ctx, w.Store, r.Round, nil)
		if err != nil {
			return err
		}
		r.answerSent = true
		w.stats.Answers++
		log.Info("answered", "manifest", a.Manifest)
	}
	return nil
}

// check checks the list that the whole committee takes for frozen, if it is new. The others are dealt
// with: they are shorter, incomplete or forged. When a further list appears, all are looked at again.
func (w *Watcher) check(ctx context.Context, r *round, v View, log func(string, ...any)) error {
	id, n, err := pipeline.FrozenCandidates(ctx, w.Store, r.Round)
	if err != nil {
		return err
	}
	if n > 0 {
		c, err := w.Decryptor.Check(ctx, w.Store, r.Round, id, nil)
		if err != nil {
			return err
		}
		w.stats.Checks++
		r.refused = reasons(c.Refused)
		log("checked", "candidates", id, "accepted", c.Accepted, "refused", len(c.Refused))
	}
	for _, id := range v.Unchecked {
		r.dealt[id] = n > 0 // an incomplete list may be complete at the next pass
	}
	if n == 0 {
		return pipeline.ErrNotReady
	}
	return nil
}

func (w *Watcher) vote(ctx context.Context, r *round, v View, log func(string, ...any)) error {
	scope := r.Task.Scope.ID()
	if !v.Voted {
		if err := w.voided[scope]; err != nil {
			return err
		}
		if err := w.Policy.allowVote(w.Record, w.Now()); err != nil {
			return err
		}
		if err := w.Decryptor.CheckRound(ctx, w.Store, r.Round); err != nil {
			return err
		}
	}
	x, err := w.Decryptor.Vote(ctx, w.Store, r.Round)
	if errors.Is(err, ledger.ErrVoided) {
		w.voided[scope] = explain(err)
		return w.voided[scope]
	}
	if err != nil {
		return err
	}
	r.voteSent = true
	w.stats.Votes++
	log("voted", "manifest", x.Manifest, "checkpoint", x.Checkpoint)
	return nil
}

func newRound() *round { return &round{dealt: map[schema.Digest]bool{}} }
