package ring_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/veilsum/veilsum/secagg/internal/ring"
)

// values is the size of the update that the figures are for.
const values = 1_000_000

// perValue reports ns per value beside the usual ns per operation.
func perValue(b *testing.B, n int, f func()) {
	b.Helper()
	f()
	for b.Loop() {
		f()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/value")
}

// floatAdd, floatAdd2 and floatAdd3 are the yardstick: a plain loop over
// float32. They differ in what comes before the loop. Where in a cache line the
// linker puts so short a loop is worth a factor of 1.8 on some machines, and
// the fastest of the three is the fair measure.
//
//go:noinline
func floatAdd(x, y []float32) {
	y = y[:len(x)]
	for i := range x {
		x[i] += y[i]
	}
}

//go:noinline
func floatAdd2(x, y []float32) {
	y = y[:len(x)]
	x[0]++
	for i := range x {
		x[i] += y[i]
	}
}

//go:noinline
func floatAdd3(x, y []float32) {
	y = y[:len(x)]
	x[0]++
	x[len(x)/2]++
	for i := range x {
		x[i] += y[i]
	}
}

var floatAdds = []func(x, y []float32){floatAdd, floatAdd2, floatAdd3}

func BenchmarkFloat32Add(b *testing.B) {
	x, y := make([]float32, values), make([]float32, values)
	for i, f := range floatAdds {
		b.Run(fmt.Sprint(i+1), func(b *testing.B) { perValue(b, values, func() { f(x, y) }) })
	}
}

// run runs f for the widths, or a few of them.
func run(b *testing.B, f func(b *testing.B, r *ring.Ring)) {
	for _, m := range ring.Moduli() {
		b.Run(fmt.Sprintf("F=%d", m.Bits), func(b *testing.B) {
			r, err := ring.New(m.N, m.Q)
			if err != nil {
				b.Fatal(err)
			}
			f(b, r)
		})
	}
}

// BenchmarkAddPacked alternates with the float32 loops and reports the best
// times, as those suffer least from a machine that is shared, and their ratio
// to the fastest loop. It times eight at a time: the widest fields are reduced
// every first, third or seventh time.
func BenchmarkAddPacked(b *testing.B) {
	x, y := make([]float32, values), make([]float32, values)
	run(b, func(b *testing.B, r *ring.Ring) {
		blocks := (values + r.N() - 1) / r.N()
		a := r.NewAccumulator(blocks)
		body := noise(rand.New(rand.NewPCG(7, 7)), blocks*r.BlockBytes())
		add := func() { a.AddPacked(0, body) }
		eight(add) // past the first adds, which need no reduction
		fastest, packed := time.Hour, time.Hour
		for b.Loop() {
			for _, f := range floatAdds {
				fastest = min(fastest, eight(func() { f(x, y) }))
			}
			packed = min(packed, eight(add))
		}
		f, p := float64(fastest)/(8*values), float64(packed)/float64(8*blocks*r.N())
		b.ReportMetric(f, "float-ns/value")
		b.ReportMetric(p/f, "ratio")
		b.ReportMetric(p, "ns/value")
	})
}

// eight times eight calls of f.
func eight(f func()) time.Duration {
	t0 := time.Now()
	for range 8 {
		f()
	}
	return time.Since(t0)
}

func BenchmarkSubPacked(b *testing.B) {
	run(b, func(b *testing.B, r *ring.Ring) {
		a := r.NewAccumulator(100)
		body := noise(rand.New(rand.NewPCG(8, 8)), 100*r.BlockBytes())
		perValue(b, 100*r.N(), func() { a.SubPacked(0, body) })
	})
}

func BenchmarkLattigoINTT(b *testing.B) {
	run(b, func(b *testing.B, r *ring.Ring) {
		w := make([]uint64, r.N())
		for i := range w {
			w[i] = uint64(i)
		}
		perValue(b, r.N(), func() { r.BareINTT(w) })
	})
}

func BenchmarkMulA(b *testing.B) {
	run(b, func(b *testing.B, r *ring.Ring) {
		sc, dst, k := r.NewScratch(), make([]uint32, r.N()), key(1)
		s := make([]int32, r.N())
		for i := range s {
			s[i] = int32(i%11) - 5
		}
		sc.PrepareSecret(s)
		j := uint64(0)
		perValue(b, r.N(), func() { sc.MulA(dst, k.Stream(j)); j++ })
	})
}

func BenchmarkUniform(b *testing.B) {
	run(b, func(b *testing.B, r *ring.Ring) {
		dst, k := make([]uint32, r.N()), key(2)
		j := uint64(0)
		perValue(b, r.N(), func() { r.Uniform(dst, k.Stream(j)); j++ })
	})
}

func BenchmarkPack(b *testing.B) {
	run(b, func(b *testing.B, r *ring.Ring) {
		src, dst := residues(rand.New(rand.NewPCG(9, 9)), r.N(), r.Q()), make([]byte, r.BlockBytes())
		perValue(b, r.N(), func() { r.Pack(dst, src) })
	})
}

func BenchmarkUnpack(b *testing.B) {
	run(b, func(b *testing.B, r *ring.Ring) {
		dst, src := make([]uint32, r.N()), ones(r.BlockBytes())
		perValue(b, r.N(), func() { r.Unpack(dst, src) })
	})
}
