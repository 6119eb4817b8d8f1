package dir_test

import (
	"context"
	"fmt"
	"os"

	"github.com/veilsum/veilsum/storage"
	"github.com/veilsum/veilsum/storage/dir"
)

func ExampleOpen() {
	root, err := os.MkdirTemp("", "store")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(root)
	s, err := dir.Open(root)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	outcome, err := s.PutOnce(ctx, "rounds/1/receipt.json", []byte(`{"status":"void"}`))
	fmt.Println(outcome, err)
	body, err := storage.ReadAll(ctx, s, "rounds/1/receipt.json", 1<<10)
	fmt.Println(string(body), err)
	// Output:
	// created <nil>
	// {"status":"void"} <nil>
}
