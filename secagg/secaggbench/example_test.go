package secaggbench_test

import (
	"fmt"

	"github.com/veilsum/veilsum/secagg/secaggbench"
)

// Two clients of a plain BGV multiparty sum.
func ExampleBGV() {
	b, err := secaggbench.NewBGV(1<<20, 3)
	if err != nil {
		fmt.Println(err)
		return
	}
	sum, err := b.Encrypt([]int64{1, 2, 3})
	if err != nil {
		fmt.Println(err)
		return
	}
	more, err := b.Encrypt([]int64{4, 5, -6})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := b.Add(sum, more); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(b.Open(sum, 3))
	// Output: [5 7 -3] <nil>
}
