package main

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/veilsum/veilsum/cmd/internal/version"
	"github.com/veilsum/veilsum/cmd/veilsum/internal/report"
	"github.com/veilsum/veilsum/pipeline/auditor"
	"github.com/veilsum/veilsum/schema"
)

// auditPage gathers what the page of an audit shows.
func auditPage(rep *auditor.Report) ([]byte, error) {
	s := rep.Statement()
	d := report.Audit{
		Title: "Veilsum audit", Created: fmt.Sprintf("%s, veilsum %s, %s", time.Now().UTC().Format("2006-01-02 15:04 MST"), version.New("veilsum").Version, rep.Software.Go),
		Store: rep.Store, Owner: rep.Owner.String(), Complete: rep.Complete, Plain: s.Plain,
		Enforcement: s.Enforcement, OutsideBudget: s.OutsideBudget, Implementation: s.Implementation, NotProtected: s.NotProtected,
		Software: softwareRows(rep.Software),
	}
	d.Recomputed, d.Signed = rep.Recomputed()
	if f := rep.Flaw; f != nil {
		d.FlawObject, d.Flaw = f.Object, strings.TrimPrefix(f.Error(), "audit: "+f.Object+": ")
	}
	for _, kind := range slices.Sorted(maps.Keys(rep.Objects)) {
		d.Objects = append(d.Objects, report.AuditCount{Kind: kind, Count: rep.Objects[kind]})
	}
	for _, n := range rep.Notes {
		d.Notes = append(d.Notes, report.AuditNote{Object: n.Object, Text: n.Text})
	}
	for i, sc := range rep.Scopes {
		d.Scopes = append(d.Scopes, auditScope(sc, s.Scopes[i]))
	}
	for i, t := range rep.Tasks {
		d.Tasks = append(d.Tasks, auditTask(rep, t, s.Tasks[i]))
	}
	var page bytes.Buffer
	err := report.WriteAudit(&page, d)
	return page.Bytes(), err
}

func softwareRows(s auditor.Software) []report.Parameter {
	rows := []report.Parameter{{Name: s.Module, Value: s.Version, Meaning: strings.TrimSpace(s.Revision + " " + strings.Join(s.Flags, " "))}}
	for _, m := range s.Modules {
		rows = append(rows, report.Parameter{Name: m.Path, Value: m.Version, Meaning: m.Sum})
	}
	return rows
}

func auditScope(sc *auditor.Scope, s auditor.ScopeStatement) report.AuditScope {
	d := report.AuditScope{Name: s.Name, Population: s.Population, Spent: s.Spent, Allowed: s.Allowed, Delta: s.Delta}
	if s.Worst != nil {
		d.Worst = lowest(s.Worst.Epsilon)
	}
	for _, a := range sc.Spent {
		name := a.Accountant
		if a.Ideal {
			name += " (yardstick)"
		}
		d.Accountants = append(d.Accountants, name)
	}
	for _, c := range sc.Charges {
		line := report.AuditCharge{Label: fmt.Sprintf("%s, %d", c.Task.Short(), c.Epoch)}
		for _, a := range sc.Spent {
			line.Epsilon = append(line.Epsilon, epsilonOf(c.After, a.Accountant))
		}
		d.Charges = append(d.Charges, line)
	}
	for _, g := range sc.Vehicles {
		d.Vehicles = append(d.Vehicles, report.AuditGroup{Epochs: g.Epochs, Vehicles: g.Vehicles, Epsilon: lowest(g.Epsilon)})
	}
	d.Facts = scopeFacts(sc, s)
	return d
}

