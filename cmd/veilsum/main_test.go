package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/veilsum/veilsum/cmd/veilsum/internal/arrowchild"

	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/schema/arrowipc"
	"github.com/veilsum/veilsum/storage/storagetest"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == arrowchild.Command { // started by a command that a test runs in this process
		os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	testscript.Main(tidy{m}, map[string]func(){"veilsum": main})
}

// TestScripts runs every testdata/script/*.txtar on the command as a process.
func TestScripts(t *testing.T) {
	runScripts(t, "testdata/script", func(string) string { return "file:store" })
}

// TestScriptsS3 runs the scripts that do not look into the store's directory
// against a real S3 server.
func TestScriptsS3(t *testing.T) {
	for _, secure := range []bool{false, true} {
		name := "http"
		if secure {
			name = "tls"
		}
		t.Run(name, func(t *testing.T) {
			url := storagetest.StartVersityGW(t, secure)
			runScripts(t, "testdata/s3", func(script string) string { return storagetest.WithPrefix(t, url, script) })
		})
	}
}

// runScripts gives each script a store of its own.
func runScripts(t *testing.T, dir string, storeOf func(script string) string) {
	testscript.Run(t, testscript.Params{
		Dir: dir,
		Setup: func(e *testscript.Env) error {
			e.Setenv("GORACE", "atexit_sleep_ms=0") // with the race detector each process would sleep for a second at its end
			e.Setenv("VEILSUM_STORE", storeOf(filepath.Base(e.WorkDir)))
			e.Setenv("AWS_ACCESS_KEY_ID", storagetest.AccessKey)
			e.Setenv("AWS_SECRET_ACCESS_KEY", storagetest.SecretKey)
			return setupJob(e)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":   cmdExits,
			"keep":    cmdKeep,
			"expand":  cmdExpand,
			"update":  cmdUpdate,
			"tree":    cmdTree,
			"unzip":   cmdUnzip,
			"flip":    cmdFlip,
			"agekey":  cmdAgeKey,
			"falsify": cmdFalsify,

			"freeport": cmdFreePort,
			"await":    cmdAwait,
			"until":    cmdUntil,
			"scrape":   cmdScrape,
		},
	})
}

// setupJob gives every script the files of testdata/job.
func setupJob(e *testscript.Env) error {
	files, err := filepath.Glob("testdata/job/*")
	if err != nil {
		return err
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
	var exit *exec.ExitError
	switch {
	case err == nil && want == 0:
	case err == nil:
		ts.Fatalf("exit status 0, want %d", want)
	case !errors.As(err, &exit):
		ts.Fatalf("%v", err)
	case exit.ExitCode() != want:
		ts.Fatalf("exit status %d, want %d", exit.ExitCode(), want)
	}
}

// cmdKeep sets an environment variable to the last output: keep NAME [LINE-PREFIX].
// With a prefix the rest of the line that starts with it is kept.
func cmdKeep(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: keep NAME [PREFIX]")
	}
	value := strings.TrimSpace(ts.ReadFile("stdout"))
	if len(args) == 2 {
		found := false
		for line := range strings.Lines(value) {
			if rest, ok := strings.CutPrefix(line, args[1]); ok {
				value, found = strings.Fields(rest)[0], true
			}
		}
		if !found {
			ts.Fatalf("no line starts with %q in %q", args[1], value)
		}
	}
	ts.Setenv(args[0], value)
}

// cmdUntil runs a command again and again until it succeeds, for at most a minute: until command args.
func cmdUntil(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: until command [args]")
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		err := ts.Exec(args[0], args[1:]...)
		if err == nil {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("it never succeeds: %v", err)
		}
	}
}

// cmdAgeKey makes an age identity and sets NAME to its recipient: agekey FILE NAME.
func cmdAgeKey(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: agekey FILE NAME")
	}
	id, err := age.GenerateHybridIdentity()
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(id.String()+"\n"), 0o600))
	ts.Setenv(args[1], id.Recipient().String())
}

// cmdExpand replaces $NAME in a file: expand FROM TO.
func cmdExpand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: expand FROM TO")
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(os.Expand(ts.ReadFile(args[0]), ts.Getenv)), 0o644))
}

// cmdUpdate writes an update of n values, all v: update FILE n v.
func cmdUpdate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: update FILE n v")
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	v, err := strconv.ParseFloat(args[2], 32)
	ts.Check(err)
	values := make([]float32, n)
	for i := range values {
		values[i] = float32(v)
	}
	b, err := arrowipc.EncodeUpdate([]schema.Tensor{{Name: "w", DType: "float32", Shape: []int{n}}}, values)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b, 0o644))
}

// cmdTree writes names and contents of a directory's files to a file, so that
// cmp can prove that nothing changed: tree DIR FILE.
func cmdTree(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: tree DIR FILE")
	}
	var b strings.Builder
	root := ts.MkAbs(args[0])
	ts.Check(filepath.WalkDir(root, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		b.WriteString(strings.TrimPrefix(path, root) + " " + schema.Hash("tree", content).String() + "\n")
		return err
	}))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(b.String()), 0o644))
}

// cmdFlip flips one bit in the middle of the only file that matches: flip GLOB.
func cmdFlip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: flip GLOB")
	}
	files, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	if len(files) == 0 {
		ts.Fatalf("no file matches %s", args[0])
	}
	b, err := os.ReadFile(files[0])
	ts.Check(err)
	b[len(b)/2] ^= 1
	ts.Check(os.Chmod(files[0], 0o644))
	ts.Check(os.WriteFile(files[0], b, 0o644))
}
