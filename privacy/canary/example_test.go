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

// An audit: coins, scores of what was released, guesses, a verdict.
func ExampleJudge() {
	included, err := canary.Coins(1000)
	if err != nil {
		fmt.Println(err)
		return
	}
	released := make([]float64, len(included)) // of a system that adds no noise at all
	for i, in := range included {
		if in {
			released[i] = 1
		}
	}
	tally, err := canary.Guess(included, released, 200)
	if err != nil {
		fmt.Println(err)
		return
	}
	verdict, err := canary.Judge(tally, canary.Claim{Epsilon: 2, Delta: 1e-5}, 0.95)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(verdict.Correct, verdict.Err())
	// Output: 200 canary: the claim is refuted: epsilon is at least 4.166 with 95 % confidence, claimed is 2
}