func scopeFacts(sc *auditor.Scope, s auditor.ScopeStatement) []report.Parameter {
	rows := []report.Parameter{
		{Name: "what is protected", Value: "one " + s.Unit + ", all its contributions together", Meaning: s.Meaning},
		{Name: "epsilon", Value: fmt.Sprintf("%s, of %g allowed, at delta %g", accountsText(s.Accountants), s.Allowed, s.Delta), Meaning: "rdp: Rényi divergence at the best order, by which the roles admit rounds; rdp_orders: at fixed orders; pld: privacy-loss distributions; pld_gaussian: of the continuous Gaussian of the same width, a yardstick that the others must not undercut."},
		{Name: "delta × enrolled", Value: fmt.Sprintf("%.3g", s.DeltaTimesEnrolled), Meaning: fmt.Sprintf("%d vehicles were enrolled at most; should be well below 1.", s.Enrolled)},
	}
	for _, why := range s.Silent {
		rows = append(rows, report.Parameter{Name: "accountant without bound", Value: why})
	}
	if s.Rho != nil {
		rows = append(rows, report.Parameter{Name: "rho, mu", Value: fmt.Sprintf("%.5g, %.5g", *s.Rho, *s.Mu), Meaning: "zCDP and Gaussian DP of the Gaussians alone; the distances of the discrete sums and of the sampler are in epsilon."})
	}
	if l := sc.Ledger; l != nil {
		rows = append(rows, report.Parameter{
			Name: "ledger", Value: fmt.Sprintf("%d entries, root %s; %s", l.Size, l.Root, continues(l)),
			Meaning: fmt.Sprintf("%d reservations, %d settled, %d voided. Keep the root for the next audit: only so a ledger that was replaced or rolled back shows.", l.Reservations, l.Settled, l.Voided),
		})
	}
	separation := "no vehicle took part twice in one task"
	if s.MinSeparation > 0 {
		separation = fmt.Sprintf("least distance between two: %d", s.MinSeparation)
	}
	return append(rows,
		report.Parameter{Name: "sampling claimed", Value: s.Sampling, Meaning: "Every vehicle is counted as if it had been in each epoch it was charged for; no amplification."},
		report.Parameter{Name: "participation found", Value: fmt.Sprintf("at most %d epochs a vehicle; %s", s.MaxParticipation, separation), Meaning: "No limit of a task is violated."},
		report.Parameter{Name: "scope", Value: sc.ID.String(), Meaning: fmt.Sprintf("%d reservations do not count, since the ledger voids them and nobody voted for them; %d are in no ledger and charge nothing.", len(sc.Uncharged), len(sc.Orphans))})
}

func auditTask(rep *auditor.Report, t *auditor.Task, s auditor.TaskStatement) report.AuditTask {
	d := report.AuditTask{Name: t.Name, ID: t.ID.String(), Trust: s.Trust, Facts: taskFacts(t, s)}
	after := map[uint64]float64{}
	for _, sc := range rep.Scopes {
		for _, c := range sc.Charges {
			if c.Task == t.ID {
				after[c.Epoch] = lowest(c.After)
			}
		}
	}
	for _, r := range t.Rounds {
		line := report.AuditRound{
			Name: r.Name, Status: r.Status, Reason: r.Reason, Sum: r.Depth, Reports: r.Reports, Votes: r.Votes, Answers: r.Answers, Dropped: r.Dropped,
			WitnessVariance: float64(r.WitnessVariance), WitnessFloor: float64(r.WitnessFloor), NoiseStdDev: r.NoiseStdDev, MeanRMS: r.MeanRMS, Epsilon: math.NaN(),
			Manifest: hashText(r.Manifest.Digest), Checkpoint: hashText(r.Checkpoint), SumSHA256: hashText(r.Sum), Aggregate256: hashText(r.Aggregate),
		}
		if eps, ok := after[r.Epoch]; ok {
			line.Epsilon = eps
		}
		d.Rounds = append(d.Rounds, line)
	}
	return d
}

func hashText(d schema.Digest) string {
	if d.IsZero() {
		return "–"
	}
	return d.String()
}

