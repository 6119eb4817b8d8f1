package accountant

import (
	"errors"
	"fmt"
	"math"
)

// AccountTight is [Account] by the best of all accountants: a formula where
// there is one, else the upper bound of [PLD], else Rényi divergence. What it
// returns is as proved as that of Account, and never more, but it is computed
// with floating-point sums whose last digits may differ between machines: a
// record that two machines must agree on uses Account. Method says which
// accountant it was.
func AccountTight(events []Event, delta float64, relation NeighboringRelation) (Guarantee, error) {
	best, err := Account(events, delta, relation)
	if err != nil && !errors.Is(err, ErrNoGuarantee) && !errors.Is(err, ErrUnsupported) {
		return Guarantee{}, err
	}
	found := err == nil
	all := Event{Type: Composed, Events: events}
	for _, method := range []string{"exact", "pld"} {
		a, err := newAccountant(method, relation)
		if err != nil {
			return Guarantee{}, err
		}
		if a.Compose(all, 1) != nil {
			continue
		}
		eps, err := a.Epsilon(delta)
		if err != nil || found && !(eps < best.Epsilon) {
			continue
		}
		best = Guarantee{Epsilon: eps, Delta: delta, Relation: relation, Unit: "vehicle", Method: method}
		found = true
		if method == "exact" {
			break
		}
	}
	if found {
		return best, nil
	}
	return Guarantee{}, err
}

func newAccountant(method string, relation NeighboringRelation) (Accountant, error) {
	if method == "exact" {
		return NewExact(relation)
	}
	return NewPLD(relation)
}

// CalibrateTight is [Calibrate] with [AccountTight]: the smallest noise
// multiplier, to one part in 10^6 and never below, within (epsilon, delta).
func CalibrateTight(make func(noiseMultiplier float64) ([]Event, error), epsilon, delta float64, relation NeighboringRelation) (float64, error) {
	if !(epsilon > 0) {
		return 0, fmt.Errorf("%w: epsilon %g", ErrUnreachable, epsilon)
	}
	cost := func(u float64) (float64, error) { // log of epsilon over the target
		events, err := make(math.Exp(u))
		if err != nil {
			return 0, err
		}
		g, err := AccountTight(events, delta, relation)
		if errors.Is(err, ErrNoGuarantee) || errors.Is(err, ErrEvent) {
			return 50, nil
		}
		return math.Log(math.Max(g.Epsilon, epsilon*1e-20) / epsilon), err
	}
	high, err := Calibrate(make, epsilon, delta, relation)
	if err != nil {
		return 0, err
	}
	u := math.Log(high)
	at, err := cost(u)
	if err != nil || at > 0 {
		return high, err
	}
	low, v := u, at
	for v <= 0 && low > math.Log(1e-3) { // a bracket: less noise, more epsilon
		u, at = low, v
		low -= 0.1
		if v, err = cost(low); err != nil {
			return 0, err
		}
	}
	u, err = chase(cost, low, v, u, at)
	return math.Exp(u), err
}

// chase narrows low (cost above 0) and high (not above) to 1e-6 by regula
// falsi, and returns high. The curve is nearly a power law, so a line in the
// logarithms is close to it.
func chase(cost func(float64) (float64, error), low, atLow, high, atHigh float64) (float64, error) {
	for range 60 {
		if high-low <= 1e-6 || atLow <= 0 {
			break
		}
		u := low + (high-low)*atLow/(atLow-atHigh)
		// Aim a bit to the safe side, so that both ends move.
		u = math.Min(math.Max(u+3e-7, low+(high-low)*1e-3), high-(high-low)*1e-3)
		if high-low < 4e-6 {
			u = (low + high) / 2
		}
		v, err := cost(u)
		if err != nil {
			return 0, err
		}
		if v <= 0 {
			high, atHigh = u, v
			if w := u - 8e-7; v > -1e-5 && w > low { // is the target just below?
				x, err := cost(w)
				if err != nil {
					return 0, err
				}
				if x > 0 {
					low, atLow = w, x
				} else {
					high, atHigh = w, x
				}
			}
		} else {
			low, atLow = u, v
		}
	}
	return high, nil
}

// ExactGaussianNoiseMultiplier is the least noise multiplier of a Gaussian
// mechanism released rounds times within (epsilon, delta), by the formula of
// Balle and Wang 2018 (Theorem 8), to about 1e-12 and not below.
func ExactGaussianNoiseMultiplier(rounds int64, epsilon, delta float64, relation NeighboringRelation) (float64, error) {
	p, err := NewPLD(relation)
	if err == nil {
		err = errors.Join(checkDelta(delta), p.Compose(Event{Type: Gaussian, NoiseMultiplier: 1}, rounds))
	}
	if err != nil {
		return 0, err
	}
	if !(epsilon >= 0 && epsilon < 1e6) {
		return 0, fmt.Errorf("%w: epsilon %g, want 0 to 1e6", ErrUnreachable, epsilon)
	}
	if rounds == 0 {
		return 0, fmt.Errorf("%w: nothing to calibrate", ErrUnreachable)
	}
	logDelta := math.Log(delta)
	// mu of one release; more noise is a smaller mu.
	u := halve(-math.Log(1e9), math.Log(1e9), func(logZ float64) bool {
		return gaussianDelta(math.Sqrt(2*p.rho)*math.Exp(-logZ), epsilon) <= logDelta
	})
	return math.Exp(u) * (1 + 1e-14), nil
}
