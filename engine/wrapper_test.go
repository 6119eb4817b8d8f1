package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/veilsum/veilsum/storage"
)

// Engines under test find this test's program under the name veilsum. It runs the real one, leaves
// a file for each step that begins, and lets some steps come to harm, once each.
const (
	programEnv = "VEILSUM_SPARK_PROGRAM" // the real veilsum
	eventsEnv  = "VEILSUM_SPARK_EVENTS"  // the folder of the files
	harmEnv    = "VEILSUM_SPARK_HARM"    // LEVEL-INDEX=HARM,…
)

// What can happen to a step.
const (
	hangs    = "hangs"    // begins, and is never done
	stored   = "stored"   // is killed when its partial sum is stored, before its record is
	recorded = "recorded" // is killed when its record is stored too, before it can say so
	fails    = "fails"    // says that it failed, and always does
	miscount = "miscount" // says one input too few
	other    = "other"    // says that it is another step
)

// recordEnv is the name of the record of the step that is to be recorded.
const recordEnv = "VEILSUM_SPARK_RECORD"

func TestMain(m *testing.M) {
	if real := os.Getenv(programEnv); real != "" && filepath.Base(os.Args[0]) == "veilsum" {
		if err := wrap(real, os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, "wrapper:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := m.Run()
	if builtIn != "" {
		_ = os.RemoveAll(builtIn)
	}
	os.Exit(code)
}

// wrapped returns a folder for PATH where veilsum is this program, and the environment that it wants.
func wrapped(t testing.TB, harm string) (events string, env []string) {
	t.Helper()
	real, err := program()
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	folder, events := t.TempDir(), t.TempDir()
	if err := os.Symlink(self, filepath.Join(folder, "veilsum")); err != nil {
		t.Fatal(err)
	}
	return events, []string{
		"PATH=" + folder + ":" + os.Getenv("PATH"), programEnv + "=" + real, eventsEnv + "=" + events, harmEnv + "=" + harm,
	}
}

// wrap runs the real program in the place of this one, unless it comes to harm.
func wrap(real string, args []string) error {
	step, ok := stepOf(args)
	if !ok {
		return syscall.Exec(real, append([]string{real}, args...), os.Environ())
	}
	if err := note(fmt.Sprintf("began.%s.%d", step, os.Getpid())); err != nil {
		return err
	}
	harm := ""
	for _, x := range strings.Split(os.Getenv(harmEnv), ",") {
		if name, what, _ := strings.Cut(x, "="); name == step {
			harm = what
		}
	}
	switch harm {
	case fails:
		return errors.New("as the test wants it")
	case miscount, other:
		return lie(real, args, harm)
	case hangs, stored, recorded:
		if err := note("harmed." + step); err == nil { // only once
			return suffer(real, args, step, harm)
		}
	}
	return syscall.Exec(real, append([]string{real}, args...), os.Environ())
}

// stepOf returns LEVEL-INDEX of "batch step".
func stepOf(args []string) (string, bool) {
	if len(args) < 2 || args[0] != "batch" || args[1] != "step" {
		return "", false
	}
	level, index := "1", os.Getenv("JOB_COMPLETION_INDEX")
	for i, a := range args {
		if x, ok := strings.CutPrefix(a, "--level="); ok {
			level = x
		}
		if a == "--index" {
			index = args[i+1]
		}
	}
	return level + "-" + index, true
}

// note creates an empty file that must not exist.
func note(name string) error {
	f, err := os.OpenFile(filepath.Join(os.Getenv(eventsEnv), name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

func noted(events, name string) bool {
	_, err := os.Stat(filepath.Join(events, name))
	return err == nil
}

// until asks every 5 ms.
func until(what string, done func() bool) error {
	for end := time.Now().Add(patience); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("waited in vain: %s", what)
		}
	}
	return nil
}

// suffer runs the step until it is where it is to be killed, and then is killed with it.
func suffer(real string, args []string, step, harm string) error {
	if harm == hangs {
		if err := note(fmt.Sprintf("hangs.%s.%d", step, os.Getpid())); err != nil {
			return err
		}
		return until("to be killed", func() bool { return false })
	}
	unread, stdout, err := fullPipe()
	if err != nil {
		return err
	}
	defer unread.Close() // and not before: who writes in a pipe that nobody can read is not waiting
	cmd := exec.Command(real, args...)
	cmd.Stdout, cmd.Stderr = stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	if err := until(step+" is "+harm, func() bool { return reached(step, harm) }); err != nil {
		return err
	}
	if err := errors.Join(cmd.Process.Kill(), note("killed."+step)); err != nil {
		return err
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		return fmt.Errorf("%s ended before it was killed: %v", step, err)
	}
	return syscall.Kill(os.Getpid(), syscall.SIGKILL)
}

// reached tells whether the step is where it is to be killed. Its record is kept from the store by the test's
// proxy, which leaves a file, or is in the store.
func reached(step, harm string) bool {
	if harm == stored {
		return noted(os.Getenv(eventsEnv), "stored."+step)
	}
	s, err := opened(os.Getenv("VEILSUM_STORE"))
	if err != nil {
		return false
	}
	_, err = storage.ReadAll(context.Background(), s, os.Getenv(recordEnv), 1<<20)
	return err == nil
}

// fullPipe returns a pipe without room: who has something to say in it waits for ever.
func fullPipe() (r, w *os.File, err error) {
	if r, w, err = os.Pipe(); err != nil {
		return nil, nil, err
	}
	if err := w.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		return nil, nil, err
	}
	if _, err = io.Copy(w, forever{}); !errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, nil, fmt.Errorf("the pipe is not full: %v", err)
	}
	return r, w, nil
}

type forever struct{}

func (forever) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// lie changes what the step says.
func lie(real string, args []string, harm string) error {
	out, err := exec.Command(real, args...).Output()
	if err != nil && len(out) == 0 {
		return err
	}
	var said map[string]any
	if err := json.Unmarshal(out, &said); err != nil {
		return err
	}
	if harm == miscount {
		said["inputs"] = said["inputs"].(float64) - 1
	} else {
		said["index"] = said["index"].(float64) + 1
	}
	return json.NewEncoder(os.Stdout).Encode(said)
}

// begun returns how often each step began.
func begun(t *testing.T, events string) map[string]int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(events, "began.*"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]int{}
	for _, f := range files {
		all[strings.Split(filepath.Base(f), ".")[1]]++
	}
	return all
}

// hanging waits for the step that hangs, and returns its process.
func hanging(t *testing.T, events, step string) (pid int) {
	t.Helper()
	err := until(step+" hangs", func() bool {
		files, _ := filepath.Glob(filepath.Join(events, "hangs."+step+".*"))
		if len(files) == 1 {
			pid, _ = strconv.Atoi(strings.TrimPrefix(filepath.Ext(files[0]), "."))
		}
		return pid > 0
	})
	if err != nil {
		t.Fatal(err)
	}
	return pid
}
