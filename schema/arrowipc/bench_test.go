package arrowipc_test

import (
	"crypto/sha256"
	"fmt"
	"testing"

	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/schema/arrowipc"
)

// benchModel has 4,194,304 values in four tensors.
func benchModel(dtype string) []schema.Tensor {
	var tensors []schema.Tensor
	for i := range 4 {
		tensors = append(tensors, schema.Tensor{Name: fmt.Sprint("layer", i), DType: dtype, Shape: []int{1024, 1024}})
	}
	return tensors
}

// BenchmarkEncodeAggregate is to be read beside BenchmarkMemcpy, which
// allocates and copies as many bytes as the file has values.
func BenchmarkEncodeAggregate(b *testing.B) {
	for _, dtype := range []string{"float32", "float64"} {
		tensors := benchModel(dtype)
		values := ramp(count(b, tensors))
		b.Run(dtype, func(b *testing.B) {
			for b.Loop() {
				data, err := arrowipc.EncodeAggregate(tensors, values, nil)
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(int64(len(data)))
			}
		})
	}
}

func BenchmarkMemcpy(b *testing.B) {
	for name, n := range map[string]int{"float32": 16 << 20, "float64": 32 << 20} {
		src := make([]byte, n)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(n))
			for b.Loop() {
				dst := make([]byte, n)
				copy(dst, src)
			}
		})
	}
}

func BenchmarkDecodeAggregate(b *testing.B) {
	tensors := benchModel("float32")
	data, err := arrowipc.EncodeAggregate(tensors, ramp(count(b, tensors)), nil)
	if err != nil {
		b.Fatal(err)
	}
	sum := sha256.Sum256(data)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := arrowipc.DecodeAggregate(data, sum, tensors, nil); err != nil {
			b.Fatal(err)
		}
	}
}
