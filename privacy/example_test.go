package privacy_test

import (
	"fmt"

	"github.com/veilsum/veilsum/privacy"
)

// One client's update becomes bounded integers; a sum of such, opened, becomes
// the mean. The sealing noise is left out here.
func Example() {
	params, err := privacy.New(privacy.Literal{
		Values:          4,
		ClippingNorm:    1,
		NoiseMultiplier: 0.8,
		MinBatchSize:    1000,
		MaxBatchSize:    2000,
		MaxDishonest:    100,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	guarantee, err := params.Guarantee(1, 1e-6)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(guarantee)

	roundID, secret := [32]byte{1}, [32]byte{2} // public; from crypto/rand
	encoder, err := privacy.NewEncoder(params, roundID)
	if err != nil {
		fmt.Println(err)
		return
	}
	encoded, err := encoder.Encode([]float32{3, 0, 0, 4}, secret) // norm 5, clipped to 1
	if err != nil {
		fmt.Println(err)
		return
	}
	integers := make([]int32, 4)
	encoded.Values(0, integers)
	mean, err := encoder.DecodeInt32(integers, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("clipped:", encoded.Clipped())
	fmt.Printf("decoded: %.1f %.1f\n", mean[0], mean[3])
	// Output:
	// (6.734, 1e-06)-DP per vehicle under zero_out, distributed trust model
	// clipped: true
	// decoded: 0.6 0.8
}
