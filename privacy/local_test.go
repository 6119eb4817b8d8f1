package privacy_test

import (
	"errors"
	"math"
	"strconv"
	"testing"

	"github.com/veilsum/veilsum/privacy"
	"github.com/veilsum/veilsum/privacy/privacytest"
)

// local is a literal of the local model.
func local(d int, m privacy.Mechanism) privacy.Literal {
	l := base(d)
	l.TrustModel, l.Mechanism = privacy.Local, m
	return l
}

// needLibrary skips where google/differential-privacy does not compile; there
// the mechanisms must be refused, not weakened.
func needLibrary(t *testing.T) {
	t.Helper()
	if strconv.IntSize == 64 {
		return
	}
	x, err := newEncoder(t, local(1, privacy.Gaussian), [32]byte{}).Encode([]float32{1}, [32]byte{})
	if x != nil || !errors.Is(err, privacy.ErrParams) {
		t.Errorf("without the library: %v, %v", x, err)
	}
	t.Skip("google/differential-privacy needs 64-bit int")
}

func TestLocalDiscreteGaussian(t *testing.T) {
	l := local(10_000, privacy.DiscreteGaussian)
	l.NoiseMultiplier = 2
	p, err := privacy.New(l)
	if err != nil {
		t.Fatal(err)
	}
	if p.HonestMin() != 1 || p.LocalStdDev() != 2*float64(p.Sensitivity()) {
		t.Errorf("h = %d, sigma_e = %g with D = %d", p.HonestMin(), p.LocalStdDev(), p.Sensitivity())
	}
	l.MinBatchSize = 1
	if _, err := privacy.New(l); err != nil {
		t.Errorf("one client suffices in the local model: %v", err)
	}
}

// TestLibraryNoise measures the noise of one client's values around the bounded
// integers of the zero update, which are zero. Per value the sample variance of
// n draws is within 6.5 standard errors sqrt((kurtosis-1)/n), the mean within
// 6.5/sqrt(n): each fails by chance with probability below 10^-10 for the mean
// and, its tail being heavier, below 10^-7 for the variance. Laplace has
// kurtosis 6. The randomness is the system's.
func TestLibraryNoise(t *testing.T) {
	needLibrary(t)
	const d = 1000
	trials := 4
	if testing.Short() {
		trials = 1
	}
	for _, c := range []struct {
		mechanism privacy.Mechanism
		kurtosis  float64
	}{{privacy.Gaussian, 3}, {privacy.Laplace, 6}} {
		l := local(d, c.mechanism)
		e := newEncoder(t, l, [32]byte{})
		p := e.Params()
		var sum, square float64
		for range trials {
			x, err := e.Encode(make([]float32, d), [32]byte{1})
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range all(x, d)[:d] {
				sum += float64(v)
				square += float64(v) * float64(v)
				if int64(max(v, -v)) > p.ValueBound() {
					t.Fatalf("%s: value %d beyond the bound %d", c.mechanism, v, p.ValueBound())
				}
			}
		}
		n := float64(trials * d)
		if mean := sum / n / p.TotalStdDev(); math.Abs(mean) > 6.5/math.Sqrt(n) {
			t.Errorf("%s: mean is %.4f standard deviations", c.mechanism, mean)
		}
		if v := square / n / (p.TotalStdDev() * p.TotalStdDev()); math.Abs(v-1) > 6.5*math.Sqrt((c.kurtosis-1)/n) {
			t.Errorf("%s: variance is %.4f of the stated one", c.mechanism, v)
		}
		if p.LocalStdDev() != 6.4 {
			t.Errorf("%s is sealed with %g, want 6.4", c.mechanism, p.LocalStdDev())
		}
	}
}

