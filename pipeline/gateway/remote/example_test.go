package remote_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/veilsum/veilsum/pipeline/gateway/gatewaytest"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
)

// A vehicle with nothing but its identity seals and uploads through a gateway as into any store.
func Example() {
	ctx := context.Background()
	pipelinetest.Example(4, pipelinetest.Task(100), func(f *pipelinetest.Fleet) {
		server := gatewaytest.Start(f, nil)
		defer server.Kill()
		round := f.Open(1)
		client, exit := f.Vehicle(0)
		defer exit()

		gateway := server.Remote(f.Vehicles[0]) // remote.Open with the URL and the vehicle's key
		fmt.Println("enrolled:", gateway.Login(ctx, round.Name, round.ID) == nil)
		sealed, err := client.Seal(ctx, gateway, f.TaskID, 1, f.Update(0))
		fmt.Println(err)
		id, err := client.Upload(ctx, gateway, sealed.File(), nil)
		fmt.Println(id == sealed.Report, err)

		for _, err := range gateway.List(ctx, "", "") {
			fmt.Println(errors.Is(err, errors.ErrUnsupported))
		}
	})
	// Output:
	// enrolled: true
	// <nil>
	// true <nil>
	// true
}
