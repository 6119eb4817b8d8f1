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

func BenchmarkSkellam(b *testing.B) {
	for _, mu := range []float64{4, 41, 100, 400, 1600, 1601, 250_000, 1 << 24, 1 << 28} {
		b.Run(fmt.Sprint(mu), func(b *testing.B) {
			k, err := sampler.NewSkellam(mu)
			if err != nil {
				b.Fatal(err)
			}
			s, dst := sampler.NewKey([32]byte{1}).Stream(0), make([]int32, 1<<14)
			b.ReportAllocs()
			for b.Loop() {
				k.Sample(dst, s)
			}
			perSample(b, len(dst))
		})
	}
}

func BenchmarkDiscreteLaplace(b *testing.B) {
	for _, scale := range []float64{0.25, 1, 10, 1000.001, 1 << 20} {
		b.Run(fmt.Sprint(scale), func(b *testing.B) {
			l, err := sampler.NewDiscreteLaplace(scale)
			if err != nil {
				b.Fatal(err)
			}
			s, dst := sampler.NewKey([32]byte{1}).Stream(0), make([]int32, 1<<14)
			b.ReportAllocs()
			for b.Loop() {
				l.Sample(dst, s)
			}
			perSample(b, len(dst))
		})
	}
}

func BenchmarkNewSkellam(b *testing.B) {
	for _, mu := range []float64{41, 1600, 1601, 1 << 24} {
		b.Run(fmt.Sprint(mu), func(b *testing.B) {
			for b.Loop() {
				if _, err := sampler.NewSkellam(mu); err != nil {
					b.Fatal(err)
				}
			}
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
