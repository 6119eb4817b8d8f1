package faulttest_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/veilsum/veilsum/cmd/veilsum/internal/faulttest"
)

// The test program is also the program that is traced.
const subjectEnv = "VEILSUM_TEST_FAULT_SUBJECT"

func TestMain(m *testing.M) {
	if os.Getenv(subjectEnv) != "" {
		if err := subject(); err != nil {
			fmt.Println("error", err)
			os.Exit(7)
		}
		fmt.Println("done")
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// subject makes three files in its working directory, each from another thread.
func subject() error {
	for i := range 3 {
		done := make(chan error)
		go func() {
			runtime.LockOSThread() // never unlocked: the thread ends, the next is a new one
			done <- makeFile(fmt.Sprintf("f%d", i))
		}()
		if err := <-done; err != nil {
			return err
		}
	}
	return nil
}

func makeFile(name string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.WriteString(name); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return f.Close()
}

func run(t *testing.T, f faulttest.Fault) (dir string, r *faulttest.Result) {
	t.Helper()
	if err := faulttest.Available(); err != nil {
		t.Skip(err)
	}
	dir = t.TempDir()
	c := faulttest.Command{Path: os.Args[0], Dir: dir, Root: dir, Env: append(os.Environ(), subjectEnv+"=1")}
	r, err := faulttest.Run(c, f)
	if err != nil {
		t.Fatal(err)
	}
	return dir, r
}

func names(r *faulttest.Result) (all []string) {
	for _, c := range r.Calls {
		all = append(all, c.String())
	}
	return all
}

// TestCounts: the calls of all threads are counted, in order.
func TestCounts(t *testing.T) {
	_, r := run(t, faulttest.Fault{})
	var want []string
	for i := range 3 {
		for _, call := range []string{"openat", "write", "fsync", "close"} {
			want = append(want, fmt.Sprintf("%s f%d", call, i))
		}
	}
	if !slices.Equal(names(r), want) || r.Exit != 0 || r.Stdout != "done\n" {
		t.Errorf("calls %q, exit %d, output %q", names(r), r.Exit, r.Stdout)
	}
}

// TestKill: the call that kills is not done, and all before it are.
func TestKill(t *testing.T) {
	for n := 1; n <= 12; n++ {
		dir, r := run(t, faulttest.Kill(n))
		if r.Exit != -1 || r.Signal != syscall.SIGKILL || len(r.Calls) != n || r.Stdout != "" {
			t.Fatalf("%d: exit %d, signal %v, %d calls", n, r.Exit, r.Signal, len(r.Calls))
		}
		var have, want []string
		for i := range (n + 2) / 4 { // files that were opened
			want = append(want, fmt.Sprintf("f%d", i))
			if 4*i+2 < n { // and written
				want[i] += fmt.Sprintf("=f%d", i)
			}
		}
		files, _ := filepath.Glob(dir + "/f*")
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			have = append(have, strings.TrimSuffix(filepath.Base(f)+"="+string(b), "="))
		}
		if !slices.Equal(have, want) {
			t.Errorf("killed at call %d: %q, want %q", n, have, want)
		}
	}
	if _, r := run(t, faulttest.Kill(13)); r.Exit != 0 {
		t.Errorf("there is no call 13, yet the exit status is %d", r.Exit)
	}
}

// TestFail: the program sees the error, and nothing else changes.
func TestFail(t *testing.T) {
	for n := 1; n <= 12; n++ {
		f := faulttest.Fail(n, syscall.ENOSPC)
		_, r := run(t, f)
		call, ok := r.Hit(f)
		if !ok || r.Exit != 7 || !strings.Contains(r.Stdout, "no space left on device") || !strings.Contains(r.Stdout, call.Path) {
			t.Errorf("%v: hit %v, exit %d, output %q", f, call, r.Exit, r.Stdout)
		}
	}
}

// TestFull: on a full disk every later call that needs space fails, and others do not.
func TestFull(t *testing.T) {
	if err := faulttest.Available(); err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	c := faulttest.Command{Path: "/bin/sh", Args: []string{"-c", "echo x >a; echo y >b; echo z >c; cat a"}, Dir: dir, Root: dir, Env: os.Environ()}
	r, err := faulttest.Run(c, faulttest.Full(3)) // a is opened and written to
	if err != nil || r.Stdout != "x\n" || strings.Count(r.Stderr, "No space left on device") != 2 {
		t.Errorf("%+v, %v", r, err)
	}
	if files, _ := filepath.Glob(dir + "/*"); len(files) != 1 {
		t.Errorf("files %q", files)
	}
}

// TestChildren: the calls of child processes count, and a kill leaves none of them.
func TestChildren(t *testing.T) {
	if err := faulttest.Available(); err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	c := faulttest.Command{Path: "/bin/sh", Args: []string{"-c", "echo x >a; cat a >b; echo y >c"}, Dir: dir, Root: dir, Env: os.Environ()}
	r, err := faulttest.Run(c, faulttest.Fault{})
	if err != nil || r.Exit != 0 {
		t.Fatal(r, err)
	}
	b := slices.Index(names(r), "openat b")
	read := b + slices.Index(names(r)[max(b, 0):], "openat a") // by cat
	if read < b || b < 0 {
		t.Fatalf("cat does not read a in %q", names(r))
	}
	for _, name := range []string{"a", "b", "c"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if r, err = faulttest.Run(c, faulttest.Kill(read+1)); err != nil || r.Signal != syscall.SIGKILL {
		t.Fatal(r, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "c")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the shell went on after its child was killed: %v", err)
	}
}

// TestUnavailable: a program that cannot be started is an error of the tracing.
func TestUnavailable(t *testing.T) {
	if _, err := faulttest.Run(faulttest.Command{Path: "/nowhere", Dir: "/", Root: "/"}, faulttest.Fault{}); err == nil {
		t.Error("a program that does not exist ran")
	}
	if err := faulttest.Available(); err != nil && !errors.Is(err, faulttest.ErrUnavailable) {
		t.Error(err)
	}
}
