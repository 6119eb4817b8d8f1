package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/schema/arrowipc"
)

// buildDir holds the program that these tests run; TestMain removes it.
var buildDir string

// built builds the real program, once and without the race detector.
var built = sync.OnceValues(func() (path string, err error) {
	if buildDir, err = os.MkdirTemp("", "veilsum-built-"); err != nil {
		return "", err
	}
	path = filepath.Join(buildDir, "veilsum")
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-ldflags=-s -w", "-o", path, ".").CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w: %s", err, out)
	}
	return path, nil
})

// tidy removes what built made when all tests have run.
type tidy struct{ *testing.M }

// Run implements testscript.TestingM.
func (m tidy) Run() int {
	defer func() {
		if buildDir != "" {
			os.RemoveAll(buildDir)
		}
	}()
	return m.M.Run()
}

// job is a directory with a store and the state of every role, and the program
// that acts on them, each step a process.
type job struct {
	dir      string
	program  string
	env      []string
	vehicles []string // their directories, relative to dir
}

// outcome is how one process ended.
type outcome struct {
	exit   int // -1: a signal
	stdout string
	stderr string
}

// result returns the JSON object of the step's answer, nil if it gave none.
func (o outcome) result() map[string]any {
	for line := range strings.Lines(o.stdout) {
		var x map[string]any
		if json.Unmarshal([]byte(line), &x) == nil && x["type"] == "result" {
			return x
		}
	}
	return nil
}

// newJob makes a job with five vehicles, keys for epochs 1 to 3, and an update; settings are for setup.sh.
func newJob(t *testing.T, dir string, settings ...string) *job {
	t.Helper()
	program, err := built()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("testdata/job/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(f)), b, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	values := make([]float32, 100)
	for i := range values {
		values[i] = 0.05
	}
	update, err := arrowipc.EncodeUpdate([]schema.Tensor{{Name: "w", DType: "float32", Shape: []int{100}}}, values)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "up.arrow"), update, 0o644); err != nil {
		t.Fatal(err)
	}
	j := &job{dir: dir, program: program}
	j.env = append(os.Environ(), "PATH="+filepath.Dir(program)+":"+os.Getenv("PATH"), "VEILSUM_STORE=file:store")
	setup := exec.Command("sh", "setup.sh")
	setup.Dir, setup.Env = dir, append(slices.Clone(j.env), settings...)
	if out, err := setup.CombinedOutput(); err != nil {
		t.Fatalf("setup.sh: %v: %s", err, out)
	}
	for name, file := range map[string]string{"VEILSUM_TASK": "task.id", "VEILSUM_OWNER": "owner.id"} {
		b, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		j.env = append(j.env, name+"="+strings.TrimSpace(string(b)))
	}
	return j.find(t)
}

// find lists the vehicles.
func (j *job) find(t *testing.T) *job {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(j.dir, "vehicles"))
	if err != nil {
		t.Fatal(err)
	}
	j.vehicles = nil
	for _, e := range entries {
		if e.IsDir() {
			j.vehicles = append(j.vehicles, "vehicles/"+e.Name())
		}
	}
	return j
}

// copy makes an independent copy in another directory. Files that nobody may
// write to are shared: whoever uses copies checks in the end that they did not change.
func (j *job) copy(t *testing.T, dir string) *job {
	t.Helper()
	err := filepath.WalkDir(j.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		to := dir + strings.TrimPrefix(path, j.dir)
		if e.IsDir() {
			if err := os.Mkdir(to, info.Mode()); err != nil && !errors.Is(err, fs.ErrExist) {
				return err
			}
			return nil
		}
		if info.Mode()&0o222 == 0 && os.Link(path, to) == nil { // an object of the store
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(to, b, info.Mode())
	})
	if err != nil {
		t.Fatal(err)
	}
	c := *j
	c.dir = dir
	return &c
}

// run runs "veilsum ARGS --json" to its end.
func (j *job) run(args ...string) outcome {
	cmd := exec.Command(j.program, append(args, "--json")...)
	cmd.Dir, cmd.Env = j.dir, j.env
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	o := outcome{stdout: stdout.String(), stderr: stderr.String()}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		o.exit = exit.ExitCode()
	} else if err != nil {
		o.exit, o.stderr = -1, err.Error()
	}
	return o
}

