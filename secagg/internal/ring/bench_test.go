package ring_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
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

// BenchmarkFloat32Add is the yardstick: a plain loop over float32.
func BenchmarkFloat32Add(b *testing.B) {
	x, y := make([]float32, values), make([]float32, values)
	for i := range y {
		y[i] = float32(i)
	}
	b.Run("plain", func(b *testing.B) { perValue(b, values, func() { floatAdd(x, y) }) })
	b.Run("shifted", func(b *testing.B) { perValue(b, values, func() { floatAddShifted(x, y) }) })
}

//go:noinline
func floatAdd(x, y []float32) {
	y = y[:len(x)]
	for i := range x {
		x[i] += y[i]
	}
}

// floatAddShifted is the same loop elsewhere in a cache line: where the linker
// puts it is worth a factor of 1.7 on some machines.
//
//go:noinline
func floatAddShifted(x, y []float32) {
	y = y[:len(x)]
	if len(x) > 0 {
		x[0]++
		x[len(x)/2]++
	}
	for i := range x {
		x[i] += y[i]
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

// BenchmarkAddPacked alternates with both float32 loops and reports the best
// times, as those suffer least from a machine that is shared, and their ratio
// to the faster loop. It times eight at a time: the widest fields are reduced
// every first, third or seventh time.
func BenchmarkAddPacked(b *testing.B) {
	x, y := make([]float32, values), make([]float32, values)
	x2, y2 := make([]float32, values+5000)[5000:], make([]float32, values)
	run(b, func(b *testing.B, r *ring.Ring) {
		blocks := (values + r.N() - 1) / r.N()
		a := r.NewAccumulator(blocks)
		body := noise(rand.New(rand.NewPCG(7, 7)), blocks*r.BlockBytes())
		for range 16 {
			a.AddPacked(0, body) // past the first adds, which need no reduction
		}
		var took [3][]time.Duration
		for b.Loop() {
			for i, f := range []func(){
				func() { floatAdd(x, y) },
				func() { floatAddShifted(x2, y2) },
				func() { a.AddPacked(0, body) },
			} {
				t0 := time.Now()
				for range 8 {
					f()
				}
				took[i] = append(took[i], time.Since(t0))
			}
		}
		f := float64(min(slices.Min(took[0]), slices.Min(took[1]))) / (8 * values)
		p := float64(slices.Min(took[2])) / float64(8*blocks*r.N())
		b.ReportMetric(f, "float-ns/value")
		b.ReportMetric(p/f, "ratio")
		b.ReportMetric(p, "ns/value")
	})
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
