package accountant

import (
	"errors"
	"fmt"
	"math"
)

// ErrUnreachable reports that no noise within range meets the target.
var ErrUnreachable = errors.New("accountant: target cannot be reached")

// Affordable returns how many times next may be released after spent before
// (epsilon, delta) would be exceeded; at most 2^32.
func Affordable(spent []Event, next Event, epsilon, delta float64, relation NeighboringRelation) (int64, error) {
	fits := func(count int64) (bool, error) {
		events := append(append([]Event(nil), spent...), Repeat(next, count))
		g, err := Account(events, delta, relation)
		if errors.Is(err, ErrNoGuarantee) {
			return false, nil
		}
		return err == nil && g.Epsilon <= epsilon, err
	}
	if ok, err := fits(0); err != nil || !ok {
		return 0, err
	}
	high := int64(1)
	for ; high <= 1<<32; high *= 2 {
		if ok, err := fits(high); err != nil {
			return 0, err
		} else if !ok {
			break
		}
	}
	low := high / 2
	for high = min(high, 1<<32+1); high-low > 1; {
		mid := low + (high-low)/2
		ok, err := fits(mid)
		if err != nil {
			return 0, err
		}
		if ok {
			low = mid
		} else {
			high = mid
		}
	}
	return low, nil
}

// Calibrate returns the smallest noise multiplier, to one part in 10^9 and
// never below, for which the events that make returns stay within (epsilon,
// delta). More noise must not cost more privacy. The range searched is 10^-3
// to 10^6; the error wraps [ErrUnreachable] if even the largest is too little.
func Calibrate(make func(noiseMultiplier float64) ([]Event, error), epsilon, delta float64, relation NeighboringRelation) (float64, error) {
	fits := func(u float64) (bool, error) {
		events, err := make(math.Exp(u))
		if err != nil {
			return false, err
		}
		g, err := Account(events, delta, relation)
		if errors.Is(err, ErrNoGuarantee) {
			return false, nil
		}
		return err == nil && g.Epsilon <= epsilon, err
	}
	low, high := math.Log(1e-3), math.Log(1e6)
	if ok, err := fits(high); err != nil {
		return 0, err
	} else if !ok {
		return 0, fmt.Errorf("%w: epsilon %g at delta %g", ErrUnreachable, epsilon, delta)
	}
	for high-low > 1e-9 {
		mid := (low + high) / 2
		ok, err := fits(mid)
		// The largest noise made valid events, so this noise is too little to be
		// one.
		if err != nil && !errors.Is(err, ErrEvent) {
			return 0, err
		}
		if ok && err == nil {
			high = mid
		} else {
			low = mid
		}
	}
	return math.Exp(high), nil
}

// GaussianNoiseMultiplier is [Calibrate] for a Gaussian mechanism released
// rounds times.
func GaussianNoiseMultiplier(rounds int64, epsilon, delta float64, relation NeighboringRelation) (float64, error) {
	return Calibrate(func(z float64) ([]Event, error) {
		return []Event{Repeat(Event{Type: Gaussian, NoiseMultiplier: z}, rounds)}, nil
	}, epsilon, delta, relation)
}
