package auditor_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/auditor"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/schema/arrowipc"
)

// adaptiveTask lets the norm follow, fast.
func adaptiveTask() schema.Task {
	t := pipelinetest.Task(8)
	t.Privacy.Adaptive = &schema.Adaptive{CountStdDev: 2, LearningRate: 1}
	return t
}

// TestAdaptiveHistory: the report shows every norm and what it follows from, the statement what the indicator costs.
func TestAdaptiveHistory(t *testing.T) {
	f := play(t, adaptiveTask(), 3, 0, 1, 2)
	f.rounds = append(f.rounds, f.Open(4))
	rep, err := f.audit(auditor.Options{Depth: auditor.DepthPieces})
	if err != nil {
		t.Fatal(err)
	}
	task := rep.Tasks[0]
	for i, r := range task.Rounds {
		if follows := map[bool]string{false: fmt.Sprintf("%012d-0", i)}[i == 0]; r.Follows != follows || (r.Unclipped != nil) != (i < 3) {
			t.Errorf("round %s follows from %q, want %q; fraction %v", r.Name, r.Follows, follows, r.Unclipped)
		}
		if r.ClippingNorm != schema.Real(f.rounds[i].Privacy.ClippingNorm()) || i < 3 && *r.Unclipped != *f.receipt(t, i).Unclipped {
			t.Errorf("round %s: norm %g, fraction %v", r.Name, float64(r.ClippingNorm), r.Unclipped)
		}
	}
	a := task.Adaptive
	e := task.Event
	z := float64(e.LocalStdDev) * math.Sqrt(float64(e.HonestMin)) / float64(e.Sensitivity)
	if both := math.Sqrt(1 / (1/(a.NoiseMultiplier*a.NoiseMultiplier) + 1/(a.UpdateNoiseMultiplier*a.UpdateNoiseMultiplier))); math.Abs(both-z) > 1e-9 {
		t.Errorf("indicator and update have noise multiplier %g together, the event %g", both, z)
	}
	if share := z * z / (a.NoiseMultiplier * a.NoiseMultiplier); math.Abs(share-a.ShareOfRho) > 1e-9 || share < 1./17 || share > 1./8 {
		t.Errorf("the indicator takes %g of rho, stated %g", share, a.ShareOfRho)
	}
	s := rep.Statement()
	words := strings.Join(s.OutsideBudget, " ")
	if n := s.Tasks[0].ClippingNorms; len(n) != 4 || n[3].Follows != "000000000003-0" || s.Tasks[0].Adaptive == nil || strings.Contains(words, "constant") || !strings.Contains(words, "% of the charge's rho") {
		t.Errorf("statement %+v, %s", n, words)
	}
	raw, err := rep.Table()
	if err != nil {
		t.Fatal(err)
	}
	table, err := arrowipc.ReadTable(raw)
	if err != nil {
		t.Fatal(err)
	}
	norms, _, err := table.Floats("clipping_norm")
	if err != nil || len(norms) != 4 || norms[2] != f.rounds[2].Privacy.ClippingNorm() {
		t.Errorf("clipping norms %v: %v", norms, err)
	}
	fractions, _, err := table.Floats("unclipped")
	if err != nil || fractions[0] != float64(*f.receipt(t, 0).Unclipped) || !math.IsNaN(fractions[3]) {
		t.Errorf("fractions %v: %v", fractions, err)
	}
}

// TestConstantNorm: without adaptive clipping all of that is absent.
func TestConstantNorm(t *testing.T) {
	f := play(t, pipelinetest.Task(8), 1, 0, 1, 2)
	rep, err := f.audit(auditor.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r, s := rep.Tasks[0].Rounds[0], rep.Statement()
	if rep.Tasks[0].Adaptive != nil || r.ClippingNorm != 1 || r.Follows != "" || r.Unclipped != nil || s.Tasks[0].Adaptive != nil || s.Tasks[0].ClippingNorms != nil {
		t.Errorf("%+v", r)
	}
	if words := strings.Join(s.OutsideBudget, " "); !strings.Contains(words, "The clipping norm is constant within a task") {
		t.Error(words)
	}
}

// TestAnyChangedNorm: the auditor recomputes the whole chain, so whatever norm or round a Collector states other than those
// that follow, by whatever little, the audit names this descriptor, be the round played or only open.
func TestAnyChangedNorm(t *testing.T) {
	f := play(t, adaptiveTask(), 3, 0, 1, 2)
	f.rounds = append(f.rounds, f.Open(4))
	receipts := []schema.Receipt{f.receipt(t, 0), f.receipt(t, 1), f.receipt(t, 2)}
	rapid.Check(t, func(t *rapid.T) {
		i := rapid.IntRange(0, len(f.rounds)-1).Draw(t, "round")
		r := f.rounds[i]
		norm, follows := r.Descriptor.ClippingNorm, r.Descriptor.ClippingRound
		switch rapid.IntRange(0, 3).Draw(t, "how") {
		case 0:
			norm = schema.Real(math.Nextafter(float64(norm), rapid.SampledFrom([]float64{0, 1e9}).Draw(t, "towards")))
		case 1:
			norm = schema.Real(math.Exp(rapid.Float64Range(-6.9, 6.9).Draw(t, "log norm")))
		case 2:
			j := rapid.IntRange(0, len(f.rounds)-1).Draw(t, "follows")
			if follows = f.rounds[j].ID; j < min(i, 3) {
				if same, err := f.rounds[j].NextClippingNorm(receipts[j]); err != nil || same == norm {
					return // a fraction of exactly 0.5 moves nothing: this one would be as good
				}
			}
		case 3:
			follows = schema.RoundID{Digest: schema.Digest{1}}
		}
		if norm == r.Descriptor.ClippingNorm && follows == r.Descriptor.ClippingRound {
			return
		}
		d := r.Descriptor
		d.ClippingNorm, d.ClippingRound = norm, follows
		signed, err := schema.SignBody(d, f.CollectKey)
		if err != nil {
			t.Fatal(err)
		}
		_, err = auditor.Audit(ctx, f.with(pipeline.DescriptorKey(r.Name), signed.Bytes()), schema.NewPublicKey(f.Owner), auditor.Options{})
		var flaw *auditor.Flaw
		if !errors.As(err, &flaw) || flaw.Object != pipeline.DescriptorKey(r.Name) || !strings.Contains(flaw.Error(), "clipping norm") {
			t.Fatalf("round %d with norm %g following from %s: %v", i+1, float64(norm), follows.Short(), err)
		}
	})
}

// TestChangedFraction: a Collector that states another fraction than was opened is named by its receipt,
// before any norm that would follow from it.
func TestChangedFraction(t *testing.T) {
	f := play(t, adaptiveTask(), 2, 0, 1, 2)
	key := pipeline.ReceiptKey(f.rounds[0].Name)
	for name, change := range map[string]func(*schema.Receipt){
		"more": func(c *schema.Receipt) { *c.Unclipped += 0.25 },
		"ulp":  func(c *schema.Receipt) { *c.Unclipped = schema.Real(math.Nextafter(float64(*c.Unclipped), 9)) },
		"none": func(c *schema.Receipt) { c.Unclipped = nil },
	} {
		c := f.receipt(t, 0)
		fraction := *c.Unclipped
		c.Unclipped = &fraction
		change(&c)
		f.wantFlaw(t, name, f.with(key, sign(t, f, c)), auditor.Options{}, "000000000001-0/receipt.json")
	}
	if _, err := f.audit(auditor.Options{}); err != nil {
		t.Error(err)
	}
}
