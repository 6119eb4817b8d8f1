package doctor_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/veilsum/veilsum/storage"
	"github.com/veilsum/veilsum/storage/doctor"
	"github.com/veilsum/veilsum/storage/mem"
)

func Example() {
	ctx := context.Background()
	fmt.Println(doctor.Trust(ctx, mem.New()))

	// A store that overwrites is refused.
	err := doctor.Examine(ctx, overwriting(), func(f storage.Finding) {
		if f.Check == "create-only" {
			fmt.Println(f.Level, f.Detail)
		}
	})
	fmt.Println(errors.Is(err, storage.ErrLies))
	// Output:
	// <nil>
	// FAIL it overwrites: a second writer with other bytes is told that it created the object
	// true
}
