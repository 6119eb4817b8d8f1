// Command cabi is the library behind the Python package: a few C functions over package calls.
//
// It is built with -buildmode=c-shared and cgo, by the wheel's build backend; abi.h is its interface. Without cgo, or run as
// a program, it does nothing.
//
// Who owns what: buffers that go in belong to the caller and are read until the call returns. Buffers that come out
// belong to the caller, too, who gives them back with veilsum_free, once for each reference: they are C memory, which
// Go's collector does not move, so an array in Python or Arrow can lie in it without a copy.
package main

import "runtime"

// ballast is address space that is never touched, and so takes no memory. It counts in the collector's pace: with the few
// MB that a client lives on, the collector would else run several times while one update is sealed, a fifth of the CPU
// time. In exchange up to 32 MB of garbage may lie about.
var ballast = make([]byte, 16<<20)

func main() { runtime.KeepAlive(ballast) }
