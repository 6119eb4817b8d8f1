package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/aggregator"
	"github.com/veilsum/veilsum/privacy/accountant"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// receiptResult is a receipt with the name of its aggregate and what the round gives alone.
type receiptResult struct {
	Status    string               `json:"status"`
	Reason    string               `json:"reason,omitempty"`
	RoundID   schema.RoundID       `json:"round_id"`
	Reports   int                  `json:"reports"`
	Key       string               `json:"aggregate_key,omitempty"`
	SHA256    schema.Digest        `json:"aggregate_sha256"`
	File      string               `json:"file,omitempty"`
	Charged   bool                 `json:"charged"`
	Confirmed bool                 `json:"confirmed"`
	Dropped   []int                `json:"dropped"`
	Convicted []int                `json:"convicted"`
	Guarantee accountant.Guarantee `json:"guarantee_this_round"`
	// ClippingNorm, Unclipped and NextNorm only with adaptive clipping: the round's norm, the opened fraction of updates
	// within it, and the norm that follows.
	ClippingNorm float64      `json:"clipping_norm,omitempty"`
	Unclipped    *schema.Real `json:"unclipped,omitempty"`
	NextNorm     float64      `json:"next_clipping_norm,omitempty"`
}

func newReceiptResult(r *pipeline.Round, rec schema.Receipt) (*receiptResult, error) {
	g, err := pipeline.EventGuarantee(rec.Event, r.Task.Scope)
	if err != nil {
		return nil, err
	}
	res := &receiptResult{
		Status: rec.Status, Reason: rec.Reason, RoundID: rec.RoundID, Reports: rec.Reports, SHA256: rec.Aggregate,
		Charged: !rec.Checkpoint.IsZero(), Confirmed: rec.Confirmed, Dropped: rec.Dropped, Convicted: rec.Convicted, Guarantee: g,
	}
	if rec.Status == schema.StatusCommitted {
		res.Key = pipeline.AggregateKey(r.Name, rec.Aggregate)
	}
	if rec.Unclipped == nil {
		return res, nil
	}
	next, err := r.NextClippingNorm(rec)
	res.ClippingNorm, res.Unclipped, res.NextNorm = r.Privacy.ClippingNorm(), rec.Unclipped, float64(next)
	return res, err
}

// Text implements ui.Result.
func (r *receiptResult) Text() string {
	if r.Status == schema.StatusVoid {
		charge := "nothing was charged"
		if r.Charged {
			charge = "its cost stays charged"
		}
		return fmt.Sprintf("void: %s; %s\n", r.Reason, charge)
	}
	b := &strings.Builder{}
	fmt.Fprintf(b, "committed: mean of %d reports in %s\n", r.Reports, r.Key)
	if r.File != "" {
		fmt.Fprintf(b, "copied to %s\n", r.File)
	}
	fmt.Fprintf(b, "this round alone: %s\n", r.Guarantee)
	if r.Unclipped != nil {
		fmt.Fprintf(b, "clipping norm %.6g: %.1f %% of the updates were within it (noisy); %.6g follows\n", r.ClippingNorm, 100*float64(*r.Unclipped), r.NextNorm)
	}
	if len(r.Dropped) > 0 {
		fmt.Fprintf(b, "answers of decryptors %v were left out\n", r.Dropped)
	}
	if !r.Confirmed {
		b.WriteString("unconfirmed: only the threshold of decryptors answered, a lie among them cannot be named\n")
	}
	for _, k := range r.Convicted {
		fmt.Fprintf(b, "decryptor %d answered wrongly: no explanation of the answers clears it\n", k)
	}
	return b.String()
}

type statusResult struct {
	RoundID   schema.RoundID `json:"round_id"`
	ModelHash schema.Digest  `json:"model_hash"`
	// Release is the release whose model it is, OldestModel the earliest epoch whose model counts too, Staleness how much less.
	Release     *schema.ReleaseRef `json:"release,omitempty"`
	OldestModel uint64             `json:"oldest_model"`
	Staleness   string             `json:"staleness,omitempty"`
	Deadline    int64              `json:"deadline"`
	KeyExpiry   int64              `json:"key_expiry"`
	Clipping    float64            `json:"clipping_norm,omitempty"` // of the descriptor; only with adaptive clipping
	Reports     int                `json:"reports"`
	Frozen      int                `json:"reports_frozen"`   // in the candidate list
	Proposed    int                `json:"reports_proposed"` // in the manifest
	Candidates  int                `json:"candidate_lists"`
	Checks      []int              `json:"checks"` // decryptors
	Manifests   int                `json:"manifests"`
	Votes       []int              `json:"votes"`
	Answers     []int              `json:"answers"`
	Receipt     string             `json:"receipt"` // committed, void, or empty
	Reason      string             `json:"reason,omitempty"`
	Partials    int                `json:"partial_sums"`
	epoch       uint64
	State       string       `json:"state"`
	Regions     []regionLine `json:"regions,omitempty"`
}

