//go:build !linux

package dir

// fileSystemOf cannot tell on this system.
func fileSystemOf(string) (name string, network, volatile bool) { return "unknown", false, false }
