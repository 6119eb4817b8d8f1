package accountant

import (
	"fmt"
	"math"
)

// mass is a measure on the losses offset + (first+i) h.
type mass struct {
	first  int
	offset float64
	at     []float64
	logs   []float64 // of at, once they are needed
}

// cells holds one event's losses on a grid of step h, in three forms. Fine
// losses, each within a half step: their P-mass and their excess, the integral
// of dP - exp(left end) dQ. Wide ones, within several steps where the tilted
// density is low: their merged P- and Q-masses. And all of them, connected to
// the points of the grid. All are sums of positive terms: nothing cancels.
type cells struct {
	first        int // place of the first half step, in half steps from offset; even
	h, offset    float64
	tilt, k      float64 // t and the event's K(t)
	rare         float64 // density of tilted mass below which cells are wide
	widest       int     // of the cells, in steps
	floor        float64 // losses below are raised to it
	mass, excess []float64
	wide         []wideCell
	dots         []float64
	lumped       float64 // tilted mass of what was raised to the floor
	move         movement
}

type wideCell struct{ p, q float64 }

const (
	maxCells = 1 << 22
	// massSlack covers the quadrature and the rounding of one event's masses,
	// relative: masses for upper bounds are raised by it, others lowered.
	massSlack = 1e-12
	// onGrid is the part of a step by which a loss may be below a point of the
	// grid and still count as on it; lower bounds pay for it.
	onGrid = 1e-9
	// onGridAbove is the same for a loss above; upper bounds pay for it.
	onGridAbove = 1e-13
)

// newCells spreads p, tilted by t, over a grid of step h with the anchor on
// it. count is how often p is composed.
func newCells(p *pair, h, t, count float64) (*cells, error) {
	c := &cells{h: h, tilt: t, offset: p.anchor - h*math.Round(p.anchor/h)}
	var own cumulant
	own.add(p, 1)
	c.k = own.at(t)
	d := 1e-3 * math.Min(t, 1)
	spread := math.Sqrt(math.Max(own.at(t+d)-2*c.k+own.at(t-d), 0)) / d
	c.rare = 1 / (20*spread + h)
	// Raised to the floor, all the mass below it has a tilted mass of at most
	// exp(-34)/count.
	c.floor = (c.k - 34 - math.Log(count)) / t
	j := c.place(c.floor)
	c.floor = c.left(j - j&1)
	c.widest = int(math.Min(spread/(4*h), math.Max(16, math.Sqrt(count)/4)))
	low, high := p.losses()
	low = math.Max(low, c.floor)
	if n := (high - low) / (h / 2); !(n < maxCells) {
		return nil, fmt.Errorf("%w: a loss from %g to %g needs more than %d steps of %g", ErrUnsupported, low, high, maxCells, h)
	}
	c.first = c.place(low) - 4
	c.first -= c.first & 1
	size := c.place(math.Max(high, low)) - c.first + 8
	c.mass, c.excess, c.dots = make([]float64, size), make([]float64, size), make([]float64, size/2+2)
	for _, a := range p.atoms {
		c.atom(a)
	}
	for i := range p.parts {
		c.integrate(&p.parts[i])
	}
	return c, nil
}

// losses are the extremes of the losses.
func (p *pair) losses() (low, high float64) {
	low, high = math.Inf(1), math.Inf(-1)
	for _, a := range p.atoms {
		low, high = math.Min(low, a.loss), math.Max(high, a.loss)
	}
	for i := range p.parts {
		s := &p.parts[i]
		for _, x := range []float64{s.lo, s.hi} {
			_, l := s.at(x)
			low, high = math.Min(low, l), math.Max(high, l)
		}
	}
	return low, high
}

func (c *cells) place(loss float64) int { return int(math.Floor((loss - c.offset) / (c.h / 2))) }

func (c *cells) left(j int) float64 { return c.offset + float64(j)*c.h/2 }

// dot adds mass to the grid point of half step j, an even number.
func (c *cells) dot(j int, mass float64) { c.dots[(j-c.first)/2] += mass }

// lump raises mass whose losses are at most l to the next point.
func (c *cells) lump(l, mass float64) {
	j := c.place(l - onGrid*c.h)
	j += 2 - j&1
	c.dot(j, mass)
	c.lumped += mass * math.Exp(c.tilt*c.left(j)-c.k)
}

func (c *cells) atom(a atom) {
	if a.mass == 0 {
		return
	}
	if a.loss < c.floor {
		c.lump(c.floor, a.mass)
		return
	}
	j := c.place(a.loss + onGrid*c.h)
	c.mass[j-c.first] += a.mass
	c.excess[j-c.first] -= a.mass * math.Expm1(math.Min(c.left(j)-a.loss, 0))
	even := j - j&1
	c.connect(even, 1, a.mass, math.Max(a.loss-c.left(even), 0))
}

