package main

import (
	"fmt"
	"strings"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/privacy/accountant"
	"github.com/veilsum/veilsum/schema"
)

// questionsResult is what a task of statistics asks, and what an answer costs and tells.
type questionsResult struct {
	TaskID      schema.TaskID        `json:"task_id"`
	Name        string               `json:"name"`
	Values      int                  `json:"values"`
	ReportBytes int64                `json:"bytes_per_report"`
	MinCount    int                  `json:"min_count"`
	Fields      []string             `json:"fields"`
	Reports     int                  `json:"reports"` // that the standard errors are for
	NoiseStdDev float64              `json:"noise_std_dev"`
	Round       accountant.Guarantee `json:"guarantee_one_round"`
	Rounds      int64                `json:"rounds_within_budget"`
	TrustModel  string               `json:"trust_model"`
	Queries     []questionResult     `json:"queries"`
	budget      schema.Scope
}

type questionResult struct {
	Name        string       `json:"name"`
	Kind        string       `json:"kind"`
	Values      int          `json:"values"`
	L2          float64      `json:"l2_bound"`
	Linf        float64      `json:"linf_bound"`
	Sensitivity string       `json:"sensitivity"`
	Measure     string       `json:"measure"`
	StdErr      float64      `json:"standard_error"`
	Query       schema.Query `json:"query"`
}

func newQuestions(p *pipeline.Plan, id schema.TaskID, reports int) (*questionsResult, error) {
	if p.Statistics == nil {
		return nil, pipeline.ErrNoStatistics
	}
	if reports == 0 {
		reports = p.Task.Batch.Min
	}
	if reports < 1 {
		return nil, usage("--reports %d: want a number of vehicles", reports)
	}
	g, err := pipeline.EventGuarantee(p.Event(), p.Task.Scope)
	if err != nil {
		return nil, err
	}
	rounds, err := p.Privacy.Rounds(nil, float64(p.Task.Scope.Epsilon), float64(p.Task.Scope.Delta))
	if err != nil {
		return nil, err
	}
	r := &questionsResult{
		TaskID: id, Name: p.Task.Name, Values: p.Statistics.Values(), ReportBytes: p.Secagg.ReportBytes(), MinCount: p.Task.Statistics.MinCount,
		Fields: p.Statistics.Fields(), Reports: reports, NoiseStdDev: p.Privacy.NoiseStdDev(reports), Round: g, Rounds: rounds,
		TrustModel: p.Task.Privacy.TrustModel, budget: p.Task.Scope,
	}
	bounds, expected, sizes := p.Statistics.Bounds(), p.Statistics.Expect(reports, r.NoiseStdDev), p.Statistics.Sizes()
	for i, q := range p.Task.Statistics.Queries {
		r.Queries = append(r.Queries, questionResult{
			Name: q.Name, Kind: q.Kind, Values: sizes[i], L2: bounds[i].L2, Linf: bounds[i].Linf, Sensitivity: bounds[i].Sentence,
			Measure: expected[i].Measure, StdErr: expected[i].StdErr, Query: q,
		})
	}
	return r, nil
}

// Text implements ui.Result.
func (r *questionsResult) Text() string {
	b := &strings.Builder{}
	fmt.Fprintf(b, "%s asks %s of the fields %s\n", r.Name, many(len(r.Queries), "question"), strings.Join(r.Fields, ", "))
	for _, q := range r.Queries {
		fmt.Fprintf(b, "  %s (%s, %s): standard error %s\n    %s; here %.4g of 1 (no value above %.4g)\n",
			q.Name, q.Kind, many(q.Values, "value"), q.error(r.Reports), q.Sensitivity, q.L2, q.Linf)
	}
	fmt.Fprintf(b, "one round, %s trust model: %s; budget epsilon %g at delta %g: %s\n", r.TrustModel, r.Round, float64(r.budget.Epsilon), float64(r.budget.Delta), many(int(r.Rounds), "round"))
	fmt.Fprintf(b, "a report has %d values in %d bytes\n", r.Values, r.ReportBytes)
	if r.MinCount > 0 {
		fmt.Fprintf(b, "cells that do not surely have %d vehicles are suppressed\n", r.MinCount)
	}
	return b.String()
}

func (q questionResult) error(reports int) string {
	switch q.Measure {
	case "rank":
		return fmt.Sprintf("%.3g %% of the vehicles in rank, of %d", 100*q.StdErr, reports)
	case "count":
		return fmt.Sprintf("%.4g of %s", q.StdErr, many(reports, "vehicle"))
	}
	return fmt.Sprintf("%.4g in the %s, at %s", q.StdErr, q.Measure, many(reports, "vehicle"))
}
