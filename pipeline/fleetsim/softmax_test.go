package fleetsim

import (
	"math"
	"testing"
)

// One step must be the negative gradient of the mean cross-entropy, checked against
// central differences.
func TestStepFollowsTheGradient(t *testing.T) {
	data := &Dataset{
		Features: []float32{1, -2, 0.5, 0.25, 3, -1}, Width: 2,
		Labels: []int{0, 2, 1}, Classes: 3,
	}
	rows := []int{0, 1, 2}
	m := softmax{width: 2, classes: 3, weights: []float32{.1, -.2, .3, .4, .5, -.6, 0, .2, -.1}}
	moved := softmax{width: 2, classes: 3, weights: append([]float32(nil), m.weights...)}
	moved.step(data, rows, 1)
	const h = 1.0 / 256
	for i := range m.weights {
		at := m.weights[i]
		m.weights[i] = at + h
		up := loss(&m, data, rows)
		m.weights[i] = at - h
		down := loss(&m, data, rows)
		m.weights[i] = at
		want := -(up - down) / (2 * h)
		if got := float64(moved.weights[i] - at); math.Abs(got-want) > 1e-4 {
			t.Errorf("weight %d moved by %g, want %g", i, got, want)
		}
	}
}

func loss(m *softmax, data *Dataset, rows []int) float64 {
	p, total := make([]float64, m.classes), 0.0
	for _, r := range rows {
		m.probabilities(p, data.row(r))
		total -= math.Log(p[data.Labels[r]])
	}
	return total / float64(len(rows))
}

func TestProbabilitiesDoNotOverflow(t *testing.T) {
	m := softmax{width: 1, classes: 2, weights: []float32{3e4, 0, -3e4, 0}}
	p := make([]float64, 2)
	m.probabilities(p, []float32{1})
	if p[0] != 1 || p[1] != 0 {
		t.Errorf("probabilities %v, want 1 and 0", p)
	}
}
