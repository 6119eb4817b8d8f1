package main

import (
	"fmt"
	"math"
	"strings"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/lanes"
	"github.com/veilsum/veilsum/privacy"
	"github.com/veilsum/veilsum/privacy/accountant"
	"github.com/veilsum/veilsum/schema"
)

// maxPlanRounds is the most rounds that accountants compose.
const maxPlanRounds = 1 << 32

// planAnswer is what a budget affords. NaN has no form in JSON: where there is no bound, numbers are null.
type planAnswer struct {
	Inputs   planInputs        `json:"inputs"`
	OneRound planEpsilon       `json:"guarantee_one_round"`
	Rounds   planRounds        `json:"rounds"`
	Needed   *planNeeded       `json:"needed"`
	Scope    *planScope        `json:"scope"`
	Lanes    *lanes.Suggestion `json:"lanes,omitempty"` // if asked for
	Curves   []planCurve       `json:"curves"`
	Batches  []planBatch       `json:"batches"`
	Warnings []string          `json:"warnings"`
	relation accountant.NeighboringRelation
	chosen   int // index of the curve of Inputs.NoiseMultiplier
}

// planInputs are the numbers that were planned with.
type planInputs struct {
	Task            string  `json:"task"`
	Epsilon         float64 `json:"epsilon"`
	Delta           float64 `json:"delta"`
	NoiseMultiplier float64 `json:"noise_multiplier"`
	ClippingNorm    float64 `json:"clipping_norm"`
	Values          int     `json:"values"`
	MinBatch        int     `json:"min_batch_size"`
	MaxBatch        int     `json:"max_batch_size"`
	MaxDishonest    int     `json:"max_dishonest"`
	Relation        string  `json:"relation"`
	TrustModel      string  `json:"trust_model"`
	Mechanism       string  `json:"mechanism"`
	Rounds          int64   `json:"rounds,omitempty"` // asked for
}

// planEpsilon is one number by each accountant; nil where it has no finite bound.
type planEpsilon struct {
	RDP      *float64 `json:"rdp"`
	Tight    *float64 `json:"tight"`
	Method   string   `json:"tight_method,omitempty"` // which accountant tight is
	Gaussian *float64 `json:"gaussian"`
}

// planRounds are affordable.
type planRounds struct {
	RDP   int64 `json:"rdp"`
	Tight int64 `json:"tight"`
}

// planNeeded is the least noise multiplier for the rounds asked for.
type planNeeded struct {
	Rounds   int64   `json:"rounds"`
	RDP      float64 `json:"rdp"`
	Tight    float64 `json:"tight"`
	Gaussian float64 `json:"gaussian"`
}

// planScope is what a scope has spent.
type planScope struct {
	Name       string               `json:"name"`
	Epochs     int                  `json:"epochs_charged"`
	Spent      accountant.Guarantee `json:"spent"`
	RoundsLeft int64                `json:"rounds_left"`
}

// planCurve is epsilon against rounds at one noise multiplier.
type planCurve struct {
	NoiseMultiplier float64    `json:"noise_multiplier"`
	Rounds          []int64    `json:"rounds"`
	RDP             []*float64 `json:"rdp"`
	Tight           []*float64 `json:"tight"`
	Gaussian        []*float64 `json:"gaussian"`
}

// planBatch is what a batch size gives and costs.
type planBatch struct {
	MinBatch     int     `json:"min_batch_size"`
	MaxBatch     int     `json:"max_batch_size"`
	MaxDishonest int     `json:"max_dishonest"`
	HonestMin    int     `json:"honest_min"`
	NoiseStdDev  float64 `json:"noise_std_dev"` // of one value of the mean, in the update's units
	SNR          float64 `json:"snr"`
	Bits         int     `json:"modulus_bits"`
	BitsValue    float64 `json:"bits_per_value"`
	ReportBytes  int64   `json:"bytes_per_report"`
}

