package accountant

import "math"

// upper connects the dots (Doroshenko et al. 2022, Algorithm 1): the losses
// between two points of the grid go to the two points, keeping P-mass and
// Q-mass. The resulting hockey-stick curve is a chain of chords of the convex
// true one in exp(eps), hence above it.
func (c *cells) upper() mass {
	m := mass{first: c.first / 2, offset: c.offset, at: make([]float64, len(c.dots))}
	for i, p := range c.dots {
		m.at[i] = p * (1 + massSlack)
	}
	return m
}

// lower merges the losses nearest to each point of the grid into one outcome
// and brings its loss, which is off the point by a fraction of a step, onto
// the point by merging a share of the neighbor into it. Merging outcomes is
// processing the result; where a neighbor has too little, the loss is rounded
// down. Both only lower the hockey-stick curve.
func (c *cells) lower() mass {
	n := len(c.mass)/2 + 1
	m := mass{first: c.first / 2, offset: c.offset, at: make([]float64, n)}
	masses, excesses := c.centered(n)
	grow := math.Expm1(c.h)
	for i := range n {
		p, x := masses[i], excesses[i]
		switch {
		case p == 0:
		case x < 0 && i+1 < n:
			// From the next point: its outcome's excess seen from here.
			whole := masses[i+1] - (masses[i+1]-excesses[i+1])*math.Exp(-c.h)
			share := -x / whole
			if !(whole > 0) || share > 1 {
				if i > 0 {
					m.at[i-1] += p
				}
				continue
			}
			m.at[i] += p + share*masses[i+1]
			masses[i+1] *= 1 - share
			excesses[i+1] *= 1 - share
		case x > 0 && i > 0:
			if take := x / grow; take <= m.at[i-1] {
				m.at[i-1] -= take
				p += take
			}
			m.at[i] += p
		case x == 0:
			m.at[i] += p
		}
	}
	for _, w := range c.wide {
		if i := (c.place(math.Log(w.p/w.q)) - c.first) / 2; w.q > 0 && i >= 0 && i < n {
			m.at[i] += w.p
		}
	}
	for i := range m.at {
		m.at[i] *= 1 - massSlack
	}
	return m
}

// centered are the P-masses nearest to each point and their excesses seen
// from the point.
func (c *cells) centered(n int) (masses, excesses []float64) {
	masses, excesses = make([]float64, n), make([]float64, n)
	for j := range c.mass {
		p, excess := c.mass[j], c.excess[j]
		i := (j + 1) / 2
		if j&1 == 1 { // below the point
			excess = p - math.Exp(c.h/2)*(p-excess)
		}
		masses[i] += p
		excesses[i] += excess
	}
	return masses, excesses
}

// movement describes how far connecting the dots moves a loss, tilted: the
// move is `over` down or up to the other end of the cell. Cells are collected
// by the power of two of their width.
type movement struct{ class [14]moveClass }

type moveClass struct {
	width         float64 // largest
	mean, squares float64 // of the move, and a bound of its square's
}

func (m *movement) add(steps int, w, downMass, over, upMass float64) {
	c := &m.class[min(int(math.Log2(float64(steps))), len(m.class)-1)]
	c.width = math.Max(c.width, w)
	up := w - over
	c.mean += upMass*up - downMass*over
	c.squares += upMass*up*up + downMass*over*over
}

// cumulant bounds log E[exp(s move)] of the tilted move, for s > 0, from
// exp(y) <= 1 + y + y^2 (exp(w)-1-w)/w^2 for y <= w (Bennett).
func (m *movement) cumulant(s float64) float64 {
	sum := 0.0
	for i := range m.class {
		c := &m.class[i]
		if w := s * c.width; c.mean != 0 || c.squares != 0 {
			if w > 600 {
				return math.Inf(1)
			}
			g := 0.5
			if w > 1e-4 {
				g = (math.Expm1(w) - w) / (w * w)
			}
			sum += s*c.mean + s*s*c.squares*g
		}
	}
	return math.Log1p(math.Max(sum, 0))
}
