// Package secagg is the secure sum of PROTOCOL.md: each client seals one
// message, ciphertexts add up, and a quorum of a committee opens nothing but
// one noisy sum over one list of reports.
//
// A client calls [NewClientSeed] and then [Seal]; whoever adds calls [NewSum]
// and [Sum.AddCorr], [Sum.AddBlocks], [Sum.Merge]; a decryptor calls
// [GenerateRoundKey] and [OpenBox] and goes on in package committee, where the
// sum is opened. All of them share one validated [Params].
//
// The noise that hides a message under its ciphertext is the noise that gives
// differential privacy: what is opened is the sum of the messages plus the sum
// of the noises, never an exact sum. The package knows no epsilon, no
// signature and no storage: who may send, how often a key may answer and what
// a width of noise is worth are decided by its callers.
//
// No function panics on input, and none logs. Values are named as in
// PROTOCOL.md section 1; sections in comments refer to that page.
package secagg
