package main

import (
	"fmt"
	"strings"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/privacy/accountant"
	"github.com/veilsum/veilsum/schema"
)

// planResult is a task with what follows from it.
type planResult struct {
	TaskID      schema.TaskID        `json:"task_id"`
	Task        schema.Task          `json:"task"`
	Blocks      int                  `json:"blocks"`
	Bits        int                  `json:"bits"`
	ReportBytes int64                `json:"bytes_per_report"`
	BitsValue   float64              `json:"bits_per_value"` // of the model
	ErrorFactor float64              `json:"compression_error_factor,omitempty"`
	Capacity    float64              `json:"required_half_modulus"`
	Round       accountant.Guarantee `json:"guarantee_one_round"`
	Rounds      int64                `json:"rounds_within_budget"`
	Warnings    []string             `json:"warnings"`
}

func (a *app) showPlan(p *pipeline.Plan, id schema.TaskID) error {
	r, err := newPlanResult(p, id)
	if err != nil {
		return err
	}
	a.out.Result(r)
	return nil
}

func newPlanResult(p *pipeline.Plan, id schema.TaskID) (*planResult, error) {
	g, err := pipeline.EventGuarantee(p.Event(), p.Task.Scope)
	if err != nil {
		return nil, err
	}
	rounds, err := p.Privacy.Rounds(nil, float64(p.Task.Scope.Epsilon), float64(p.Task.Scope.Delta))
	if err != nil {
		return nil, err
	}
	warnings := planWarnings(p)
	if rounds == 0 {
		warnings = append(warnings, fmt.Sprintf("one round costs epsilon %.4g, more than the whole budget of %.4g: nothing can ever be opened; raise noise_multiplier", g.Epsilon, float64(p.Task.Scope.Epsilon)))
	}
	size := p.Secagg.ReportBytes()
	return &planResult{
		TaskID: id, Task: p.Task, Blocks: p.Secagg.Blocks(), Bits: p.Secagg.Bits(), ReportBytes: size,
		BitsValue: 8 * float64(size) / float64(bitsOver(p)), Capacity: p.Privacy.RequiredHalfModulus(p.Secagg.N()), ErrorFactor: errorFactor(p),
		Round: g, Rounds: rounds, Warnings: warnings,
	}, nil
}

// bitsOver is what bits a value are counted over: the model's values if they are compressed, else what a report holds.
func bitsOver(p *pipeline.Plan) int {
	if p.Privacy.Compression() != nil {
		return p.Privacy.Values()
	}
	return p.Secagg.Values()
}

func errorFactor(p *pipeline.Plan) float64 {
	if c := p.Privacy.Compression(); c != nil {
		return c.ErrorFactor()
	}
	return 0
}

// planWarnings says what a task's author should know before signing it.
func planWarnings(p *pipeline.Plan) []string {
	w := []string{}
	if t := p.Task; t.Owner == t.Collector || t.Owner == t.Authority || t.Collector == t.Authority {
		w = append(w, "owner, collector and authority are not three different keys: whoever holds two roles can do more than either")
	}
	if !p.Secagg.Suite().PostQuantum() {
		w = append(w, "suite 2 is not post-quantum: whoever records reports today may open them with a future quantum computer")
	}
	if c := p.Task.Committee; c.Size-c.Malicious < c.Threshold {
		w = append(w, fmt.Sprintf("committee (%d,%d,%d) stops when more than %d member is silent", c.Size, c.Threshold, c.Malicious, c.Size-c.Threshold))
	}
	if p.Task.Batch.Max > 4*p.Task.Batch.Min {
		w = append(w, "max_batch_size is far above min_batch_size: noise is sized for the smallest batch, so large ones carry more than they need")
	}
	return w
}

// Text implements ui.Result.
func (r *planResult) Text() string {
	t, b := r.Task, &strings.Builder{}
	line := func(name, format string, args ...any) {
		fmt.Fprintf(b, "%-18s "+format+"\n", append([]any{name}, args...)...)
	}
	line("task", "%s", r.TaskID)
	line("name", "%s", t.Name)
	line("values", "%d in %s", t.Derived.Values, many(len(t.Tensors), "tensor"))
	line("batch", "%d to %d reports, at most %d dishonest, %s", t.Batch.Min, t.Batch.Max, t.Batch.MaxDishonest, many(t.Batch.Lanes, "lane"))
	line("committee", "any %d of %d open, at most %d malicious", t.Committee.Threshold, t.Committee.Size, t.Committee.Malicious)
	line("trust model", "%s %s", t.Privacy.TrustModel, t.Privacy.Mechanism)
	line("clipping norm", "%g (L2), sensitivity D = %d on the integer grid", float64(t.Privacy.ClippingNorm), t.Derived.Sensitivity)
	if a := t.Privacy.Adaptive; a != nil {
		line("adaptive", "follows quantile %g of the updates' norms at rate %g, from %g to %g; the count of clipped updates has noise %g at most and is inside D",
			float64(a.TargetQuantile), float64(a.LearningRate), float64(a.MinNorm), float64(a.MaxNorm), float64(a.CountStdDev))
	}
	if s := t.Statistics; s != nil {
		line("asks", "%s of each vehicle: \"veilsum stats show\" tells which", many(len(s.Queries), "question"))
	}
	if c := t.Compression; c != nil {
		line("compression", "%s sends %d numbers of %d; it adds %.4g times the square of the mean's norm to the error", c.Kind, c.Keep, t.Derived.Values, r.ErrorFactor)
	}
	if n := t.MaxExamples; n > 0 {
		line("weights", "each update is scaled by its number of examples over %d, at most 1, before it is clipped", n)
	}
	line("noise", "noise multiplier %g; each vehicle adds standard deviation %.4g, counted for %d honest ones", float64(t.Privacy.NoiseMultiplier), float64(t.Derived.LocalStdDev), t.Derived.HonestMin)
	line("modulus", "Q = %d (%d bits), N = %d; half of it must hold %.4g", t.Ring.Q, r.Bits, t.Ring.N, r.Capacity)
	line("report", "%d bytes, %.2f bits a value (plain float32: 32)", r.ReportBytes, r.BitsValue)
	line("one round", "%s", r.Round)
	line("budget", "epsilon %g at delta %g in scope %q: %d rounds", float64(t.Scope.Epsilon), float64(t.Scope.Delta), t.Scope.Name, r.Rounds)
	for _, w := range r.Warnings {
		line("warning", "%s", w)
	}
	return b.String()
}
