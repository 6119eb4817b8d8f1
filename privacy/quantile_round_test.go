package privacy_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/veilsum/veilsum/internal/sampler"
	"github.com/veilsum/veilsum/privacy"
	"github.com/veilsum/veilsum/privacy/privacytest"
)

// playRound encodes one update of every norm, adds the sealing noises in one
// draw (see privacybench) and returns the estimated and the true fraction.
func playRound(t *testing.T, p privacy.Params, norms []float64, seed uint64) (estimate, truth float64) {
	t.Helper()
	e, err := privacy.NewEncoder(p, [32]byte{byte(seed), byte(seed >> 8)})
	if err != nil {
		t.Fatal(err)
	}
	sum, m := make([]int64, p.EncodedValues()), make([]int32, p.EncodedValues())
	for i, norm := range norms {
		x, err := e.Encode([]float32{float32(norm * 0.6), 0, float32(-norm * 0.8)}, privacytest.Seed(fmt.Sprint(seed, i)))
		if err != nil {
			t.Fatal(err)
		}
		if !x.Clipped() {
			truth += 1 / float64(len(norms))
		}
		x.Values(0, m)
		for j, v := range m {
			sum[j] += int64(v)
		}
	}
	g, err := sampler.NewGaussian(math.Sqrt(float64(len(norms))) * p.LocalStdDev())
	if err != nil {
		t.Fatal(err)
	}
	g.Sample(m, sampler.NewKey(privacytest.Seed("noise")).Stream(seed))
	for j, v := range m {
		sum[j] += int64(v)
	}
	if estimate, err = e.Fraction(sum, len(norms)); err != nil {
		t.Fatal(err)
	}
	return estimate, truth
}

func population(r *rand.Rand, n int) []float64 {
	norms := make([]float64, n)
	for i := range norms {
		norms[i] = 3 * math.Exp(0.8*r.NormFloat64()) // median 3
	}
	return norms
}

// quantileTask has 60 to 200 reports of three values.
func quantileTask(quantile float64) privacy.Literal {
	return privacy.Literal{
		Values: 3, ClippingNorm: 0.3, NoiseMultiplier: 1, MinBatchSize: 60, MaxBatchSize: 200, MaxDishonest: 10,
		Adaptive: &privacy.Adaptive{TargetQuantile: quantile, CountStdDev: 6},
	}
}

// TestFractionIsUnbiased: over 400 rounds the errors of the estimate have mean
// zero and the deviation that FractionStdDev states: within 5.5 standard errors
// each, false alarm below 10^-7; the seeds are fixed.
func TestFractionIsUnbiased(t *testing.T) {
	const rounds = 400
	p := mustParams(t, quantileTask(0.5))
	r := rand.New(rand.NewPCG(11, 12))
	p, err := p.WithRoundClippingNorm(2)
	if err != nil {
		t.Fatal(err)
	}
	e, err := privacy.NewEncoder(p, [32]byte{})
	if err != nil {
		t.Fatal(err)
	}
	var sum, square float64
	for k := range rounds {
		estimate, truth := playRound(t, p, population(r, 80), uint64(k))
		z := (estimate - truth) / e.FractionStdDev(80)
		sum += z / math.Sqrt(rounds)
		square += z * z / rounds
	}
	if math.Abs(sum) > 5.5 || math.Abs(square-1) > 5.5*math.Sqrt(2.0/rounds) {
		t.Errorf("mean of the errors at %.2f standard errors, variance %.3f of the stated", sum, square)
	}
	// At the noise that is counted, the count's noise is at most CountStdDev.
	if got := p.TotalStdDev() / float64(2*p.Indicator()); got > 6 {
		t.Errorf("a count's noise of %g, want at most 6", got)
	}
	near(t, "FractionStdDev", e.FractionStdDev(50), p.TotalStdDev()/float64(2*p.Indicator())/50, 1e-12)
}

