package main

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/veilsum/veilsum/cmd/internal/version"
	"github.com/veilsum/veilsum/cmd/veilsum/internal/report"
	"github.com/veilsum/veilsum/pipeline/fleetsim"
	"github.com/veilsum/veilsum/privacy/canary"
	"github.com/veilsum/veilsum/schema"
)

// demoRoundLine is the line of one round.
type demoRoundLine struct {
	Round    int     `json:"round"`
	Rounds   int     `json:"rounds"`
	Status   string  `json:"status"`
	Accuracy float64 `json:"accuracy"`
	Plain    float64 `json:"accuracy_plain"`
	Epsilon  float64 `json:"epsilon"`
	Budget   float64 `json:"epsilon_allowed"`
	Delta    float64 `json:"delta"`
	Bytes    int64   `json:"bytes_per_report"`
	Reports  int     `json:"reports"`
	Vehicles int     `json:"vehicles"`
	Silent   *int    `json:"silent_decryptor,omitempty"`
	// Clipping and Unclipped only with --adaptive: the round's norm and the opened, noisy fraction of updates within it.
	Clipping  float64      `json:"clipping_norm,omitempty"`
	Unclipped *schema.Real `json:"unclipped,omitempty"`
}

// Text implements ui.Result.
func (l demoRoundLine) Text() string {
	s := fmt.Sprintf("round %2d/%d  accuracy %5.1f %%  epsilon %.3f of %g  %d bytes a vehicle  %d of %d reports",
		l.Round, l.Rounds, 100*l.Accuracy, l.Epsilon, l.Budget, l.Bytes, l.Reports, l.Vehicles)
	if l.Unclipped != nil {
		s += fmt.Sprintf("  norm %.3g, %.0f %% within", l.Clipping, 100*float64(*l.Unclipped))
	}
	if l.Silent != nil {
		s += fmt.Sprintf("  decryptor %d silent", *l.Silent)
	}
	if l.Status != schema.StatusCommitted {
		s += "  " + l.Status
	}
	return s
}

func (d *demoRun) roundLine(r *demoRound) demoRoundLine {
	c := d.fleet.Config()
	l := demoRoundLine{
		Round: r.number, Rounds: c.Rounds, Status: r.receipt.Status, Accuracy: r.accuracy, Plain: r.plain,
		Epsilon: r.epsilon, Budget: c.Epsilon, Delta: r.delta, Bytes: r.bytes, Reports: r.receipt.Reports, Vehicles: len(r.reports),
	}
	if l.Unclipped = r.receipt.Unclipped; l.Unclipped != nil {
		l.Clipping = r.clip
	}
	if r.silent >= 0 {
		l.Silent = &r.silent
	}
	return l
}

// demoResult is the last line of the demo.
type demoResult struct {
	Accuracy        float64          `json:"accuracy"`
	Plain           float64          `json:"accuracy_plain"`
	Epsilon         float64          `json:"epsilon"`
	Delta           float64          `json:"delta"`
	Bytes           int64            `json:"bytes_per_report"`
	Vehicles        int              `json:"vehicles"`
	Rounds          int              `json:"rounds"`
	Aggregate       string           `json:"aggregate"` // the last round's; empty if none was opened
	Report          string           `json:"report"`
	Budget          float64          `json:"epsilon_allowed"`
	NoiseMultiplier float64          `json:"noise_multiplier"`
	Float32         int64            `json:"float32_bytes"` // of the same update in the clear
	Seconds         float64          `json:"seconds"`
	Store           string           `json:"store"`
	Task            schema.TaskID    `json:"task"`
	Owner           schema.PublicKey `json:"owner"`
	Clipping        float64          `json:"clipping_norm,omitempty"`      // of the last round that was opened; only with --adaptive
	NextClipping    float64          `json:"next_clipping_norm,omitempty"` // what would follow
	Canaries        *canary.Verdict  `json:"canaries,omitempty"`
	Model           *demoModel       `json:"model"`
	clippingHistory string
	shorter         int // fewest values at which a report is shorter than float32
	values          int
}

