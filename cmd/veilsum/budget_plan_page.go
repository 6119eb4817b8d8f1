package main

import (
	"fmt"
	"math"
	"time"

	"github.com/veilsum/veilsum/cmd/internal/version"
	"github.com/veilsum/veilsum/cmd/veilsum/internal/report"
)

// page gathers what the page of a plan shows.
func (r *planAnswer) page() report.Plan {
	in := r.Inputs
	d := report.Plan{
		Title: "Privacy plan of " + in.Task, Created: time.Now().UTC().Format("2006-01-02 15:04 MST") + ", veilsum " + version.New("veilsum").Version,
		Epsilon: in.Epsilon, Delta: in.Delta, NoiseMultiplier: in.NoiseMultiplier, OneRound: orNaN(r.OneRound.RDP), Affordable: r.Rounds.RDP,
		Chosen: r.chosen, MinBatch: in.MinBatch, Warnings: r.Warnings,
		Inputs: []report.Parameter{
			{Name: "values", Value: fmt.Sprint(in.Values), Meaning: "d, in one update"},
			{Name: "clipping norm", Value: fmt.Sprint(in.ClippingNorm), Meaning: "L2 bound of one update, in its own units"},
			{Name: "noise multiplier", Value: fmt.Sprintf("%.6g", in.NoiseMultiplier), Meaning: "z, standard deviation of the summed honest noise over the sensitivity"},
			{Name: "batch", Value: fmt.Sprintf("%d to %d reports, at most %d of them dishonest", in.MinBatch, in.MaxBatch, in.MaxDishonest)},
			{Name: "mechanism", Value: in.Mechanism + ", " + in.TrustModel + " trust model"},
			{Name: "relation", Value: in.Relation, Meaning: "which two fleets cannot be told apart"},
			{Name: "sampling", Value: "none claimed", Meaning: "every vehicle is counted as if it took part in every round"},
		},
	}
	if in.Task == sketchName {
		d.Title = "Privacy plan"
	}
	if n := r.Needed; n != nil {
		d.Wanted, d.Needed = n.Rounds, n.RDP
	}
	if s := r.Scope; s != nil {
		d.Spent = fmt.Sprintf("Scope “%s” has spent %s in %s already; left: %s of the stored task. The figures here are of an unspent budget.", s.Name, s.Spent, many(s.Epochs, "epoch"), many(s.RoundsLeft, "more epoch"))
	}
	for _, c := range r.Curves {
		line := report.PlanCurve{NoiseMultiplier: c.NoiseMultiplier}
		for j, n := range c.Rounds {
			line.Rounds = append(line.Rounds, float64(n))
			line.RDP, line.Tight, line.Gaussian = append(line.RDP, orNaN(c.RDP[j])), append(line.Tight, orNaN(c.Tight[j])), append(line.Gaussian, orNaN(c.Gaussian[j]))
		}
		d.Curves = append(d.Curves, line)
	}
	for _, b := range r.Batches {
		d.Batches = append(d.Batches, report.PlanBatch{
			MinBatch: b.MinBatch, MaxBatch: b.MaxBatch, HonestMin: b.HonestMin, Noise: b.NoiseStdDev, SNR: b.SNR, Bits: b.Bits, BitsValue: b.BitsValue, Bytes: b.ReportBytes,
		})
	}
	return d
}

func orNaN(v *float64) float64 {
	if v == nil {
		return math.NaN()
	}
	return *v
}
