package privacybench

import (
	"context"
	"crypto/rand"
	"fmt"
	"math"
	"runtime"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/veilsum/veilsum/internal/sampler"
	"github.com/veilsum/veilsum/privacy"
)

// ClearRound is one round to play in the clear.
type ClearRound struct {
	// Params: mechanism discrete_gaussian, a constant clipping norm. Required.
	Params privacy.Params
	// Clients is n, MinBatchSize to MaxBatchSize. Required.
	Clients int
	// Update writes client i's update to x, which holds zeros; it is called concurrently. Required.
	Update func(i int, x []float32) error
	// SummedNoise draws the sum of all n sealing noises at once as N_Z(0, n sigma_e^2): its distribution differs from
	// that of the sum by less than 2^-400 at sigma_e >= 6.4 (Kairouz et al. 2021). Else every client draws its own.
	SummedNoise bool
	// Progress, if not nil, is told how many clients are done; it is called concurrently.
	Progress func(done, total int)
}

// Mean returns the decoded mean. Real: every update is clipped, rotated, rounded and
// checked by [privacy.Encoder] under a fresh RoundID; the noise is drawn by the sampler that sealing uses, under
// keys from crypto/rand; the sum is reduced modulo Q and decoded. Left out: seals, boxes,
// signatures, committee, store and ledger. It needs about 25 ns a value and client.
func (c ClearRound) Mean(ctx context.Context) ([]float64, error) {
	encoder, noise, err := c.prepare()
	if err != nil {
		return nil, err
	}
	d, n := c.Params.Values(), c.Clients
	sums := make([][]int64, max(1, min(n, runtime.GOMAXPROCS(0))))
	g, ctx := errgroup.WithContext(ctx)
	var done atomic.Int64
	for w := range sums {
		sums[w] = make([]int64, d)
		g.Go(func() error {
			for i := w; i < n; i += len(sums) {
				if err := ctx.Err(); err != nil {
					return err
				}
				if err := c.add(sums[w], i, encoder, noise); err != nil {
					return err
				}
				if k := done.Add(1); c.Progress != nil {
					c.Progress(int(k), n)
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return c.decode(encoder, noise, sums)
}

func (c ClearRound) prepare() (*privacy.Encoder, *sampler.Gaussian, error) {
	l := c.Params.Literal()
	if l.Mechanism != privacy.DiscreteGaussian || l.Adaptive != nil || l.Compression != nil || c.Clients < max(l.MinBatchSize, 1) || c.Clients > l.MaxBatchSize {
		return nil, nil, fmt.Errorf("privacybench: %s with %d clients, want discrete_gaussian with %d to %d, nothing adaptive or compressed", l.Mechanism, c.Clients, l.MinBatchSize, l.MaxBatchSize)
	}
	seed, err := fresh()
	if err != nil {
		return nil, nil, err
	}
	encoder, err := privacy.NewEncoder(c.Params, seed)
	if err != nil {
		return nil, nil, err
	}
	deviation := c.Params.LocalStdDev()
	if c.SummedNoise {
		deviation *= math.Sqrt(float64(c.Clients))
	}
	noise, err := sampler.NewGaussian(deviation)
	if err != nil {
		return nil, nil, fmt.Errorf("privacybench: %w", err)
	}
	return encoder, noise, nil
}

func fresh() (seed [32]byte, err error) {
	if _, err = rand.Read(seed[:]); err != nil {
		err = fmt.Errorf("privacybench: %w", err)
	}
	return seed, err
}

// clearBlock is how many values are added at a time, as sealing has them.
const clearBlock = 1024

// add adds client i's integers to the sum, and its noise unless that is drawn at once.
func (c ClearRound) add(sum []int64, i int, encoder *privacy.Encoder, noise *sampler.Gaussian) error {
	seed, err := fresh()
	if err != nil {
		return err
	}
	update := make([]float32, len(sum))
	if err := c.Update(i, update); err != nil {
		return err
	}
	x, err := encoder.Encode(update, sampler.Derive(seed[:], "rounding"))
	if err != nil {
		return err
	}
	var m [clearBlock]int32
	for from := 0; from < len(sum); from += len(m) {
		x.Values(from, m[:])
		for k := range sum[from:min(len(sum), from+len(m))] {
			sum[from+k] += int64(m[k])
		}
	}
	if !c.SummedNoise {
		addNoise(sum, seed, noise)
	}
	return nil
}

// addNoise draws block by block from streams of one key, as sealing does.
func addNoise(sum []int64, seed [32]byte, noise *sampler.Gaussian) {
	key := sampler.NewKey(sampler.Derive(seed[:], "z"))
	var z [clearBlock]int32
	for from := 0; from < len(sum); from += len(z) {
		noise.Sample(z[:], key.Stream(uint64(from/len(z))))
		for k := range sum[from:min(len(sum), from+len(z))] {
			sum[from+k] += int64(z[k])
		}
	}
}

func (c ClearRound) decode(encoder *privacy.Encoder, noise *sampler.Gaussian, sums [][]int64) ([]float64, error) {
	total := sums[0]
	for _, s := range sums[1:] {
		for j, v := range s {
			total[j] += v
		}
	}
	if c.SummedNoise {
		seed, err := fresh()
		if err != nil {
			return nil, err
		}
		addNoise(total, seed, noise)
	}
	half := int64(math.Ceil(c.Params.RequiredHalfModulus(1024)))
	q := 2*half + 1
	for j, v := range total {
		total[j] = ((v+half)%q+q)%q - half
	}
	return encoder.Decode(total, c.Clients)
}
