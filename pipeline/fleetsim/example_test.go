package fleetsim_test

import (
	"fmt"

	"github.com/veilsum/veilsum/pipeline/fleetsim"
)

// Six vehicles learn the sign of a number in one round; the caller would clip, seal
// and open where this example adds.
func Example() {
	data := &fleetsim.Dataset{Width: 1, Classes: 2}
	for i := range 16 {
		x := float32(i%2*2 - 1)
		data.Features = append(data.Features, x)
		data.Labels = append(data.Labels, i%2)
		data.Owner = append(data.Owner, i/4)
		data.Recording = append(data.Recording, i/4)
		data.Test = append(data.Test, i >= 12)
	}
	config := fleetsim.InertialConfig()
	config.Slices, config.Rounds, config.MaxDishonest = 2, 1, 2
	fleet, err := fleetsim.New(config, data)
	if err != nil {
		fmt.Println(err)
		return
	}
	trainer := fleet.Trainer()
	mean, reports := make([]float64, fleet.Dimension()), 0
	for vehicle, fate := range fleet.Plan(1, 0) {
		if fate != fleetsim.Present {
			continue
		}
		update, err := trainer.Update(vehicle)
		if err != nil {
			fmt.Println(err)
			return
		}
		for i, value := range update {
			mean[i] += float64(value)
		}
		reports++
	}
	for i := range mean {
		mean[i] /= float64(reports)
	}
	if err := trainer.Apply(mean); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%d vehicles, %d reports, accuracy %.2f\n", fleet.Vehicles(), reports, trainer.Accuracy())
	// Output: 6 vehicles, 5 reports, accuracy 1.00
}
