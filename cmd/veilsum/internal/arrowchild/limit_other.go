//go:build !linux

package arrowchild

import "runtime/debug"

// limitMemory only makes the collector work harder near n: this system does not enforce RLIMIT_AS.
func limitMemory(n uint64) error {
	debug.SetMemoryLimit(int64(n))
	return nil
}
