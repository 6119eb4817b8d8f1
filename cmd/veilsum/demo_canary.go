package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/canaryround"
	"github.com/veilsum/veilsum/pipeline/client"
	"github.com/veilsum/veilsum/privacy/canary"
)

// demoConfidence is that of each bound.
const demoConfidence = 0.95

// demoCanaries are vehicles beyond the fleet's that learn nothing: a coin decided whether
// each adds its update of length C in every round, or zero in every round. They are
// enrolled, counted and charged like all others, and never vanish.
type demoCanaries struct {
	included []bool
	scores   []float64 // summed over the opened rounds
}

// plant draws the coins and records them before the first round.
func (d *demoRun) plant() error {
	n := d.flags.canaries
	if n == 0 {
		return nil
	}
	coins, err := canary.Coins(n)
	if err != nil {
		return err
	}
	d.canaries = demoCanaries{included: coins, scores: make([]float64, n)}
	return canaryround.Record(filepath.Join(d.world.state, "auditor"), d.world.task, coins)
}

// canaryVehicle is canary i's part in a round. What it does next to any other vehicle
// differs by its update alone.
func (d *demoRun) canaryVehicle(ctx context.Context, name pipeline.RoundName, i int, r *demoRound) error {
	c, stop, err := d.world.client(d.fleet.Vehicles() + i)
	if err != nil {
		return err
	}
	defer stop()
	round, err := pipeline.LoadDescriptor(ctx, d.store, d.world.plan, name)
	if err != nil {
		return err
	}
	update, err := d.fleet.Canary(i, r.number-1)
	if err != nil {
		return err
	}
	if !d.canaries.included[i] {
		clear(update)
	}
	sealed, err := c.SealRound(round, client.Update{Values: update, ModelHash: round.Descriptor.ModelHash})
	if err != nil {
		return err
	}
	r.reports[d.fleet.Vehicles()+i] = sealed
	_, err = c.Upload(ctx, d.store, sealed.File(), nil)
	return err
}

// score looks for every canary in the mean that was published, as anybody could who
// knows the canaries' updates and not the coins.
func (d *demoRun) score(mean []float64, r *demoRound) error {
	sum := make([]float64, len(mean))
	for i, v := range mean {
		sum[i] = v * float64(r.receipt.Reports)
	}
	for i := range d.canaries.scores {
		s, err := d.fleet.CanaryScore(sum, i, r.number-1)
		if err != nil {
			return err
		}
		d.canaries.scores[i] += s
	}
	return nil
}

// vehiclesOnly is the mean over the reports that are no canaries': the canaries
// add nothing that the model could learn, but they were counted.
func (d *demoRun) vehiclesOnly(mean []float64, r *demoRound) []float64 {
	factor := float64(r.receipt.Reports) / float64(r.receipt.Reports-d.flags.canaries)
	out := make([]float64, len(mean))
	for i, v := range mean {
		out[i] = v * factor
	}
	return out
}

// canaryText says what the canaries showed.
func canaryText(v *canary.Verdict) string {
	return fmt.Sprintf("canaries   %d more vehicles, %s\n", v.Canaries, canaryFound(v))
}

func canaryFound(v *canary.Verdict) string {
	return fmt.Sprintf("%d of %d guesses right: epsilon at least %.3f; ASSUMING a Gaussian trade-off at least %.3f (%g %% confidence each)",
		v.Correct, v.Guesses, v.OneRun, v.Tradeoff, 100*v.Confidence)
}

// canaryMeaning is the same for the page.
func canaryMeaning(v *canary.Verdict) string {
	return "More vehicles that learn nothing: by a coin each, their update was as long as the clipping norm in every round, or zero. Who was which was guessed from the opened means, " +
		canaryFound(v) + "."
}

// judge guesses at a third of the canaries, against the epsilon that the ledger counts.
func (d *demoRun) judge(epsilon, delta float64) (*canary.Verdict, error) {
	n := len(d.canaries.included)
	if n == 0 {
		return nil, nil
	}
	t, err := canary.Guess(d.canaries.included, d.canaries.scores, max(2, n/6*2))
	if err != nil {
		return nil, err
	}
	v, err := canary.Judge(t, canary.Claim{Epsilon: epsilon, Delta: delta}, demoConfidence)
	return &v, err
}

// checkCanaries refuses more canaries than the model has room for.
func (d *demoRun) checkCanaries() error {
	switch n := d.flags.canaries; {
	case n == 0:
		return nil
	case n < 12 || n > d.fleet.Canaries():
		return usage("--canaries %d: want 12 to %d, or 0", n, d.fleet.Canaries())
	case d.flags.compress != "": // no canary would have a direction of its own
		return usage("--canaries and --compress exclude each other")
	case d.flags.adaptive: // their norms would be counted among those of the fleet
		return usage("--canaries and --adaptive exclude each other")
	}
	return nil
}
