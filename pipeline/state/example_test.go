package state_test

import (
	"fmt"
	"os"

	"github.com/veilsum/veilsum/pipeline/state"
)

// A vote is durable before it leaves, and the process that starts next finds it.
func Example() {
	root, err := os.MkdirTemp("", "state-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(root)
	d, err := state.Open(root)
	if err != nil {
		panic(err)
	}
	fmt.Println(d.Create("vote", []byte("for this list")))
	_, err = state.Open(root)
	fmt.Println(err == nil)
	d.Close()

	d, err = state.Open(root)
	if err != nil {
		panic(err)
	}
	defer d.Close()
	vote, err := d.Read("vote")
	fmt.Printf("%s %v\n", vote, err)
	fmt.Println(d.Create("vote", []byte("for another list")) == nil)
	// Output:
	// <nil>
	// false
	// for this list <nil>
	// false
}
