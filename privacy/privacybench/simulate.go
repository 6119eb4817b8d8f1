// Package privacybench measures what the encoding costs in accuracy, without
// encryption: [SimulateMean] plays one round in the clear and compares the
// decoded mean with the central Gaussian mechanism; it backs `veilsum bench`.
// [CanaryRound] plays a round of planted canaries, for `veilsum audit canary --clear`.
// Nothing in it protects anybody.
package privacybench

import (
	"fmt"
	"math"

	"github.com/veilsum/veilsum/internal/sampler"
	"github.com/veilsum/veilsum/privacy"
)

// Simulation describes a round to play.
type Simulation struct {
	// Params: mechanism discrete_gaussian.
	Params privacy.Params
	// Clients is n, the reports in the batch; MinBatchSize to MaxBatchSize.
	Clients int
	// HalfModulus is (Q-1)/2; 0 takes RequiredHalfModulus at ring degree 1024,
	// rounded up.
	HalfModulus int64
	// Seed fixes everything that is drawn.
	Seed [32]byte
}

// Result is what came out.
type Result struct {
	// RMSE of the decoded mean per value, against the exact mean of the clipped updates.
	RMSE float64 `json:"rmse"`
	// CentralRMSE is what a trusted server would have: NoiseMultiplier * C / n.
	CentralRMSE float64 `json:"central_rmse"`
	// Ratio is RMSE / CentralRMSE. It holds the factor sqrt(n/h_min), which is
	// 1 only if every client of a smallest batch is counted honest.
	Ratio float64 `json:"ratio"`
	// RatioStdErr is the standard error of Ratio, from the number of values.
	RatioStdErr float64 `json:"ratio_std_err"`
	// MeanRMS is the size per value of the mean itself.
	MeanRMS float64 `json:"mean_rms"`
	// Clipped counts the updates above the clipping norm.
	Clipped int `json:"clipped"`
	// Wraps counts the values of the sum beyond the modulus; LargestSum is the
	// largest magnitude over HalfModulus.
	Wraps       int     `json:"wraps"`
	LargestSum  float64 `json:"largest_sum"`
	HalfModulus int64   `json:"half_modulus"`
}

// SimulateMean plays one round. Real: every client has a vector of its own,
// which is clipped, rotated, rounded and checked by [privacy.Encoder]; the sum
// is exact, reduced modulo Q and decoded. Simulated: the client vectors are one
// common mean plus noise that is a window, at a random place, of one pool of
// Gaussian values, with lengths from 0.5 to 2 C; and the n sealing noises are
// one draw of N_Z(0, n sigma_e^2), which differs from their sum by less than
// 2^-400 in distribution at sigma_e >= 6.4 (Kairouz et al. 2021).
//
// It needs 20 bytes a value and about 15 ns a value and client.
func SimulateMean(s Simulation) (Result, error) {
	r, err := newRound(s)
	if err != nil {
		return Result{}, err
	}
	for i := range s.Clients {
		if err := r.client(uint64(i)); err != nil {
			return Result{}, err
		}
	}
	if err := r.addNoise(); err != nil {
		return Result{}, err
	}
	return r.result()
}

// round is the state of one simulation.
type round struct {
	Simulation
	encoder *privacy.Encoder
	key     *sampler.Key
	pool    []float32 // unit variance over sqrt(d): a window has norm about 1
	common  []float32
	update  []float32
	block   [1024]int32
	sum     []int64
	mean    []float64 // exact sum of the clipped updates
	clipped int
}

// Streams of the key: two fixed ones, the noise, then two a client.
const (
	poolStream = iota
	commonStream
	noiseStream
	roundIDStream
	clientStream
)

const poolSlack = 1 << 16

func newRound(s Simulation) (*round, error) {
	l := s.Params.Literal()
	if l.Mechanism != privacy.DiscreteGaussian || s.Clients < max(l.MinBatchSize, 1) || s.Clients > l.MaxBatchSize {
		return nil, fmt.Errorf("privacybench: %s with %d clients, want discrete_gaussian with %d to %d", l.Mechanism, s.Clients, l.MinBatchSize, l.MaxBatchSize)
	}
	if s.HalfModulus == 0 {
		s.HalfModulus = int64(math.Ceil(s.Params.RequiredHalfModulus(1024)))
	}
	r := &round{Simulation: s, key: sampler.NewKey(sampler.Derive(s.Seed[:], "simulate"))}
	var roundID [32]byte
	_, _ = r.key.Stream(roundIDStream).Read(roundID[:])
	var err error
	if r.encoder, err = privacy.NewEncoder(s.Params, roundID); err != nil {
		return nil, err
	}
	d := l.Values
	r.pool = Spread(r.key.Stream(poolStream), d+poolSlack, math.Sqrt(1+float64(poolSlack)/float64(d)))
	r.common = Spread(r.key.Stream(commonStream), d, 1)
	r.update = make([]float32, d)
	r.sum, r.mean = make([]int64, s.Params.EncodedValues()), make([]float64, d)
	return r, nil
}

