// Package committee is what decryptors do with their seeds, and how a sum is
// opened with their answers (PROTOCOL.md sections 7 and 8).
//
// A decryptor keeps one durable [Record] for each round key. It checks reports
// with secagg.OpenBox, votes with [Record.Vote], adds the seeds of the list up
// in [Shares] and answers once with [Record.Answer]. A collector that holds
// the sum over the same list and enough answers calls [Open].
//
// Everything here is pure: no input or output, no clock, no signature. Callers
// verify signatures first, and make a record durable before its vote or answer
// leaves. Sections in comments refer to PROTOCOL.md.
package committee
