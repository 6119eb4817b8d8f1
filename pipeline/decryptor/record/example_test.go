package record_test

import (
	"errors"
	"fmt"
	"os"

	"github.com/veilsum/veilsum/pipeline/decryptor/record"
	"github.com/veilsum/veilsum/pipeline/state"
)

// A vote is recorded before it leaves; for another list there is none, also after a restart.
func Example() {
	root, err := os.MkdirTemp("", "record-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(root)
	dir, err := state.Open(root)
	if err != nil {
		panic(err)
	}
	defer dir.Close()
	r, _ := record.Open(dir, own)
	fmt.Println(r.Add(vote(7, 1), now))
	r, _ = record.Open(dir, own)
	fmt.Println(r.Add(vote(7, 1), now))
	fmt.Println(errors.Is(r.Add(vote(7, 2), now), record.ErrTwice))
	// Output:
	// <nil>
	// <nil>
	// true
}
