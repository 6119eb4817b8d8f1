package fleetsim_test

import (
	"math"
	"testing"

	"github.com/veilsum/veilsum/pipeline/fleetsim"
)

// TestPredict: what the model says of the test rows is what its accuracy counts, with a hidden layer and without.
func TestPredict(t *testing.T) {
	for name, c := range map[string]fleetsim.Config{"softmax": config(), "network": hiddenConfig()} {
		fleet := newFleet(t, c)
		trainer := fleet.Trainer()
		for vehicle := range 4 {
			update, err := trainer.Update(vehicle)
			if err != nil {
				t.Fatal(err)
			}
			mean := make([]float64, len(update))
			for i, v := range update {
				mean[i] = float64(v)
			}
			if err := trainer.Apply(mean); err != nil {
				t.Fatal(err)
			}
		}
		p, right := trainer.Predict(), 0
		for i, row := range p.Probabilities {
			sum, best := 0.0, 0
			for class, x := range row {
				if sum += x; x > row[best] {
					best = class
				}
			}
			if math.Abs(sum-1) > 1e-9 {
				t.Fatalf("%s: probabilities of row %d add up to %g", name, i, sum)
			}
			if best == p.Labels[i] {
				right++
			}
		}
		if got, want := float64(right)/float64(len(p.Labels)), trainer.Accuracy(); got != want {
			t.Errorf("%s: %g of the predictions are right, the accuracy is %g", name, got, want)
		}
	}
}