// TestClippingNormConverges: from a tenth of the median, the norm reaches the
// wanted quantile of the population and stays there. Around it log C does a
// walk of step 0.2 times (noise 6/60 of the count, sampling 0.5/sqrt(60)) that
// is pulled back; over the last 60 rounds the mean of the quantile reached has
// a standard deviation below 0.015, so 0.08 is over 5 of them: false alarm
// below 10^-6 a quantile; the seeds are fixed.
func TestClippingNormConverges(t *testing.T) {
	for _, target := range []float64{0.3, 0.5, 0.8} {
		p := mustParams(t, quantileTask(target))
		r := rand.New(rand.NewPCG(13, uint64(100*target)))
		crowd := population(r, 100_000)
		slices.Sort(crowd)
		c, reached := p.ClippingNorm(), 0.0
		const rounds, last = 120, 60
		for k := range rounds {
			round, err := p.WithRoundClippingNorm(c)
			if err != nil {
				t.Fatal(err)
			}
			estimate, _ := playRound(t, round, population(r, 60), uint64(k))
			if c, err = round.NextClippingNorm(c, estimate); err != nil {
				t.Fatal(err)
			}
			if k >= rounds-last {
				at, _ := slices.BinarySearch(crowd, c)
				reached += float64(at) / float64(len(crowd)) / last
			}
		}
		t.Logf("target %.2f: reached %.3f, C = %.2f", target, reached, c)
		if math.Abs(reached-target) > 0.08 {
			t.Errorf("target %.2f: the last %d rounds were at quantile %.3f on average", target, last, reached)
		}
	}
}

// TestAdaptiveCountsGroupsTogether: with groups, one clipped group is enough.
func TestAdaptiveCountsGroupsTogether(t *testing.T) {
	l := adaptive(10)
	l.ClippingNorm, l.Groups = 0, []privacy.Group{{0, 4, 3}, {4, 10, 4}}
	p := mustParams(t, l)
	for _, c := range []struct {
		round float64
		sign  int32
	}{{5, -1}, {4.9, -1}, {10, 1}} { // bounds 3 and 4, 2.94 and 3.92, 6 and 8
		r, err := p.WithRoundClippingNorm(c.round)
		if err != nil {
			t.Fatal(err)
		}
		e, err := privacy.NewEncoder(r, [32]byte{})
		if err != nil {
			t.Fatal(err)
		}
		x, err := e.Encode([]float32{3.5, 0, 0, 0, 1, 0, 0, 0, 0, 0}, [32]byte{1})
		if err != nil {
			t.Fatal(err)
		}
		if got := all(x, 11)[10]; got != c.sign*int32(p.Indicator()) {
			t.Errorf("C = %g: indicator %d, want sign %d", c.round, got, c.sign)
		}
	}
}

// TestAdaptiveAccuracy: a whole round with an indicator decodes to the mean, with
// the noise of z_delta and no more but rounding: within 6 standard errors, false
// alarm below 10^-8; the seed is fixed.
func TestAdaptiveAccuracy(t *testing.T) {
	l := adaptive(3000)
	l.NoiseMultiplier, l.MinBatchSize = 1.5, 40
	p := mustParams(t, l)
	r, err := privacytest.SimulateMean("adaptive", p, 40)
	if err != nil {
		t.Fatal(err)
	}
	// Of the central mechanism's: D gamma/C for the grid, rounding 1/4 at most.
	s := p.LocalStdDev()
	low := float64(p.Sensitivity()) / p.Grid() / p.ClippingNorm()
	high := low * math.Sqrt(1+0.25/(s*s))
	t.Logf("ratio %.4f +- %.4f, between %.4f and %.4f without sampling", r.Ratio, r.RatioStdErr, low, high)
	if r.Wraps != 0 || r.Ratio < low-6*r.RatioStdErr || r.Ratio > high+6*r.RatioStdErr {
		t.Errorf("ratio %.4f +- %.4f, want %.4f to %.4f; %d wraps", r.Ratio, r.RatioStdErr, low, high, r.Wraps)
	}
}
