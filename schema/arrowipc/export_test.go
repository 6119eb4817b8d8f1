package arrowipc

import (
	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/veilsum/veilsum/schema"
)

// The readers with an allocator that counts, and the parts that have no door
// of their own.

func ReadUpdateWith(mem memory.Allocator, path string, want []schema.Tensor) ([]float32, error) {
	return readUpdate(mem, path, want)
}

func ReadSchemaWith(mem memory.Allocator, path string) ([]schema.Tensor, error) {
	return readSchema(mem, path)
}

func ReadTableWith(mem memory.Allocator, data []byte) (*Table, error) { return readTable(mem, data) }

// Deserialize runs the extension type's parser over a float32 list of n.
func Deserialize(n int32, data string) (shape []int, serialized string, err error) {
	t, err := (&tensorType{}).Deserialize(arrow.FixedSizeListOf(n, arrow.PrimitiveTypes.Float32), data)
	if err != nil {
		return nil, "", err
	}
	return t.(*tensorType).shape, t.Serialize(), nil
}

// Describe runs the bounded reader alone.
func Describe(data []byte) ([]schema.Tensor, map[string]string, error) { return describe(data) }

// Bodies tells where the values of each tensor lie: pairs of start and end.
func Bodies(tensors []schema.Tensor, meta map[string]string) (ends [][2]int, size int, err error) {
	meta, err = aggregateMeta(meta)
	if err != nil {
		return nil, 0, err
	}
	sk, err := newSkeleton(tensors, meta, nil)
	if err != nil {
		return nil, 0, err
	}
	for _, b := range sk.bodies {
		ends = append(ends, [2]int{b.at, b.at + b.width*b.count})
	}
	return ends, sk.size, nil
}

// Register makes the extension type known, for tests that call Arrow
// themselves.
func Register() error { return register() }
