package canary_test

import (
	"fmt"

	"github.com/veilsum/veilsum/privacy/canary"
)

// 1000 canaries, 100 guesses, 80 of them right: what is refuted?
func Example() {
	eps, err := canary.EpsilonLowerBound(1000, 100, 80, 1e-5, 0.95)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("with 95 %% confidence epsilon is at least %.4f\n", eps)
	// Output: with 95 % confidence epsilon is at least 0.9553
}
