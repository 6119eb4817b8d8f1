package accountant

import (
	"math"
	"math/cmplx"
	"sync"

	"gonum.org/v1/gonum/dsp/fourier"
)

// ingredient is one event's masses and how often it is composed.
type ingredient struct {
	mass
	count float64
}

// roundOff bounds the relative error, in the 2-norm, of a fast Fourier
// transform of n values by roundOff log2(n): Higham 2002, Theorem 24.2, gives
// about 7 units of rounding (2^-53) per level with twiddle factors good to one
// unit; gonum's are, and a bit more than twice that is charged.
const roundOff = 16 * 0x1p-53

// composed is the distribution of the sum of the tilted losses on a window.
//
// Tilting multiplies the mass at loss x by exp(t x), normalized; a composition
// of tilted masses is the tilted composition. With t such that the tilted mean
// is near epsilon, the masses that matter for delta are the large ones, and
// the absolute error of a Fourier transform becomes a relative one.
type composed struct {
	at    []float64 // tilted masses, wrapped around the window
	start float64   // loss of the first
	h     float64
	t, k  float64 // tilt, and K(t) of the untilted masses
	noise float64 // bound of the rounding error of each of at
}

// cumulantOf is K(s) of the composition, from the masses.
func cumulantOf(events []ingredient, h, s float64) float64 {
	k := 0.0
	for i := range events {
		k += events[i].count * events[i].cumulant(h, s)
	}
	return k
}

func (m *mass) cumulant(h, s float64) float64 {
	if m.logs == nil {
		m.logs = make([]float64, len(m.at))
		for i, p := range m.at {
			m.logs[i] = math.Log(p)
		}
	}
	top, step := math.Inf(-1), s*h
	for i, l := range m.logs {
		top = math.Max(top, l+step*float64(i))
	}
	if math.IsInf(top, -1) {
		return top
	}
	sum := 0.0
	for i, l := range m.logs {
		if x := l + step*float64(i) - top; x > -50 {
			sum += math.Exp(x)
		}
	}
	// What was skipped is below exp(-50) of the largest, each.
	sum += float64(len(m.at)) * math.Exp(-50)
	return top + math.Log(sum) + s*(m.offset+float64(m.first)*h)
}

// transforms keeps one plan per size; a plan is not safe for concurrent use.
var transforms [64]sync.Pool

func withFFT(bits int, use func(*fourier.FFT)) {
	fft, ok := transforms[bits].Get().(*fourier.FFT)
	if !ok {
		fft = fourier.NewFFT(1 << bits)
	}
	use(fft)
	transforms[bits].Put(fft)
}

// compose tilts the events by t and composes them on a window of 2^bits points
// of step h from loss bottom on.
func compose(events []ingredient, h, t, bottom float64, bits int) *composed {
	n := 1 << bits
	total := 0.0
	for i := range events {
		total += events[i].count * events[i].offset
	}
	first := math.Floor((bottom - total) / h)
	c := &composed{h: h, t: t, start: total + first*h, at: make([]float64, n)}
	withFFT(bits, func(fft *fourier.FFT) {
		c.product(fft, events, n)
		c.rotate(int(math.Mod(first, float64(n))))
	})
	return c
}

// product is the transform there, the powers, and the transform back.
func (c *composed) product(fft *fourier.FFT, events []ingredient, n int) {
	logs, phases := make([]float64, n/2+1), make([]float64, n/2+1)
	seq, coeff := make([]float64, n), make([]complex128, n/2+1)
	level := roundOff * math.Log2(float64(n))
	norms, spectra := make([]float64, len(events)), make([][]float64, len(events))
	for i := range events {
		e := &events[i]
		norms[i] = e.tilted(seq, c.h, c.t, &c.k)
		fft.Coefficients(coeff, seq)
		spectra[i] = make([]float64, n/2+1)
		for k, z := range coeff {
			log := math.Log(real(z)*real(z)+imag(z)*imag(z)) / 2
			spectra[i][k] = log
			if logs[k] += e.count * log; logs[k] > negligible {
				phases[k] += math.Mod(e.count*cmplx.Phase(z), 2*math.Pi)
			}
		}
	}
	for k := range coeff {
		coeff[k] = 0
		if logs[k] > negligible {
			sin, cos := math.Sincos(phases[k])
			r := math.Exp(logs[k]) / float64(n)
			coeff[k] = complex(r*cos, r*sin)
		}
	}
	fft.Sequence(c.at, coeff)
	c.noise = noiseBound(events, logs, spectra, norms, level)
}

