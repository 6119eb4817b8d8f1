package arrowchild

import (
	"fmt"
	"os"
	"syscall"
)

// limitMemory lets this process map at most n bytes more than it has. What the runtime reserved
// before counts to the address space, so it is added.
func limitMemory(n uint64) error {
	raw, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return err
	}
	var pages uint64
	if _, err := fmt.Sscan(string(raw), &pages); err != nil {
		return err
	}
	most := pages*uint64(os.Getpagesize()) + n
	return syscall.Setrlimit(syscall.RLIMIT_AS, &syscall.Rlimit{Cur: most, Max: most})
}