// TestLibraryNoiseScales states the scales: sigma = zD, b = z * floor(sqrt(d) D).
func TestLibraryNoiseScales(t *testing.T) {
	g, err := privacy.New(local(100, privacy.Gaussian))
	if err != nil {
		t.Fatal(err)
	}
	bound := float64(g.Sensitivity()) // 6.4 steps suffice for z = 1 and h = 1: D = ceil(1.01*sqrt(100/0.08)) = 36
	near(t, "D", bound, 36, 0)
	near(t, "Gaussian", g.TotalStdDev(), 36, 0)
	near(t, "Gaussian clamp", float64(g.ValueBound()), 36+math.Ceil(7.54*36), 0)
	l, err := privacy.New(local(100, privacy.Laplace))
	if err != nil {
		t.Fatal(err)
	}
	near(t, "Laplace", l.TotalStdDev(), math.Sqrt2*360, 1e-9)
	near(t, "Laplace clamp", float64(l.ValueBound()), 36+math.Ceil(41*math.Ln2*360), 0)
	few, err := privacy.New(local(1, privacy.Laplace)) // D = ceil(1.01*6.4) = 7
	if err != nil {
		t.Fatal(err)
	}
	near(t, "Laplace of one value", few.TotalStdDev(), math.Sqrt2*7, 1e-9)
}

// TestLibraryValues: the noisy integers are one fixed outcome, and decode to
// the update within 6.5 standard deviations (false alarm below 2*10^-8 over
// 200 values; the randomness is the system's).
func TestLibraryValues(t *testing.T) {
	needLibrary(t)
	const d = 200
	l := local(d, privacy.Gaussian)
	l.NoiseMultiplier = 0.05
	e := newEncoder(t, l, [32]byte{})
	update := privacytest.Update("library", d, 0.9)
	x, err := e.Encode(append([]float32(nil), update...), [32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	m := all(x, d)
	part := make([]int32, 50)
	x.Values(75, part)
	sum := make([]int64, d)
	for i, v := range m[:d] {
		sum[i] = int64(v)
		if i >= 75 && i < 125 && part[i-75] != v {
			t.Fatal("a second read gave other noise")
		}
	}
	if first, second := x.Digest(), x.Digest(); first != second {
		t.Error("the digest is not fixed")
	}
	mean, err := e.Decode(sum, 1)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range mean {
		if math.Abs(v-float64(update[i])) > 6.5*e.NoiseStdDev(1) {
			t.Errorf("value %d is %g, want %g within %g", i, v, update[i], 6.5*e.NoiseStdDev(1))
		}
	}
}

// TestLaplaceCapacity: the bound for a sum of n Laplace noises lies between the
// Gaussian one of equal variance and the crude one, 28.4 scales a client.
func TestLaplaceCapacity(t *testing.T) {
	for _, n := range []int{2, 100, 10_000} {
		l := local(1000, privacy.Laplace)
		l.MinBatchSize, l.MaxBatchSize = 2, n
		p, err := privacy.New(l)
		if err != nil {
			t.Fatal(err)
		}
		noise := 7.54 * math.Sqrt(float64(n)) * p.TotalStdDev()
		crude := float64(n)*float64(p.ValueBound()) + 7.54*math.Sqrt(float64(n))*p.LocalStdDev()
		if got := p.RequiredHalfModulus(1024); got < noise || (n > 2 && got > crude) {
			t.Errorf("n=%d: capacity %g, want %g to %g", n, got, noise, crude)
		}
	}
}

func TestNoiseStdDev(t *testing.T) {
	e := newEncoder(t, base(100), [32]byte{})
	p := e.Params()
	near(t, "at h_min", e.NoiseStdDev(p.HonestMin()), p.TotalStdDev()/p.Grid()/10, 1e-12)
	near(t, "at 40", e.NoiseStdDev(40), p.LocalStdDev()/p.Grid()/math.Sqrt(40), 1e-12)
	near(t, "of the parameters alone", p.NoiseStdDev(40), e.NoiseStdDev(40), 0)
	if !math.IsNaN(privacy.Params{}.NoiseStdDev(40)) {
		t.Error("parameters not made by New have a noise")
	}
	if !math.IsNaN(e.NoiseStdDev(0)) {
		t.Error("no reports have a noise")
	}
	e = newEncoder(t, local(100, privacy.Gaussian), [32]byte{})
	near(t, "local", e.NoiseStdDev(1)*e.Params().Grid(), math.Hypot(36, 6.4), 1e-9)
}
