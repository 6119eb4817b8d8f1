package canaryround_test

import (
	"context"
	"fmt"

	"github.com/veilsum/veilsum/pipeline/canaryround"
	"github.com/veilsum/veilsum/privacy/canary"
)

// A round that is said to give epsilon 2 is played with a tenth of the noise that it
// needs: an attacker who sees nothing but the opened sum tells who was in.
func Example() {
	c := canaryround.Config{Claim: canary.Claim{Epsilon: 2, Delta: 1e-5}, Canaries: 300, NoiseScale: 0.1}
	p, err := c.PlayClear(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	t, err := canary.Guess(p.Included, p.Released, 60)
	if err != nil {
		fmt.Println(err)
		return
	}
	v, err := canary.Judge(t, c.Claim, 0.95)
	fmt.Println(v.Correct, "of", v.Guesses, "right:", v.Err(), err)
	// Output: 60 of 60 right: canary: the claim is refuted: epsilon is at least 2.964 with 95 % confidence, claimed is 2 <nil>
}