// do runs a step that must succeed.
func (j *job) do(args ...string) (map[string]any, error) {
	o := j.run(args...)
	if o.exit != 0 {
		return nil, fmt.Errorf("%s: exit status %d: %s%s", strings.Join(args, " "), o.exit, o.stdout, o.stderr)
	}
	return o.result(), nil
}

// play runs steps of an epoch that must succeed, by the words of play.sh.
func (j *job) play(epoch string, words ...string) error {
	for _, word := range words {
		for _, args := range j.steps(epoch, word) {
			if _, err := j.do(args...); err != nil {
				return err
			}
		}
	}
	return nil
}

// steps returns the commands of one word: keys, open, seal, close, check, propose, vote, answer, sum, collect.
func (j *job) steps(epoch, word string) [][]string {
	members := func(verb string) (all [][]string) {
		for k := range 3 {
			all = append(all, []string{"committee", verb, "--epoch", epoch, "--state", fmt.Sprintf("d%d", k)})
		}
		return all
	}
	switch word {
	case "keys":
		var all [][]string
		for k := range 4 {
			all = append(all, []string{"committee", "init", "--epochs", epoch, "--state", fmt.Sprintf("d%d", k)})
		}
		return all
	case "seal":
		var all [][]string
		for _, v := range j.vehicles {
			all = append(all, sealing(epoch, v))
		}
		return all
	case "check", "vote", "answer":
		return members(word)
	case "open-regions":
		return [][]string{{"round", "open", "--epoch", epoch, "--key", "collector.pem", "--regions", "regions.yaml"}}
	case "sync":
		return [][]string{{"region", "sync", "--epoch", epoch, "--store", "file:near", "--root", "file:store"}}
	case "near-seal":
		var all [][]string
		for _, v := range j.vehicles {
			all = append(all, append(sealing(epoch, v), "--store", "file:near"))
		}
		return all
	case "near-sum":
		return [][]string{{"region", "sum", "--now", "--name", "near", "--key", "near.pem", "--epoch", epoch, "--store", "file:near", "--root", "file:store"}}
	case "sum":
		return [][]string{{"batch", "sum", "--epoch", epoch}}
	}
	return [][]string{{"round", word, "--epoch", epoch, "--key", "collector.pem"}}
}

// regional gives the job a region with a store of its own, near.
func regional(t *testing.T, j *job) {
	t.Helper()
	key, err := j.do("key", "new", "near.pem")
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("regions:\n  - {name: near, aggregator: %v}\n", key["public_key"])
	if err := os.WriteFile(filepath.Join(j.dir, "regions.yaml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// nearStore is how an audit reads the region's store, if there is one.
func (j *job) nearStore() []string {
	if _, err := os.Stat(filepath.Join(j.dir, "near")); err != nil {
		return nil
	}
	return []string{"--region", "near=file:near"}
}

func sealing(epoch, vehicle string) []string {
	return []string{"client", "seal", "--epoch", epoch, "--update", "up.arrow", "--state", vehicle}
}

// objects returns the names below a directory with the hash of each file's content.
// What a temporary file is called does not matter, and is left out.
func (j *job) objects(t *testing.T, sub string) map[string]string {
	t.Helper()
	all := map[string]string{}
	root := filepath.Join(j.dir, sub)
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel := strings.TrimPrefix(path, root)
		if e.IsDir() {
			all[rel+"/"] = ""
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		hash := schema.Hash("file", b).String()
		if temporary(rel) {
			rel = filepath.Dir(rel) + "/(temporary) " + hash
		}
		all[rel] = hash
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// temporary tells a file that nobody reads and the next process, or RemoveTemp, sweeps away.
func temporary(path string) bool {
	return strings.Contains(path, "/.tmp/") || strings.HasPrefix(filepath.Base(path), ".tmp-")
}

// wholeObjects finds objects of the store that are a part only: JSON that does not
// parse, and contents that do not have the hash in their name. What else there is, reports, the
// audit adds up again; temporary files are no objects.
func (j *job) wholeObjects() error {
	return filepath.WalkDir(filepath.Join(j.dir, "store"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || temporary(path) {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(b)
		name, kind, _ := strings.Cut(filepath.Base(path), ".")
		switch kind {
		case "json":
			if !json.Valid(b) {
				return fmt.Errorf("%s is a part: %d bytes", path, len(b))
			}
		case "vsp", "arrow":
			if hex.EncodeToString(sum[:]) != name {
				return fmt.Errorf("%s is a part: %d bytes", path, len(b))
			}
		}
		return nil
	})
}
