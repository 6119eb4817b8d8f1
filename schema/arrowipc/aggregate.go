package arrowipc

import (
	"crypto/sha256"
	"fmt"

	"github.com/apache/arrow/go/v17/arrow"

	"github.com/veilsum/veilsum/schema"
)

// Aggregate is an opened sum or mean, as a file tells it.
type Aggregate struct {
	// Tensors in the order in which Values concatenates them, row-major.
	Tensors []schema.Tensor
	// Meta is the schema metadata, [MetaFormat] included.
	Meta map[string]string
	// Values of all tensors. Those of a float32 tensor are exact float32 values.
	Values []float64
}

// EncodeAggregate returns the aggregate file (veilsum-aggregate/1): one column
// per tensor in the given order, stored as the tensor's DType, and meta with
// [MetaFormat] added as schema metadata with sorted keys. values holds the values
// of all tensors, row-major in tensor order; for a float32 tensor they are
// rounded to the nearest float32. Equal arguments give equal bytes.
//
// It fails with [schema.ErrTensor], [ErrMetadata], or [ErrMismatch] when the
// number of values is not that of the tensors.
func EncodeAggregate(tensors []schema.Tensor, values []float64, meta map[string]string) ([]byte, error) {
	meta, err := aggregateMeta(meta)
	if err != nil {
		return nil, err
	}
	if err := checkCount(tensors, len(values)); err != nil {
		return nil, err
	}
	sk, err := newSkeleton(tensors, meta, arrow.Float64Traits.CastToBytes(values))
	if err != nil {
		return nil, err
	}
	return sk.fill(func(dst []byte, width, from, to int) { putFloat64(dst, width, values[from:to]) }), nil
}

// checkCount refuses a number of values that is not that of the tensors.
func checkCount(tensors []schema.Tensor, count int) error {
	_, total, err := layoutOf(tensors)
	if err != nil {
		return err
	}
	if count != total {
		return fmt.Errorf("%w: %d values for tensors of %d", ErrMismatch, count, total)
	}
	return nil
}

// DecodeAggregate returns the values of an aggregate file, row-major in tensor
// order. sum is the SHA-256 that an authenticated receipt names; tensors and meta
// are what the caller knows to expect from the task and the receipt ([MetaFormat]
// may be left out). It fails with [ErrNotAuthentic] unless the bytes hash to sum
// and are those that [EncodeAggregate] gives for some values. No parser sees
// the bytes: the values lie at offsets that follow from tensors and meta.
//
// A caller who does not know the metadata uses [OpenAggregate].
func DecodeAggregate(data []byte, sum [32]byte, tensors []schema.Tensor, meta map[string]string) ([]float64, error) {
	meta, err := aggregateMeta(meta)
	if err != nil {
		return nil, err
	}
	if got := sha256.Sum256(data); got != sum {
		return nil, fmt.Errorf("%w: SHA-256 is %x, want %x", ErrNotAuthentic, got, sum)
	}
	return decodeCanonical(data, tensors, meta)
}

// OpenAggregate is [DecodeAggregate] for a caller who knows no more than the hash:
// the tensors and the metadata are told by the file. They are picked out by a
// small bounded reader which need not be right: what it finds is trusted only
// because the file that it implies is, outside the values, the file given.
func OpenAggregate(data []byte, sum [32]byte) (*Aggregate, error) {
	if got := sha256.Sum256(data); got != sum {
		return nil, fmt.Errorf("%w: SHA-256 is %x, want %x", ErrNotAuthentic, got, sum)
	}
	tensors, told, err := describe(data)
	if err != nil {
		return nil, err
	}
	meta, err := aggregateMeta(told)
	if err != nil {
		return nil, err
	}
	values, err := decodeCanonical(data, tensors, meta)
	if err != nil {
		return nil, err
	}
	return &Aggregate{Tensors: tensors, Meta: meta, Values: values}, nil
}

// decodeCanonical is the canonical guard: the file must be the skeleton of
// these tensors and this metadata, with any values.
func decodeCanonical(data []byte, tensors []schema.Tensor, meta map[string]string) ([]float64, error) {
	sizes, total, err := layoutOf(tensors)
	if err != nil {
		return nil, err
	}
	body, err := bodyBytes(tensors, sizes)
	if err != nil {
		return nil, err
	}
	if len(data) < body {
		return nil, fmt.Errorf("%w: %d bytes for %d bytes of values", ErrNotAuthentic, len(data), body)
	}
	sk, err := newSkeleton(tensors, meta, data) // data is lent as memory only, never read there
	if err != nil {
		return nil, err
	}
	if err := sk.check(data); err != nil {
		return nil, err
	}
	values := make([]float64, total)
	rest := values
	for _, b := range sk.bodies {
		getFloat64(rest[:b.count], b.width, data[b.at:b.at+b.width*b.count])
		rest = rest[b.count:]
	}
	return values, nil
}
