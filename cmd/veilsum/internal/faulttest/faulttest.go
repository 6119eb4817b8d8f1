// Package faulttest runs a program under ptrace(2), counts its file system calls
// below one directory over all its threads and child processes, and kills it at one of them or
// lets one fail. Start with [Run]; [Available] tells whether this machine can.
//
// strace(1) cannot take its place: it counts for each thread alone, and a Go
// program's calls wander between threads, so "the N-th call" would be another one
// each time, and some would never be met.
package faulttest

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
)

// ErrUnavailable says that this machine has no ptrace for us: another operating
// system or processor, or a sandbox that forbids it.
var ErrUnavailable = errors.New("faulttest: ptrace is not available")

// Command is a program to run. Its standard input is empty.
type Command struct {
	Path string   // of the program
	Args []string // without the program's name
	Dir  string   // working directory
	Env  []string
	Root string // absolute, without symbolic links; only calls on paths at or below it are counted
}

// Call is one file system call, as it was asked for.
type Call struct {
	Name  string // of the system call, openat say
	Path  string // relative to Root; of a link or rename the new name
	Write bool   // it changes files or makes changes last: all but reads and looks
}

// String returns the call as "openat store/.tmp/…".
func (c Call) String() string { return c.Name + " " + c.Path }

// NeedsSpace tells a call that a full disk refuses.
func (c Call) NeedsSpace() bool { return c.Write && c.Name != "unlinkat" && c.Name != "flock" }

// Fault is what happens to one call, or from one on.
type Fault struct {
	At    int           // which call, from 1; 0 for none
	Errno syscall.Errno // what it returns instead of being done; 0 kills the program, children and all, before it is done
	Full  bool          // count only calls that need space, and fail all of them from At on
}

// Kill is the fault that ends the program in place of call n.
func Kill(n int) Fault { return Fault{At: n} }

// Fail is the fault that lets call n fail. A close is done all the same: so does Linux.
func Fail(n int, errno syscall.Errno) Fault { return Fault{At: n, Errno: errno} }

// Full is a disk that gets full: the n-th call that needs space fails, and so do all such calls after it.
func Full(n int) Fault { return Fault{At: n, Errno: syscall.ENOSPC, Full: true} }

// hits tells whether the last of the calls fails; room is how many of them need space.
func (f Fault) hits(calls []Call, room int) bool {
	if f.Full {
		return calls[len(calls)-1].NeedsSpace() && room >= f.At
	}
	return len(calls) == f.At
}

// String names the fault.
func (f Fault) String() string {
	switch {
	case f.At == 0:
		return "no fault"
	case f.Full:
		return fmt.Sprintf("a disk that is full after %d calls", f.At-1)
	case f.Errno == 0:
		return fmt.Sprintf("killed at call %d", f.At)
	}
	return fmt.Sprintf("%v at call %d", f.Errno, f.At)
}

// Result is how a run ended.
type Result struct {
	Calls  []Call // counted, in order; the fault hit Calls[At-1] if there are so many
	Exit   int    // exit status, or -1 if a signal ended the program
	Signal syscall.Signal
	Stdout string
	Stderr string
}

// Hit returns the call that a fault of one call hit; ok is false if the run ended before it.
func (r *Result) Hit(f Fault) (c Call, ok bool) {
	if f.At < 1 || f.At > len(r.Calls) {
		return Call{}, false
	}
	return r.Calls[f.At-1], true
}

// below returns path relative to root; ok is false for paths elsewhere.
func below(root, path string) (rel string, ok bool) {
	rel, err := filepath.Rel(root, path)
	return rel, err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}
