// Package ledger records what was spent of a privacy budget before it is spent:
// an append-only, tamper-evident log of reservations, one log per BudgetScope,
// in a store of write-once objects that nobody has to trust.
//
// Start with [Open], which reads and verifies the whole log of a [Scope]. A
// Collector calls [Ledger.Reserve] before anybody may vote for a list of reports,
// and [Ledger.Settle] once the round has its receipt; Reserve refuses with
// [ErrBudget] before anything is written. A decryptor calls
// [Ledger.CheckVote] with the last [Checkpoint] it signed: voters are the
// witnesses of the log. An auditor calls [Audit]. Events are stored, never what they cost:
// epsilon is recomputed by package accountant each time.
//
// An entry is appended by creating the next object of a sequence that is
// create-only; who creates it has appended, everybody else reads it and tries
// again on top of it. Each entry is signed by the Collector of its task and names
// the hash of the entry before it, so it stands for one history at one place. The same
// entries are the leaves of an RFC 6962 tree with C2SP checkpoints, tiles
// and cosignatures. LEDGER.md beside this file is the specification, with what a fork needs.
//
// What this package does not do: it does not know tasks, votes or vehicles
// (the caller's [Rules] and [Participations] do), does not keep a decryptor's last
// checkpoint (the caller does, durably), and cannot see that a log was rolled back
// without such a checkpoint.
package ledger
