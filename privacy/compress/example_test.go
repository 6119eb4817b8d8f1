package compress_test

import (
	"fmt"

	"github.com/veilsum/veilsum/privacy/compress"
)

// Two vehicles send 250 numbers instead of 1000; the sum of what they send, expanded, is close to
// the sum of what they have, up to the error that the map was said to make.
func Example() {
	spec := compress.Spec{Kind: compress.SRHT, Values: 1000, Keep: 250}
	m, err := compress.New(spec, [32]byte{1}) // the RoundID
	if err != nil {
		fmt.Println(err)
		return
	}
	sum := make([]float64, m.Sent())
	for range 2 {
		update := make([]float32, 1000)
		update[3] = 1
		for i, v := range m.Apply(update) {
			sum[i] += float64(v)
		}
	}
	fmt.Printf("%d numbers, error %g |x|^2, value 3 is about %.0f\n", m.Sent(), spec.ErrorFactor(), m.Expand(sum)[3])
	// Output: 250 numbers, error 3 |x|^2, value 3 is about 2
}
