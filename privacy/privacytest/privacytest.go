// Package privacytest makes encoded updates repeatable in tests. Only _test
// files may import it: a seed that anybody can compute protects nobody.
package privacytest

import (
	"github.com/veilsum/veilsum/internal/sampler"
	"github.com/veilsum/veilsum/privacy"
	"github.com/veilsum/veilsum/privacy/privacybench"
)

// Seed is a fixed 32-byte secret for a name.
func Seed(name string) [32]byte { return sampler.Derive([]byte(name), "privacytest") }

// Update is a fixed update of the given length whose L2 norm is about norm.
func Update(name string, values int, norm float64) []float32 {
	seed := Seed(name)
	return privacybench.Spread(sampler.NewKey(seed).Stream(0), values, norm)
}

// AddNoise adds to sum one draw per value of N_Z(0, stdDev^2), 4 to 2^20: the
// noises of a whole batch at once.
func AddNoise(name string, sum []int64, stdDev float64) error {
	g, err := sampler.NewGaussian(stdDev)
	if err != nil {
		return err
	}
	noise := make([]int32, len(sum))
	seed := Seed(name)
	g.Sample(noise, sampler.NewKey(seed).Stream(1))
	for i, v := range noise {
		sum[i] += int64(v)
	}
	return nil
}

// SimulateMean is [privacybench.SimulateMean] with the seed of a name.
func SimulateMean(name string, p privacy.Params, clients int) (privacybench.Result, error) {
	return privacybench.SimulateMean(privacybench.Simulation{Params: p, Clients: clients, Seed: Seed(name)})
}
