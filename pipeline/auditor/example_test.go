package auditor_test

import (
	"errors"
	"fmt"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/auditor"
	"github.com/veilsum/veilsum/pipeline/decryptor"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/schema"
)

// An outsider who knows nothing but the privacy owner's public key audits a store,
// and again after somebody changed one bit of a vote.
func Example() {
	pipelinetest.Example(4, pipelinetest.Task(100), func(f *pipelinetest.Fleet) {
		round := f.Open(1)
		for vehicle := range f.Vehicles {
			f.Report(round, vehicle)
		}
		list, _, _ := f.Collector.Close(ctx, f.Store, round)
		quorum := []int{0, 1, 2}
		f.Committee(quorum, func(d *decryptor.Decryptor) error {
			_, err := d.Check(ctx, f.Store, round, list, nil)
			return err
		})
		if _, err := f.Collector.Propose(ctx, f.Store, round, list); err != nil {
			fmt.Println(err)
		}
		f.Committee(quorum, func(d *decryptor.Decryptor) error { _, err := d.Vote(ctx, f.Store, round); return err })
		f.Committee(quorum, func(d *decryptor.Decryptor) error { _, err := d.Answer(ctx, f.Store, round, nil); return err })
		if _, err := f.Collector.Collect(ctx, f.Store, round, nil); err != nil {
			fmt.Println(err)
		}

		owner := schema.NewPublicKey(f.Owner)
		report, err := auditor.Audit(ctx, f.Store, owner, auditor.Options{})
		fmt.Println(report.Complete, err)
		spent := report.Statement().Scopes[0]
		fmt.Printf("epsilon %.2f of %g at delta %g, by %d epochs\n", spent.Spent, spent.Allowed, spent.Delta, spent.Epochs)

		vote := pipeline.VoteKey(round.Name, 1)
		f.Replace(vote, func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
		_, err = auditor.Audit(ctx, f.Store, owner, auditor.Options{})
		var flaw *auditor.Flaw
		fmt.Println(errors.As(err, &flaw) && flaw.Object == vote)
	})
	// Output:
	// true <nil>
	// epsilon 4.73 of 1000 at delta 1e-05, by 1 epochs
	// true
}