// Text implements ui.Result.
func (r *demoResult) Text() string {
	b := &bytes.Buffer{}
	fmt.Fprintf(b, "accuracy   %.1f %% private, %.1f %% without privacy (%+.1f points), after %d rounds of %d vehicles\n",
		100*r.Accuracy, 100*r.Plain, 100*(r.Accuracy-r.Plain), r.Rounds, r.Vehicles)
	fmt.Fprintf(b, "privacy    epsilon %.3f of %g allowed, delta %g, for one vehicle over all rounds; no amplification by sampling\n", r.Epsilon, r.Budget, r.Delta)
	if r.clippingHistory != "" {
		fmt.Fprintf(b, "clipping   norm %s\n", r.clippingHistory)
	}
	if r.Canaries != nil {
		b.WriteString(canaryText(r.Canaries))
	}
	fmt.Fprintf(b, "bytes      %d sealed, %d as float32, for one vehicle and round\n", r.Bytes, r.Float32)
	fmt.Fprintf(b, "           %s\n", sizeSentence(r.values, r.Bytes, r.Float32, r.shorter))
	b.WriteString(r.Model.text())
	fmt.Fprintf(b, "report     %s\n", r.Report)
	fmt.Fprintf(b, "aggregate  %s\n", r.Aggregate)
	fmt.Fprintf(b, "store      %s (task %s)\n", r.Store, r.Task)
	fmt.Fprintf(b, "time       %.0f s\n", r.Seconds)
	return b.String()
}

// sizeSentence says honestly how a sealed report compares.
func sizeSentence(values int, sealed, plain int64, shorter int) string {
	switch {
	case sealed <= plain:
		return fmt.Sprintf("%d values: a sealed report is %.0f %% of float32.", values, 100*float64(sealed)/float64(plain))
	case shorter == 0:
		return fmt.Sprintf("%d values: a sealed report is %.1f times float32.", values, float64(sealed)/float64(plain))
	}
	return fmt.Sprintf("%d values are few: a sealed report is %.1f times float32; from about %d values on it is the shorter one.",
		values, float64(sealed)/float64(plain), (shorter+99)/100*100)
}

// finish writes the page and prints the result.
func (d *demoRun) finish(ctx context.Context) error {
	last := d.rounds[len(d.rounds)-1]
	r := &demoResult{
		Accuracy: last.accuracy, Plain: last.plain, Epsilon: last.epsilon, Delta: last.delta, Bytes: last.bytes,
		Vehicles: d.fleet.Vehicles(), Rounds: len(d.rounds), Aggregate: d.lastAggregate(),
		Report: filepath.Join(d.flags.out, "report.html"), Budget: d.fleet.Config().Epsilon,
		NoiseMultiplier: float64(d.world.plan.Task.Privacy.NoiseMultiplier), Float32: int64(4 * d.fleet.Dimension()),
		Store: d.storeURL, Task: d.world.task, Owner: d.world.owner,
		values: d.fleet.Dimension(),
	}
	if r.Bytes > r.Float32 && len(d.world.plan.Task.Tensors) == 1 {
		r.shorter = smallestShorter(d.world.plan.Task)
	}
	if err := d.clippingResult(r); err != nil {
		return err
	}
	var err error
	if r.Canaries, err = d.judge(r.Epsilon, r.Delta); err != nil {
		return err
	}
	if r.Model, err = d.runModel(ctx); err != nil {
		return err
	}
	r.Seconds = time.Since(d.started).Seconds()
	var page bytes.Buffer
	if err := report.Write(&page, d.page(r)); err != nil {
		return err
	}
	if err := writeFile(r.Report, page.Bytes(), 0o644, false); err != nil {
		return err
	}
	d.app.out.Result(r)
	if r.Canaries != nil {
		return r.Canaries.Err()
	}
	return nil
}

func (d *demoRun) lastAggregate() string {
	file := ""
	for _, r := range d.rounds {
		if r.file != "" {
			file = r.file
		}
	}
	return file
}

