package arrowipc_test

import (
	"crypto/sha256"
	"fmt"

	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/schema/arrowipc"
)

func Example() {
	tensors := []schema.Tensor{
		{Name: "kernel", DType: "float32", Shape: []int{2, 2}},
		{Name: "bias", DType: "float64", Shape: []int{2}},
	}
	meta := map[string]string{arrowipc.MetaReduction: "sum"}
	file, err := arrowipc.EncodeAggregate(tensors, []float64{1, 2, 3, 4, 0.1, 0.2}, meta)
	if err != nil {
		fmt.Println(err)
		return
	}
	promised := sha256.Sum256(file) // a receipt carries it

	values, err := arrowipc.DecodeAggregate(file, promised, tensors, meta)
	fmt.Println(values, err)

	meta[arrowipc.MetaReduction] = "mean" // not what the file says
	_, err = arrowipc.DecodeAggregate(file, promised, tensors, meta)
	fmt.Println(err != nil)

	a, err := arrowipc.OpenAggregate(file, promised)
	fmt.Println(a.Tensors, a.Meta, err)
	// Output:
	// [1 2 3 4 0.1 0.2] <nil>
	// true
	// [{kernel float32 [2 2]} {bias float64 [2]}] map[veilsum.format:veilsum-aggregate/1 veilsum.reduction:sum] <nil>
}
