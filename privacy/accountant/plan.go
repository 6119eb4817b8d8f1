package accountant

import "math"

// plan says how one direction is composed: the tilt t, the grid, and the
// points at which the Chernoff bounds of what lies outside the window are
// taken. It comes from the quadrature of [cumulant]; nothing that is proved
// depends on it, because the bounds are evaluated on the masses themselves.
type plan struct {
	guess           float64 // epsilon by Rényi divergence
	t, h            float64
	bottom, top     float64
	bits            int
	sTop, sTail, sB float64
}

// Sizes of the window, and the tilted mass that may be outside of it.
const (
	minBits   = 10
	maxBits   = 17
	aliasMass = -30.0 // log
	maxTilt   = 1e7
	minTilt   = 1e-6
	// gridTolerance is the error of epsilon that the grid aims at, relative to
	// epsilon (at least 0.01).
	gridTolerance = 1e-7
)

// newPlan plans for delta. All losses are multiples of lattice, if that is not
// 0; gap, if not 0, is a step worth dividing evenly.
func newPlan(c *cumulant, delta, lattice, gap float64, most int) plan {
	logDelta := math.Log(delta)
	t, guess := c.tilt(logDelta)
	return planAt(c, t, guess, logDelta, lattice, gap, most)
}

func planAt(c *cumulant, t, guess, logDelta, lattice, gap float64, most int) plan {
	p := plan{t: t, guess: guess}
	k := c.at(p.t)
	// The window: Chernoff bounds of the tilted mass outside, and of the true
	// mass above. What is above by less than the bottom is below zero wraps to
	// places below zero, where it does not count.
	_, above := least(func(s float64) float64 { return (c.at(p.t+s) - k - aliasMass) / s })
	_, bottom := least(func(s float64) float64 { return (c.at(p.t-s) - k - aliasMass) / s })
	_, tail := least(func(s float64) float64 { return (c.at(s) - logDelta + 28) / s })
	p.bottom = -bottom
	p.top = math.Max(math.Max(above-math.Max(bottom, 0), tail), guess+(guess+bottom)/8)
	count := 0.0
	for i := range c.terms {
		count += c.terms[i].count
	}
	// Connecting the dots adds about h^2/6 to the variance of each loss, and
	// so (t+1) h^2/12 each to epsilon.
	end := c.most()
	p.h = math.Sqrt(12 * gridTolerance * math.Max(p.guess, 0.01) / ((p.t + 1) * count))
	if count < 16 && p.top > 0.7*end { // beyond the end there is nothing
		p.top = math.Max(end+32*p.h*count, p.bottom+p.h)
	}
	p.fit(lattice, gap, most)
	// The grid moves losses a little, so that larger exponents would see it.
	limit := 1 / (p.h * math.Sqrt(count))
	p.sTop = leastBelow(limit, func(s float64) float64 { return c.at(p.t+s) - s*(p.top+math.Max(-p.bottom, 0)) })
	p.sB = leastBelow(limit, func(s float64) float64 { return c.at(p.t-s) + s*p.bottom })
	p.sTail = leastBelow(limit, func(s float64) float64 { return c.at(s) - s*p.top })
	return p
}

// leastBelow minimizes a convex f over 0 < s <= most.
func leastBelow(most float64, f func(s float64) float64) float64 {
	u := golden(func(u float64) float64 { return f(math.Exp(u)) }, math.Log(most)-20, math.Log(most), 24)
	return math.Exp(u)
}

// fit chooses the size of the window. Some steps at each end keep Chernoff's
// bounds small where the losses have an end.
func (p *plan) fit(lattice, gap float64, most int) {
	width := p.top - p.bottom
	const margin = 32 // steps at each end
	if lattice > 0 && width/lattice < float64(int(1)<<most)-2*margin {
		p.h = lattice
	}
	p.bits = minBits
	for p.bits < most && width > p.h*(float64(int(1)<<p.bits)-2*margin) {
		p.bits++
	}
	n := float64(int(1) << p.bits)
	if p.h != lattice {
		p.h = math.Max(width/(n-2*margin), 1e-12)
		if steps := math.Floor(gap / p.h); steps >= 1 {
			p.h = gap / steps
		}
	}
	p.bottom -= margin * p.h
	p.top = p.bottom + p.h*(n-margin/2)
}

// tilt is the order minus one at which the conversion of Canonne, Kamath and
// Steinke 2020 is best, and the epsilon it gives.
func (c *cumulant) tilt(logDelta float64) (t, eps float64) {
	at := func(u float64) float64 {
		t := math.Exp(u)
		return (c.at(t)-logDelta-math.Log1p(t))/t - math.Log1p(1/t)
	}
	best, value := 0.0, math.Inf(1)
	for u := math.Log(minTilt); u <= math.Log(maxTilt); u += 0.75 {
		if v := at(u); v < value {
			best, value = u, v
		}
	}
	u := golden(at, best-0.75, best+0.75, 20)
	return math.Exp(u), at(u)
}

// least minimizes f over s > 0.
func least(f func(s float64) float64) (s, value float64) {
	at := func(u float64) float64 { return f(math.Exp(u)) }
	best, v := 0.0, math.Inf(1)
	for u := math.Log(1e-6); u <= math.Log(1e7); u += 1 {
		if x := at(u); x < v {
			best, v = u, x
		}
	}
	u := golden(at, best-1, best+1, 16)
	return math.Exp(u), at(u)
}
