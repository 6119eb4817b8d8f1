package accountant

import (
	"math"
)

// divergence is a bound of the Rényi divergence of every order alpha > 1; +Inf
// where none is known.
type divergence func(alpha float64) float64

// maxOrder is the largest order at which sampled events are judged, that of
// dp_accounting's list.
const maxOrder = 1024

// logFactorial[n] is log(n!).
var logFactorial = func() (table [maxOrder + 2]float64) {
	for n := range table {
		table[n], _ = math.Lgamma(float64(n + 1))
	}
	return table
}()

func logChoose(n, k int) float64 { return logFactorial[n] - logFactorial[k] - logFactorial[n-k] }

// logSum is log(sum of exp).
func logSum(x []float64) float64 {
	top := math.Inf(-1)
	for _, v := range x {
		top = math.Max(top, v)
	}
	if math.IsInf(top, -1) {
		return top
	}
	sum := 0.0
	for _, v := range x {
		sum += math.Exp(v - top)
	}
	return top + math.Log(sum)
}

// poissonRDP is the Rényi divergence of the sampled Gaussian under add_remove,
// that of ((1-q)N(0)+qN(1), N(0)), which is the larger direction (Mironov,
// Talwar and Zhang 2019, Theorem 5 and Corollary 7): the finite sum of their
// section 3.3 at whole orders, the integral elsewhere.
func poissonRDP(q, sigma float64) divergence {
	if q == 1 {
		return func(alpha float64) float64 { return alpha / (2 * sigma * sigma) }
	}
	m := poissonShift(q, 1, sigma)
	var gains []float64 // once they are needed
	var nodes []sampledNode
	return func(alpha float64) float64 {
		switch {
		case alpha > maxOrder:
			return math.Inf(1)
		case alpha == math.Trunc(alpha):
			if gains == nil {
				gains = poissonGains(q, sigma)
			}
			return poissonWhole(gains, q, int(alpha)) / (alpha - 1)
		case alpha < commonOrder:
			if nodes == nil {
				nodes = m.sampledNodes(commonOrder)
			}
			return m.fractional(nodes, alpha) / (alpha - 1)
		default:
			return m.fractional(m.sampledNodes(alpha), alpha) / (alpha - 1)
		}
	}
}

// commonOrder is the order up to which the nodes of quadrature are shared.
const commonOrder = 11

// poissonGains are the logs of (q/(1-q))^k (exp((k^2-k)/2s^2) - 1).
func poissonGains(q, sigma float64) []float64 {
	gains := make([]float64, maxOrder+1)
	odds := math.Log(q) - math.Log1p(-q)
	for k := 2; k <= maxOrder; k++ {
		gain := float64(k) * float64(k-1) / (2 * sigma * sigma)
		if gain < 1 {
			gains[k] = math.Log(math.Expm1(gain))
		} else {
			gains[k] = gain + math.Log1p(-math.Exp(-gain))
		}
		gains[k] += float64(k) * odds
	}
	return gains
}

// poissonWhole is log(A), A = sum_k C(n,k) (1-q)^(n-k) q^k exp((k^2-k)/2s^2).
// The terms of A-1 are formed, not those of A, so that a small divergence
// keeps its digits.
func poissonWhole(gains []float64, q float64, n int) float64 {
	logs := make([]float64, 0, n)
	for k := 2; k <= n; k++ {
		logs = append(logs, gains[k]+logChoose(n, k))
	}
	return log1pExp(logSum(logs) + float64(n)*math.Log1p(-q))
}

// log1pExp is log(1+exp(x)).
func log1pExp(x float64) float64 {
	if x > 36 {
		return x
	}
	return math.Log1p(math.Exp(x))
}

// sampledNode is a node of the trapezoid rule under Q.
type sampledNode struct{ logMass, loss, u, grown float64 }

// sampledNodes serve orders up to alpha. The integrand is analytic where |Im x|
// < pi sigma^2, so with this step the error is below exp(-40) (Trefethen and
// Weideman 2014, Theorem 5.1), and the tails beyond 12 sigma of the last center
// are below exp(-72).
func (m *shift) sampledNodes(alpha float64) []sampledNode {
	q, v := m.w[len(m.w)-1], m.sigma*m.sigma
	step := math.Min(m.sigma/2.5, 0.45*v)
	low, high := -12*m.sigma, alpha+12*m.sigma
	nodes := make([]sampledNode, int(math.Ceil((high-low)/step))+1)
	for i := range nodes {
		x := low + float64(i)*step
		u := (x - 0.5) / v
		nodes[i] = sampledNode{m.normal(x) + math.Log(step), sampledLoss(q, u), u, 0}
		if u < 30 {
			nodes[i].grown = q * math.Expm1(u)
		}
	}
	return nodes
}

