package compress

import "math"

// sketchWords are drawn at a time, two places each.
const sketchWords = 512

// each calls f with the place and sign bit of every value in one row. 31 bits choose the place:
// one of w places is more likely than another by at most w/2^31 of itself.
func (m *Map) each(row int, f func(i, place int, minus uint32)) {
	s, width := m.key.Stream(uint64(row)), uint64(m.width())
	var words [sketchWords]uint64
	for i := 0; i < m.spec.Values; {
		s.Words(words[:min(sketchWords, (m.spec.Values-i+1)/2)])
		for _, w := range words {
			for range 2 {
				if i == m.spec.Values {
					return
				}
				h := uint32(w)
				f(i, int(uint64(h>>1)*width>>31), h&1)
				w >>= 32
				i++
			}
		}
	}
}

// width is the places of one row.
func (m *Map) width() int { return m.spec.Keep / m.spec.rows() }

// sketch adds in float64, so that the order of the values does not matter much.
func (m *Map) sketch(x []float32) []float32 {
	out, sums := make([]float32, 0, m.sent), make([]float64, m.width())
	scale := 1 / math.Sqrt(float64(m.spec.rows()))
	for row := range m.spec.rows() {
		clear(sums)
		m.each(row, func(i, place int, minus uint32) {
			v := float64(x[i])
			sums[place] += [2]float64{v, -v}[minus]
		})
		for _, v := range sums {
			out = append(out, float32(v*scale))
		}
	}
	return out
}

// unsketch is the transpose of sketch: the mean of the rows.
func (m *Map) unsketch(x, y []float64) {
	scale := 1 / math.Sqrt(float64(m.spec.rows()))
	for row := range m.spec.rows() {
		at := y[row*m.width():][:m.width()]
		m.each(row, func(i, place int, minus uint32) {
			v := float64(at[place] * scale) // the conversion forbids fusing
			x[i] += [2]float64{v, -v}[minus]
		})
	}
}
