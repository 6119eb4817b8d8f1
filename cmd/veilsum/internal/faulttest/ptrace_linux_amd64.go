package faulttest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"syscall"
	"unsafe"
)

// Of <linux/ptrace.h> and <linux/wait.h>; package syscall lacks them.
const (
	getSyscallInfo = 0x420e // PTRACE_GET_SYSCALL_INFO, Linux 5.3
	exitKill       = 0x100000
	waitAll        = 0x40000000 // __WALL
	atEntry        = 1
	atExit         = 2
)

// syscallInfo is struct ptrace_syscall_info at an entry.
type syscallInfo struct {
	op   uint8
	_    [3]uint8
	arch uint32
	_    [2]uint64 // instruction and stack pointer
	nr   uint64
	args [6]uint64
}

var available = sync.OnceValue(func() error {
	r, err := Run(Command{Path: "/proc/self/exe", Args: []string{"-test.list", "^$"}, Dir: "/", Env: os.Environ(), Root: "/proc"}, Fault{})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if r.Exit != 0 {
		return fmt.Errorf("%w: a traced program ended with exit status %d", ErrUnavailable, r.Exit)
	}
	return nil
})

// Available tells whether Run can work here: nil, or an error that wraps ErrUnavailable.
func Available() error { return available() }

// Run runs the command to its end, with at most one fault. An error is a failure
// of the tracing, not of the program.
func Run(c Command, f Fault) (*Result, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	stdout, err := scratch()
	if err != nil {
		return nil, err
	}
	defer stdout.Close()
	stderr, err := scratch()
	if err != nil {
		return nil, err
	}
	defer stderr.Close()

	runtime.LockOSThread() // ptrace knows the tracer by its thread
	defer runtime.UnlockOSThread()
	pid, err := syscall.ForkExec(c.Path, append([]string{c.Path}, c.Args...), &syscall.ProcAttr{
		Dir: c.Dir, Env: c.Env, Files: []uintptr{null.Fd(), stdout.Fd(), stderr.Fd()},
		// A process group of its own: wait4 then takes no other child of this program.
		Sys: &syscall.SysProcAttr{Ptrace: true, Setpgid: true},
	})
	if err != nil {
		return nil, fmt.Errorf("faulttest: start %s: %w", c.Path, err)
	}
	t := &tracer{command: c, fault: f, pid: pid, threads: map[int]*thread{pid: {}}, result: &Result{Exit: -1}}
	if err := t.run(); err != nil {
		return nil, errors.Join(fmt.Errorf("faulttest: %w", err), t.drain())
	}
	var errOut, errErr error
	t.result.Stdout, errOut = content(stdout)
	t.result.Stderr, errErr = content(stderr)
	return t.result, errors.Join(errOut, errErr)
}

// scratch is a file without a name, so that no output can fill a pipe.
func scratch() (*os.File, error) {
	f, err := os.CreateTemp("", "faulttest")
	if err == nil {
		err = os.Remove(f.Name())
	}
	return f, err
}

func content(f *os.File) (string, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	b, err := io.ReadAll(f)
	return string(b), err
}

type thread struct {
	started bool          // its first stop was seen
	failing bool          // it is inside the call that fails
	errno   syscall.Errno // what that call returns
}

type tracer struct {
	command Command
	fault   Fault
	pid     int
	threads map[int]*thread
	room    int // calls that need space
	result  *Result
}

// run follows the threads until the process has ended.
func (t *tracer) run() error {
	var ws syscall.WaitStatus
	if _, err := wait(t.pid, &ws); err != nil {
		return err
	}
	if !ws.Stopped() || ws.StopSignal() != syscall.SIGTRAP {
		return fmt.Errorf("the program did not stop at its start: %#x", ws)
	}
	t.threads[t.pid].started = true
	options := syscall.PTRACE_O_TRACESYSGOOD | syscall.PTRACE_O_TRACECLONE | syscall.PTRACE_O_TRACEFORK | syscall.PTRACE_O_TRACEVFORK | syscall.PTRACE_O_TRACEEXEC | exitKill
	if err := syscall.PtraceSetOptions(t.pid, options); err != nil {
		return err
	}
	if err := t.resume(t.pid, 0); err != nil {
		return err
	}
	for {
		tid, err := wait(-t.pid, &ws)
		if err != nil {
			return err
		}
		if ws.Exited() || ws.Signaled() {
			delete(t.threads, tid)
			if tid == t.pid { // Linux tells the leader's end last
				t.ended(ws)
				return t.drain()
			}
			continue
		}
		if err := t.stopped(tid, ws); err != nil {
			return err
		}
	}
}

