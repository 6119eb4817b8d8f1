package fleetsim

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// Fate is what happens to one vehicle in one round.
type Fate int

const (
	// Present: the report arrives in time and enters the list.
	Present Fate = iota
	// GoneBeforeSealing: the vehicle makes no report.
	GoneBeforeSealing
	// GoneMidUpload: some pieces arrive, the header never does.
	GoneMidUpload
	// Late: the whole report arrives after the list was closed.
	Late
)

// Fates counts the constants above.
const Fates = int(Late) + 1

// String returns the fate's name.
func (f Fate) String() string {
	names := [Fates]string{"present", "gone before sealing", "gone in mid-upload", "late"}
	if f < 0 || int(f) >= Fates {
		return fmt.Sprintf("fate(%d)", int(f))
	}
	return names[f]
}

// Region returns the region of a vehicle, 0 to Regions-1.
func (f *Fleet) Region(vehicle int) int { return vehicle % f.config.Regions }

// Plan returns the fate of each vehicle in a round: always the same for the same
// fleet, seed and round, in whatever order rounds are asked for. Exactly
// round(VanishShare*Vehicles) vehicles are lost; the regions take turns in carrying
// two thirds of the loss, as when a satellite window closes early over one of them.
func (f *Fleet) Plan(seed uint64, round int) []Fate {
	random := rand.New(rand.NewPCG(seed, uint64(round)))
	fates := make([]Fate, f.Vehicles())
	var dark, light []int
	for _, vehicle := range random.Perm(len(fates)) {
		if f.Region(vehicle) == round%f.config.Regions {
			dark = append(dark, vehicle)
		} else {
			light = append(light, vehicle)
		}
	}
	lost := f.lost()
	fromDark := min(len(dark), (2*lost+2)/3)
	fromDark = max(fromDark, lost-len(light))
	for _, vehicle := range append(dark[:fromDark], light[:lost-fromDark]...) {
		fates[vehicle] = howLost(random)
	}
	return fates
}

func (f *Fleet) lost() int {
	return int(math.Round(f.config.VanishShare * float64(f.Vehicles())))
}

// howLost draws how a lost vehicle is lost: two fifths never seal, two fifths break
// off, one fifth comes late.
func howLost(random *rand.Rand) Fate {
	switch random.IntN(5) {
	case 0, 1:
		return GoneBeforeSealing
	case 2, 3:
		return GoneMidUpload
	}
	return Late
}
