package fleetsim

import "math"

// softmax is multinomial logistic regression; weights holds for each class width
// weights and then its bias.
type softmax struct {
	width, classes int
	weights        []float32
}

// step makes one full-batch gradient step on the mean cross-entropy of the rows.
func (m *softmax) step(data *Dataset, rows []int, rate float32) {
	gradient := make([]float32, len(m.weights))
	scores := make([]float64, m.classes)
	for _, r := range rows {
		x := data.row(r)
		m.probabilities(scores, x)
		scores[data.Labels[r]]--
		for class, residual := range scores {
			g := gradient[class*(m.width+1):][:m.width+1]
			for j, value := range x {
				g[j] += float32(residual) * value
			}
			g[m.width] += float32(residual)
		}
	}
	rate /= float32(len(rows))
	for i, g := range gradient {
		m.weights[i] -= rate * g
	}
}

// scores writes the class scores of one row into out.
func (m *softmax) scores(out []float64, x []float32) {
	for class := range out {
		w := m.weights[class*(m.width+1):][:m.width+1]
		sum := w[m.width]
		for j, value := range x {
			sum += w[j] * value
		}
		out[class] = float64(sum)
	}
}

// probabilities writes the softmax of the scores.
func (m *softmax) probabilities(out []float64, x []float32) {
	m.scores(out, x)
	normalize(out)
}

// normalize turns scores into their softmax; the largest score is subtracted
// first, so the exponentials cannot overflow.
func normalize(out []float64) {
	top, total := math.Inf(-1), 0.0
	for _, score := range out {
		top = max(top, score)
	}
	for class, score := range out {
		out[class] = math.Exp(score - top)
		total += out[class]
	}
	for class := range out {
		out[class] /= total
	}
}

// largest returns the index of the largest score, the first of equal ones.
func largest(scores []float64) int {
	best := 0
	for class := range scores {
		if scores[class] > scores[best] {
			best = class
		}
	}
	return best
}
