package main

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){program: func() {
		os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}})
}

// TestScripts runs every testdata/script/*.txtar; all other roles are played by veilsum, built for it.
func TestScripts(t *testing.T) {
	bin := t.TempDir()
	build(t, filepath.Join(bin, "veilsum"), "../veilsum", nil)
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("PATH", e.Getenv("PATH")+string(os.PathListSeparator)+bin)
			e.Setenv("GORACE", "atexit_sleep_ms=0") // with the race detector each process would sleep for a second at its end
			e.Setenv("VEILSUM_STORE", "file:store")
			return setupJob(e)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":    cmdExits,
			"keep":     cmdKeep,
			"update":   cmdUpdate,
			"freeport": cmdFreePort,
			"await":    cmdAwait,
		},
	})
}

// build runs go build with the given flags; env is added to the environment.
func build(t *testing.T, out, pkg string, env []string, flags ...string) {
	t.Helper()
	c := exec.Command("go", append(append([]string{"build", "-o", out}, flags...), pkg)...)
	c.Env = append(os.Environ(), env...)
	if b, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
}

// setupJob gives every script the files that play a job with veilsum.
func setupJob(e *testscript.Env) error {
	files, err := filepath.Glob("../veilsum/testdata/job/*")
	if err != nil || len(files) == 0 {
		return errors.Join(errors.New("no files of a job"), err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(e.WorkDir, filepath.Base(f)), b, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// cmdExits runs a command and checks its exit status: exits N command args.
func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits N command [args]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// cmdKeep sets an environment variable to the first word of the last output.
func cmdKeep(ts *testscript.TestScript, neg bool, args []string) {
	words := strings.Fields(ts.ReadFile("stdout"))
	if neg || len(args) != 1 || len(words) == 0 {
		ts.Fatalf("usage: keep NAME, after a command that printed something")
	}
	ts.Setenv(args[0], words[0])
}

// cmdUpdate writes n raw float32 values, all v: update FILE n v.
func cmdUpdate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: update FILE n v")
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	v, err := strconv.ParseFloat(args[2], 32)
	ts.Check(err)
	var b []byte
	if strings.HasSuffix(args[0], ".npy") {
		text := "{'descr': '<f4', 'fortran_order': False, 'shape': (" + args[1] + ",), }\n"
		b = append([]byte("\x93NUMPY\x01\x00"), byte(len(text)), 0)
		b = append(b, text...)
	}
	if strings.HasSuffix(args[0], ".safetensors") {
		text := `{"w":{"dtype":"F32","shape":[` + args[1] + `],"data_offsets":[0,` + strconv.Itoa(4*n) + `]}}`
		b = append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...)
	}
	for range n {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(v)))
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b, 0o644))
}

// cmdFreePort sets an environment variable to an address nobody listens on: freeport NAME.
func cmdFreePort(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: freeport NAME")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Setenv(args[0], l.Addr().String())
	ts.Check(l.Close())
}

// cmdAwait waits until a file is there: await FILE.
func cmdAwait(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: await FILE")
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("%s did not come", args[0])
		}
	}
}
