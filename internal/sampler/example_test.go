package sampler_test

import (
	"fmt"

	"github.com/veilsum/veilsum/internal/sampler"
)

func ExampleGaussian() {
	g, err := sampler.NewGaussian(6.4)
	if err != nil {
		fmt.Println(err)
		return
	}
	key := sampler.NewKey(sampler.Derive([]byte("32 uniform bytes in earnest"), "noise"))
	noise := make([]int32, 8)
	g.Sample(noise, key.Stream(0))
	fmt.Println(noise, key)
	// Output: [0 4 -3 0 -7 0 12 16] [redacted]
}