// fractional is log(E[(P/Q)^alpha]) under Q. E[P/Q] is 1, so alpha (P/Q-1) may
// be taken off the integrand: what remains is positive by convexity, and small
// where the divergence is.
func (m *shift) fractional(nodes []sampledNode, alpha float64) float64 {
	logQ := math.Log(m.w[len(m.w)-1])
	sum, top := 0.0, math.Inf(-1) // of the small terms; of the large ones' logs
	var logs []float64
	for i := range nodes {
		n := &nodes[i]
		power := alpha * n.loss
		if power < 30 && n.u < 30 {
			sum += math.Exp(n.logMass) * math.Max(math.Expm1(power)-alpha*n.grown, 0)
			continue
		}
		log := power + math.Log1p(-math.Exp(math.Log(alpha)+logQ+n.u-power)) + n.logMass
		if log > top-60 {
			logs, top = append(logs, log), math.Max(top, log)
		}
	}
	return log1pExp(logAdd(math.Log(sum), logSum(logs)))
}

// fixedSizeRDP bounds the divergence of the Gaussian on a sample without
// replacement under replace_one: Wang, Balle and Kasiviswanathan 2019, Theorem
// 27, between whole orders by the convexity of their Corollary 10.
func fixedSizeRDP(q, sigma float64) divergence {
	if q == 1 {
		return func(alpha float64) float64 { return alpha / (2 * sigma * sigma) }
	}
	terms := fixedSizeTerms(q, sigma)
	var known [maxOrder + 1]float64
	at := func(n int) float64 { // the cumulant at a whole order
		if n < 2 || known[n] != 0 {
			return known[n]
		}
		logs := make([]float64, 0, n)
		for k := 2; k <= n; k++ {
			bound := terms[k]
			if n > exactOrder && k > 2 { // as dp_accounting, to be comparable
				bound = math.Ln2 + float64(k)*float64(k-1)/(2*sigma*sigma) + float64(k)*math.Log(q)
			}
			logs = append(logs, bound+logChoose(n, k))
		}
		known[n] = log1pExp(logSum(logs))
		return known[n]
	}
	return func(alpha float64) float64 {
		if alpha > maxOrder {
			return math.Inf(1)
		}
		floor := math.Floor(alpha)
		t := alpha - floor
		r := (1 - t) * at(int(floor))
		if t > 0 {
			r += t * at(int(floor)+1)
		}
		return r / (alpha - 1)
	}
}

// exactOrder is the largest order at which both bounds are computed.
const exactOrder = 256

// fixedSizeTerms are the logs of q^k times Theorem 27's factors of the
// binomial coefficients. B(l) = E[(P/Q-1)^l] for even l is needed only as long
// as it is below half of E[(P/Q)^l]; beyond, and beyond order 256, the other
// bound of the minimum is used.
func fixedSizeTerms(q, sigma float64) (terms [maxOrder + 1]float64) {
	const exact = exactOrder
	v, logQ := sigma*sigma, math.Log(q)
	plain := func(k int) float64 { return float64(k) * float64(k-1) / (2 * v) }
	var even [exact + 2]float64
	last := 0
	for l := 2; l <= exact; l += 2 {
		even[l] = centralMoment(sigma, l)
		last = l
		if even[l] > plain(l)-math.Ln2 {
			break
		}
	}
	for k := 2; k <= maxOrder; k++ {
		bound := math.Ln2 + plain(k)
		switch {
		case k == 2:
			bound = math.Min(math.Log(4)+math.Log(math.Expm1(math.Min(1/v, 700))), 1/v+math.Ln2)
		case k <= exact && k+k%2 <= last:
			bound = math.Min(bound, math.Log(4)+(even[k-k%2]+even[k+k%2])/2)
		}
		terms[k] = bound + float64(k)*logQ
	}
	return terms
}

// centralMoment is log E[(P/Q-1)^l] under Q for P = N(1, s^2), Q = N(0, s^2)
// and even l, by the trapezoid rule for an entire integrand (error below
// exp(-40) relative to the largest term, inflated accordingly).
func centralMoment(sigma float64, l int) float64 {
	const step = 0.4
	high := float64(l)/sigma + 12
	logs := make([]float64, 0, int((high+12)/step)+2)
	for z := -12.0; z <= high; z += step {
		u := z/sigma - 1/(2*sigma*sigma)
		var log float64
		if u > 30 {
			log = u + math.Log1p(-math.Exp(-u))
		} else {
			log = math.Log(math.Abs(math.Expm1(u)))
		}
		logs = append(logs, float64(l)*log-z*z/2-logSqrt2Pi)
	}
	return logSum(logs) + math.Log(step)
}

// skellamRDP is Agarwal, Kairouz and Liu 2021, Theorem 3.5, for the total
// variance mu and integers of these norms.
func skellamRDP(mu, l2, l1 float64) divergence {
	return func(alpha float64) float64 {
		return alpha*l2*l2/(2*mu) + math.Min(((2*alpha-1)*l2*l2+6*l1)/(4*mu*mu), 3*l1/(2*mu))
	}
}

// pairsRDP is the divergence of the larger direction, for orders up to most.
func pairsRDP(pairs []pair, most float64) divergence {
	cumulants := make([]cumulant, len(pairs))
	for i := range pairs {
		cumulants[i].add(&pairs[i], 1)
	}
	return func(alpha float64) float64 {
		if alpha > most {
			return math.Inf(1)
		}
		r := 0.0
		for i := range cumulants {
			// The slack covers the quadrature (below 1e-12 of E[(P/Q)^t]).
			r = math.Max(r, (cumulants[i].at(alpha-1)+1e-12)/(alpha-1))
		}
		return r
	}
}
