package ledger_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/veilsum/veilsum/privacy/accountant"
	"github.com/veilsum/veilsum/privacy/ledger"
)

// A Collector reserves rounds until the budget is used up, a decryptor checks
// one before it votes, and an auditor recomputes everything.
func Example() {
	ctx := context.Background()
	store := newMemory() // pipeline gives a storage.Store
	scope := ledger.Scope{ID: id("scope"), Epsilon: 2, Delta: 1e-6, Relation: accountant.ZeroOut, Unit: "vehicle"}
	rules := ledger.Rules{
		Writer: writer, // who may write for which task, from the signed tasks
		Voted:  func(context.Context, ledger.Reservation) (bool, error) { return false, nil },
	}
	book, err := ledger.Open(ctx, store, scope, rules)
	if err != nil {
		fmt.Println(err)
		return
	}
	epoch := uint64(1)
	for ; ; epoch++ {
		if _, _, err = book.Reserve(ctx, keyOf("anna"), request(taxi, epoch, 0), nil); err != nil {
			break
		}
	}
	fmt.Println("epoch", epoch, "refused:", errors.Is(err, ledger.ErrBudget))

	first := request(taxi, 1, 0)
	_, checkpoint, err := book.CheckVote(ctx, ledger.Checkpoint{}, first.Task, first.Round, first.Manifest, nil)
	fmt.Println("vote for a log of size", checkpoint.Size, err)

	report, err := ledger.Audit(ctx, store, scope, rules, checkpoint)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(report.Guarantee, "after", report.Epochs, "rounds")
	// Output:
	// epoch 12 refused: true
	// vote for a log of size 2 <nil>
	// (1.973, 1e-06)-DP per vehicle under zero_out after 11 rounds
}
