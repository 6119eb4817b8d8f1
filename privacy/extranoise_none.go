//go:build 386 || arm || mips || mipsle || nolibrarynoise

package privacy

import "fmt"

// sampler fails: google/differential-privacy v2.1.0 does not compile where int
// has 32 bits, and the tag nolibrarynoise leaves it out: 0.4 MB that a vehicle is spared where no task
// has the local model's "gaussian" or "laplace". Everything else in this package works.
func (e *extraNoise) sampler() (func(int64) (int64, error), error) {
	return nil, fmt.Errorf("%w: mechanism %s is left out of this build (32 bits, or the tag nolibrarynoise)", ErrParams, e.mechanism)
}
