package main

import (
	"context"
	"errors"
	"strings"

	"github.com/veilsum/veilsum/cmd/veilsum/internal/report"
	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// round reads one round; it returns none, and pipeline.ErrNotReady or ErrUntrusted, if there is no descriptor that the
// Collector signed, and an unreadable one with the error if something else in it cannot be read.
func (s *statusReader) round(ctx context.Context, p *pipeline.Plan, n pipeline.RoundName) (*statusRound, error) {
	r, err := pipeline.LoadDescriptor(ctx, s.store, p, n)
	if err != nil {
		return nil, err
	}
	x := &statusRound{StatusRound: report.StatusRound{Name: shortRound(n), Deadline: utc(r.Descriptor.Deadline)}}
	if err := s.inside(ctx, r, x); err != nil {
		x.State = "unreadable"
		return x, err
	}
	return x, nil
}

func (s *statusReader) inside(ctx context.Context, r *pipeline.Round, x *statusRound) error {
	receipt, err := pipeline.LoadReceipt(ctx, s.store, r) // first: what is read behind it is then complete
	if err != nil && !errors.Is(err, storage.ErrNotExist) {
		return err
	}
	for _, step := range []func(context.Context, *pipeline.Round, *statusRound) error{s.reports, s.lists, s.signed, s.regions} {
		if err := step(ctx, r, x); err != nil {
			return err
		}
	}
	x.state(r, receipt)
	return nil
}

// reports counts complete reports and all their bytes.
func (s *statusReader) reports(ctx context.Context, r *pipeline.Round, x *statusRound) error {
	seen := 0
	for info, err := range s.store.List(ctx, pipeline.ReportsPrefix(r.Name), "") {
		if err != nil {
			return err
		}
		if seen++; seen > statusObjects {
			x.AtLeast = true
			return nil
		}
		x.Bytes += info.Size
		if strings.HasSuffix(info.Key, "/header") {
			x.Reports++
		}
	}
	return nil
}

// lists counts the reports of the frozen list, and who checked it. Lists are not signed: of several, the
// largest whose reports are there counts, as for everybody, or in a round too large to ask so, the one that was checked most.
func (s *statusReader) lists(ctx context.Context, r *pipeline.Round, x *statusRound) error {
	x.checked = map[int]bool{}
	ids, err := pipeline.ListCandidates(ctx, s.store, r)
	if err != nil || len(ids) == 0 {
		return err
	}
	if !x.AtLeast {
		id, n, err := pipeline.FrozenCandidates(ctx, s.store, r)
		if err != nil {
			return err
		}
		if x.Listed = n; n > 0 {
			ids = []schema.Digest{id}
		}
	}
	for _, id := range ids[:min(len(ids), statusLists)] {
		checks, err := pipeline.LoadChecks(ctx, s.store, r, id)
		if err != nil {
			return err
		}
		if got := present(checks); len(got) > len(x.checked) {
			x.checked = got
		}
	}
	x.Checks = len(x.checked)
	return nil
}

// signed counts votes and, for the certified list, answers.
func (s *statusReader) signed(ctx context.Context, r *pipeline.Round, x *statusRound) error {
	votes, err := pipeline.LoadVotes(ctx, s.store, r)
	if err != nil {
		return err
	}
	x.voted, x.answered = present(votes), map[int]bool{}
	if id, _, err := pipeline.Certified(r, votes); err == nil {
		answers, err := pipeline.LoadAnswers(ctx, s.store, r, id)
		if err != nil {
			return err
		}
		x.answered = present(answers)
	} else if x.State == "" {
		manifests, err := pipeline.ListManifests(ctx, s.store, r)
		if err != nil {
			return err
		}
		for _, id := range manifests[:min(len(manifests), statusLists)] { // one that does not verify proposes nothing
			if _, err := pipeline.LoadManifest(ctx, s.store, r, id); err == nil {
				x.State = "proposed"
			}
		}
	}
	x.Votes, x.Answers = len(x.voted), len(x.answered)
	return nil
}

// regions tells whose sums have arrived: of a region's several, that of most reports.
func (s *statusReader) regions(ctx context.Context, r *pipeline.Round, x *statusRound) error {
	for _, region := range r.Descriptor.Regions {
		sums, err := pipeline.LoadRegionSums(ctx, s.store, r, region)
		if err != nil {
			return err
		}
		d := report.StatusRegion{Name: region.Name, Deadline: utc(region.Deadline), Arrived: len(sums.All) > 0}
		if d.Arrived {
			d.Reports, d.Refused = sums.Best.Body.Reports, len(sums.Best.Body.Refused)
		}
		x.Regions = append(x.Regions, d)
	}
	return nil
}

// state names how far the round is; STATES.md has the words.
func (x *statusRound) state(r *pipeline.Round, receipt schema.Receipt) {
	t := r.Task.Committee.Threshold
	proposed := x.State == "proposed"
	switch {
	case receipt.Status != "":
		x.State, x.Reason = receipt.Status, receipt.Reason
		if receipt.Reports > 0 {
			x.Listed = receipt.Reports
		}
	case x.Answers >= t:
		x.State = "answered"
	case x.Votes >= t:
		x.State = "voted"
	case proposed || x.Votes > 0:
		x.State = "proposed"
	case x.Checks >= t:
		x.State = "checked"
	case x.Listed > 0:
		x.State = "frozen"
	default:
		x.State = "open"
	}
}

// present is the set of decryptors in a map.
func present[T any](m map[int]T) map[int]bool {
	set := map[int]bool{}
	for k := range m {
		set[k] = true
	}
	return set
}
