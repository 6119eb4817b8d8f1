package fleetsim

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/veilsum/veilsum/pipeline/robust"
)

// LaneConfig says how a fleet with malicious vehicles trains in several lanes.
type LaneConfig struct {
	Lanes  int // each vehicle falls into one of them anew in every round
	Honest int // MinBatchSize less MaxDishonest of one lane: its noise is sized for them
	Min    int // a lane with fewer reports is void
	// Malicious is the share of the vehicles, the same in all rounds, that send Factor times their clipped update: they do not
	// clip again, and nobody can make them. -1 turns the sign, -100 also the scale.
	Malicious float64
	Factor    float64
}

// LaneRound is what happened in one round of a [LaneRun].
type LaneRound struct {
	Accuracy float64
	Void     int // lanes with too few reports
	Rejected int // lanes that the rule left out
	// StdDev is the declared noise in each value of the weighted mean of the lanes that counted; 0 if none did, and the model stays.
	StdDev float64
}

// LaneRun is [NoisyRun] in lanes: the noise of each lane's mean is what its reports would carry, and rule merges the
// means. It imitates in floating point and protects nobody.
func LaneRun(fleet *Fleet, c LaneConfig, seed uint64, rule robust.Rule) ([]LaneRound, error) {
	if c.Lanes < 1 || c.Honest < 1 || !(c.Malicious >= 0 && c.Malicious < 1) {
		return nil, fmt.Errorf("%w: %d lanes for %d honest reports, malicious share %g", ErrConfig, c.Lanes, c.Honest, c.Malicious)
	}
	s := &laneRun{LaneConfig: c, fleet: fleet, trainer: fleet.Trainer(), random: rand.New(rand.NewPCG(seed, 1<<41))}
	s.liars = s.random.Perm(fleet.Vehicles())[:int(c.Malicious*float64(fleet.Vehicles()))]
	var out []LaneRound
	for round := range fleet.config.Rounds {
		r, err := s.round(fleet.Plan(seed, round), rule)
		if err != nil {
			return nil, fmt.Errorf("round %d: %w", round+1, err)
		}
		out = append(out, r)
	}
	return out, nil
}

type laneRun struct {
	LaneConfig
	fleet   *Fleet
	trainer *Trainer
	random  *rand.Rand
	liars   []int
}

func (s *laneRun) round(plan []Fate, rule robust.Rule) (LaneRound, error) {
	lanes, err := s.sum(plan)
	if err != nil {
		return LaneRound{}, err
	}
	opened := s.open(lanes)
	out := LaneRound{Void: len(lanes) - len(opened)}
	m, err := rule(opened)
	switch {
	case errors.Is(err, robust.ErrRule): // it rejects them all: the round brings nothing, as in a coordinator
		out.Rejected = len(opened)
	case err != nil:
		return out, err
	default:
		out.Rejected, out.StdDev = len(m.Rejected), robust.NoiseStdDev(opened, m.Used)
		if err := s.trainer.Apply(m.Mean); err != nil {
			return out, err
		}
	}
	out.Accuracy = s.trainer.Accuracy()
	return out, nil
}

// sum adds what each vehicle sends to the lane that it falls into.
func (s *laneRun) sum(plan []Fate) ([]robust.Lane, error) {
	lanes, liar := make([]robust.Lane, s.Lanes), make([]bool, len(plan))
	for i := range lanes {
		lanes[i].Mean = make([]float64, s.fleet.Dimension())
	}
	for _, v := range s.liars {
		liar[v] = true
	}
	for vehicle, fate := range plan {
		lane := &lanes[s.random.IntN(s.Lanes)]
		if fate != Present {
			continue
		}
		update, err := s.trainer.Update(vehicle)
		if err != nil {
			return nil, err
		}
		factor := min(1, s.fleet.config.ClippingNorm/max(norm(update), 1e-30))
		if liar[vehicle] {
			factor *= s.Factor
		}
		add(lane.Mean, update, factor)
		lane.Reports++
	}
	return lanes, nil
}

// open divides each sum with its noise by its reports, and leaves out lanes that are void.
func (s *laneRun) open(lanes []robust.Lane) []robust.Lane {
	c := s.fleet.config
	local := c.NoiseMultiplier() * c.ClippingNorm / math.Sqrt(float64(s.Honest))
	var opened []robust.Lane
	for _, l := range lanes {
		if l.Reports < s.Min || l.Reports == 0 {
			continue
		}
		n := float64(l.Reports)
		l.StdDev = local / math.Sqrt(n)
		for j := range l.Mean {
			l.Mean[j] = l.Mean[j]/n + l.StdDev*s.random.NormFloat64()
		}
		opened = append(opened, l)
	}
	return opened
}
