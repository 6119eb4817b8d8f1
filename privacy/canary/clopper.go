package canary

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mathext"
)

// ClopperPearson is the lower bound of epsilon from two samples of runs (or of
// independent canaries): hits of ins that were included, and alarms of outs
// that were not, were guessed to be in. Each rate gets an exact one-sided
// interval at half of 1-confidence (Clopper and Pearson 1934; Jagielski,
// Ullman and Oprea 2020, and Nasr et al. 2021, arXiv 2101.04535): epsilon is at
// least log((low(hits)-delta)/high(alarms)), or 0. The error wraps
// [ErrCounts].
func ClopperPearson(hits, ins, alarms, outs int, delta, confidence float64) (float64, error) {
	for _, n := range []int{ins, outs} {
		if n < 1 || n > maxCanaries {
			return 0, fmt.Errorf("%w: %d runs, want 1 to %d", ErrCounts, n, maxCanaries)
		}
	}
	if hits < 0 || hits > ins || alarms < 0 || alarms > outs {
		return 0, fmt.Errorf("%w: %d of %d and %d of %d", ErrCounts, hits, ins, alarms, outs)
	}
	if err := check(ins, 0, 0, delta, confidence); err != nil {
		return 0, err
	}
	half := (1 - confidence) / 2
	low, high := 1-upperRate(ins-hits, ins, half), upperRate(alarms, outs, half)
	if !(low > delta) {
		return 0, nil
	}
	return math.Max(0, math.Log((low-delta)/high)), nil
}

// upperRate is the p at which k or fewer successes of n have probability
// `rare`.
func upperRate(k, n int, rare float64) float64 {
	if k >= n {
		return 1
	}
	low, high := 0.0, 1.0
	for range 200 {
		mid := (low + high) / 2
		if mid <= low || mid >= high {
			break
		}
		// P[Bin(n, p) <= k] = 1 - I_p(k+1, n-k) falls with p.
		if mathext.RegIncBeta(float64(k+1), float64(n-k), mid) > 1-rare {
			high = mid
		} else {
			low = mid
		}
	}
	return high
}
