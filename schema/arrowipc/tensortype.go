package arrowipc

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"sync"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"github.com/veilsum/veilsum/schema"
)

// tensorTypeName is the canonical extension type of the Arrow specification
// ("Canonical Extension Types", Fixed shape tensor).
const tensorTypeName = "arrow.fixed_shape_tensor"

// tensorType is arrow.fixed_shape_tensor: a fixed-size list whose values have
// a row-major shape.
type tensorType struct {
	arrow.ExtensionBase
	shape []int
}

// tensorArray is a column of tensorType.
type tensorArray struct {
	array.ExtensionArrayBase
}

// tensorParams is the serialized form of the type's parameters.
type tensorParams struct {
	Shape       []int    `json:"shape"`
	DimNames    []string `json:"dim_names,omitempty"`
	Permutation []int    `json:"permutation,omitempty"`
}

// register makes Arrow's readers know tensorType. It is done at first use and
// not at start, so that importing the package has no effect of its own.
var register = sync.OnceValue(func() error {
	return arrow.RegisterExtensionType(&tensorType{ExtensionBase: arrow.ExtensionBase{Storage: arrow.Null}})
})

// newTensorType returns the column type of t, which must be valid.
func newTensorType(t schema.Tensor, size int) *tensorType {
	var value arrow.DataType = arrow.PrimitiveTypes.Float32
	if t.DType == float64Name {
		value = arrow.PrimitiveTypes.Float64
	}
	list := arrow.FixedSizeListOf(int32(size), value) // size <= schema.MaxValues
	return &tensorType{ExtensionBase: arrow.ExtensionBase{Storage: list}, shape: slices.Clone(t.Shape)}
}

func (t *tensorType) ArrayType() reflect.Type { return reflect.TypeFor[tensorArray]() }
func (t *tensorType) ExtensionName() string   { return tensorTypeName }
func (t *tensorType) String() string {
	return fmt.Sprintf("%s%v<%s>", tensorTypeName, t.shape, t.Storage)
}

// ValueStr returns the i-th tensor in Arrow's text form.
func (a *tensorArray) ValueStr(i int) string { return a.Storage().ValueStr(i) }

func (t *tensorType) ExtensionEquals(other arrow.ExtensionType) bool {
	o, ok := other.(*tensorType)
	return ok && slices.Equal(t.shape, o.shape) && arrow.TypeEqual(t.Storage, o.Storage)
}

// Serialize writes {"shape":[...]}; a scalar's shape is [], not null.
func (t *tensorType) Serialize() string {
	b, err := json.Marshal(tensorParams{Shape: append([]int{}, t.shape...)})
	if err != nil {
		return "" // impossible: a slice of int always marshals
	}
	return string(b)
}

// Deserialize checks the parameters against the storage. Names of dimensions
// are ignored; a permutation other than the identity is refused, since
// the values would not be row-major in the order of the shape.
func (t *tensorType) Deserialize(storage arrow.DataType, data string) (arrow.ExtensionType, error) {
	list, ok := storage.(*arrow.FixedSizeListType)
	if !ok {
		return nil, fmt.Errorf("%w: %s is stored as %s", ErrFile, tensorTypeName, storage)
	}
	var p tensorParams
	if err := json.Unmarshal([]byte(data), &p); err != nil {
		return nil, fmt.Errorf("%w: %s parameters: %w", ErrFile, tensorTypeName, err)
	}
	if err := p.check(int(list.Len())); err != nil {
		return nil, err
	}
	return &tensorType{ExtensionBase: arrow.ExtensionBase{Storage: list}, shape: p.Shape}, nil
}

// check refuses parameters that do not describe a row-major list of n values.
func (p tensorParams) check(n int) error {
	size, err := schema.Tensor{Shape: p.Shape}.Size() // overflow-safe product
	if err != nil || len(p.Shape) > maxDims || size != n {
		return fmt.Errorf("%w: %s of shape %v over %d values", ErrFile, tensorTypeName, p.Shape, n)
	}
	if p.Permutation != nil && len(p.Permutation) != len(p.Shape) {
		return fmt.Errorf("%w: %s permutation %v for shape %v", ErrFile, tensorTypeName, p.Permutation, p.Shape)
	}
	for i, axis := range p.Permutation {
		if axis != i {
			return fmt.Errorf("%w: %s permutation %v: only row-major tensors are read", ErrFile, tensorTypeName, p.Permutation)
		}
	}
	return nil
}