func (t *tracer) ended(ws syscall.WaitStatus) {
	if ws.Signaled() {
		t.result.Signal = ws.Signal()
	} else {
		t.result.Exit = ws.ExitStatus()
	}
}

func (t *tracer) stopped(tid int, ws syscall.WaitStatus) error {
	th := t.threads[tid]
	if th == nil {
		th = &thread{}
		t.threads[tid] = th
	}
	signal := ws.StopSignal()
	switch {
	case signal == syscall.SIGTRAP|0x80:
		th.started, signal = true, 0
		if err := t.atCall(tid, th); err != nil {
			return err
		}
	case signal == syscall.SIGTRAP && ws.TrapCause() > 0:
		signal = 0 // a thread or process was made, or another program begins
	case signal == syscall.SIGSTOP && !th.started:
		th.started, signal = true, 0 // the new thread itself
	}
	return t.resume(tid, signal)
}

// resume lets a thread run to its next stop. One that was killed meanwhile is gone.
func (t *tracer) resume(tid int, signal syscall.Signal) error {
	if err := syscall.PtraceSyscall(tid, int(signal)); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return nil
}

// atCall looks at a system call that begins or ends.
func (t *tracer) atCall(tid int, th *thread) error {
	var info syscallInfo
	_, _, errno := syscall.RawSyscall6(syscall.SYS_PTRACE, getSyscallInfo, uintptr(tid), unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)), 0, 0)
	switch {
	case errno == syscall.ESRCH:
		return nil
	case errno != 0:
		return fmt.Errorf("PTRACE_GET_SYSCALL_INFO: %w", errno)
	case info.op == atExit && th.failing:
		th.failing = false
		return t.setResult(tid, th.errno)
	case info.op != atEntry:
		return nil
	}
	call, ok := t.decode(tid, &info)
	if !ok {
		return nil
	}
	t.result.Calls = append(t.result.Calls, call)
	if call.NeedsSpace() {
		t.room++
	}
	if !t.fault.hits(t.result.Calls, t.room) {
		return nil
	}
	if t.fault.Errno == 0 {
		return syscall.Kill(-t.pid, syscall.SIGKILL) // Linux does not begin a call of a process with a fatal signal
	}
	th.failing, th.errno = true, t.fault.Errno
	if call.Name == "close" {
		return nil
	}
	return t.skip(tid)
}

// skip makes a call that begins one that does not exist.
func (t *tracer) skip(tid int) error {
	var regs syscall.PtraceRegs
	if err := syscall.PtraceGetRegs(tid, &regs); err != nil {
		return err
	}
	regs.Orig_rax = ^uint64(0)
	return syscall.PtraceSetRegs(tid, &regs)
}

func (t *tracer) setResult(tid int, errno syscall.Errno) error {
	var regs syscall.PtraceRegs
	if err := syscall.PtraceGetRegs(tid, &regs); err != nil {
		return err
	}
	regs.Rax = -uint64(errno)
	return syscall.PtraceSetRegs(tid, &regs)
}

// drain ends what is left of the program and its children, and waits for them.
func (t *tracer) drain() error {
	if len(t.threads) > 0 { // else the number may be another's by now
		syscall.Kill(-t.pid, syscall.SIGKILL)
	}
	for {
		var ws syscall.WaitStatus
		switch tid, err := wait(-t.pid, &ws); {
		case errors.Is(err, syscall.ECHILD):
			return nil
		case err != nil:
			return err
		case ws.Stopped(): // it stopped before it was killed
			if err := t.resume(tid, 0); err != nil {
				return err
			}
		}
	}
}

func wait(pid int, ws *syscall.WaitStatus) (int, error) {
	for {
		tid, err := syscall.Wait4(pid, ws, waitAll, nil)
		if err != syscall.EINTR {
			return tid, err
		}
	}
}
