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
	perValue(b, values, func() { floatAdd(x, y) })
}

//go:noinline
func floatAdd(x, y []float32) {
	y = y[:len(x)]
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

// BenchmarkAddPacked alternates with the float32 loop, so that a change of the
// machine's load meets both, and reports medians and their ratio.
func BenchmarkAddPacked(b *testing.B) {
	x, y := make([]float32, values), make([]float32, values)
	run(b, func(b *testing.B, r *ring.Ring) {
		blocks := (values + r.N() - 1) / r.N()
		a := r.NewAccumulator(blocks)
		body := noise(rand.New(rand.NewPCG(7, 7)), blocks*r.BlockBytes())
		var floats, adds []time.Duration
		for b.Loop() {
			t0 := time.Now()
			floatAdd(x, y)
			t1 := time.Now()
			a.AddPacked(0, body)
			floats, adds = append(floats, t1.Sub(t0)), append(adds, time.Since(t1))
		}
		f, p := median(floats)/values, median(adds)/float64(blocks*r.N())
		b.ReportMetric(f, "float-ns/value")
		b.ReportMetric(p/f, "ratio")
		b.ReportMetric(p, "ns/value")
	})
}

func median(d []time.Duration) float64 {
	slices.Sort(d)
	return float64(d[len(d)/2].Nanoseconds())
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
