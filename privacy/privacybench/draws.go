package privacybench

import "github.com/veilsum/veilsum/internal/sampler"

// Draws measures the sampler of the noise: N_Z(0, sigma^2) from a fixed key.
// Not safe for concurrent use.
type Draws struct {
	law    *sampler.Gaussian
	stream *sampler.Stream
	values []int32
}

// drawsBlock is how many values are drawn in a call of the sampler.
const drawsBlock = 1 << 15

// NewDraws prepares the tables; sigma as Params.LocalStdDev has it. The error is the sampler's.
func NewDraws(sigma float64) (*Draws, error) {
	law, err := sampler.NewGaussian(sigma)
	if err != nil {
		return nil, err
	}
	return &Draws{law, sampler.NewKey([32]byte{1}).Stream(0), make([]int32, drawsBlock)}, nil
}

// Take draws n values and returns the sum of the squares of them.
func (d *Draws) Take(n int) (squares float64) {
	for n > 0 {
		block := d.values[:min(n, len(d.values))]
		d.law.Sample(block, d.stream)
		for _, v := range block {
			squares += float64(v) * float64(v)
		}
		n -= len(block)
	}
	return squares
}
