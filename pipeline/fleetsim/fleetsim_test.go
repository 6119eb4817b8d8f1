package fleetsim_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/veilsum/veilsum/pipeline/fleetsim"
)

// clusters is an easy data set: three classes around three corners, six owners with
// one recording a class, and a fifth of the rows held out.
func clusters(t testing.TB) *fleetsim.Dataset {
	t.Helper()
	random := rand.New(rand.NewPCG(7, 7))
	data := &fleetsim.Dataset{Width: 4, Classes: 3}
	for owner := range 6 {
		for class := range 3 {
			for i := range 30 {
				for j := range 4 {
					x := random.NormFloat64() * 0.3
					if j == class {
						x++
					}
					data.Features = append(data.Features, float32(x))
				}
				data.Labels = append(data.Labels, class)
				data.Owner = append(data.Owner, owner)
				data.Recording = append(data.Recording, owner*3+class)
				data.Test = append(data.Test, i%5 == 4)
			}
		}
	}
	return data
}

func config() fleetsim.Config {
	c := fleetsim.InertialConfig()
	c.Slices, c.Rounds, c.MaxDishonest = 10, 8, 2
	return c
}

func newFleet(t testing.TB, c fleetsim.Config) *fleetsim.Fleet {
	t.Helper()
	fleet, err := fleetsim.New(c, clusters(t))
	if err != nil {
		t.Fatal(err)
	}
	return fleet
}

func TestPartitionsUseEachTrainingRowOnce(t *testing.T) {
	want := map[fleetsim.Partition]int{fleetsim.ByOwner: 60, fleetsim.ByRecording: 180, fleetsim.ByShards: 10}
	for partition, vehicles := range want {
		t.Run(partition.String(), func(t *testing.T) {
			c := config()
			c.Partition = partition
			c.MaxDishonest = 0
			fleet := newFleet(t, c)
			if fleet.Vehicles() != vehicles {
				t.Errorf("%d vehicles, want %d", fleet.Vehicles(), vehicles)
			}
			rows := 0
			for v := range fleet.Vehicles() {
				if fleet.RowsOf(v) == 0 {
					t.Errorf("vehicle %d holds nothing", v)
				}
				rows += fleet.RowsOf(v)
			}
			if rows != 432 || fleet.TestRows() != 108 {
				t.Errorf("%d training and %d test rows, want 432 and 108", rows, fleet.TestRows())
			}
		})
	}
}

// Changing a row that a vehicle does not hold must not change what it sends: vehicles
// share nothing but the model.
func TestUpdateDependsOnOwnRowsOnly(t *testing.T) {
	before := newFleet(t, config())
	data := clusters(t)
	for i := range data.Labels {
		if data.Owner[i] != 0 {
			for j := range data.Width {
				data.Features[i*data.Width+j] += 5
			}
		}
	}
	after, err := fleetsim.New(config(), data)
	if err != nil {
		t.Fatal(err)
	}
	model := make([]float32, before.Dimension())
	for vehicle := range before.Vehicles() {
		a, errA := before.LocalUpdate(model, vehicle)
		b, errB := after.LocalUpdate(model, vehicle)
		if err := errors.Join(errA, errB); err != nil {
			t.Fatal(err)
		}
		if slices.Equal(a, b) != (vehicle < 10) {
			t.Errorf("vehicle %d: unchanged=%v, but only the first owner's ten kept their rows", vehicle, slices.Equal(a, b))
		}
	}
}

