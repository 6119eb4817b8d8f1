package coordinator_test

import (
	"context"
	"fmt"
	"time"

	"github.com/veilsum/veilsum/pipeline/coordinator"
	"github.com/veilsum/veilsum/pipeline/decryptor"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/schema"
)

// A training loop of one's own: the coordinator opens a round, vehicles send, the committee opens the mean.
func Example() {
	pipelinetest.Example(8, pipelinetest.Task(10), func(f *pipelinetest.Fleet) {
		f.Keys(1) // in production "veilsum committee serve" publishes round keys ahead
		ctx := context.Background()
		c, err := coordinator.Open(ctx, coordinator.Config{
			Store: f.Store, Owner: schema.NewPublicKey(f.Owner), Task: f.TaskID, Key: f.CollectKey,
			Reports: 6, Poll: 5 * time.Millisecond, Now: f.Now,
			Observe: func(e coordinator.Event) { fleet(f, e) },
		})
		if err != nil {
			panic(err)
		}
		model := []byte("model")
		result, err := c.Round(ctx, 1, model)
		if err != nil {
			panic(err)
		}
		fmt.Printf("%d reports, a mean of %d values, epsilon spent %.2f for one %s\n",
			result.Reports, len(result.Mean), result.Spent.Epsilon, result.Spent.Unit)
	})
	// Output:
	// open for reports
	// list of 8 frozen
	// 8 reports, a mean of 10 values, epsilon spent 4.73 for one vehicle
}

// fleet does what vehicles and committee do elsewhere. Observers must not block: a real one would only draw or log.
func fleet(f *pipelinetest.Fleet, e coordinator.Event) {
	ctx, all := context.Background(), []int{0, 1, 2}
	switch e := e.(type) {
	case coordinator.Opened:
		fmt.Println("open for reports")
		r, _ := f.Round(1)
		for i := range f.Vehicles {
			f.Report(r, i)
		}
	case coordinator.Frozen:
		fmt.Println("list of", e.Reports, "frozen")
		r, list := f.Round(1)
		f.Committee(all, func(d *decryptor.Decryptor) error { _, err := d.Check(ctx, f.Store, r, list, nil); return err })
	case coordinator.Proposed:
		r, _ := f.Round(1)
		f.Committee(all, func(d *decryptor.Decryptor) error { _, err := d.Vote(ctx, f.Store, r); return err })
		f.Committee(all, func(d *decryptor.Decryptor) error { _, err := d.Answer(ctx, f.Store, r, nil); return err })
	}
}
