package coordinator

import (
	"sync"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/schema"
)

// Event is something that happened in one round: [Opened], [Waiting], [Frozen], [Proposed], [Stalled] or [Ended].
// A coordinator that goes on with a round tells its events again, as far as the store shows them.
type Event interface {
	// Round returns the round in which it happened.
	Round() pipeline.RoundName
	event()
}

type in struct{ name pipeline.RoundName }

func (e in) Round() pipeline.RoundName { return e.name }
func (in) event()                      {}

// Opened: vehicles may seal for the round.
type Opened struct {
	in
	ID        schema.RoundID
	ModelHash schema.Digest
	Deadline  int64 // Unix seconds
}

// Waiting: the number of complete reports has changed. Reports is not capped by Want.
type Waiting struct {
	in
	Reports, Want int
}

// Frozen: the list is closed; later reports miss the round.
type Frozen struct {
	in
	Reports int
}

// Proposed: the committee may vote; the cost is reserved.
type Proposed struct {
	in
	Reports int
	Refused []schema.Refusal // left out, and why
	Ignored []int            // decryptors whose refusals were ignored
}

// Stalled: the round waits for the committee; Reason tells for what. It is told again when the reason changes.
type Stalled struct {
	in
	Reason error // wraps pipeline.ErrDecryptors or pipeline.ErrNotReady
}

// Ended: the round has its receipt.
type Ended struct {
	in
	Receipt schema.Receipt
}

// events calls the observer for one event at a time.
type events struct {
	mu sync.Mutex
	to func(Event)
}

func (s *events) tell(e Event) {
	if s.to == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.to(e)
}
