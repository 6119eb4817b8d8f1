// Package coordinator is the front door for a training loop: it opens the rounds of a task, waits for reports
// and for the committee, and returns what was opened. The loop, the model and its optimizer stay the caller's.
//
//	c, err := coordinator.Open(ctx, coordinator.Config{Store: s, Owner: owner, Task: id, Key: collectorKey})
//	for epoch := uint64(1); epoch <= 20; epoch++ {
//		result, err := c.Round(ctx, epoch, model)
//		… model = step(model, result.Mean)
//	}
//
// [Coordinator.Train] keeps several rounds open at once (buffered asynchronous training). Every call may be
// cancelled by its context, and called again, by another process too: it goes on where the store says that
// the round is. [Config.Observe] sees typed events.
//
// A coordinator is the Collector of the task and nothing more: it holds the Collector's key, learns the noisy mean of
// one list in each lane, and cannot make the committee open anything else. The decryptors run elsewhere
// ("veilsum committee serve", or package decryptor/watch), and vehicles send to the store or through a gateway.
package coordinator
