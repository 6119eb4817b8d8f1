// Command cabi is the library behind the Python package: a few C functions over package calls.
//
// It is built with -buildmode=c-shared and cgo, by the wheel's build backend; abi.h is its interface. Without cgo, or run as
// a program, it does nothing.
//
// Who owns what: buffers that go in belong to the caller and are read until the call returns. Buffers that come out
// belong to the caller, too, who gives them back with veilsum_free, once for each reference: they are C memory, which
// Go's collector does not move, so an array in Python or Arrow can lie in it without a copy.
package main

func main() {}
