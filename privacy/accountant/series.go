package accountant

import (
	"math"
	"sort"
)

// poissonSeries is the divergence of the sampled Gaussian at fractional orders
// as dp_accounting 0.6.0 and others compute it: the series of Mironov, Talwar
// and Zhang 2019, section 3.3, with all terms taken positive, and no bound (so
// +Inf) where a thousand terms do not suffice. It is never below the integral
// of [poissonRDP], up to 1 % above it where it converges, and serves only to
// report what those accountants report.
func poissonSeries(q, sigma float64) divergence {
	v := sigma * sigma
	z0 := v*math.Log(1/q-1) + 0.5
	logQ, log1Q := math.Log(q), math.Log1p(-q)
	return func(alpha float64) float64 {
		sum0, sum1, last0, last1 := math.Inf(-1), math.Inf(-1), math.Inf(-1), math.Inf(-1)
		logCoef := 0.0 // log |C(alpha, i)|
		for i := range 1000 {
			k, j := float64(i), alpha-float64(i)
			s0 := logCoef + k*logQ + j*log1Q + k*(k-1)/(2*v) + logTail((k-z0)/sigma)
			s1 := logCoef + j*logQ + k*log1Q + j*(j-1)/(2*v) + logTail((z0-j)/sigma)
			sum0, sum1 = logAdd(sum0, s0), logAdd(sum1, s1)
			total := logAdd(sum0, sum1)
			if s0 < last0 && s1 < last1 && math.Max(s0, s1) < total-30 {
				return total / (alpha - 1)
			}
			last0, last1 = s0, s1
			logCoef += math.Log(math.Abs(j)) - math.Log(k+1)
		}
		return math.Inf(1)
	}
}

// logTail is the log of P[N(0,1) > x].
func logTail(x float64) float64 {
	if x < 5 {
		return math.Log(math.Erfc(x/math.Sqrt2) / 2)
	}
	return math.Log(mills(x)) - x*x/2 - logSqrt2Pi
}

// logAdd is log(exp(a)+exp(b)).
func logAdd(a, b float64) float64 {
	if a < b {
		a, b = b, a
	}
	if math.IsInf(b, -1) {
		return a
	}
	return a + math.Log1p(math.Exp(b-a))
}

// comparable is epsilon by [DefaultOrders] with [poissonSeries] at the
// fractional ones. The integral, which is never larger, tells which orders
// need not be tried.
func (c *curve) comparable(delta float64) (eps, order float64) {
	r := RDP{orders: DefaultOrders()}
	r.values = make([]float64, len(r.orders))
	at := make([]float64, len(r.orders))
	places := make([]int, len(r.orders))
	for i, a := range r.orders {
		r.values[i], places[i] = c.rdp(a), i
		at[i] = convertAt(a, r.values[i], delta)
	}
	sort.SliceStable(places, func(i, j int) bool { return at[places[i]] < at[places[j]] })
	eps = math.Inf(1)
	for _, i := range places {
		if at[i] >= eps {
			break
		}
		a := r.orders[i]
		if a != math.Trunc(a) {
			at[i] = convertAt(a, r.values[i]+c.more(a), delta)
		}
		if at[i] < eps {
			eps, order = at[i], a
		}
	}
	return eps, order
}

// more is what the series adds to the integrals at a fractional order.
func (c *curve) more(alpha float64) (sum float64) {
	for _, t := range c.terms {
		if t.series != nil && t.count > 0 {
			sum += t.count * math.Max(t.series(alpha)-t.rdp(alpha), 0)
		}
	}
	return sum
}
