package main

import (
	"context"
	"slices"

	"github.com/veilsum/veilsum/cmd/internal/exit"
	"github.com/veilsum/veilsum/cmd/internal/vehicle"
	"github.com/veilsum/veilsum/cmd/veilsum/internal/peers"
	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/auditor"
	"github.com/veilsum/veilsum/pipeline/batch"
	"github.com/veilsum/veilsum/pipeline/canaryround"
	"github.com/veilsum/veilsum/pipeline/collector"
	"github.com/veilsum/veilsum/pipeline/decryptor"
	"github.com/veilsum/veilsum/pipeline/decryptor/record"
	"github.com/veilsum/veilsum/pipeline/decryptor/watch"
	"github.com/veilsum/veilsum/pipeline/fleetsim/planet"
	"github.com/veilsum/veilsum/pipeline/fleetsim/realshare"
	"github.com/veilsum/veilsum/pipeline/region"
	"github.com/veilsum/veilsum/pipeline/releaser"
	"github.com/veilsum/veilsum/privacy/accountant"
	"github.com/veilsum/veilsum/privacy/canary"
	"github.com/veilsum/veilsum/privacy/ledger"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/schema/delta"
	"github.com/veilsum/veilsum/storage"
)

// The exit statuses; package exit tells what they mean.
const (
	exitFailed      = exit.Failed
	exitUsage       = exit.Mistake
	exitRefused     = exit.Refused
	exitBudget      = exit.Budget
	exitVerify      = exit.Verify
	exitDecryptors  = exit.Decryptors
	exitNotReady    = exit.NotReady
	exitInterrupted = exit.Interrupted
)

const exitHelp = exit.Help

// usageError is a mistake on the command line or in a task file.
type usageError = exit.Usage

func usage(format string, args ...any) error { return exit.Usagef(format, args...) }

func withHint(err error, format string, args ...any) error {
	return exit.WithHint(err, format, args...)
}

// meaning is what a sentinel error means to the caller of the program.
type meaning struct {
	err  error
	code int
	hint string
}

