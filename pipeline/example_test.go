package pipeline_test

import (
	"context"
	"fmt"

	"github.com/veilsum/veilsum/pipeline/decryptor"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/schema"
)

// A whole round: five of six vehicles report 100 values each, and three of four decryptors open
// nothing but the noisy sum of these five.
func Example() {
	pipelinetest.Example(6, pipelinetest.Task(100), func(f *pipelinetest.Fleet) {
		ctx := context.Background()
		// Every decryptor publishes its key, then the Collector opens the round.
		round := f.Open(1)
		for vehicle := range 5 {
			client, exit := f.Vehicle(vehicle)
			sealed, err := client.Seal(ctx, f.Store, f.TaskID, 1, f.Update(vehicle))
			check(err)
			_, err = client.Upload(ctx, f.Store, sealed.File(), nil)
			check(err)
			exit()
		}
		list, n, err := f.Collector.Close(ctx, f.Store, round)
		check(err)
		fmt.Println("candidates:", n)

		quorum := []int{0, 1, 3}
		f.Committee(quorum, func(d *decryptor.Decryptor) error {
			_, err := d.Check(ctx, f.Store, round, list, nil)
			return err
		})
		proposal, err := f.Collector.Propose(ctx, f.Store, round, list)
		check(err)
		fmt.Println("proposed:", proposal.Reports)
		f.Committee(quorum, func(d *decryptor.Decryptor) error { _, err := d.Vote(ctx, f.Store, round); return err })
		f.Committee(quorum, func(d *decryptor.Decryptor) error { _, err := d.Answer(ctx, f.Store, round, nil); return err })

		got, err := f.Collector.Collect(ctx, f.Store, round, nil)
		check(err)
		fmt.Println(got.Receipt.Status, got.Receipt.Reports, "reports,", len(got.Mean), "values")
		_, err = f.Collector.Abort(ctx, f.Store, round, "too late")
		fmt.Println(err)
		fmt.Println(got.Receipt.Status == schema.StatusCommitted)
	})
	// Output:
	// candidates: 5
	// proposed: 5
	// committed 5 reports, 100 values
	// round has ended: committed
	// true
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
