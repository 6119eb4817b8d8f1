package privacy_test

import (
	"math"
	"testing"

	"github.com/veilsum/veilsum/privacy"
)

// benchSetup is a million values, n of a thousand, with a spread update twice
// as long as the clipping norm.
func benchSetup(tb testing.TB, d int) (*privacy.Encoder, []float32) {
	tb.Helper()
	p, err := privacy.New(privacy.Literal{Values: d, ClippingNorm: 1, NoiseMultiplier: 1, MinBatchSize: 1000, MaxBatchSize: 2000})
	if err != nil {
		tb.Fatal(err)
	}
	e, err := privacy.NewEncoder(p, [32]byte{1})
	if err != nil {
		tb.Fatal(err)
	}
	update := make([]float32, d)
	for i := range update {
		update[i] = float32(2 * math.Sin(float64(i)*float64(i)) * math.Sqrt2 / math.Sqrt(float64(d)))
	}
	return e, update
}

func perValue(b *testing.B, d int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(d), "ns/value")
}

// BenchmarkEncode is the whole client side: clip, rotate, round and check,
// then the integers block by block. Copying the update in is included.
func BenchmarkEncode(b *testing.B) {
	const d = 1_000_000
	e, update := benchSetup(b, d)
	x, dst := make([]float32, d), make([]int32, 1024)
	b.ReportAllocs()
	for b.Loop() {
		copy(x, update)
		m, err := e.Encode(x, [32]byte{2})
		if err != nil {
			b.Fatal(err)
		}
		for offset := 0; offset < d; offset += len(dst) {
			m.Values(offset, dst)
		}
	}
	perValue(b, d)
}

// BenchmarkValues is the second pass alone.
func BenchmarkValues(b *testing.B) {
	const d = 1_000_000
	e, x := benchSetup(b, d)
	m, err := e.Encode(x, [32]byte{2})
	if err != nil {
		b.Fatal(err)
	}
	dst := make([]int32, 1024)
	for b.Loop() {
		for offset := 0; offset < d; offset += len(dst) {
			m.Values(offset, dst)
		}
	}
	perValue(b, d)
}

func BenchmarkDigest(b *testing.B) {
	const d = 1_000_000
	e, x := benchSetup(b, d)
	m, err := e.Encode(x, [32]byte{2})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		m.Digest()
	}
	perValue(b, d)
}

func BenchmarkDecode(b *testing.B) {
	const d = 1_000_000
	e, _ := benchSetup(b, d)
	sum := make([]int64, d)
	for i := range sum {
		sum[i] = int64(i % 1000)
	}
	for b.Loop() {
		if _, err := e.Decode(sum, 1000); err != nil {
			b.Fatal(err)
		}
	}
	perValue(b, d)
}
