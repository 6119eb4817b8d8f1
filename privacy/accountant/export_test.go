package accountant

// For the external tests of what the package does not export.
var Tau = tau

// SumRDP is the bound of Kairouz et al. 2021, Proposition 14, for real norms.
func SumRDP(alpha, l1, l2, width, tau, dimension float64) float64 {
	t := sumTerm{count: 1, l1: l1, l2: l2, width: width, tau: tau, dimension: dimension}
	return t.rdp(alpha)
}
