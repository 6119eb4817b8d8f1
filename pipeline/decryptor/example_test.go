package decryptor_test

import (
	"errors"
	"fmt"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/decryptor"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
)

// A decryptor votes for what it accepted, answers on t votes, and says the same when asked again.
func Example() {
	pipelinetest.Example(4, pipelinetest.Task(100), func(f *pipelinetest.Fleet) {
		round := f.Open(1)
		for i := range f.Vehicles {
			f.Report(round, i)
		}
		list, _, _ := f.Collector.Close(ctx, f.Store, round)
		f.Committee([]int{0, 1, 2}, func(d *decryptor.Decryptor) error {
			checked, err := d.Check(ctx, f.Store, round, list, nil)
			fmt.Println("accepts", checked.Accepted)
			return err
		})
		f.Collector.Propose(ctx, f.Store, round, list)
		f.Committee([]int{0}, func(d *decryptor.Decryptor) error {
			_, err := d.Vote(ctx, f.Store, round)
			_, early := d.Answer(ctx, f.Store, round, nil)
			fmt.Println("needs more votes:", errors.Is(early, pipeline.ErrDecryptors))
			return err
		})
		f.Committee([]int{1, 2}, func(d *decryptor.Decryptor) error { _, err := d.Vote(ctx, f.Store, round); return err })
		f.Committee([]int{0}, func(d *decryptor.Decryptor) error {
			a, err := d.Answer(ctx, f.Store, round, nil)
			again, _ := d.Answer(ctx, f.Store, round, nil)
			fmt.Println("sets:", len(a.Shares), string(a.Shares[0]) == string(again.Shares[0]))
			return err
		})
	})
	// Output:
	// accepts 4
	// accepts 4
	// accepts 4
	// needs more votes: true
	// sets: 3 true
}
