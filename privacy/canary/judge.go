package canary

import (
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"slices"
)

// ErrRefuted says that a claim was refuted: the system leaks more than it says.
var ErrRefuted = errors.New("canary: the claim is refuted")

// Claim is the (epsilon, delta) that one run of the audited system is said to give.
type Claim struct {
	Epsilon float64 `json:"epsilon"` // above 0
	Delta   float64 `json:"delta"`   // above 0, below 1
}

// Validate refuses claims without meaning; the error wraps [ErrCounts].
func (c Claim) Validate() error {
	if !(c.Epsilon > 0) || math.IsInf(c.Epsilon, 1) || !(c.Delta > 0 && c.Delta < 1) {
		return fmt.Errorf("%w: the claim is epsilon %g at delta %g, want epsilon above 0 and delta between 0 and 1", ErrCounts, c.Epsilon, c.Delta)
	}
	return nil
}

// Coins draws n fair coins from crypto/rand: whether each canary is included.
func Coins(n int) ([]bool, error) {
	if n < 1 || n > maxCanaries {
		return nil, fmt.Errorf("%w: %d canaries, want 1 to %d", ErrCounts, n, maxCanaries)
	}
	raw := make([]byte, (n+7)/8)
	if _, err := rand.Read(raw); err != nil {
		return nil, fmt.Errorf("canary: %w", err)
	}
	coins := make([]bool, n)
	for i := range coins {
		coins[i] = raw[i/8]>>(i%8)&1 == 1
	}
	return coins, nil
}

// Tally is how an attack ended.
type Tally struct {
	Canaries int `json:"canaries"` // m
	Guesses  int `json:"guesses"`  // r; the attacker abstained on the others
	Correct  int `json:"correct"`  // v
}

// Guess plays the attacker: of the canaries with the highest scores it says
// that they are in, of as many with the lowest that they are out, and it
// abstains on the rest. guesses is even, 2 to len(scores), and must be chosen
// before the scores are seen. The error wraps [ErrCounts].
func Guess(included []bool, scores []float64, guesses int) (Tally, error) {
	n := len(scores)
	if len(included) != n || guesses < 2 || guesses > n || guesses%2 != 0 {
		return Tally{}, fmt.Errorf("%w: %d guesses about %d coins by %d scores, want an even number of guesses, 2 to as many as there are scores", ErrCounts, guesses, len(included), n)
	}
	order := make([]int, n)
	for i := range order {
		if math.IsNaN(scores[i]) {
			return Tally{}, fmt.Errorf("%w: score %d is NaN", ErrCounts, i)
		}
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		switch {
		case scores[a] < scores[b]:
			return -1
		case scores[a] > scores[b]:
			return 1
		default:
			return a - b // by place: the coins decide nothing
		}
	})
	t := Tally{Canaries: n, Guesses: guesses}
	for k := range guesses / 2 {
		if !included[order[k]] {
			t.Correct++
		}
		if included[order[n-1-k]] {
			t.Correct++
		}
	}
	return t, nil
}

// Verdict compares what an attack proved with what was claimed.
type Verdict struct {
	Tally
	Claim      Claim   `json:"claimed"`
	Confidence float64 `json:"confidence"` // of each bound
	// OneRun is [EpsilonLowerBound]; it assumes nothing about the mechanism.
	OneRun float64 `json:"epsilon_lower_bound"`
	// Tradeoff is [GaussianTradeoffBound]; it ASSUMES that the mechanism's
	// trade-off function is a Gaussian's.
	Tradeoff        float64 `json:"epsilon_lower_bound_assuming_gaussian_tradeoff"`
	RefutedOneRun   bool    `json:"refuted"`
	RefutedTradeoff bool    `json:"refuted_assuming_gaussian_tradeoff"`
}

// Judge computes both bounds. The error wraps [ErrCounts].
func Judge(t Tally, c Claim, confidence float64) (Verdict, error) {
	if err := c.Validate(); err != nil {
		return Verdict{}, err
	}
	v := Verdict{Tally: t, Claim: c, Confidence: confidence}
	var err error
	if v.OneRun, err = EpsilonLowerBound(t.Canaries, t.Guesses, t.Correct, c.Delta, confidence); err != nil {
		return Verdict{}, err
	}
	if v.Tradeoff, err = GaussianTradeoffBound(t.Canaries, t.Guesses, t.Correct, c.Delta, confidence); err != nil {
		return Verdict{}, err
	}
	v.RefutedOneRun, v.RefutedTradeoff = v.OneRun > c.Epsilon, v.Tradeoff > c.Epsilon
	return v, nil
}

// Err is nil if neither bound is above the claim; else it wraps [ErrRefuted].
// The mechanisms of this module are Gaussian, so a refutation under that
// assumption counts: either the noise is less or it is not what it is said to be.
func (v Verdict) Err() error {
	switch {
	case v.RefutedOneRun:
		return fmt.Errorf("%w: epsilon is at least %.3f with %g %% confidence, claimed is %g", ErrRefuted, v.OneRun, 100*v.Confidence, v.Claim.Epsilon)
	case v.RefutedTradeoff:
		return fmt.Errorf("%w: assuming a Gaussian trade-off, epsilon is at least %.3f with %g %% confidence, claimed is %g", ErrRefuted, v.Tradeoff, 100*v.Confidence, v.Claim.Epsilon)
	default:
		return nil
	}
}
