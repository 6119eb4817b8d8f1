package planet

import "math"

// stream is a random stream of eight bytes (splitmix64, Steele, Lea and Flood 2014), small
// enough for each vehicle to have one.
type stream uint64

const golden = 0x9e3779b97f4a7c15

// streamOf derives an independent stream.
func streamOf(seed, label uint64) stream {
	return stream(mix(seed + golden*mix(label+golden)))
}

func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func (s *stream) next() uint64 {
	*s += golden
	return mix(uint64(*s))
}

// unit is uniform in (0, 1).
func (s *stream) unit() float64 { return (float64(s.next()>>11) + 0.5) / (1 << 53) }

func (s *stream) exponential(mean float64) float64 { return -mean * math.Log(s.unit()) }

func (s *stream) uniform(low, high float64) float64 { return low + (high-low)*s.unit() }

func (s *stream) normal() float64 { return math.Sqrt2 * math.Erfinv(2*s.unit()-1) }

// below is uniform in 0 to n-1, n at most 2^32.
func (s *stream) below(n int) int { return int(s.next() >> 32 * uint64(n) >> 32) }