func newStatus(ctx context.Context, o *opened, r *pipeline.Round) (*statusResult, error) {
	s := &statusResult{RoundID: r.ID, ModelHash: r.Descriptor.ModelHash, Release: r.Descriptor.Release, OldestModel: r.Descriptor.OldestModel, Staleness: r.Descriptor.Staleness, epoch: r.Name.Epoch, Deadline: r.Descriptor.Deadline, KeyExpiry: r.Descriptor.KeyExpiry, Clipping: float64(r.Descriptor.ClippingNorm), Checks: []int{}, Votes: []int{}, Answers: []int{}}
	reports, err := pipeline.ListReports(ctx, o.store, r.Name)
	if err != nil {
		return nil, err
	}
	s.Reports = len(reports)
	if err := s.committee(ctx, o.store, r); err != nil {
		return nil, err
	}
	rec, err := pipeline.LoadReceipt(ctx, o.store, r)
	if err == nil {
		s.Receipt, s.Reason = rec.Status, rec.Reason
	} else if !errors.Is(err, storage.ErrNotExist) {
		return nil, err
	}
	s.State = s.next(r)
	s.Regions, err = regionStatus(ctx, o, r)
	return s, err
}

func (s *statusResult) committee(ctx context.Context, store storage.Store, r *pipeline.Round) error {
	lists, err := pipeline.ListCandidates(ctx, store, r)
	if err != nil {
		return err
	}
	s.Candidates = len(lists)
	frozen, n, err := pipeline.FrozenCandidates(ctx, store, r)
	if err != nil {
		return err
	}
	if s.Frozen = n; n > 0 {
		checks, err := pipeline.LoadChecks(ctx, store, r, frozen)
		if err != nil {
			return err
		}
		s.Checks = members(r, checks)
	}
	manifests, err := pipeline.ListManifests(ctx, store, r)
	if err != nil {
		return err
	}
	s.Manifests = len(manifests)
	if len(manifests) > 0 {
		m, err := pipeline.LoadManifest(ctx, store, r, manifests[0])
		if err != nil {
			return err
		}
		s.Proposed = len(m.Reports)
	}
	partials, err := aggregator.List(ctx, store, r)
	if err != nil {
		return err
	}
	s.Partials = len(partials)
	votes, err := pipeline.LoadVotes(ctx, store, r)
	if err != nil {
		return err
	}
	s.Votes = members(r, votes)
	if id, _, err := pipeline.Certified(r, votes); err == nil {
		answers, err := pipeline.LoadAnswers(ctx, store, r, id)
		if err != nil {
			return err
		}
		s.Answers = members(r, answers)
	}
	return nil
}

func members[T any](r *pipeline.Round, m map[int]T) []int {
	all := []int{}
	for k := range r.Task.Committee.Size {
		if _, ok := m[k]; ok {
			all = append(all, k)
		}
	}
	return all
}

// next says what the round waits for.
func (s *statusResult) next(r *pipeline.Round) string {
	t := r.Task.Committee.Threshold
	switch {
	case s.Receipt != "":
		return strings.TrimSuffix("ended: "+s.Receipt+", "+s.Reason, ", ")
	case s.Frozen == 0:
		return fmt.Sprintf("open: waits for reports (at least %d) and \"round close\"", r.Task.Batch.Min)
	case len(s.Checks) < t:
		return fmt.Sprintf("closed: waits for %s", many(t-len(s.Checks), "more check"))
	case s.Manifests == 0:
		return "checked: waits for \"round propose\""
	case len(s.Votes) < t:
		return fmt.Sprintf("proposed: waits for %s", many(t-len(s.Votes), "more vote"))
	case len(s.Answers) < t:
		return fmt.Sprintf("voted: waits for %s", many(t-len(s.Answers), "more answer"))
	}
	return "answered: waits for \"round collect\""
}

// Text implements ui.Result.
func (s *statusResult) Text() string {
	b := &strings.Builder{}
	line := func(name, format string, args ...any) {
		fmt.Fprintf(b, "%-9s "+format+"\n", append([]any{name}, args...)...)
	}
	fmt.Fprintln(b, s.State)
	line("round", "%s", s.RoundID)
	line("model", "%s", s.ModelHash)
	if s.Release != nil {
		line("release", "%d, %s", s.Release.Serial, s.Release.ID)
	}
	if s.OldestModel < s.epoch {
		line("accepts", "models since epoch %d%s", s.OldestModel, map[string]string{schema.StalenessInverseSqrt: ", each by 1/sqrt(1+s) for s epochs"}[s.Staleness])
	}
	line("deadline", "%s (advice); keys expire %s", utc(s.Deadline), utc(s.KeyExpiry))
	if s.Clipping > 0 {
		line("clipping", "norm %.6g", s.Clipping)
	}
	line("reports", "%d complete, %d in the frozen list, %d in the proposed one", s.Reports, s.Frozen, s.Proposed)
	line("partials", "%d", s.Partials)
	for l := range strings.Lines(regionLines(s.Regions)) {
		line("region", "%s", strings.TrimSuffix(l, "\n"))
	}
	line("checks", "%s", decryptors(s.Checks))
	line("votes", "%s", decryptors(s.Votes))
	line("answers", "%s", decryptors(s.Answers))
	return b.String()
}

func utc(seconds int64) string { return time.Unix(seconds, 0).UTC().Format(time.RFC3339) }

func decryptors(list []int) string {
	if len(list) == 0 {
		return "none"
	}
	return "decryptors " + strings.Trim(strings.ReplaceAll(fmt.Sprint(list), " ", ", "), "[]")
}
