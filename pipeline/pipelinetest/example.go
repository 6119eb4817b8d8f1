package pipelinetest

import (
	"fmt"
	"os"
	"testing"

	"github.com/veilsum/veilsum/schema"
)

// examples is the test of an example function, which has none: it panics on failure.
type examples struct {
	testing.TB
	dir string
}

func (examples) Helper()                        {}
func (examples) Fatal(a ...any)                 { panic(fmt.Sprint(a...)) }
func (examples) Fatalf(format string, a ...any) { panic(fmt.Sprintf(format, a...)) }
func (examples) Errorf(format string, a ...any) { panic(fmt.Sprintf(format, a...)) }
func (examples) Cleanup(func())                 {}
func (e examples) TempDir() string              { return e.dir }

// Example makes a fleet for an example function and calls show with it.
func Example(n int, task schema.Task, show func(f *Fleet)) {
	dir, err := os.MkdirTemp("", "veilsum-example-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	show(New(examples{dir: dir}, n, task))
}
