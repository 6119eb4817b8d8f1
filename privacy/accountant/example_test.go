package accountant_test

import (
	"fmt"

	"github.com/veilsum/veilsum/privacy/accountant"
)

// Twenty rounds and one count: what did they cost, and what is left?
func Example() {
	round := accountant.Event{Type: accountant.Gaussian, NoiseMultiplier: 8}
	spent := []accountant.Event{
		accountant.Repeat(round, 20),
		{Type: accountant.Laplace, NoiseMultiplier: 10},
	}
	guarantee, err := accountant.Account(spent, 1e-6, accountant.ZeroOut)
	if err != nil {
		fmt.Println(err)
		return
	}
	left, err := accountant.Affordable(spent, round, 4, 1e-6, accountant.ZeroOut)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(guarantee)
	fmt.Println("more rounds within epsilon 4:", left)
	// Output:
	// (2.775, 1e-06)-DP per vehicle under zero_out
	// more rounds within epsilon 4: 19
}
