package fleetsim

import (
	"math"
	"math/rand/v2"
)

// PlainRun is the same training without privacy: same vehicles, same dropouts for the
// seed, no clipping, no noise. It returns the accuracy after each round.
func PlainRun(fleet *Fleet, seed uint64) ([]float64, error) {
	if rate := fleet.config.PlainRate; rate != 0 {
		plain := *fleet
		plain.config.LocalRate = rate
		fleet = &plain
	}
	return run(fleet, seed, func(sum []float64, update []float32) { add(sum, update, 1) }, func([]float64, int) {})
}

// NoisyRun imitates the private training in floating point, for choosing parameters
// before anything is sealed: updates clipped to ClippingNorm, and the noise that n
// vehicles add when each one's share is sized for MinBatchSize-MaxDishonest of them.
// It protects nobody. It returns the accuracy after each round.
func NoisyRun(fleet *Fleet, seed uint64) ([]float64, error) {
	c := fleet.config
	random := rand.New(rand.NewPCG(seed, 1<<40))
	local := fleet.LocalStdDev()
	clipAdd := func(sum []float64, update []float32) {
		add(sum, update, min(1, c.ClippingNorm/max(norm(update), 1e-30)))
	}
	addNoise := func(sum []float64, reports int) {
		for i := range sum {
			sum[i] += random.NormFloat64() * local * math.Sqrt(float64(reports))
		}
	}
	return run(fleet, seed, clipAdd, addNoise)
}

// run trains for all rounds on the vehicles that the plan keeps.
func run(fleet *Fleet, seed uint64, collect func(sum []float64, update []float32),
	finish func(sum []float64, reports int),
) ([]float64, error) {
	trainer, accuracy := fleet.Trainer(), make([]float64, 0, fleet.config.Rounds)
	for round := range fleet.config.Rounds {
		sum, reports := make([]float64, fleet.Dimension()), 0
		for vehicle, fate := range fleet.Plan(seed, round) {
			if fate != Present {
				continue
			}
			update, err := trainer.Update(vehicle)
			if err != nil {
				return nil, err
			}
			collect(sum, update)
			reports++
		}
		finish(sum, reports)
		for i := range sum {
			sum[i] /= float64(reports)
		}
		if err := trainer.Apply(sum); err != nil {
			return nil, err
		}
		accuracy = append(accuracy, trainer.Accuracy())
	}
	return accuracy, nil
}

func add(sum []float64, update []float32, factor float64) {
	for i, value := range update {
		sum[i] += factor * float64(value)
	}
}

func norm(v []float32) float64 {
	total := 0.0
	for _, x := range v {
		total += float64(x) * float64(x)
	}
	return math.Sqrt(total)
}
