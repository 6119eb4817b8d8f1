// Package schema holds the objects that the roles of a Veilsum round exchange
// through a store: [Task], [Descriptor], [Header] and [Report], [Check],
// [Manifest], [Reservation], [Vote], [Answer], [Receipt], [Snapshot] and
// [Partial], with one encoding each. FORMAT.md beside this file fixes every byte.
//
// Objects that people read are canonical JSON in a signed envelope ([Signed]);
// objects that vehicles write or that hold many small records are fixed binary.
// Every decoder is strict and bounded: unknown fields, a second spelling of the
// same object, trailing bytes and sizes beyond the stated limits are errors
// that wrap [ErrFormat]. A decoder never verifies a signature by itself: call
// [Signed.Verify], [Report.Verify] or [Snapshot.Verify] with the key you trust.
//
// The package knows no cryptography beyond hashes and Ed25519 signatures, no
// privacy formulas and no storage. It depends on the standard library only.
package schema
