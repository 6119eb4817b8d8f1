package mem_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/veilsum/veilsum/storage"
	"github.com/veilsum/veilsum/storage/mem"
)

func ExampleNew() {
	ctx, s := context.Background(), mem.New()
	first, _ := s.PutOnce(ctx, "votes/0.json", []byte("yes"))
	again, _ := s.PutOnce(ctx, "votes/0.json", []byte("yes"))
	_, err := s.PutOnce(ctx, "votes/0.json", []byte("no"))
	fmt.Println(first, again, errors.Is(err, storage.ErrConflict))
	// Output: created identical true
}
