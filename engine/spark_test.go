package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/veilsum/veilsum/storage"
	"github.com/veilsum/veilsum/storage/storagetest"
)

// answer is what drivers and the local runner print in the end.
type answer struct {
	Plan    string `json:"plan"`
	Steps   int    `json:"steps"`
	Reports int    `json:"reports"`
	SHA256  string `json:"sha256"`
	Bytes   int64  `json:"bytes"`
	Partial string `json:"partial"`
	Refused []any  `json:"refused"`
}

// veilsum runs the real program and returns the lines of its results.
func veilsum(t testing.TB, env []string, args ...string) (lines []string) {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, append(args, "--epoch", "1", "--json")...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState.ExitCode() != 3 {
		t.Fatalf("veilsum %v: %v: %s", args, err, out)
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, `"type":"result"`) {
			lines = append(lines, line)
		}
	}
	return lines
}

// parse reads the last line of what a program printed.
func parse(t testing.TB, out string) (a answer) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(out), "\n")
	line := lines[len(lines)-1]
	if err := json.Unmarshal([]byte(line), &a); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	return a
}

// local sums the round with the local runner in a store of its own.
func (w *world) local(t *testing.T) (answer, map[string]string) {
	t.Helper()
	url := "file:" + t.TempDir()
	lines := veilsum(t, w.place(t, url), "batch", "run", "--fan-in", fmt.Sprint(fanIn))
	a := parse(t, lines[len(lines)-1])
	if a.Reports != reports-1 || len(a.Refused) != 1 || a.Steps != 8+2+1 {
		t.Fatalf("the local runner says %+v", a)
	}
	return a, w.made(t, url)
}

// settled checks that a driver ended well and gave what the local runner gives.
func (w *world) settled(t *testing.T, driver *process, url string) {
	t.Helper()
	err := driver.wait(t)
	if driver.cmd.ProcessState.ExitCode() != 3 { // done, and one report was refused
		t.Fatalf("%v: %s\n%s", err, driver.stdout.String(), driver.text())
	}
	want, objects := w.local(t)
	if got := parse(t, driver.stdout.String()); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the driver says %+v, the local runner %+v", got, want)
	}
	same(t, w.made(t, url), objects)
}

func slowly(t testing.TB) {
	t.Helper()
	if os.Getenv("VEILSUM_SLOW") != "1" {
		t.Skip("starts a Spark cluster of three JVMs: VEILSUM_SLOW is not 1")
	}
}

// TestWorkerKilled kills a worker, its executor and the step that they run, in the middle of a job: the
// job goes on with the other worker, and its result and all it has stored are those of the local runner.
func TestWorkerKilled(t *testing.T) {
	slowly(t)
	w, s3 := newWorld(t, reports, values), storagetest.StartVersityGW(t, false)
	events, env := wrapped(t, "1-4="+hangs)
	c := startCluster(t, 2, append(env, w.place(t, s3)...)...)
	driver := c.submit("--epoch", "1", "--fan-in", fmt.Sprint(fanIn))
	pid := hanging(t, events, "1-4") // by then three of the steps before it are done: there are two workers
	all := marked(c.mark())
	i := slices.IndexFunc(c.workers, func(p *process) bool { return ancestor(p.cmd.Process.Pid, pid, all) })
	if i < 0 {
		t.Fatalf("no worker runs %d: %v", pid, all)
	}
	killed := c.kill(c.workers[i])
	if n := len(killed); n < 4 || !slices.ContainsFunc(killed, func(r relative) bool { return r.pid == pid }) {
		t.Errorf("killed %v, want worker, executor, Python and the step %d", killed, pid)
	}
	driver.await(t, `(Lost executor \d+)`)
	w.settled(t, driver, s3)
	if n := begun(t, events)["1-4"]; n != 2 {
		t.Errorf("the step began %d times, want 2", n)
	}
	t.Logf("killed %d processes; steps began %v", len(killed), begun(t, events))
}

// TestStepKilled kills two steps that have done their work and have not told: one between its partial
// sum and its record, one after both. Spark runs them again, and the result is that of the local runner.
func TestStepKilled(t *testing.T) {
	slowly(t)
	w, s3 := newWorld(t, reports, values), storagetest.StartVersityGW(t, false)
	env := w.place(t, s3)
	records := w.records(t, env)
	events, wrapperEnv := wrapped(t, "1-2="+stored+",1-5="+recorded)
	var mu sync.Mutex
	var puts []string // up to the kill of 1-2
	proxied, _ := storagetest.StartFaultProxy(t, s3, func(r *http.Request) storagetest.Fault {
		if r.Method != http.MethodPut || noted(events, "killed.1-2") {
			return storagetest.None
		}
		mu.Lock()
		puts = append(puts, r.URL.Path)
		mu.Unlock()
		if !strings.HasSuffix(r.URL.Path, records["1-2"]) {
			return storagetest.None
		}
		_ = os.WriteFile(filepath.Join(events, "stored.1-2"), nil, 0o600)
		return storagetest.LoseRequest
	})
	env = append(env, "VEILSUM_STORE="+proxied, recordEnv+"="+records["1-5"])
	c := startCluster(t, 2, append(env, wrapperEnv...)...)
	driver := c.submit("--epoch", "1", "--fan-in", fmt.Sprint(fanIn))
	for _, step := range []string{"1-2", "1-5"} {
		if err := until(step+" is killed", func() bool { return noted(events, "killed."+step) }); err != nil {
			t.Fatalf("%v: %s", err, driver.text())
		}
	}
	driver.await(t, `(Lost task 2\.0 in stage 0\.0)`)
	driver.await(t, `(Lost task 5\.0 in stage 0\.0)`)
	w.settled(t, driver, s3)
	for _, step := range []string{"1-2", "1-5"} {
		if n := begun(t, events)[step]; n != 2 {
			t.Errorf("step %s began %d times, want 2", step, n)
		}
	}
	partial := w.partialOf(t, s3, records["1-2"])
	mu.Lock()
	defer mu.Unlock()
	if !slices.ContainsFunc(puts, func(path string) bool { return strings.HasSuffix(path, partial) }) {
		t.Errorf("step 1-2 was killed before it put its partial sum %s: %v", partial, puts)
	}
}

// partialOf is the name of the partial sum in a step's record.
func (w *world) partialOf(t *testing.T, url, record string) string {
	t.Helper()
	raw, err := storage.ReadAll(context.Background(), openStore(t, url), record, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	var r struct{ Partial string }
	if err := json.Unmarshal(raw, &r); err != nil || r.Partial == "" {
		t.Fatalf("%s: %v", raw, err)
	}
	return r.Partial + ".vsp"
}

// records returns the names of the records of all steps by LEVEL-INDEX.
func (w *world) records(t *testing.T, env []string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, line := range veilsum(t, env, "batch", "plan", "--fan-in", fmt.Sprint(fanIn), "--steps") {
		var s struct {
			Level, Index int
			Step         string
		}
		if err := json.Unmarshal([]byte(line), &s); err != nil {
			t.Fatal(err)
		}
		all[fmt.Sprintf("%d-%d", s.Level, s.Index)] = w.recordOf(s.Step)
	}
	if len(all) != 8+2+1 {
		t.Fatalf("%d steps", len(all))
	}
	return all
}
