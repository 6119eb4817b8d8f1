package client_test

import (
	"fmt"

	"github.com/veilsum/veilsum/pipeline/pipelinetest"
)

// A vehicle seals once an epoch; the report waits on disk until the store has all of it.
func Example() {
	pipelinetest.Example(4, pipelinetest.Task(100), func(f *pipelinetest.Fleet) {
		f.Open(1)
		client, exit := f.Vehicle(0)
		defer exit()
		sealed, err := client.Seal(ctx, f.Store, f.TaskID, 1, f.Update(0))
		fmt.Println(sealed.Name.Epoch, sealed.Clipped, err)
		_, err = client.Seal(ctx, f.Store, f.TaskID, 1, f.Update(0))
		fmt.Println(err)
		files, _ := client.Pending()
		id, err := client.Upload(ctx, f.Store, files[0], nil)
		fmt.Println(id == sealed.Report, err)
	})
	// Output:
	// 1 false <nil>
	// client: epoch is not above the last one: 1, last 1
	// true <nil>
}
