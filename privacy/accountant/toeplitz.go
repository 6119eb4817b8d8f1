package accountant

import (
	"fmt"
	"math"
)

// maxSteps bounds the steps of a matrix mechanism.
const maxSteps = 1 << 22

// ToeplitzSensitivity is the largest L2 norm of C u, for C the n by n lower
// triangular Toeplitz matrix with the first column coef and u the indicator of
// at most k participations at least b steps apart: the norm of the sum of coef
// shifted by 0, b, 2b, ... (k-1)b (Kalinin and Lampert 2024, arXiv 2405.13763,
// Theorem 2), for coef that is not negative and does not rise. k is 0 if only b
// limits it. It is the strategy_sensitivity of a [Matrix] event. The error
// wraps [ErrEvent].
func ToeplitzSensitivity(coef []float64, n, b, k int) (float64, error) {
	if err := checkToeplitz(coef, n); err != nil {
		return 0, err
	}
	if b < 1 || k < 0 {
		return 0, fmt.Errorf("%w: separation %d and participations %d, want at least 1 and 0", ErrEvent, b, k)
	}
	for i, c := range coef {
		if c < 0 || i > 0 && c > coef[i-1] {
			return 0, fmt.Errorf("%w: coefficient %d is %g, want none negative or rising", ErrEvent, i, c)
		}
	}
	times := (n + b - 1) / b
	if k > 0 {
		times = min(times, k)
	}
	// The value at step i is the sum of coef[i-jb] over j < times, which
	// differs from that at i-b by the newest and the oldest term.
	values := make([]float64, n)
	total := 0.0
	at := func(i int) float64 {
		if i < 0 || i >= len(coef) {
			return 0
		}
		return coef[i]
	}
	for i := range values {
		values[i] = at(i)
		if i >= b {
			values[i] += values[i-b] - at(i-times*b)
		}
		total += values[i] * values[i]
	}
	return math.Sqrt(total) * (1 + 1e-15*float64(times)), nil
}

// OptimalToeplitz returns the first n coefficients of the square root of the
// prefix-sum matrix, prod (2i-1)/(2i): the best strategy for one participation
// up to lower order (Henzinger, Upadhyay and Upadhyay 2023, Theorem 1).
func OptimalToeplitz(n int) ([]float64, error) {
	if n < 1 || n > maxSteps {
		return nil, fmt.Errorf("%w: %d coefficients, want 1 to %d", ErrEvent, n, maxSteps)
	}
	c := make([]float64, n)
	c[0] = 1
	for i := 1; i < n; i++ {
		c[i] = c[i-1] * float64(2*i-1) / float64(2*i)
	}
	return c, nil
}

// PrefixError returns the root mean square and the largest standard deviation
// of the n prefix sums under noise of standard deviation 1 filtered by the
// inverse of C; multiply by the sensitivity and the noise multiplier. The
// error wraps [ErrEvent].
func PrefixError(coef []float64, n int) (rms, largest float64, err error) {
	if err := checkToeplitz(coef, n); err != nil {
		return 0, 0, err
	}
	if coef[0] == 0 {
		return 0, 0, fmt.Errorf("%w: the first coefficient is 0", ErrEvent)
	}
	inverse := make([]float64, n)
	var prefix, squares, total float64
	for i := range n {
		v := 0.0
		if i == 0 {
			v = 1
		}
		for j := 1; j <= min(i, len(coef)-1); j++ {
			v -= coef[j] * inverse[i-j]
		}
		inverse[i] = v / coef[0]
		prefix += inverse[i] // the i-th coefficient of A C^-1
		squares += prefix * prefix
		total += squares
	}
	return math.Sqrt(total / float64(n)), math.Sqrt(squares), nil
}

func checkToeplitz(coef []float64, n int) error {
	if n < 1 || n > maxSteps || len(coef) < 1 || len(coef) > n {
		return fmt.Errorf("%w: %d coefficients for %d steps, want 1 to as many, at most %d", ErrEvent, len(coef), n, maxSteps)
	}
	for i, c := range coef {
		if math.IsNaN(c) || math.IsInf(c, 0) {
			return fmt.Errorf("%w: coefficient %d is %g", ErrEvent, i, c)
		}
	}
	return nil
}
