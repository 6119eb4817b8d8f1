//go:build !linux || !amd64

package faulttest

// Available returns ErrUnavailable.
func Available() error { return ErrUnavailable }

// Run returns ErrUnavailable.
func Run(Command, Fault) (*Result, error) { return nil, ErrUnavailable }