// newPlanAnswer computes everything. Without a noise multiplier it takes the one that rounds need.
func newPlanAnswer(t schema.Task, rounds int64) (*planAnswer, error) {
	chosen := float64(t.Privacy.NoiseMultiplier)
	if chosen == 0 {
		t.Privacy.NoiseMultiplier = 1
	}
	p, err := completePlan(t)
	if err != nil {
		return nil, err
	}
	r := &planAnswer{relation: accountant.NeighboringRelation(t.Scope.Relation), Warnings: []string{}}
	eps, delta := float64(t.Scope.Epsilon), float64(t.Scope.Delta)
	if rounds > 0 {
		if r.Needed, err = neededNoise(p, rounds); err != nil {
			return nil, err
		}
	}
	if chosen == 0 {
		t.Privacy.NoiseMultiplier = schema.Real(r.Needed.RDP)
		if p, err = completePlan(t); err != nil {
			return nil, err
		}
	}
	r.Inputs = inputsOf(p, rounds)
	event, err := p.Privacy.Event()
	if err != nil {
		return nil, err
	}
	if r.Rounds.RDP, err = p.Privacy.Rounds(nil, eps, delta); err != nil {
		return nil, err
	}
	if r.Rounds.Tight, err = affordableTight(event, r.Rounds.RDP, eps, delta, r.relation); err != nil {
		return nil, err
	}
	if r.OneRound, err = epsilonOfRounds(event, 1, delta, r.relation); err != nil {
		return nil, err
	}
	r.Curves, r.chosen = r.curves(t, p)
	r.Batches = batchRows(t)
	r.Warnings = append(r.Warnings, r.warnings()...)
	return r, nil
}

func completePlan(t schema.Task) (*pipeline.Plan, error) {
	done, err := pipeline.Complete(t)
	if err != nil {
		return nil, err
	}
	return pipeline.NewPlan(done)
}

func inputsOf(p *pipeline.Plan, rounds int64) planInputs {
	t := p.Task
	return planInputs{
		Task: t.Name, Epsilon: float64(t.Scope.Epsilon), Delta: float64(t.Scope.Delta), NoiseMultiplier: float64(t.Privacy.NoiseMultiplier),
		ClippingNorm: float64(t.Privacy.ClippingNorm), Values: t.Derived.Values, MinBatch: t.Batch.Min, MaxBatch: t.Batch.Max, MaxDishonest: t.Batch.MaxDishonest,
		Relation: t.Scope.Relation, TrustModel: t.Privacy.TrustModel, Mechanism: t.Privacy.Mechanism, Rounds: rounds,
	}
}

// epsilonOfRounds asks the accountants; at least one must have a bound.
func epsilonOfRounds(e accountant.Event, rounds int64, delta float64, relation accountant.NeighboringRelation) (r planEpsilon, err error) {
	events := []accountant.Event{accountant.Repeat(e, rounds)}
	g, err := accountant.Account(events, delta, relation)
	if err == nil {
		r.RDP = &g.Epsilon
	}
	tight, tightErr := accountant.AccountTight(events, delta, relation)
	if tightErr == nil {
		r.Tight, r.Method = &tight.Epsilon, tight.Method
	}
	if x, ok := idealEvent(e); ok {
		if ideal, err := accountant.AccountTight([]accountant.Event{accountant.Repeat(x, rounds)}, delta, relation); err == nil {
			r.Gaussian = &ideal.Epsilon
		}
	}
	if r.RDP == nil && r.Tight == nil {
		return r, err
	}
	return r, nil
}

// idealEvent is the continuous Gaussian of the same width; there is none for a Laplace.
func idealEvent(e accountant.Event) (accountant.Event, bool) {
	switch e.Type {
	case accountant.Gaussian:
		return e, true
	case accountant.DistributedDiscreteGaussian:
		return accountant.Event{Type: accountant.Gaussian, NoiseMultiplier: e.Sigma * math.Sqrt(float64(e.Contributors)) / float64(e.Sensitivity)}, true
	}
	return e, false
}

// affordableTight is Affordable by the tight accountant, which affords no fewer than known.
func affordableTight(e accountant.Event, known int64, epsilon, delta float64, relation accountant.NeighboringRelation) (int64, error) {
	within := func(rounds int64) bool {
		g, err := accountant.AccountTight([]accountant.Event{accountant.Repeat(e, rounds)}, delta, relation)
		return err == nil && g.Epsilon <= epsilon
	}
	low, high := known, known+1
	for step := int64(1); high <= maxPlanRounds && within(high); step *= 2 {
		low, high = high, min(high+step, maxPlanRounds+1)
	}
	for high-low > 1 {
		if mid := low + (high-low)/2; within(mid) {
			low = mid
		} else {
			high = mid
		}
	}
	return low, nil
}