// Spread draws n values of variance norm^2/n, each the sum of four uniforms.
func Spread(s *sampler.Stream, n int, norm float64) []float32 {
	scale := norm * math.Sqrt(3/float64(n)) / (1 << 16)
	x := make([]float32, n)
	for i := range x {
		w := s.Uint64()
		t := int64(w&0xffff) + int64(w>>16&0xffff) + int64(w>>32&0xffff) + int64(w>>48)
		x[i] = float32((float64(t) - 2*0xffff) * scale)
	}
	return x
}

// client plays one client.
func (r *round) client(i uint64) error {
	draw := r.key.Stream(clientStream + 2*i)
	offset := int(draw.Uint64() % (poolSlack + 1))
	length := r.Params.ClippingNorm() * (0.5 + 1.5*float64(draw.Uint64()>>11)/(1<<53))
	var seed [32]byte
	_, _ = draw.Read(seed[:])

	noise := r.pool[offset : offset+len(r.update)]
	a := float32(length / math.Sqrt2)
	for j, v := range noise {
		r.update[j] = a * (r.common[j] + v)
	}
	x, err := r.encoder.Encode(r.update, seed)
	if err != nil {
		return err
	}
	if x.Clipped() {
		r.clipped++
	}
	factor := math.Min(1, r.Params.ClippingNorm()/x.Norm())
	for j, v := range noise { // the update again: Encode consumed it
		r.mean[j] += factor * float64(a*(r.common[j]+v))
	}
	r.add(x)
	return nil
}

func (r *round) add(x *privacy.Encoded) {
	for offset := 0; offset < len(r.sum); offset += len(r.block) {
		x.Values(offset, r.block[:])
		part := r.sum[offset:min(offset+len(r.block), len(r.sum))]
		for j := range part {
			part[j] += int64(r.block[j])
		}
	}
}

// addNoise adds the sum of all sealing noises in one draw.
func (r *round) addNoise() error {
	g, err := sampler.NewGaussian(math.Sqrt(float64(r.Clients)) * r.Params.LocalStdDev())
	if err != nil {
		return fmt.Errorf("privacybench: noise of the sum: %w", err)
	}
	s := r.key.Stream(noiseStream)
	for rest := r.sum; len(rest) > 0; {
		n := min(len(rest), len(r.block))
		g.Sample(r.block[:n], s)
		for j := range rest[:n] {
			rest[j] += int64(r.block[j])
		}
		rest = rest[n:]
	}
	return nil
}

// wrap reduces the sum to [-HalfModulus, HalfModulus] modulo 2 HalfModulus + 1.
func (r *round) wrap(out *Result) {
	q := 2*r.HalfModulus + 1
	for j, v := range r.sum {
		size := max(v, -v)
		out.LargestSum = math.Max(out.LargestSum, float64(size)/float64(r.HalfModulus))
		if size <= r.HalfModulus {
			continue
		}
		out.Wraps++
		v = ((v+r.HalfModulus)%q + q) % q
		r.sum[j] = v - r.HalfModulus
	}
}

func (r *round) result() (Result, error) {
	out := Result{HalfModulus: r.HalfModulus, Clipped: r.clipped}
	r.wrap(&out)
	decoded, err := r.encoder.Decode(r.sum, r.Clients)
	if err != nil {
		return Result{}, err
	}
	n, d := float64(r.Clients), float64(len(decoded))
	var errors, size float64
	for j, v := range decoded {
		want := r.mean[j] / n
		errors += (v - want) * (v - want)
		size += want * want
	}
	out.RMSE, out.MeanRMS = math.Sqrt(errors/d), math.Sqrt(size/d)
	out.CentralRMSE = r.Params.Literal().NoiseMultiplier * r.Params.ClippingNorm() / n
	out.Ratio = out.RMSE / out.CentralRMSE
	out.RatioStdErr = out.Ratio / math.Sqrt(2*d)
	return out, nil
}
