package planet

import "math"

func (s Spell) ok(most float64) bool { return s.Min >= 0 && s.Min <= s.Max && s.Max <= most }

func (s Spell) mean() float64 { return (s.Min + s.Max) / 2 }

// length draws a spell from its begin.
func (s Spell) length(r *stream) tick {
	if s.Exponential {
		return seconds(r.exponential(s.mean()))
	}
	return seconds(r.uniform(s.Min, s.Max))
}

// rest draws what is left of a spell that somebody meets at a random time: long ones are met
// more often, and at any point of them.
func (s Spell) rest(r *stream) tick {
	if s.Exponential {
		return seconds(r.exponential(s.mean()))
	}
	whole := math.Sqrt(s.Min*s.Min + r.unit()*(s.Max*s.Max-s.Min*s.Min))
	return seconds(r.unit() * whole)
}

// ninetyFive is the 95 per cent point of the normal law.
const ninetyFive = 1.6448536269514722

// spreads are the standard deviations of the logarithm below and above the median.
func (p Points) spreads() (below, above float64) {
	return math.Log(p.Median/p.Low) / ninetyFive, math.Log(p.High/p.Median) / ninetyFive
}

func (p Points) draw(r *stream) float64 {
	below, above := p.spreads()
	z := r.normal()
	if z < 0 {
		return p.Median * math.Exp(below*z)
	}
	return p.Median * math.Exp(above*z)
}

// bytesPerTick turns megabits a second.
func bytesPerTick(mbps float64) float64 { return mbps * 1e6 / 8 / float64(second) }
