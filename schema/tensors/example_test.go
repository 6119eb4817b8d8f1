package tensors_test

import (
	"bytes"
	"fmt"

	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/schema/tensors"
)

// The bytes of two float32 values, for a task that has one tensor of two.
func Example() {
	task := []schema.Tensor{{Name: "w", DType: "float32", Shape: []int{2}}}
	values, err := tensors.ReadRaw(bytes.NewReader([]byte{0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0}), task)
	fmt.Println(values, err)
	_, err = tensors.ReadRaw(bytes.NewReader([]byte{0, 0, 0x80, 0x3f, 0, 0, 0xc0, 0x7f}), task)
	fmt.Println(err)
	// Output:
	// [1 -2] <nil>
	// tensors: value is not finite: tensor "w", index [1]: NaN; cure: find where the training diverged, and send nothing this epoch
}
