package storage_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/veilsum/veilsum/storage"
	"github.com/veilsum/veilsum/storage/mem"
)

func Example() {
	ctx := context.Background()
	var store storage.Store = mem.New()

	// Two members race for one key; a third writer repeats the first.
	fmt.Println(store.PutOnce(ctx, "rounds/7/receipt.json", []byte("committed")))
	fmt.Println(store.PutOnce(ctx, "rounds/7/receipt.json", []byte("committed")))
	_, err := store.PutOnce(ctx, "rounds/7/receipt.json", []byte("void"))
	fmt.Println(errors.Is(err, storage.ErrConflict))

	body, err := storage.ReadAll(ctx, store, "rounds/7/receipt.json", 1<<20)
	fmt.Printf("%s %v\n", body, err)

	for info, err := range store.List(ctx, "rounds/", "") {
		fmt.Println(info.Key, info.Size, err)
	}
	// Output:
	// created <nil>
	// identical <nil>
	// true
	// committed <nil>
	// rounds/7/receipt.json 9 <nil>
}