func taskFacts(t *auditor.Task, s auditor.TaskStatement) []report.Parameter {
	e := t.Event
	limit := "no limit"
	if t.Participation.Max > 0 {
		limit = fmt.Sprintf("at most %d epochs", t.Participation.Max)
	}
	return []report.Parameter{
		{Name: "mechanism", Value: fmt.Sprintf("%s, %s trust model", strings.ReplaceAll(e.Mechanism, "_", " "), e.TrustModel), Meaning: "distributed: the noise of the honest vehicles of a list adds up; local: each vehicle's own noise suffices."},
		{Name: "values", Value: fmt.Sprint(e.Values), Meaning: "In one report: d of the update, and with adaptive clipping one more."},
		clippingFact(s),
		{Name: "grid", Value: fmt.Sprintf("%.6g steps a unit", float64(t.Grid)), Meaning: "1/gamma."},
		{Name: "sensitivity", Value: fmt.Sprintf("%d steps", e.Sensitivity), Meaning: "D, L2 bound of one encoded update, checked in exact integers."},
		{Name: "noise of one vehicle", Value: fmt.Sprintf("%.6g steps", float64(e.LocalStdDev)), Meaning: "sigma_e, of each value; it is the encryption noise too."},
		{Name: "noise counted", Value: fmt.Sprintf("%d vehicles", e.HonestMin), Meaning: fmt.Sprintf("min_batch_size %d less max_dishonest %d; lists hold up to %d.", t.MinBatch, t.MaxDishonest, t.MaxBatch)},
		{Name: "noise multiplier", Value: fmt.Sprintf("%.6g", float64(e.NoiseMultiplier)), Meaning: "Standard deviation of the counted noise over the sensitivity."},
		{Name: "in the mean", Value: fmt.Sprintf("noise %.4g a value, signal %.3g times that", s.NoiseStdDev, s.SNR), Meaning: "Medians over the opened sums, in the update's units."},
		{Name: "encryption", Value: fmt.Sprintf("N %d, Q %d, suite %d", t.RingDegree, t.Modulus, t.Suite), Meaning: map[bool]string{true: "Seeds sealed with ML-KEM-768 and X25519.", false: "Seeds sealed with X25519: not post-quantum."}[t.PostQuantum]},
		{Name: "committee", Value: fmt.Sprintf("%d of %d open, at most %d malicious", t.Threshold, t.Members, t.Malicious)},
		{Name: "participation limits", Value: fmt.Sprintf("%s, at least %d apart", limit, t.Participation.MinSeparation), Meaning: "Of one vehicle; the first over all tasks of the scope."},
		{Name: "lanes", Value: fmt.Sprint(t.Lanes), Meaning: "Rounds of one epoch, over disjoint vehicles: they cost one event together."},
	}
}

// clippingFact says whether and how the norm moved.
func clippingFact(s auditor.TaskStatement) report.Parameter {
	a := s.Adaptive
	if a == nil {
		return report.Parameter{Name: "clipping norm", Value: fmt.Sprintf("%g, constant", s.ClippingNorm), Meaning: "L2 bound of one update."}
	}
	var history []string
	for _, n := range s.ClippingNorms {
		line := fmt.Sprintf("%s: %.4g", n.Round, n.ClippingNorm)
		if n.Unclipped != nil {
			line += fmt.Sprintf(" (%.0f %% within)", 100*float64(*n.Unclipped))
		}
		history = append(history, line)
	}
	if n := len(history); n > 12 { // the statement and the table have them all
		history = slices.Concat(history[:3], []string{"…"}, history[n-8:])
	}
	return report.Parameter{
		Name: "clipping norm", Value: "adaptive; " + strings.Join(history, ", "),
		Meaning: fmt.Sprintf("L2 bound of one update. It starts at %g and follows the noisy fraction of updates within it to %g (learning rate %g, between %g and %g). Its indicator of %d steps has a noise multiplier of %.4g, the update %.4g: together the task's, so %.3g %% of the charge's rho pays for it.",
			s.ClippingNorm, float64(a.TargetQuantile), float64(a.LearningRate), float64(a.MinNorm), float64(a.MaxNorm), a.Indicator, a.NoiseMultiplier, a.UpdateNoiseMultiplier, 100*a.ShareOfRho),
	}
}

// lowest is the smallest upper bound; NaN if there is none.
func lowest(all []auditor.Account) float64 {
	best := math.NaN()
	for _, a := range all {
		if !a.Ideal && !(best <= a.Epsilon) {
			best = a.Epsilon
		}
	}
	return best
}

func epsilonOf(all []auditor.Account, name string) float64 {
	for _, a := range all {
		if a.Accountant == name {
			return a.Epsilon
		}
	}
	return math.NaN()
}
