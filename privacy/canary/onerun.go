package canary

import (
	"errors"
	"fmt"
	"math"

	"github.com/veilsum/veilsum/privacy/accountant"
	"gonum.org/v1/gonum/mathext"
)

// ErrCounts reports counts or probabilities without meaning; the message names
// them.
var ErrCounts = errors.New("canary: invalid counts")

// maxCanaries bounds the work of one call.
const maxCanaries = 1 << 24

// EpsilonLowerBound returns the largest epsilon such that a mechanism that is
// (epsilon, delta)-DP lets an attacker guess at least correct of his guesses,
// about m canaries included by fair coins in one run, with probability below
// 1-confidence: the true epsilon is larger, with that confidence (Steinke, Nasr
// and Jagielski 2023, arXiv 2305.08846, Theorem 5.2). It is 0 if nothing is
// refuted. 0 <= correct <= guesses <= m <= 2^24, delta in [0, 1), confidence in
// (0, 1). The error wraps [ErrCounts].
func EpsilonLowerBound(m, guesses, correct int, delta, confidence float64) (float64, error) {
	if err := check(m, guesses, correct, delta, confidence); err != nil {
		return 0, err
	}
	return largest(func(eps float64) bool {
		return pValue(m, guesses, correct, eps, delta) < 1-confidence
	}), nil
}

// PValue is the probability, at most, that a mechanism that is (epsilon,
// delta)-DP allows so many correct guesses.
func PValue(m, guesses, correct int, epsilon, delta float64) (float64, error) {
	if err := check(m, guesses, correct, delta, 0.5); err != nil {
		return 0, err
	}
	if !(epsilon >= 0) {
		return 0, fmt.Errorf("%w: epsilon is %g, want at least 0", ErrCounts, epsilon)
	}
	return pValue(m, guesses, correct, epsilon, delta), nil
}

func check(m, guesses, correct int, delta, confidence float64) error {
	switch {
	case m < 1 || m > maxCanaries:
		return fmt.Errorf("%w: %d canaries, want 1 to %d", ErrCounts, m, maxCanaries)
	case guesses < 0 || guesses > m:
		return fmt.Errorf("%w: %d guesses, want 0 to %d", ErrCounts, guesses, m)
	case correct < 0 || correct > guesses:
		return fmt.Errorf("%w: %d correct, want 0 to %d", ErrCounts, correct, guesses)
	case !(delta >= 0 && delta < 1):
		return fmt.Errorf("%w: delta is %g, want 0 to less than 1", ErrCounts, delta)
	case !(confidence > 0 && confidence < 1):
		return fmt.Errorf("%w: confidence is %g, want between 0 and 1", ErrCounts, confidence)
	}
	return nil
}

// largest is the largest eps (or other measure of leaking) at which the claim
// is refuted, 0 if none is; the probability rises with it.
func largest(refuted func(eps float64) bool) float64 {
	if !refuted(0) {
		return 0
	}
	low, high := 0.0, 1.0
	for refuted(high) && high < 1e3 {
		low, high = high, 2*high
	}
	for range 60 {
		if mid := (low + high) / 2; refuted(mid) {
			low = mid
		} else {
			high = mid
		}
	}
	return low
}

// pValue is beta + 2 m delta alpha, with beta = P[X >= v] and alpha the
// largest P[v-i <= X <= v-1]/i, for X binomial of the guesses with probability
// 1/(1+exp(-eps)).
func pValue(m, r, v int, eps, delta float64) float64 {
	q := 1 / (1 + math.Exp(-eps))
	beta := atLeast(r, v, q)
	if delta == 0 || beta >= 1 {
		return beta
	}
	logQ, log1Q := math.Log(q), -eps-math.Log1p(math.Exp(-eps))
	pmf := func(k int) float64 {
		return math.Exp(logChoose(r, k) + float64(k)*logQ + float64(r-k)*log1Q)
	}
	mode := int(float64(r+1) * q)
	alpha, sum := 0.0, 0.0
	for i := 1; i <= v; i++ {
		p := pmf(v - i)
		sum += p
		alpha = math.Max(alpha, sum/float64(i))
		if v-i <= mode && p < alpha { // from here on the mean only falls
			break
		}
	}
	return math.Min(1, beta+2*float64(m)*delta*alpha)
}

func logChoose(n, k int) float64 {
	a, _ := math.Lgamma(float64(n + 1))
	b, _ := math.Lgamma(float64(k + 1))
	c, _ := math.Lgamma(float64(n - k + 1))
	return a - b - c
}

// atLeast is P[Bin(n, q) >= k].
func atLeast(n, k int, q float64) float64 {
	switch {
	case k <= 0:
		return 1
	case k > n:
		return 0
	default:
		return mathext.RegIncBeta(float64(k), float64(n-k+1), q)
	}
}

// GaussianTradeoffBound is the tighter bound of Mahloujifar, Melis and
// Chaudhuri 2024 (arXiv 2410.22235, Algorithm 3), under an assumption that
// EpsilonLowerBound does not make: that the mechanism's trade-off function is
// that of a Gaussian mechanism, whose epsilon at delta (above 0) is returned.
// State the assumption with the number. The error wraps [ErrCounts].
func GaussianTradeoffBound(m, guesses, correct int, delta, confidence float64) (float64, error) {
	if err := check(m, guesses, correct, delta, confidence); err != nil {
		return 0, err
	}
	if delta == 0 {
		return 0, fmt.Errorf("%w: a Gaussian mechanism has no epsilon at delta 0", ErrCounts)
	}
	mu := largest(func(mu float64) bool {
		return tradeoffRefuted(m, guesses, correct, mu, 1-confidence)
	})
	if mu == 0 {
		return 0, nil
	}
	exact, err := accountant.NewExact(accountant.AddRemove)
	if err != nil {
		return 0, err
	}
	if err := exact.Compose(accountant.Event{Type: accountant.Gaussian, NoiseMultiplier: 1 / mu}, 1); err != nil {
		return 0, err
	}
	return exact.Epsilon(delta)
}

// tradeoffRefuted runs the recursion from the number of correct guesses down:
// r and h bound the probabilities of so many right and wrong guesses.
func tradeoffRefuted(m, guesses, correct int, mu, significance float64) bool {
	r := significance * float64(correct) / float64(m)
	h := significance * float64(guesses-correct) / float64(m)
	for i := correct - 1; i >= 0; i-- {
		next := math.Max(h, blowUpInverse(r, mu))
		if next == h { // neither changes any more
			break
		}
		r = math.Min(r+float64(i)/float64(guesses-i)*(next-h), 1)
		h = next
	}
	return r+h > float64(guesses)/float64(m)
}

// blowUpInverse is the least probability, without the canary, of an event that
// has probability x with it, for a Gaussian of sensitivity mu.
func blowUpInverse(x, mu float64) float64 {
	switch {
	case x <= 0:
		return 0
	case x >= 1:
		return 1
	default:
		return math.Erfc((mu-mathext.NormalQuantile(x))/math.Sqrt2) / 2
	}
}
