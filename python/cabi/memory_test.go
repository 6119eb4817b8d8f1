package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestArrowMemory compiles the C half with the address sanitizer, which also finds what is never freed, and takes
// references in four threads.
func TestArrowMemory(t *testing.T) {
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("no C compiler")
	}
	for _, name := range []string{"abi.h", "arrow.c", "testdata/memory.c"} { // for the cache of go test
		if _, err := os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	program := filepath.Join(t.TempDir(), "memory")
	flags := []string{"-std=c11", "-g", "-O1", "-pthread", "-Wall", "-Wextra", "-Werror", "-fno-omit-frame-pointer"}
	build := exec.Command(cc, append(flags, "-fsanitize=address,undefined", "-o", program, "testdata/memory.c")...)
	if out, err := build.CombinedOutput(); err != nil {
		if exec.Command(cc, append(flags, "-o", program, "testdata/memory.c")...).Run() == nil {
			t.Skipf("no address sanitizer: %s", out)
		}
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := exec.Command(program).CombinedOutput(); err != nil || string(out) != "ok\n" {
		t.Fatalf("%v\n%s", err, out)
	}
}