// meanings in the order they are tried: the more telling one first.
var meanings = []meaning{
	{region.ErrLies, exitVerify, "trust none of what this region's aggregator signs"},
	{errFlaws, exitVerify, "restore what is damaged or missing from a copy; of an open round abort it and open the next epoch; \"veilsum audit\" says what is still proven"},
	{pipeline.ErrStore, exitFailed, `nothing was written; "veilsum store doctor" shows what is wrong, storage/STORE.md lists servers that work`},
	{pipeline.ErrFormat, exitFailed, "use the veilsum that made this store, or a newer one; nothing was read or written"},
	{storage.ErrLies, exitFailed, "do not use this store; storage/STORE.md lists servers that work"},
	{auditor.ErrFlaw, exitVerify, "this object is not what its signer made, or what it claims does not follow from the others; nothing in this store is proven"},
	{peers.ErrClaim, exitVerify, "whoever relies on the claim is not protected as promised; the reasons say which argument to change"},
	{auditor.ErrNothing, exitFailed, "check --store and --owner; without --task every task that the owner signed is audited"},
	{canary.ErrRefuted, exitVerify, "do not release what was audited, unless its noise was weakened on purpose; repeat it with --runs to tell a defect from chance"},
	{canaryround.ErrConfig, exitUsage, ""},
	{planet.ErrScenario, exitUsage, `"veilsum fleet simulate --example" shows every field with its default`},
	{realshare.ErrConfig, exitUsage, "--real takes 8 to 10000 vehicles, no more than the fleet has, or 0"},
	{ledger.ErrVoided, exitVerify, "this decryptor voted for a list whose round was aborted before its vote was to be seen; it votes no more in this scope, and still checks and answers elsewhere: tell the privacy owner, who may renew the committee"},
	{watch.ErrPolicy, exitFailed, "the --policy file of this decryptor refuses it; nothing was signed"},
	{pipeline.ErrFork, exitVerify, "two ledgers exist, or one was rolled back: tell the privacy owner, and keep both; nothing was signed"},
	{batch.ErrStep, exitUsage, "\"veilsum batch plan --steps\" prints the inputs of each step; nothing was read or written"},
	{pipeline.ErrBudget, exitBudget, "nothing was reserved or opened; start a new BudgetScope only for new data, or stop here"},
	{pipeline.ErrLimit, exitBudget, "this vehicle has given what the task allows; it may report again in a later epoch or not at all"},
	{pipeline.ErrDecryptors, exitDecryptors, "ask the missing committee members to check, vote or answer, then run this again"},
	{pipeline.ErrTooFew, exitFailed, `the list is frozen, waiting does not help: "veilsum round abort", then open the next epoch`},
	{pipeline.ErrRegions, exitFailed, "a round's regions cannot change; pass the --regions file that it was opened with, or open the next epoch"},
	{pipeline.ErrOpened, exitFailed, "a round's model cannot change; pass the model that it was opened with, or open the next epoch"},
	{pipeline.ErrKey, exitUsage, "pass the key of the role that the task names; \"veilsum task show --json\" lists the public keys"},
	{accountant.ErrNoGuarantee, exitUsage, "the noise is too small for any guarantee: raise noise_multiplier"},
	{pipeline.ErrNotReady, exitNotReady, "run this again later; nothing was changed"},
	{pipeline.ErrEnded, exitFailed, `"veilsum round status" shows the receipt`},
	{pipeline.ErrNoStatistics, exitUsage, `"veilsum stats define" makes a task that asks the fleet questions`},
	{pipeline.ErrTask, exitUsage, `"veilsum task new --example" explains every field`},
	{decryptor.ErrManifest, exitVerify, "this decryptor will not vote for any proposed list; the collector should propose one without the reports it refused"},
	{decryptor.ErrHandedOver, exitFailed, "rounds that it voted in are still answered; new ones belong to the task that \"veilsum task renew\" made"},
	{decryptor.ErrForked, exitVerify, "two descriptors exist for one round: tell the privacy owner; this decryptor keeps to the first"},
	{decryptor.ErrRestored, exitFailed, "a decryptor that forgot what it signed counts as malicious and must not go on: tell the privacy owner, who renews the committee; if --record was left out or mistyped, pass the directory that this decryptor always used"},
	{record.ErrDamaged, exitFailed, "the record cannot be trusted, and without it this decryptor counts as malicious: tell the privacy owner, who renews the committee"},
	{decryptor.ErrStale, exitVerify, "open the round with the newest snapshot of \"veilsum fleet list\""},
	{decryptor.ErrNoKey, exitFailed, "round keys exist from \"committee init --epochs\" until they expire or have answered"},
	{collector.ErrVoted, exitNotReady, `"veilsum round collect" ends the round once enough decryptors have answered`},
	{releaser.ErrRounds, exitUsage, `"veilsum model show" lists the releases with their rounds`},
	{releaser.ErrSize, exitUsage, "is it the right file? a model has the task's values, and room for as many more"},
	{delta.ErrRound, exitUsage, "--round-bits is for raw float32 models that follow another release; leave it out"},
	{errNotReleased, exitVerify, "\"veilsum model show\" lists what was released; do not run this file"},
	{pipeline.ErrUntrusted, exitVerify, "the store holds an object that its signer did not make like this; see which one above"},
	{schema.ErrSignature, exitVerify, ""},
	{schema.ErrFormat, exitVerify, ""},
	{storage.ErrConflict, exitFailed, "another writer was first and wrote other bytes; nothing was overwritten"},
	{storage.ErrNotExist, exitFailed, "check --store, --task, --epoch and --lane"},
}

// explain returns the exit status of an error and how to cure it.
func explain(ctx context.Context, err error) (code int, hint string) {
	table := slices.Clone(vehicle.Own)
	for _, m := range meanings {
		table = append(table, exit.Meaning{Err: m.err, Code: m.code, Hint: m.hint})
	}
	return exit.Explain(ctx, err, table)
}
