package vehicle

import (
	"github.com/veilsum/veilsum/cmd/internal/exit"
	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/client"
	"github.com/veilsum/veilsum/pipeline/gateway/remote"
	"github.com/veilsum/veilsum/pipeline/state"
	"github.com/veilsum/veilsum/privacy"
	"github.com/veilsum/veilsum/privacy/statistics"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// Own are the meanings of the errors that only a vehicle meets.
var Own = []exit.Meaning{
	{Err: client.ErrHistory, Code: exit.Failed, Hint: "nothing was sealed or sent; restore the --state directory's last state, never an older one, or enroll the vehicle anew in another BudgetScope"},
	{Err: client.ErrUncounted, Code: exit.Failed, Hint: "seal again: the sealing that left this file was cut short, and nothing was counted"},
	{Err: remote.ErrRefused, Code: exit.Failed, Hint: "is the vehicle enrolled with this key in the round's snapshot, is the round still open, and --store the gateway's own name?"},
	{Err: client.ErrFloor, Code: exit.Verify, Hint: "the vehicle's owner set a floor; this task is below it"},
	{Err: client.ErrEpoch, Code: exit.Failed, Hint: "one report per epoch: wait for the next round"},
	{Err: client.ErrModel, Code: exit.Failed, Hint: "pass the model that the round announces as --model; without --model the update is taken to start from none"},
	{Err: client.ErrRollback, Code: exit.Verify, Hint: "the vehicle keeps its model; the store lost or withholds releases: tell whoever runs it"},
	{Err: client.ErrForked, Code: exit.Verify, Hint: "the vehicle keeps its model; who holds the release key signed two histories, or the key is stolen: tell the privacy owner"},
	{Err: client.ErrNoRelease, Code: exit.NotReady, Hint: "\"veilsum model release\" publishes one"},
	{Err: client.ErrExpired, Code: exit.Failed, Hint: "wait for the next round; if this machine's clock is wrong, set it first"},
	{Err: state.ErrLocked, Code: exit.Failed, Hint: "stop the other process that uses this --state directory"},
	{Err: statistics.ErrValue, Code: exit.Mistake, Hint: "\"veilsum stats show\" tells what the task asks; nothing was sealed"},
	{Err: privacy.ErrNotFinite, Code: exit.Mistake, Hint: "find where the training diverged, and send nothing this epoch"},
}

// Meanings are those of a program that does nothing else.
var Meanings = append(append([]exit.Meaning{}, Own...), []exit.Meaning{
	{Err: pipeline.ErrLimit, Code: exit.Budget, Hint: "this vehicle has given what the task allows; it may report again in a later epoch or not at all"},
	{Err: pipeline.ErrEnded, Code: exit.Failed, Hint: "wait for the next round"},
	{Err: pipeline.ErrFormat, Code: exit.Failed, Hint: "use the program that made this store, or a newer one; nothing was read or written"},
	{Err: pipeline.ErrUntrusted, Code: exit.Verify, Hint: "the store holds an object that its signer did not make like this; see which one above"},
	{Err: pipeline.ErrNotReady, Code: exit.NotReady, Hint: "run this again later; nothing was changed"},
	{Err: schema.ErrSignature, Code: exit.Verify},
	{Err: schema.ErrFormat, Code: exit.Verify},
	{Err: storage.ErrConflict, Code: exit.Failed, Hint: "another writer was first and wrote other bytes; nothing was overwritten"},
	{Err: storage.ErrNotExist, Code: exit.Failed, Hint: "check --store, --task and --epoch"},
}...)