func TestPlanLosesTheShareItPromises(t *testing.T) {
	fleet := newFleet(t, config())
	seen := map[fleetsim.Fate]int{}
	for round := range 40 {
		plan := fleet.Plan(3, round)
		if !slices.Equal(plan, fleet.Plan(3, round)) {
			t.Fatalf("round %d: two plans for one seed", round)
		}
		lost, dark := 0, 0
		for vehicle, fate := range plan {
			seen[fate]++
			if fate != fleetsim.Present {
				lost++
				if fleet.Region(vehicle) == round%2 {
					dark++
				}
			}
		}
		if lost != 12 || dark != 8 {
			t.Errorf("round %d: lost %d (%d in the dark region), want 12 (8)", round, lost, dark)
		}
	}
	for fate := range fleetsim.Fate(fleetsim.Fates) {
		if seen[fate] == 0 {
			t.Errorf("no vehicle was ever %v", fate)
		}
	}
	if slices.Equal(fleet.Plan(3, 0), fleet.Plan(4, 0)) || slices.Equal(fleet.Plan(3, 0), fleet.Plan(3, 2)) {
		t.Error("plans do not depend on seed and round")
	}
}

func TestPlanWithOneRegionOrMany(t *testing.T) {
	for _, regions := range []int{1, 3, 7, 100} {
		c := config()
		c.Regions = regions
		fleet := newFleet(t, c)
		for round := range regions {
			lost := 0
			for vehicle, fate := range fleet.Plan(1, round) {
				if fate != fleetsim.Present {
					lost++
				}
				if r := fleet.Region(vehicle); r < 0 || r >= regions {
					t.Fatalf("region %d of %d", r, regions)
				}
			}
			if lost != 12 {
				t.Errorf("%d regions, round %d: lost %d, want 12", regions, round, lost)
			}
		}
	}
}

// The exact Gaussian trade-off (Balle and Wang 2018, Theorem 8) is the yardstick: the
// planned noise must meet it, and nine tenths of that noise must not.
func TestNoiseMultiplierAgainstExactGaussian(t *testing.T) {
	for _, rounds := range []int{1, 16, 20, 100} {
		for _, epsilon := range []float64{1, 7.5, 8} {
			c := config()
			c.Rounds, c.Epsilon = rounds, epsilon
			z := c.NoiseMultiplier()
			if d := exactDelta(z, rounds, epsilon); d > c.Delta {
				t.Errorf("T=%d eps=%g: z=%g leaves delta %g", rounds, epsilon, z, d)
			}
			if d := exactDelta(0.9*z, rounds, epsilon); d <= c.Delta {
				t.Errorf("T=%d eps=%g: a tenth less than z=%g would do", rounds, epsilon, z)
			}
		}
	}
}

func exactDelta(z float64, rounds int, epsilon float64) float64 {
	mu := math.Sqrt(float64(rounds)) / z
	phi := func(x float64) float64 { return math.Erfc(-x/math.Sqrt2) / 2 }
	return phi(mu/2-epsilon/mu) - math.Exp(epsilon)*phi(-mu/2-epsilon/mu)
}

func TestApplyIsMomentum(t *testing.T) {
	c := config()
	c.ServerRate, c.Momentum = 2, 0.5
	trainer := newFleet(t, c).Trainer()
	mean := make([]float64, 15)
	for range 2 {
		mean[3] = 1
		if err := trainer.Apply(mean); err != nil {
			t.Fatal(err)
		}
	}
	if got := trainer.Model(); got[3] != 5 || got[0] != 0 {
		t.Errorf("model %v after two means of 1: want 2*1 + 2*1.5 at index 3", got)
	}
	trainer.Model()[0] = 9
	if trainer.Model()[0] != 0 {
		t.Error("Model hands out its own memory")
	}
}

func TestRunsLearn(t *testing.T) {
	fleet := newFleet(t, config())
	plain, err := fleetsim.PlainRun(fleet, 1)
	if err != nil {
		t.Fatal(err)
	}
	if len(plain) != 8 || plain[7] < 0.95 {
		t.Errorf("plain accuracies %v, want 8 ending above 0.95", plain)
	}
	again, err := fleetsim.PlainRun(fleet, 1)
	if err != nil || !slices.Equal(plain, again) {
		t.Errorf("the same seed gave %v, then %v (%v)", plain, again, err)
	}
	c := config()
	c.Epsilon = 1e-4
	drowned, err := fleetsim.NoisyRun(newFleet(t, c), 1)
	if err != nil {
		t.Fatal(err)
	}
	if drowned[7] > 0.9 {
		t.Errorf("accuracy %g although the noise is ten thousand times the signal", drowned[7])
	}
	c.Epsilon, c.ClippingNorm = 1e12, 1e3
	quiet, err := fleetsim.NoisyRun(newFleet(t, c), 1)
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(quiet[7]-plain[7]) > 0.02 {
		t.Errorf("accuracy %g with hardly any noise or clipping, %g without", quiet[7], plain[7])
	}
}

