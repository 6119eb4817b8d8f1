// Package canaryround plays one round whose vehicles are canaries, through
// every role of the real pipeline, to find out what the release leaks
// (privacy/canary/CANARY.md). Each canary is one vehicle, that is one unit of
// privacy: a fair coin decides whether its update is the longest allowed one,
// on a coordinate of its own, or zero. What came out of the round is then
// guessed at and judged by package canary.
//
// In [Config.Play] nothing is imitated: task, keys, ledger, clients with state
// directories, committee and collector are those of every other round.
// [Config.PlayClear] leaves out all that encrypts and keeps what privacy rests on.
// The vehicles are made up, so nobody's budget is spent.
package canaryround
