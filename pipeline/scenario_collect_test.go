package pipeline_test

import (
	"errors"
	"math"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/collector"
	"github.com/veilsum/veilsum/privacy"
	"github.com/veilsum/veilsum/schema"
)

// collect opens the round, with race=N by N collectors at once.
func (s *scene) collect(a args) {
	n := a.int("race", 1)
	type outcome struct {
		*collector.Collected
		err error
	}
	results := make(chan outcome, n)
	for range n {
		go func() {
			got, err := s.f.Collector.Collect(ctx, s.store(), s.round, nil)
			results <- outcome{got, err}
		}()
	}
	for range n {
		x := <-results
		if x.err != nil {
			s.fail("collector", x.err)
			continue
		}
		if n > 1 {
			x.Mean = nil // who else computed it depends on the race
		}
		s.ended(x.Collected)
	}
}

func (s *scene) ended(got *collector.Collected) {
	r := got.Receipt
	if r.Status == schema.StatusVoid {
		s.say("collector: void, %s: %s", map[bool]string{true: "not charged", false: "charged"}[r.Checkpoint.IsZero()], r.Reason)
		return
	}
	s.say("collector: committed, %d reports, dropped decryptors %v, convicted %v, confirmed %t", r.Reports, r.Dropped, r.Convicted, r.Confirmed)
	if got.Mean != nil {
		s.say("collector: the mean is right within the noise: %t", s.right(got))
		s.sayUnclipped(r)
	}
}

// right compares the mean with that of the listed reports, within 6 standard deviations.
func (s *scene) right(got *collector.Collected) bool {
	m, err := pipeline.LoadManifest(ctx, s.f.Store, s.round, got.Receipt.Manifest)
	if err != nil {
		s.t.Fatal(err)
	}
	enc, err := privacy.NewEncoder(s.round.Privacy, s.round.ID.Digest)
	if err != nil {
		s.t.Fatal(err)
	}
	n := float64(len(m.Reports))
	for j, have := range got.Mean {
		want := 0.0
		for _, id := range m.Reports {
			if u := s.updates[id]; u != nil {
				want += float64(u[j]) / n
			}
		}
		if math.Abs(have-want) > 6*enc.NoiseStdDev(len(m.Reports)) {
			return false
		}
	}
	return true
}

func (s *scene) abort(a args) {
	got, err := s.f.Collector.Abort(ctx, s.store(), s.round, "the operator said so")
	if err != nil && !errors.Is(err, pipeline.ErrEnded) {
		s.fail("collector", err)
		return
	}
	if err != nil {
		s.fail("collector", err)
	}
	s.ended(got)
}

func (s *scene) budget(args) {
	c, err := pipeline.LoadCharges(ctx, s.f.Store, s.f.Task.Scope, schema.NewPublicKey(s.f.Owner))
	if err != nil {
		s.fail("anybody", err)
		return
	}
	g, err := c.Guarantee()
	if err != nil {
		s.t.Fatal(err)
	}
	s.say("anybody: %d epochs charged, epsilon %.3f of %g", c.Epochs(), g.Epsilon, float64(s.f.Task.Scope.Epsilon))
}
