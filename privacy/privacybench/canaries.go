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

// CanaryRound is one round of planted canaries to play in the clear.
type CanaryRound struct {
	// Params: mechanism discrete_gaussian. Client i's update is the clipping norm on value i,
	// so at most Values clients.
	Params privacy.Params
	// Included says of each client whether its update is that or zero.
	Included []bool
	// Progress, if not nil, is told how many clients are done.
	Progress func(done, total int)
}

// Play returns the decoded sum, Values values in units of the clipping norm:
// value i is 1 or 0 for client i, and noise. Real: every update is clipped,
// rotated, rounded and checked by [privacy.Encoder]; every client, also one that
// is not included, draws noise of its own by the sampler that sealing uses,
// under a key of its own from crypto/rand; the sum is reduced modulo Q and
// decoded. Left out: seals, boxes, signatures, committee, store and ledger.
// It needs about 25 ns a value and client.
func (c CanaryRound) Play(ctx context.Context) ([]float64, error) {
	encoder, noise, err := c.prepare()
	if err != nil {
		return nil, err
	}
	d, n := c.Params.Values(), len(c.Included)
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
	return c.decode(encoder, sums)
}

func (c CanaryRound) prepare() (*privacy.Encoder, *sampler.Gaussian, error) {
	l, n := c.Params.Literal(), len(c.Included)
	if l.Mechanism != privacy.DiscreteGaussian || l.Adaptive != nil || l.Compression != nil || n < max(l.MinBatchSize, 1) || n > l.MaxBatchSize || n > l.Values {
		return nil, nil, fmt.Errorf("privacybench: %s with %d canaries on %d values, want discrete_gaussian, nothing adaptive or compressed, with %d to %d on as many values", l.Mechanism, n, l.Values, l.MinBatchSize, l.MaxBatchSize)
	}
	var roundID [32]byte
	if _, err := rand.Read(roundID[:]); err != nil {
		return nil, nil, fmt.Errorf("privacybench: %w", err)
	}
	encoder, err := privacy.NewEncoder(c.Params, roundID)
	if err != nil {
		return nil, nil, err
	}
	noise, err := sampler.NewGaussian(c.Params.LocalStdDev())
	if err != nil {
		return nil, nil, fmt.Errorf("privacybench: %w", err)
	}
	return encoder, noise, nil
}

// add adds client i's integers and noise to the sum.
func (c CanaryRound) add(sum []int64, i int, encoder *privacy.Encoder, noise *sampler.Gaussian) error {
	var seed [32]byte
	if _, err := rand.Read(seed[:]); err != nil {
		return fmt.Errorf("privacybench: %w", err)
	}
	update := make([]float32, len(sum))
	if c.Included[i] {
		update[i] = float32(c.Params.ClippingNorm())
	}
	x, err := encoder.Encode(update, sampler.Derive(seed[:], "rounding"))
	if err != nil {
		return err
	}
	var m, z [1024]int32 // a block, as sealing has them
	local := sampler.NewKey(sampler.Derive(seed[:], "z"))
	for j := 0; j*len(m) < len(sum); j++ {
		x.Values(j*len(m), m[:])
		noise.Sample(z[:], local.Stream(uint64(j)))
		part := sum[j*len(m) : min(len(sum), (j+1)*len(m))]
		for k := range part {
			part[k] += int64(m[k]) + int64(z[k])
		}
	}
	return nil
}

func (c CanaryRound) decode(encoder *privacy.Encoder, sums [][]int64) ([]float64, error) {
	total := sums[0]
	for _, s := range sums[1:] {
		for j, v := range s {
			total[j] += v
		}
	}
	half := int64(math.Ceil(c.Params.RequiredHalfModulus(1024)))
	q := 2*half + 1
	for j, v := range total {
		total[j] = ((v+half)%q+q)%q - half
	}
	released, err := encoder.Decode(total, len(c.Included))
	if err != nil {
		return nil, err
	}
	for j := range released {
		released[j] *= float64(len(c.Included)) / c.Params.ClippingNorm()
	}
	return released, nil
}
