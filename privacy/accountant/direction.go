package accountant

import "math"

// direction is what is composed in one direction of the relation.
type direction []counted

type counted struct {
	pair
	count float64
}

// bounds plans, composes and reads off. If the rounding counts, because the
// epsilon that Rényi divergence gives is far from the truth, the tilt is
// chosen again for the epsilon found.
func (d direction) bounds(delta float64, most int, both bool) (lower, upper float64, err error) {
	var c cumulant
	for i := range d {
		c.add(&d[i].pair, d[i].count)
	}
	lattice, gap := 0.0, 0.0
	if len(d) == 1 {
		lattice, gap = d[0].lattice, d[0].gap
	}
	p := newPlan(&c, delta, lattice, gap, most)
	for try := 0; ; try++ {
		g, err := d.grid(&p)
		if err != nil {
			return 0, 0, err
		}
		upper, composed, rough := d.upper(g, &p, delta)
		if rough && try < 2 {
			t := c.saddle(upper, p.t)
			p = planAt(&c, t, upper, math.Log(delta), lattice, gap, most)
			continue
		}
		if both && composed != nil {
			lower = math.Max(g.lower(&p, delta), g.moved(composed, &p, delta))
		}
		return math.Min(lower, upper), upper, nil
	}
}

// gridded is a direction on the grid of a plan.
type gridded struct {
	up, low []ingredient
	moves   []movement
	lumped  float64 // tilted mass that was raised to a floor, over all events
	count   float64
}

func (d direction) grid(p *plan) (*gridded, error) {
	g := &gridded{}
	for i := range d {
		n := d[i].count
		c, err := newCells(&d[i].pair, p.h, p.t, n)
		if err != nil {
			return nil, err
		}
		g.up = append(g.up, ingredient{c.upper().trim(), n})
		g.low = append(g.low, ingredient{c.lower().trim(), n})
		g.moves = append(g.moves, c.move)
		g.lumped += n * c.lumped
		g.count += n
	}
	return g, nil
}

// trim cuts zeros off both ends.
func (m mass) trim() mass {
	a, b := 0, len(m.at)
	for a < b && m.at[a] == 0 {
		a++
	}
	for a < b && m.at[b-1] == 0 {
		b--
	}
	return mass{first: m.first + a, offset: m.offset, at: m.at[a:b]}
}

// upper is the upper bound, and whether rounding counts in it.
func (d direction) upper(g *gridded, p *plan, delta float64) (eps float64, c *composed, rough bool) {
	for i := range d {
		delta -= d[i].count * d[i].lost
	}
	if !(delta > 0) {
		return math.Inf(1), nil, false
	}
	c = compose(g.up, p.h, p.t, p.bottom, p.bits)
	eps, _ = c.epsilon(delta-c.above(g.up, p), c.noise)
	clean, _ := c.epsilon(delta, 0)
	// The same masses prove an epsilon by their moment alone.
	moment := (c.k-math.Log(delta)-math.Log1p(p.t))/p.t - math.Log1p(1/p.t)
	eps = math.Min(eps, math.Max(moment, 0))
	if eps > 0 {
		eps += g.count * onGridAbove * p.h
	}
	return eps, c, eps-clean > 1e-7*math.Max(clean, 1e-3)
}

// end is the top of the window, and the largest sum of losses.
func (c *composed) end(events []ingredient) (top, most float64) {
	for i := range events {
		e := &events[i]
		most += e.count * (e.offset + float64(e.first+len(e.at)-1)*c.h)
	}
	return c.start + float64(len(c.at))*c.h, most
}

// above bounds the mass, not tilted, of losses above the window.
func (c *composed) above(events []ingredient, p *plan) float64 {
	top, most := c.end(events)
	if most < top {
		return 0
	}
	return tightest(p.sTail, func(s float64) float64 { return cumulantOf(events, p.h, s) - s*top })
}

// outside bounds the tilted mass outside the window whose place, wrapped, may
// be above eps.
func (c *composed) outside(events []ingredient, p *plan, eps float64) float64 {
	below := tightest(p.sB, func(s float64) float64 { return cumulantOf(events, p.h, p.t-s) - c.k + s*c.start })
	top, most := c.end(events)
	if top += math.Max(eps-c.start, 0); most < top {
		return below
	}
	return below + tightest(p.sTop, func(s float64) float64 { return cumulantOf(events, p.h, p.t+s) - c.k - s*top })
}

// tightest is the least exp(f) found from s on, f being convex: any value is a
// bound.
func tightest(s float64, f func(s float64) float64) float64 {
	best := f(s)
	for _, factor := range []float64{4, 0.25, 1.5} {
		for !(best < aliasMass-4) {
			v := f(s * factor)
			if !(v < best) {
				break
			}
			s, best = s*factor, v
		}
	}
	return math.Exp(best)
}

// lower is the lower bound of merged outcomes.
func (g *gridded) lower(p *plan, delta float64) float64 {
	for i := range g.low {
		if len(g.low[i].at) == 0 { // all of an event's masses were given up
			return 0
		}
	}
	c := compose(g.low, p.h, p.t, p.bottom, p.bits)
	return math.Max(c.enclose(delta, g.low, p, 0, g.count)-g.count*onGrid*p.h, 0)
}

// moved is a lower bound from the connected dots: they are the true losses
// plus moves, and the moves of all events together exceed s, in the tilted
// measure, with no more probability than Chernoff's bound says. For many
// events of losses shorter than a step this is much better than merging.
func (g *gridded) moved(c *composed, p *plan, delta float64) float64 {
	const rare = -28.0
	_, s := least(func(v float64) float64 {
		k := 0.0
		for i := range g.moves {
			k += g.up[i].count * g.moves[i].cumulant(v)
		}
		return (k - rare) / v
	})
	if math.IsNaN(s) {
		return 0
	}
	return math.Max(c.enclose(delta, g.up, p, math.Exp(rare)+g.lumped, g.count)-s, 0)
}

// enclose is an epsilon that is needed for delta, given that tilted masses of
// `spurious`, beside those outside the window, may be false.
func (c *composed) enclose(delta float64, events []ingredient, p *plan, spurious, count float64) float64 {
	for _, slack := range []float64{1e-9, 1e-6, 1e-3, 0.1, 1} {
		eps, ok := c.epsilon(delta*(1+slack), -c.noise)
		if !ok {
			break
		}
		// The most that it could have added to delta.
		outside := c.outside(events, p, eps) + spurious
		added := outside * math.Exp(c.k-c.t*eps+c.t*math.Log(c.t/(1+c.t))) / (1 + c.t)
		if added+2*delta*count*massSlack <= delta*slack {
			return eps * (1 - 1e-14)
		}
	}
	return 0
}

// saddle is the tilt at which the tilted mean is eps, that is, the t that
// minimizes K(t)-t eps.
func (c *cumulant) saddle(eps, near float64) float64 {
	at := func(u float64) float64 { t := math.Exp(u); return c.at(t) - t*eps }
	return math.Exp(golden(at, math.Log(near)-8, math.Log(near)+8, 30))
}
