package fleetsim

import (
	"math"
	"math/rand/v2"
)

// mlp is a network of one hidden layer of rectified linear units. Its weights lie in the
// order of shapes: hidden kernel, hidden bias, output kernel, output bias; a kernel
// holds a row for each input, so that an input of zero (most pixels are) costs nothing.
type mlp struct{ width, hidden, classes int }

func (m mlp) shapes() [][]int {
	return [][]int{{m.width, m.hidden}, {m.hidden}, {m.hidden, m.classes}, {m.classes}}
}

func (m mlp) dimension() int {
	return m.width*m.hidden + m.hidden + m.hidden*m.classes + m.classes
}

// parts are the four tensors as parts of one vector.
func (m mlp) parts(v []float32) (w1, b1, w2, b2 []float32) {
	w1, v = v[:m.width*m.hidden], v[m.width*m.hidden:]
	b1, v = v[:m.hidden], v[m.hidden:]
	w2, b2 = v[:m.hidden*m.classes], v[m.hidden*m.classes:]
	return w1, b1, w2, b2
}

// start is the first model: kernels of variance 2/inputs (He et al. 2015), biases of
// zero. It is public and the same in every run.
func (m mlp) start() []float32 {
	v := make([]float32, m.dimension())
	w1, _, w2, _ := m.parts(v)
	random := rand.New(rand.NewPCG(2, 0))
	for i := range w1 {
		w1[i] = float32(random.NormFloat64() * math.Sqrt(2/float64(m.width)))
	}
	for i := range w2 {
		w2[i] = float32(random.NormFloat64() * math.Sqrt(2/float64(m.hidden)))
	}
	return v
}

// mlpScratch is the activations and errors of one row.
type mlpScratch struct {
	hidden, back []float32
	scores       []float64
}

func (m mlp) scratch() *mlpScratch {
	return &mlpScratch{make([]float32, m.hidden), make([]float32, m.hidden), make([]float64, m.classes)}
}

// forward leaves the rectified hidden values and the class scores of x in s.
func (m mlp) forward(weights, x []float32, s *mlpScratch) {
	w1, b1, w2, b2 := m.parts(weights)
	copy(s.hidden, b1)
	for i, value := range x {
		if value != 0 {
			addScaled(s.hidden, w1[i*m.hidden:][:m.hidden], value)
		}
	}
	for c := range s.scores {
		s.scores[c] = float64(b2[c])
	}
	for j, value := range s.hidden {
		if value <= 0 {
			s.hidden[j] = 0
			continue
		}
		for c, w := range w2[j*m.classes:][:m.classes] {
			s.scores[c] += float64(value) * float64(w)
		}
	}
}

// addGradient adds the gradient of the cross-entropy of one row to g.
func (m mlp) addGradient(g, weights, x []float32, label int, s *mlpScratch) {
	m.forward(weights, x, s)
	normalize(s.scores)
	s.scores[label]--
	_, _, w2, _ := m.parts(weights)
	g1, gb1, g2, gb2 := m.parts(g)
	for c, residual := range s.scores {
		gb2[c] += float32(residual)
	}
	for j, value := range s.hidden {
		s.back[j] = 0
		if value == 0 {
			continue
		}
		back, row, to := 0.0, w2[j*m.classes:][:m.classes], g2[j*m.classes:][:m.classes]
		for c, residual := range s.scores {
			back += residual * float64(row[c])
			to[c] += value * float32(residual)
		}
		s.back[j] = float32(back)
	}
	addScaled(gb1, s.back, 1)
	for i, value := range x {
		if value != 0 {
			addScaled(g1[i*m.hidden:][:m.hidden], s.back, value)
		}
	}
}

// addScaled adds factor*x to y, of the same length.
func addScaled(y, x []float32, factor float32) {
	x = x[:len(y)]
	for len(y) >= 4 {
		y[0] += factor * x[0]
		y[1] += factor * x[1]
		y[2] += factor * x[2]
		y[3] += factor * x[3]
		y, x = y[4:], x[4:]
	}
	for i, v := range x {
		y[i] += factor * v
	}
}

// update is what full-batch gradient steps on the mean cross-entropy of the rows add to global.
func (m mlp) update(global []float32, data *Dataset, rows []int, steps int, rate float64) []float32 {
	delta, s := make([]float32, len(global)), m.scratch()
	at, g := global, delta
	for step := range steps {
		if step > 0 {
			at, g = append([]float32(nil), global...), make([]float32, len(global))
			addScaled(at, delta, 1)
		}
		for _, r := range rows {
			m.addGradient(g, at, data.row(r), data.Labels[r], s)
		}
		scale := -float32(rate / float64(len(rows)))
		if step > 0 {
			addScaled(delta, g, scale)
			continue
		}
		for i := range delta {
			delta[i] *= scale
		}
	}
	return delta
}
