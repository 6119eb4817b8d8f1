package fleetsim

import (
	"math"
	"math/rand/v2"
	"testing"
)

// A step of the network is the negative gradient of the mean cross-entropy, checked
// against central differences in every weight; several steps compose.
func TestNetworkFollowsTheGradient(t *testing.T) {
	data := &Dataset{
		Features: []float32{1, -2, 0.5, 0, 3, -1, 0.25, 0, 2}, Width: 3,
		Labels: []int{0, 2, 1}, Classes: 3,
	}
	rows, m := []int{0, 1, 2}, mlp{width: 3, hidden: 5, classes: 3}
	weights, random := m.start(), rand.New(rand.NewPCG(5, 5))
	for i := range weights { // biases too
		weights[i] += float32(random.NormFloat64() / 4)
	}
	got := m.update(weights, data, rows, 1, 1)
	const h = 1.0 / 512
	for i, at := range weights {
		weights[i] = at + h
		up := m.loss(weights, data, rows)
		weights[i] = at - h
		down := m.loss(weights, data, rows)
		weights[i] = at
		if want := -(up - down) / (2 * h); math.Abs(float64(got[i])-want) > 2e-3 {
			t.Errorf("weight %d moved by %g, want %g", i, got[i], want)
		}
	}
	twice := m.update(weights, data, rows, 2, 0.5)
	first := m.update(weights, data, rows, 1, 0.5)
	for i := range weights {
		weights[i] += first[i]
	}
	second := m.update(weights, data, rows, 1, 0.5)
	for i := range weights {
		if math.Abs(float64(twice[i]-first[i]-second[i])) > 1e-5 {
			t.Fatalf("two steps move weight %d by %g, one after the other by %g", i, twice[i], first[i]+second[i])
		}
	}
}

func (m mlp) loss(weights []float32, data *Dataset, rows []int) float64 {
	s, total := m.scratch(), 0.0
	for _, r := range rows {
		m.forward(weights, data.row(r), s)
		normalize(s.scores)
		total -= math.Log(s.scores[data.Labels[r]])
	}
	return total / float64(len(rows))
}
