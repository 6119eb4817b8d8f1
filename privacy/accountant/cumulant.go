package accountant

import "math"

// cumulant is K(t) = log E[exp(t L)] of the composed privacy loss L, by
// quadrature: good to about 1e-12 in the region that the spans of the pairs
// cover. Where K(t)/t serves as a Rényi divergence of order t+1 the spans are
// chosen for the order; the tilted accountant takes only its plan from it.
type cumulant struct{ terms []cumulantTerm }

type cumulantTerm struct {
	count, high  float64   // how often, largest loss
	weight, loss []float64 // logs of P-masses, losses
}

func (c *cumulant) add(p *pair, count float64) {
	_, high := p.losses()
	t := cumulantTerm{count: count, high: high}
	put := func(logMass, loss float64) {
		t.weight, t.loss = append(t.weight, logMass), append(t.loss, loss)
	}
	for _, a := range p.atoms {
		if a.mass > 0 {
			put(math.Log(a.mass), a.loss)
		}
	}
	for i := range p.parts {
		p.parts[i].nodes(put)
	}
	c.terms = append(c.terms, t)
}

// nodes lists quadrature nodes: the trapezoid rule if the density is entire
// and negligible at both ends, else Gauss-Legendre with four nodes.
func (s *smooth) nodes(put func(logMass, loss float64)) {
	n := math.Ceil((s.hi - s.lo) / s.step)
	if n < 1 {
		return
	}
	h := (s.hi - s.lo) / n
	for i := range int(n) {
		x := s.lo + (float64(i)+0.5)*h
		if s.whole {
			d, l := s.at(x)
			put(d+math.Log(h), l)
			continue
		}
		for k, node := range gauss4.nodes {
			d, l := s.at(x + node*h/2)
			put(d+math.Log(gauss4.weights[k]*h/2), l)
		}
	}
}

// rule is a Gauss-Legendre rule on [-1, 1] (Abramowitz and Stegun, table 25.4).
type rule struct{ nodes, weights []float64 }

var (
	gauss2 = rule{[]float64{-0.5773502691896257, 0.5773502691896257}, []float64{1, 1}}
	gauss4 = rule{
		[]float64{-0.8611363115940526, -0.3399810435848563, 0.3399810435848563, 0.8611363115940526},
		[]float64{0.3478548451374538, 0.6521451548625461, 0.6521451548625461, 0.3478548451374538},
	}
)

// at is K(t).
func (c *cumulant) at(t float64) float64 {
	k := 0.0
	for i := range c.terms {
		k += c.terms[i].count * c.terms[i].at(t)
	}
	return k
}

func (c *cumulantTerm) at(t float64) float64 {
	top := math.Inf(-1)
	for i, w := range c.weight {
		top = math.Max(top, w+t*c.loss[i])
	}
	sum := 0.0
	for i, w := range c.weight {
		if x := w + t*c.loss[i] - top; x > -50 {
			sum += math.Exp(x)
		}
	}
	return top + math.Log(sum)
}

// most is the largest sum of losses.
func (c *cumulant) most() (sum float64) {
	for i := range c.terms {
		sum += c.terms[i].count * c.terms[i].high
	}
	return sum
}
