package schema

import (
	"fmt"
	"slices"
)

// The gates of PROTOCOL.md section 2. They are repeated here, beside
// secagg's, because a pillar imports no other pillar; a test in pipeline
// compares both.

// MaxCommittee bounds n_c, the number of decryptors.
const MaxCommittee = 16

// modulus is a row of the table of moduli; F follows as the bits of Q-1.
type modulus struct {
	n int
	q uint32
}

var moduli = []modulus{
	{1024, 61441},
	{1024, 120833},
	{1024, 249857},
	{1024, 520193},
	{1024, 1038337},
	{1024, 2056193},
	{1024, 4188161},
	{1024, 8380417},
	{1024, 16760833},
	{2048, 33550337},
	{2048, 67104769},
	{2048, 134176769},
	{2048, 268369921},
	{2048, 536813569},
	{2048, 1073692673},
	{2048, 2147389441},
}

// AllowedModulus tells whether PROTOCOL.md section 2 allows ring degree n with
// prime q.
func AllowedModulus(n int, q uint32) bool { return slices.Contains(moduli, modulus{n, q}) }

// AllowedCommittee tells whether PROTOCOL.md section 2 allows a committee of
// size decryptors, of which threshold open a sum and at most malicious are
// malicious: t > f, or the malicious ones open alone; 2t - n_c > f, or two
// lists get t votes each without a common honest voter; n_c - f >= t, or the
// honest ones cannot open.
func AllowedCommittee(size, threshold, malicious int) bool {
	switch [3]int{size, threshold, malicious} {
	case [3]int{5, 4, 2}, [3]int{3, 3, 2}: // safe, but live only while one, or none, is silent
		return true
	}
	return size <= MaxCommittee && threshold >= 2 && malicious >= 1 &&
		threshold > malicious && 2*threshold-size > malicious && size-malicious >= threshold
}

// allowedSize tells whether some f makes (n_c, t) an allowed committee; a
// header does not state f.
func allowedSize(size, threshold int) bool {
	for f := 1; f < MaxCommittee; f++ {
		if AllowedCommittee(size, threshold, f) {
			return true
		}
	}
	return false
}

// checkRing checks the parameters that fix the size of a sum.
func checkRing(object string, n int, q uint32, values int) error {
	switch {
	case n != 1024 && n != 2048:
		return field(object, "n", n, "1024 or 2048")
	case !AllowedModulus(n, q):
		return field(object, "q", q, fmt.Sprintf("a modulus that PROTOCOL.md section 2 allows for N = %d", n))
	case values < 1 || values > MaxValues:
		return field(object, "d", values, "1 to 2^31-1 values")
	}
	return nil
}

// binomial is C(n, k) for n <= 16, at most 12870.
func binomial(n, k int) int {
	r := 1
	for i := 1; i <= k; i++ {
		r = r * (n - k + i) / i
	}
	return r
}