// negligible is the log of a coefficient that is dropped.
const negligible = -50

// noiseBound bounds the error of one composed mass. With f the transform of an
// event and F that of the composition, an error d of f changes F by count
// |F/f| |d| to first order, and a mass by the mean of that over all
// coefficients, at most the product of the root mean squares of |F/f| and |d|
// (Cauchy and Schwarz). The power itself and the transform back err by
// roundings of F; dropped coefficients by exp(negligible).
func noiseBound(events []ingredient, logs []float64, spectra [][]float64, norms []float64, level float64) float64 {
	n := len(logs)
	square := func(spectrum []float64) float64 {
		sum := 0.0
		for k, l := range logs {
			if l <= negligible {
				continue
			}
			if spectrum != nil {
				l -= spectrum[k]
			}
			sum += math.Exp(2 * l)
		}
		return math.Sqrt(sum / float64(n-1))
	}
	whole := square(nil)
	noise := level*whole + math.Exp(negligible)
	for i := range events {
		noise += events[i].count * (level*norms[i]*square(spectra[i]) + 0x1p-50*whole)
	}
	return noise
}

// tilted writes the tilted masses, wrapped, to seq, adds the event's part of
// K(t) to k and returns the 2-norm of what it wrote.
func (e *ingredient) tilted(seq []float64, h, t float64, k *float64) float64 {
	clear(seq)
	one := e.cumulant(h, t)
	*k += e.count * one
	n := len(seq)
	base := t*(e.offset+float64(e.first)*h) - one
	norm := 0.0
	place := ((e.first % n) + n) % n
	for i, p := range e.at {
		if p > 0 {
			seq[place] += p * math.Exp(base+t*float64(i)*h)
		}
		if place++; place == n {
			place = 0
		}
	}
	for _, v := range seq {
		norm += v * v
	}
	return math.Sqrt(norm)
}

// rotate brings the wrapped place `first` to the front.
func (c *composed) rotate(first int) {
	n := len(c.at)
	first = ((first % n) + n) % n
	out := make([]float64, n)
	copy(out, c.at[first:])
	copy(out[n-first:], c.at[:first])
	c.at = out
}

// epsilon is the least eps >= 0 at which sum_{x > eps} mass(x) (1-exp(eps-x))
// is at most delta, each tilted mass first changed by `change`; false if that
// is below the window.
func (c *composed) epsilon(delta, change float64) (float64, bool) {
	if !(delta > 0) {
		return math.Inf(1), false
	}
	grow, shrink := math.Exp(c.t*c.h), math.Exp(-c.h)
	var w, a, b float64 // exp(K-t x); the sum is a - exp(eps-x) b
	for j := len(c.at) - 1; j >= 0; j-- {
		x := c.start + float64(j)*c.h
		if x <= 0 {
			return 0, true
		}
		if w *= grow; j&127 == 0 || !(w > 1e-290 && w < 1e290 && grow < 2) { // the product drifts
			w = math.Exp(c.k - c.t*x)
		}
		b *= shrink
		if p := c.at[j] + change; p > 0 {
			a += p * w
			b += p * w
		}
		if below := math.Max(x-c.h, 0); a > delta && a-math.Exp(below-x)*b >= delta {
			return math.Min(math.Max(x+math.Log((a-delta)/b), below), x), true
		}
	}
	return math.Max(c.start, 0), c.start <= 0
}
