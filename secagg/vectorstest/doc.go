// Package vectorstest checks the Go code against the known answers in
// secagg/testdata/vectors/v1, which an independent Python program makes from
// PROTOCOL.md, and lets that program open rounds that Go has sealed. It holds
// tests only.
package vectorstest
