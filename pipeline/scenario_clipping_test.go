package pipeline_test

import (
	"math"
	"regexp"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/auditor"
	"github.com/veilsum/veilsum/privacy"
	"github.com/veilsum/veilsum/schema"
)

func init() {
	commands["restate"] = (*scene).restate
	commands["audit"] = (*scene).audit
}

// adaptive lets the fleet's clipping norm follow the norms.
func (s *scene) adaptive(task *schema.Task, a args) {
	if a.has("adaptive") {
		task.Privacy.Adaptive = &schema.Adaptive{CountStdDev: schema.Real(a.float("count", 2)), LearningRate: schema.Real(a.float("rate", 0.2))}
		task.Privacy.ClippingNorm = schema.Real(a.float("clip", 1))
	}
}

// sayNorm tells what a new round's norm follows from, and computes it again from the receipts. Norms
// themselves are as random as the noise in the fractions.
func (s *scene) sayNorm(r *pipeline.Round) {
	if !r.Adaptive() {
		return
	}
	from := r.Descriptor.ClippingRound
	if from.IsZero() {
		s.say("collector: its clipping norm is the task's: %t", r.Privacy.ClippingNorm() == float64(r.Task.Privacy.ClippingNorm))
		return
	}
	for _, base := range s.rounds {
		if base.ID == from {
			c, err := pipeline.LoadReceipt(ctx, s.f.Store, base)
			if err != nil {
				s.t.Fatal(err)
			}
			next, err := base.NextClippingNorm(c)
			if err != nil {
				s.t.Fatal(err)
			}
			s.say("collector: its clipping norm follows from round %s: %t", roundName(base), float64(next) == r.Privacy.ClippingNorm() && next == r.Descriptor.ClippingNorm)
			return
		}
	}
	s.t.Fatal("no such round")
}

// sayUnclipped compares the published fraction with the listed updates, within 6 standard deviations.
func (s *scene) sayUnclipped(c schema.Receipt) {
	if c.Unclipped == nil {
		return
	}
	m, err := pipeline.LoadManifest(ctx, s.f.Store, s.round, c.Manifest)
	if err != nil {
		s.t.Fatal(err)
	}
	within := 0
	for _, id := range m.Reports {
		square := 0.0
		for _, v := range s.updates[id] {
			square += float64(v) * float64(v)
		}
		if math.Sqrt(square) <= s.round.Privacy.ClippingNorm() {
			within++
		}
	}
	enc, err := privacy.NewEncoder(s.round.Privacy, s.round.ID.Digest)
	if err != nil {
		s.t.Fatal(err)
	}
	off := float64(*c.Unclipped) - float64(within)/float64(len(m.Reports))
	s.say("collector: %d of %d updates were within the clipping norm, the published fraction is right within the noise: %t",
		within, len(m.Reports), math.Abs(off) <= 6*enc.FractionStdDev(len(m.Reports)))
}

// restate is a malicious Collector that signs the open round's descriptor anew with
// another clipping norm: norm=X or ulp (the least change that there is), and follows=ROUND or follows=none.
func (s *scene) restate(a args) {
	d := s.round.Descriptor
	switch {
	case a.has("norm"):
		d.ClippingNorm = schema.Real(a.float("norm", 0))
	case a.has("ulp"):
		d.ClippingNorm = schema.Real(math.Nextafter(float64(d.ClippingNorm), math.Inf(1)))
	}
	if a["follows"] == "none" {
		d.ClippingRound = schema.RoundID{}
	} else if a.has("follows") {
		d.ClippingRound = s.rounds[a["follows"]].ID
	}
	signed, err := schema.SignBody(d, s.f.CollectKey)
	if err != nil {
		s.t.Fatal(err)
	}
	s.f.Replace(pipeline.DescriptorKey(s.round.Name), func([]byte) []byte { return signed.Bytes() })
	r, err := pipeline.LoadRound(ctx, s.f.Store, s.f.Plan, s.round.Name)
	if err != nil {
		s.fail("everybody", err)
		return
	}
	s.name(r.ID, "round "+r.Name.String())
	s.round, s.rounds[roundName(r)] = r, r
	s.say("everybody: reads the descriptor")
}

// random finds the numbers of an error that depend on the noise.
var random = regexp.MustCompile(`(norm|fraction|give) -?[0-9][0-9.e+-]*`)

// audit recomputes everything that is in the store.
func (s *scene) audit(args) {
	_, err := auditor.Audit(ctx, s.f.Store, schema.NewPublicKey(s.f.Owner), auditor.Options{Depth: auditor.DepthPieces})
	if err != nil {
		s.say("auditor: error: %s", random.ReplaceAllString(err.Error(), "$1 (number)"))
		return
	}
	s.say("auditor: all evidence verifies")
}
