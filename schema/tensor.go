package schema

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// MaxValues bounds the number d of values in one model: 2^31-1, the longest
// list Arrow's fixed-size list can hold.
const MaxValues = math.MaxInt32

// Tensor names one tensor of the model and fixes its shape, in the order in
// which tensors are concatenated (row-major) into the update vector.
type Tensor struct {
	// Name is 1 to 128 bytes of UTF-8, unique within a task.
	Name string `json:"name" yaml:"name"`
	// DType is the type of the stored values: "float32" or "float64".
	DType string `json:"dtype" yaml:"dtype"`
	// Shape holds 0 to 8 dimensions, each at least 1; empty means a scalar.
	Shape []int `json:"shape" yaml:"shape"`
}

// Equal tells whether name, type and shape are the same.
func (t Tensor) Equal(other Tensor) bool {
	return t.Name == other.Name && t.DType == other.DType && slices.Equal(t.Shape, other.Shape)
}

// ErrTensor is wrapped by every error about a tensor that cannot be used.
var ErrTensor = errors.New("schema: invalid tensor")

// Size returns the number of values, the product of Shape.
func (t Tensor) Size() (int, error) {
	n := 1
	for _, s := range t.Shape {
		if s < 1 || n > MaxValues/s {
			return 0, fmt.Errorf("%w: %q: shape %v", ErrTensor, t.Name, t.Shape)
		}
		n *= s
	}
	return n, nil
}
