//go:build !unix

package s3

import (
	"io"
	"os"
)

// mapFile reads the first n bytes of a file: this system has no mmap.
func mapFile(f *os.File, n int) (content []byte, done func(), err error) {
	content = make([]byte, n)
	_, err = io.ReadFull(io.NewSectionReader(f, 0, int64(n)), content)
	return content, func() {}, err
}