// neededNoise inverts the accountants for the task's budget.
func neededNoise(p *pipeline.Plan, rounds int64) (*planNeeded, error) {
	l, eps, delta := p.Privacy.Literal(), float64(p.Task.Scope.Epsilon), float64(p.Task.Scope.Delta)
	n := &planNeeded{Rounds: rounds}
	var err error
	if n.RDP, err = privacy.NoiseMultiplierFor(l, rounds, eps, delta); err != nil {
		return nil, err
	}
	n.Tight = n.RDP // no tighter accountant for sums of discrete Gaussians
	if l.Mechanism == privacy.Laplace {
		n.Tight, err = accountant.CalibrateTight(func(z float64) ([]accountant.Event, error) {
			return []accountant.Event{accountant.Repeat(accountant.Event{Type: accountant.Laplace, NoiseMultiplier: z}, rounds)}, nil
		}, eps, delta, l.Relation)
		return n, err
	}
	n.Gaussian, err = accountant.ExactGaussianNoiseMultiplier(rounds, eps, delta, l.Relation)
	if l.Mechanism == privacy.Gaussian {
		n.Tight = n.Gaussian
	}
	return n, err
}

// planPoints is how many numbers of rounds a curve has.
const planPoints = 24

// curves draws half, once and twice the noise; those that no task can have are left out.
func (r *planAnswer) curves(t schema.Task, p *pipeline.Plan) (curves []planCurve, chosen int) {
	most := min(max(10, r.Inputs.Rounds, r.Rounds.RDP+(r.Rounds.RDP+3)/4), maxPlanRounds)
	z := t.Privacy.NoiseMultiplier
	for _, factor := range []float64{0.5, 1, 2} {
		q := p
		if factor != 1 {
			t.Privacy.NoiseMultiplier = z * schema.Real(factor)
			var err error
			if q, err = completePlan(t); err != nil {
				continue
			}
		} else {
			chosen = len(curves)
		}
		e, err := q.Privacy.Event()
		if err != nil {
			continue
		}
		curves = append(curves, newCurve(e, float64(q.Task.Privacy.NoiseMultiplier), most, r.Inputs.Delta, r.relation))
	}
	return curves, chosen
}

func newCurve(e accountant.Event, z float64, most int64, delta float64, relation accountant.NeighboringRelation) planCurve {
	c := planCurve{NoiseMultiplier: z}
	steps := min(most, planPoints)
	for i := int64(1); i <= steps; i++ {
		n := most * i / steps
		if i == 1 {
			n = 1
		}
		x, err := epsilonOfRounds(e, n, delta, relation)
		if err != nil {
			x = planEpsilon{}
		}
		c.Rounds = append(c.Rounds, n)
		c.RDP, c.Tight, c.Gaussian = append(c.RDP, x.RDP), append(c.Tight, x.Tight), append(c.Gaussian, x.Gaussian)
	}
	return c
}

// batchFactors times the smallest batch are shown.
var batchFactors = []float64{0.125, 0.25, 0.5, 1, 2, 4, 8, 16}

func batchRows(t schema.Task) []planBatch {
	rows := []planBatch{}
	whole := t.Batch
	for _, f := range batchFactors {
		t.Batch.Min = int(math.Round(f * float64(whole.Min)))
		t.Batch.Max = max(t.Batch.Min, int(math.Round(f*float64(whole.Max))))
		t.Batch.MaxDishonest = int(math.Ceil(f * float64(whole.MaxDishonest)))
		p, err := completePlan(t)
		if err != nil { // smaller than a list may be, or larger than a modulus holds
			continue
		}
		noise, size := p.Privacy.NoiseStdDev(t.Batch.Min), p.Secagg.ReportBytes()
		rows = append(rows, planBatch{
			MinBatch: t.Batch.Min, MaxBatch: t.Batch.Max, MaxDishonest: t.Batch.MaxDishonest, HonestMin: p.Privacy.HonestMin(),
			NoiseStdDev: noise, SNR: p.Privacy.ClippingNorm() / math.Sqrt(float64(p.Privacy.Values())) / noise,
			Bits: p.Secagg.Bits(), BitsValue: 8 * float64(size) / float64(bitsOver(p)), ReportBytes: size,
		})
	}
	return rows
}

