//go:build unix

package s3

import (
	"errors"
	"os"
	"syscall"
)

// mapFile returns the first n bytes of a file as memory, which is valid until done is called.
func mapFile(f *os.File, n int) (content []byte, done func(), err error) {
	content, err = syscall.Mmap(int(f.Fd()), 0, n, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return nil, nil, errors.Join(errors.New("map the spool file"), err)
	}
	return content, func() { _ = syscall.Munmap(content) }, nil
}