// page gathers what report.html shows.
func (d *demoRun) page(r *demoResult) report.Data {
	t := d.world.plan.Task
	data := report.Data{
		Title:   "Veilsum: " + d.data.title,
		Created: fmt.Sprintf("%s, veilsum %s, task %s", d.started.UTC().Format("2006-01-02 15:04 MST"), version.New("veilsum").Version, d.world.task),
		DataSet: d.data.sentence, Credit: d.data.credit, TestRows: d.fleet.TestRows(), Vehicles: r.Vehicles,
		Guarantee: report.Guarantee{
			Epsilon: r.Epsilon, Delta: r.Delta, Relation: "zero-out: one vehicle's update is replaced by zero in every round",
			Unit: "one vehicle, all rounds together", TrustModel: "distributed differential privacy: every vehicle adds its share of the noise before it seals",
			Accountant: "Rényi differential privacy of the summed discrete Gaussian, every vehicle counted in every round, no amplification by sampling",
		},
		Budget:       r.Budget,
		Committee:    report.Committee{Members: t.Committee.Size, Threshold: t.Committee.Threshold, MaxMalicious: t.Committee.Malicious},
		MinBatchSize: t.Batch.Min, MaxDishonest: t.Batch.MaxDishonest,
		Suite:       fmt.Sprintf("ring learning with errors (N %d, %d bits a value); seeds sealed with HPKE, ML-KEM-768 and X25519", d.world.plan.Secagg.N(), d.world.plan.Secagg.Bits()),
		PostQuantum: true,
		Bytes:       d.sizes(r), Seconds: r.Seconds, Parameters: d.parameters(), NotProtected: append([]string{fmt.Sprintf(d.data.unit, r.Vehicles)}, demoNotProtected...),
	}
	if r.Canaries != nil {
		data.Parameters = append(data.Parameters, report.Parameter{Name: "canaries", Value: fmt.Sprint(r.Canaries.Canaries), Meaning: canaryMeaning(r.Canaries)})
	}
	for region := range d.fleet.Config().Regions {
		data.Regions = append(data.Regions, string(rune('A'+region)))
	}
	for i := range d.rounds {
		data.Rounds = append(data.Rounds, d.reportRound(&d.rounds[i]))
	}
	return data
}

// demoNotProtected is what this demo, unlike a real fleet, leaves open.
var demoNotProtected = []string{
	"Anything against this computer: all roles ran on one machine, with all keys in one folder. In a fleet each role has a machine and an owner of its own.",
	"The data those choices were made on: here these public data sets, their test rows included. A fleet with private data would choose on public data or pay for it.",
	"More than one run: every run of the demo has a budget of its own, though the data is the same. A real fleet keeps one budget for one population.",
}

func (d *demoRun) sizes(r *demoResult) []report.Size {
	p := d.world.plan.Secagg
	return []report.Size{
		{Name: "sealed report", Bytes: r.Bytes},
		{Name: "of it values", Bytes: int64(p.Blocks()) * int64(p.BlockBytes()), Note: fmt.Sprintf("%d bits each, padded to %d", p.Bits(), p.Blocks()*p.N())},
		{Name: "of it keys, header", Bytes: int64(p.HeaderObjectBytes())},
		{Name: "float32 in the clear", Bytes: r.Float32},
	}
}

// modelMeaning says in words what is learned and sent.
func (d *demoRun) modelMeaning() string {
	text := "Softmax regression: one row of weights and a bias for each class."
	if h := d.fleet.Config().Hidden; h > 0 {
		text = fmt.Sprintf("A network with one hidden layer of %d rectified linear units.", h)
	}
	if c := d.world.plan.Task.Compression; c != nil {
		text += fmt.Sprintf(" A report holds %d numbers of a public linear map of it (%s).", c.Keep, c.Kind)
	}
	return text
}