func (r *planAnswer) warnings() (w []string) {
	if r.Rounds.RDP == 0 {
		w = append(w, "one round costs more than the whole budget: nothing could ever be opened; raise noise_multiplier")
	}
	for _, b := range r.Batches {
		if b.MinBatch == r.Inputs.MinBatch && b.SNR < 0.1 {
			w = append(w, fmt.Sprintf("the noise of one value is %.3g times the largest signal of the mean: take larger batches, fewer values or less noise", 1/b.SNR))
		}
	}
	if r.Inputs.Epsilon > 10 {
		w = append(w, fmt.Sprintf("epsilon %g is a weak promise: odds may change by a factor of e^%g", r.Inputs.Epsilon, r.Inputs.Epsilon))
	}
	return w
}

// Text implements ui.Result.
func (r *planAnswer) Text() string {
	b, in := &strings.Builder{}, r.Inputs
	line := func(name, format string, args ...any) {
		fmt.Fprintf(b, "%-12s "+format+"\n", append([]any{name}, args...)...)
	}
	line("task", "%s: %d values, clipping norm %g, batch %d to %d, at most %d dishonest", in.Task, in.Values, in.ClippingNorm, in.MinBatch, in.MaxBatch, in.MaxDishonest)
	line("noise", "noise multiplier %.6g, %s %s, relation %s", in.NoiseMultiplier, in.TrustModel, in.Mechanism, in.Relation)
	line("budget", "epsilon %g at delta %g", in.Epsilon, in.Delta)
	line("one round", "epsilon %s", r.OneRound)
	line("affordable", "%d rounds by rdp, %d by tight", r.Rounds.RDP, r.Rounds.Tight)
	if n := r.Needed; n != nil {
		line("needed", "noise multiplier %.6g by rdp, %.6g by tight for %d rounds%s", upward(n.RDP), upward(n.Tight), n.Rounds, yardstick(n.Gaussian))
	}
	if s := r.Scope; s != nil {
		line("scope", "%q has spent %s in %s; left: %s of the stored task", s.Name, s.Spent, many(s.Epochs, "epoch"), many(s.RoundsLeft, "more epoch"))
	}
	r.laneLine(line)
	for _, w := range r.Warnings {
		line("warning", "%s", w)
	}
	fmt.Fprintf(b, "\n%12s", "rounds")
	for i, c := range r.Curves {
		if i == r.chosen {
			fmt.Fprintf(b, " %12s %12s %12s", fmt.Sprintf("z=%.4g rdp", c.NoiseMultiplier), "tight", "gaussian")
		} else {
			fmt.Fprintf(b, " %12s", fmt.Sprintf("z=%.4g rdp", c.NoiseMultiplier))
		}
	}
	b.WriteString("\n")
	for j := range r.Curves[r.chosen].Rounds {
		fmt.Fprintf(b, "%12d", r.Curves[r.chosen].Rounds[j])
		for i, c := range r.Curves {
			fmt.Fprintf(b, " %12s", epsilonText(c.RDP[j]))
			if i == r.chosen {
				fmt.Fprintf(b, " %12s %12s", epsilonText(c.Tight[j]), epsilonText(c.Gaussian[j]))
			}
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(b, "\n%14s %14s %12s %8s %10s %12s\n", "min_batch_size", "noise per value", "snr", "modulus", "bits/value", "bytes/report")
	for _, x := range r.Batches {
		fmt.Fprintf(b, "%14d %15.4g %12.4g %7db %10.2f %12d\n", x.MinBatch, x.NoiseStdDev, x.SNR, x.Bits, x.BitsValue, x.ReportBytes)
	}
	return b.String()
}

// String is the accountants in one line.
func (e planEpsilon) String() string {
	text := epsilonText(e.RDP) + " by rdp, " + epsilonText(e.Tight) + " by tight"
	if e.Method != "" {
		text += " (" + e.Method + ")"
	}
	if e.Gaussian != nil {
		text += yardstick(*e.Gaussian)
	}
	return text
}

// upward rounds to six digits, never down: less noise than needed does not suffice.
func upward(z float64) float64 {
	unit := math.Pow(10, 5-math.Floor(math.Log10(z)))
	return math.Ceil(z*unit) / unit
}

func yardstick(v float64) string {
	if v == 0 {
		return ""
	}
	return fmt.Sprintf("; yardstick gaussian %.6g", v)
}

func epsilonText(v *float64) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprintf("%.5g", *v)
}
