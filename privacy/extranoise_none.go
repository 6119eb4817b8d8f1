//go:build 386 || arm || mips || mipsle

package privacy

import "fmt"

// sampler fails: google/differential-privacy v2.1.0 does not compile where int
// has 32 bits. Everything else in this package works there.
func (e *extraNoise) sampler() (func(int64) (int64, error), error) {
	return nil, fmt.Errorf("%w: mechanism %s needs a 64-bit system", ErrParams, e.mechanism)
}