// connect splits the mass at loss left(j)+over between the ends of a cell of
// `steps` steps so that P- and Q-mass stay, and records the movement.
func (c *cells) connect(j, steps int, mass, over float64) {
	w := float64(steps) * c.h
	if over <= onGridAbove*c.h {
		c.dot(j, mass)
		return
	}
	up := mass * math.Min(math.Expm1(-over)/math.Expm1(-w), 1)
	c.dot(j, mass-up)
	c.dot(j+2*steps, up)
	base := math.Exp(c.tilt*c.left(j) - c.k)
	c.move.add(steps, w, (mass-up)*base, over, up*base*math.Exp(c.tilt*w))
}

// integrate walks over the part, from one border of a cell to the next.
func (c *cells) integrate(s *smooth) {
	x := s.lo
	d, l := s.at(x)
	if l < c.floor {
		x = s.search(c.floor)
		d, l = s.at(x)
	}
	if below := s.cdf(x); below > 0 {
		c.lump(math.Max(l, c.floor), below)
	}
	step := math.Min(s.step, s.scale/8)
	for j := c.place(l); x < s.hi; {
		end := math.Min(x+step, s.hi)
		dEnd, lEnd := s.at(end)
		steps := c.width(d, l, (lEnd-l)/(end-x))
		from, border := j-j&1, j+1
		if steps = min(steps, (c.first+len(c.mass)-from)/2-2); steps > 1 {
			border = from + 2*steps
		}
		next := j
		if at := c.left(border); lEnd > at {
			end = s.crossing(at, x, end, l, lEnd, 1e-7*c.h)
			next = border
			dEnd, lEnd = s.at(end)
		}
		if !(end > x) { // the border is where we are, or x no longer moves
			if next == j {
				return
			}
			j = next
			continue
		}
		c.quadrature(s, j, from, steps, x, end)
		x, j, d, l = end, next, dEnd, lEnd
	}
}

// width is how many steps a cell spans: more where little tilted mass is, as
// its cube root, because the error of a cell is its mass times its width
// squared.
func (c *cells) width(logDensity, loss, slope float64) int {
	density := math.Exp(logDensity+c.tilt*loss-c.k) / slope
	if !(density < c.rare/8) {
		return 1
	}
	return int(math.Min(math.Cbrt(c.rare/density), float64(c.widest)))
}

// quadrature adds the part over [a, b], whose losses are in half step j and in
// the cell of `steps` steps from half step `from` on.
func (c *cells) quadrature(s *smooth, j, from, steps int, a, b float64) {
	r := &gauss4
	if b-a < s.scale/512 {
		r = &gauss2
	}
	mid, half := (a+b)/2, (b-a)/2
	left := c.left(from)
	steps = max(steps, 1)
	wide := steps > 1
	var mass, excess, q float64
	for k, node := range r.nodes {
		d, l := s.at(mid + half*node)
		p := math.Exp(d) * r.weights[k] * half
		c.connect(from, steps, p, math.Max(l-left, 0))
		if wide {
			q += p * math.Exp(-l)
		} else {
			excess -= p * math.Expm1(c.left(j)-l)
		}
		mass += p
	}
	if wide {
		c.wide = append(c.wide, wideCell{mass, q})
		return
	}
	c.mass[j-c.first] += mass
	c.excess[j-c.first] += math.Min(math.Max(excess, 0), mass)
}

// crossing is the x in [a, b] at which the loss is l, to a tolerance of the
// loss that is far below a step: beyond it a chord is prolonged, by nothing.
func (s *smooth) crossing(l, a, b, la, lb, tolerance float64) float64 {
	if s.inverse != nil {
		return math.Min(math.Max(s.inverse(l), a), b)
	}
	fa, fb := la-l, lb-l // regula falsi with halving (Illinois): the loss rises
	if fa >= 0 {
		return a
	}
	x := b
	for range 60 {
		x = (a*fb - b*fa) / (fb - fa)
		_, lx := s.at(x)
		f := lx - l
		switch {
		case math.Abs(f) <= tolerance || !(fb > fa):
			return x
		case f < 0:
			a, fa, fb = x, f, fb/2
		default:
			b, fb, fa = x, f, fa/2
		}
	}
	return x
}

// search is the x at which the loss is l, by halving.
func (s *smooth) search(l float64) float64 {
	a, b := s.lo, s.hi
	for range 60 {
		x := (a + b) / 2
		if _, lx := s.at(x); lx < l {
			a = x
		} else {
			b = x
		}
	}
	return a
}
