package statistics

import "math"

// Evaluate computes what the histograms with a [Role] say of a model: accuracy and recalls
// of a confusion matrix, the expected calibration error, and how far a distribution has
// drifted. All is post-processing of the same mean, with intervals that cover the noise;
// those of drift also cover that another fleet of this size would differ. MinCount suppresses
// what rests on fewer vehicles, a recall by those of its class. Errors wrap [ErrLength].
//
// With [Average] or [First] every vehicle weighs the same, however many records it has.
func (s *Set) Evaluate(r Release) ([]Estimate, error) {
	if err := s.check(r); err != nil {
		return nil, err
	}
	var all []Estimate
	for i := range s.queries {
		d := s.decoder(i, r)
		var found []Estimate
		switch d.Role {
		case Confusion:
			found = d.confusion()
		case Calibration:
			found = d.calibration()
		case Drift:
			found = d.drift()
		}
		for _, e := range found {
			e.Query = d.Name
			all = append(all, e)
		}
	}
	return all, nil
}

// derived is an estimate that belongs to no cell, or to a class.
func derived(measure, key string, value, stdErr float64) Estimate {
	e := measured(measure, value, stdErr)
	e.Cells = keyed(key)
	if math.IsInf(value, 0) || math.IsNaN(stdErr) {
		e.Value, e.StdErr, e.Low, e.High = math.NaN(), math.NaN(), math.NaN(), math.NaN()
	}
	return e
}

// share is the estimate part/whole of sums over parts and cells equally noisy cells, of
// which the first are among the second; its error follows by the delta method.
func (d *decoder) share(measure, key string, part, whole float64, parts, cells int) Estimate {
	if !(whole >= 1) {
		return d.hide(derived(measure, key, math.NaN(), math.NaN()), whole, d.noise)
	}
	p := part / whole
	variance := float64(parts) - 2*p*float64(parts) + p*p*float64(cells)
	e := derived(measure, key, p, d.noise/whole*math.Sqrt(max(variance, 0))).within(0, 1)
	return d.hide(e, whole, d.noise*math.Sqrt(float64(cells)))
}

func (d *decoder) confusion() []Estimate {
	n := d.Axes[0].Cells()
	var right float64
	var recalls []Estimate
	for i, key := range d.Axes[0].Keys {
		hit := d.block[i*n+i]
		right += hit
		recalls = append(recalls, d.share("recall", key, hit, total(d.block[i*n:(i+1)*n]), 1, n))
	}
	return append([]Estimate{d.share("accuracy", "", right, total(d.block), n-1, n*n)}, recalls...)
}

// calibration is the expected calibration error: over the bins of confidence, how far the
// share of right predictions is from the bin's middle, weighted by the bin. The middle
// stands for the bin's mean confidence, which moves it by at most half a bin. The absolute
// value of noise is not zero on average; each term is shortened by what its noise adds.
func (d *decoder) calibration() []Estimate {
	axis, n := d.Axes[0], d.Axes[1].Cells()
	var sum, variance, all float64
	for bin := range axis.Cells() {
		right, wrong := d.block[bin*n], d.block[bin*n+1]
		_, low, high := axis.Label(bin)
		middle := (max(low, 0) + min(high, 1)) / 2
		gap := (middle-1)*right + middle*wrong
		noise := d.noise * d.noise * ((middle-1)*(middle-1) + middle*middle)
		sum += math.Sqrt(max(gap*gap-noise, 0))
		variance += noise
		all += right + wrong
	}
	allErr := d.noise * math.Sqrt(float64(2*axis.Cells()))
	if !(all >= 1) {
		return []Estimate{d.hide(derived("ece", "", math.NaN(), math.NaN()), all, allErr)}
	}
	e := derived("ece", "", sum/all, math.Sqrt(variance)/all).within(0, 1)
	return []Estimate{d.hide(e, all, allErr)}
}

// drift compares the shares of a histogram with the reference. Both measures are at least
// zero, so noise alone makes them positive: its expectation, to second order, is taken off.
// The variance has the first order, which leads far from zero, and the second, which leads at it.
func (d *decoder) drift() []Estimate {
	all, allErr := total(d.block), d.noise*math.Sqrt(float64(len(d.block)))
	if !(all >= 1) {
		none := derived("psi", "", math.NaN(), math.NaN())
		again := none
		again.Measure = "jensen_shannon"
		return []Estimate{d.hide(none, all, allErr), d.hide(again, all, allErr)}
	}
	var psi, js moment
	for i, r := range d.Reference {
		p := max(d.block[i]/all, 0.5/all) // half a vehicle keeps the logarithm finite
		spread := d.noise*d.noise/(all*all) + p*(1-p)/all
		psi.add((p-r)*math.Log(p/r), math.Log(p/r)+1-r/p, 1/p+r/(p*p), spread, 2/r)
		m := (p + r) / 2
		js.add(p*math.Log(p/m)/2+r*math.Log(r/m)/2, math.Log(p/m)/2, r/(p*(p+r))/2, spread, 1/(4*r))
	}
	return []Estimate{d.hide(psi.estimate("psi"), all, allErr), d.hide(js.estimate("jensen_shannon"), all, allErr)}
}

// moment sums a divergence over cells with the bias and variance that noise gives it.
type moment struct{ value, bias, variance float64 }

// add takes a term, its slope and curvature at the noisy share, the share's variance, and
// the curvature at the reference. Where the share is lost in its noise the curvature
// at the reference stands in, as the one at the share would follow the noise.
func (m *moment) add(term, slope, curvature, spread, atReference float64) {
	c := min(curvature, atReference)
	m.value += term
	m.bias += c * spread / 2
	m.variance += slope*slope*spread + c*c*spread*spread/2
}

func (m *moment) estimate(measure string) Estimate {
	return derived(measure, "", m.value-m.bias, math.Sqrt(m.variance)).within(0, math.Inf(1))
}