func TestRefusals(t *testing.T) {
	broken := []func(*fleetsim.Config){
		func(c *fleetsim.Config) { c.Slices = 0 },
		func(c *fleetsim.Config) { c.Rounds = 0 },
		func(c *fleetsim.Config) { c.LocalSteps = 0 },
		func(c *fleetsim.Config) { c.LocalRate = math.NaN() },
		func(c *fleetsim.Config) { c.ServerRate = 0 },
		func(c *fleetsim.Config) { c.Momentum = 1 },
		func(c *fleetsim.Config) { c.ClippingNorm = math.Inf(1) },
		func(c *fleetsim.Config) { c.Epsilon = -1 },
		func(c *fleetsim.Config) { c.Delta = 1 },
		func(c *fleetsim.Config) { c.VanishShare = 1 },
		func(c *fleetsim.Config) { c.Regions = 0 },
		func(c *fleetsim.Config) { c.MinBatchShare = 0.81 },
		func(c *fleetsim.Config) { c.MaxDishonest = -1 },
		func(c *fleetsim.Config) { c.MaxDishonest = 41 },
		func(c *fleetsim.Config) { c.Partition = 9 },
	}
	for i, breakIt := range broken {
		c := config()
		breakIt(&c)
		if _, err := fleetsim.New(c, clusters(t)); !errors.Is(err, fleetsim.ErrConfig) {
			t.Errorf("config %d: %v, want ErrConfig", i, err)
		}
	}
	data := clusters(t)
	data.Labels[5] = 3
	if _, err := fleetsim.New(config(), data); !errors.Is(err, fleetsim.ErrData) {
		t.Errorf("class out of range: %v", err)
	}
	if _, err := fleetsim.New(config(), nil); !errors.Is(err, fleetsim.ErrData) {
		t.Errorf("no data: %v", err)
	}
	fleet := newFleet(t, config())
	model := make([]float32, fleet.Dimension())
	if _, err := fleet.LocalUpdate(model, fleet.Vehicles()); !errors.Is(err, fleetsim.ErrVehicle) {
		t.Errorf("vehicle out of range: %v", err)
	}
	if _, err := fleet.LocalUpdate(model[1:], 0); !errors.Is(err, fleetsim.ErrDimension) {
		t.Errorf("short model: %v", err)
	}
	if err := fleet.Trainer().Apply(nil); !errors.Is(err, fleetsim.ErrDimension) {
		t.Errorf("short mean: %v", err)
	}
}

func TestVehiclesReplacesSlices(t *testing.T) {
	for partition, want := range map[fleetsim.Partition]int{fleetsim.ByOwner: 50, fleetsim.ByRecording: 50, fleetsim.ByShards: 50} {
		c := config()
		c.Partition, c.Slices, c.Vehicles = partition, 0, want
		fleet := newFleet(t, c)
		rows := 0
		for v := range fleet.Vehicles() {
			rows += fleet.RowsOf(v)
		}
		if fleet.Vehicles() != want || rows != 432 {
			t.Errorf("%v: %d vehicles with %d rows, want %d with 432", partition, fleet.Vehicles(), rows, want)
		}
	}
	c := config()
	c.Vehicles = 5 // six owners
	if _, err := fleetsim.New(c, clusters(t)); !errors.Is(err, fleetsim.ErrConfig) {
		t.Errorf("fewer vehicles than owners: %v", err)
	}
}