func (d *demoRun) parameters() []report.Parameter {
	c, p := d.fleet.Config(), d.world.plan
	return []report.Parameter{
		{Name: "vehicle", Value: fmt.Sprint(d.fleet.Vehicles()), Meaning: "A vehicle is " + d.data.split + "."},
		{Name: "model", Value: fmt.Sprintf("%d values", d.fleet.Dimension()), Meaning: d.modelMeaning()},
		{Name: "rounds", Value: fmt.Sprint(c.Rounds), Meaning: "Every vehicle may take part in all."},
		{Name: "local_steps, local_rate", Value: fmt.Sprintf("%d, %g", c.LocalSteps, c.LocalRate), Meaning: "Full-batch gradient steps of a vehicle, and their size."},
		{Name: "server_rate, momentum", Value: fmt.Sprintf("%g, %g", c.ServerRate, c.Momentum), Meaning: "How the opened mean moves the model; costs no privacy."},
		d.clippingParameter(),
		{Name: "noise_multiplier", Value: fmt.Sprintf("%.6g", float64(p.Task.Privacy.NoiseMultiplier)), Meaning: "Standard deviation of the honest vehicles' summed noise over the sensitivity; the least that keeps all rounds within the budget."},
		{Name: "sensitivity", Value: fmt.Sprint(p.Privacy.Sensitivity()), Meaning: "L2 bound on one vehicle's integers, checked exactly before sealing."},
		{Name: "local_std_dev", Value: fmt.Sprintf("%.4f", p.Privacy.LocalStdDev()), Meaning: "Noise of one vehicle in integer steps; it is the encryption noise too."},
		{Name: "honest_min", Value: fmt.Sprint(p.Privacy.HonestMin()), Meaning: "Vehicles whose noise the guarantee counts: min_batch_size less max_dishonest."},
		{Name: "vanishing", Value: fmt.Sprintf("%g %%", 100*c.VanishShare), Meaning: "Share of the vehicles lost in each round."},
		{Name: "silent decryptor", Value: "every second round", Meaning: "Another one each time: it neither checks, votes nor answers, and the other three open the sum."},
		{Name: "seed", Value: fmt.Sprint(d.flags.seed), Meaning: "Chose who vanished when; keys and noise came from the system."},
	}
}

// clippingResult tells how the norm moved.
func (d *demoRun) clippingResult(r *demoResult) error {
	var norms []string
	for i := range d.rounds {
		last := &d.rounds[i]
		if last.receipt.Unclipped == nil {
			continue
		}
		at, err := d.world.plan.Privacy.WithRoundClippingNorm(last.clip)
		if err != nil {
			return err
		}
		r.Clipping = last.clip
		if r.NextClipping, err = at.NextClippingNorm(last.clip, float64(*last.receipt.Unclipped)); err != nil {
			return err
		}
		norms = append(norms, fmt.Sprintf("%.3g", last.clip))
	}
	if len(norms) > 0 {
		r.clippingHistory = strings.Join(norms, " ") + fmt.Sprintf(", then %.3g", r.NextClipping)
	}
	return nil
}

func (d *demoRun) clippingParameter() report.Parameter {
	p := report.Parameter{Name: "clipping_norm", Value: fmt.Sprintf("%g", d.fleet.Config().ClippingNorm), Meaning: "L2 bound on one vehicle's update."}
	if a := d.world.plan.Task.Privacy.Adaptive; a != nil {
		var r demoResult
		if d.clippingResult(&r) == nil {
			p.Value = r.clippingHistory
		}
		p.Meaning = fmt.Sprintf("L2 bound on one vehicle's update, by round. It follows the noisy fraction of updates within it to %g, each step by the rate %g; one value more in each report tells, inside the sensitivity.", float64(a.TargetQuantile), float64(a.LearningRate))
	}
	return p
}

func (d *demoRun) reportRound(r *demoRound) report.Round {
	out := report.Round{
		Number: r.number, Accuracy: r.accuracy, PlainAccuracy: r.plain, Epsilon: r.epsilon,
		Regions: make([]report.Tally, d.fleet.Config().Regions), NoiseStdDev: r.noise, AggregateRMS: r.rms,
		Seconds: r.seconds, Void: r.receipt.Reason, Receipt: r.receiptID.String(),
		Manifest: r.receipt.Manifest.String(), Aggregate: r.receipt.Aggregate.String(),
	}
	for i, fate := range r.fates {
		t := &out.Regions[d.fleet.Region(i)]
		switch {
		case r.reports[i] != nil && r.inList[r.reports[i].Report]:
			t.Accepted++
		case fate == fleetsim.GoneBeforeSealing:
			t.BeforeSealing++
		case fate == fleetsim.GoneMidUpload:
			t.MidUpload++
		case fate == fleetsim.Late:
			t.Late++
		default:
			t.Refused++
		}
	}
	return out
}
