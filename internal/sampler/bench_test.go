package sampler_test

import (
	"fmt"
	"testing"

	"github.com/veilsum/veilsum/internal/sampler"
)

func perSample(b *testing.B, n int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/sample")
}

func BenchmarkGaussian(b *testing.B) {
	for _, sigma := range []float64{4.6, 6.4, 9.99, 10, 19.99, 35.7, 200, 5000, 1 << 20} {
		b.Run(fmt.Sprint(sigma), func(b *testing.B) {
			g, err := sampler.NewGaussian(sigma)
			if err != nil {
				b.Fatal(err)
			}
			s, dst := sampler.NewKey([32]byte{1}).Stream(0), make([]int32, 1<<15)
			b.ReportAllocs()
			for b.Loop() {
				g.Sample(dst, s)
			}
			perSample(b, len(dst))
		})
	}
}

// BenchmarkGaussianBlock is one ring element's worth of noise in a call.
func BenchmarkGaussianBlock(b *testing.B) {
	for _, sigma := range []float64{6.4, 35.7} {
		b.Run(fmt.Sprint(sigma), func(b *testing.B) {
			g, _ := sampler.NewGaussian(sigma)
			s, dst := sampler.NewKey([32]byte{1}).Stream(0), make([]int32, 1024)
			for b.Loop() {
				g.Sample(dst, s)
			}
			perSample(b, len(dst))
		})
	}
}

func BenchmarkStrictGaussian(b *testing.B) {
	for _, sigma := range []float64{4.6, 35.7} {
		b.Run(fmt.Sprint(sigma), func(b *testing.B) {
			g, _ := sampler.NewStrictGaussian(sigma)
			s, dst := sampler.NewKey([32]byte{1}).Stream(0), make([]int32, 1024)
			for b.Loop() {
				g.Sample(dst, s)
			}
			perSample(b, len(dst))
		})
	}
}

func BenchmarkNewGaussian(b *testing.B) {
	for b.Loop() {
		if _, err := sampler.NewGaussian(9.99); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWords(b *testing.B) {
	s, w := sampler.NewKey([32]byte{1}).Stream(0), make([]uint64, 1024)
	b.SetBytes(int64(8 * len(w)))
	for b.Loop() {
		s.Words(w)
	}
}

func BenchmarkRead(b *testing.B) {
	s, p := sampler.NewKey([32]byte{1}).Stream(0), make([]byte, 8192)
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		_, _ = s.Read(p)
	}
}
