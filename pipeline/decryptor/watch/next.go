package watch

import (
	"slices"

	"github.com/veilsum/veilsum/pipeline/decryptor"
	"github.com/veilsum/veilsum/schema"
)

// Action is what a decryptor does next in a round.
type Action string

// The actions. Which of them is next decides only how soon a round ends: every step checks for itself
// whether it may be done, whatever order they are called in.
const (
	Wait   Action = "wait"   // for the Collector, or for others' votes
	Accept Action = "accept" // bind the key to the descriptor
	Check  Action = "check"  // the lists of View.Unchecked
	Vote   Action = "vote"   // or send the vote that was given
	Answer Action = "answer" // or send the answer that was given
	Finish Action = "finish" // nothing is left to do, ever
)

// View is one round as this decryptor sees it: what its state says, what the
// store shows, and what this process did.
type View struct {
	decryptor.Status
	Open       bool            // there is a verified descriptor
	Ended      string          // status of the receipt; empty while the round goes on
	Unchecked  []schema.Digest // candidate lists that this process has not dealt with
	Proposed   bool            // there is a manifest
	Certified  bool            // t votes are there for one list
	VoteSent   bool            // there is an object in the vote's place
	AnswerSent bool            // there is one in the answer's place
}

// Next decides what to do with a round. It is a pure function: a restarted process, which has sent nothing
// yet, goes on from what is durable.
func Next(v View) Action {
	switch {
	case v.Answered && v.AnswerSent, !v.Live && !v.Voted, !v.Live && v.VoteSent && !v.Answered:
		return Finish
	case !v.Open:
		return Wait
	case v.Voted && !v.VoteSent:
		return Vote // even in a round that ended: a vote that nobody saw must show, it decides the charge
	case v.Answered:
		return Answer
	case v.Ended == schema.StatusVoid:
		return Finish
	case v.Voted && v.Certified:
		return Answer // in a committed round, too: late answers are fine
	case v.Voted:
		return Wait
	case v.Ended != "":
		return Finish
	case v.Round == (schema.RoundID{}):
		return Accept
	case len(v.Unchecked) > 0:
		return Check
	case v.Proposed:
		return Vote
	}
	return Wait
}

// Ahead returns the epochs whose round keys are wanted, so that n epochs that no round
// uses yet have keys in all lanes: those behind the last epoch that was opened, without the spoiled ones.
// A key that expires before the time soon is not counted as one, and neither is an epoch where a key is gone.
// keys are all of the task's; epochs start at 1.
func Ahead(keys []decryptor.Status, spoiled func(epoch uint64) bool, n int, soon int64) []uint64 {
	var last uint64
	var dead, old []uint64
	for _, k := range keys {
		used := k.Round != (schema.RoundID{})
		switch {
		case used:
			last = max(last, k.Name.Epoch)
		case !k.Live:
			dead = append(dead, k.Name.Epoch)
		case k.Expiry < soon:
			old = append(old, k.Name.Epoch)
		}
	}
	var want []uint64
	for e := last + 1; n > 0 && e > last; e++ { // ends if the epochs do
		if slices.Contains(dead, e) || spoiled(e) {
			continue
		}
		want = append(want, e)
		if !slices.Contains(old, e) {
			n--
		}
	}
	return want
}
