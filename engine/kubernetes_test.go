package engine_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/veilsum/veilsum/storage/storagetest"
)

// TestKubernetes runs the Jobs of all levels without Kubernetes: testdata/kubectl checks the manifests against its
// schemas and starts their pods as processes, as the user that they name, with their flags and environment only. The
// result and all that is stored are those of the local runner.
func TestKubernetes(t *testing.T) {
	slowly(t)
	w, s3 := newWorld(t, reports, values), storagetest.StartVersityGW(t, false)
	cluster, env := newPods(t, w.place(t, s3))
	kubernetes := start(t, ".", env, "kubernetes/run", "1", "0", fmt.Sprint(fanIn))
	err := kubernetes.wait(t)
	log, _ := os.ReadFile(filepath.Join(cluster, "log"))
	if kubernetes.cmd.ProcessState.ExitCode() != 3 {
		t.Fatalf("%v: %s\n%s\n%s", err, kubernetes.stdout.String(), kubernetes.text(), log)
	}
	want, objects := w.local(t)
	if got := parse(t, kubernetes.stdout.String()); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("Kubernetes gives %+v, the local runner %+v", got, want)
	}
	same(t, w.made(t, s3), objects)
	// Eleven steps, and those with index 1 of the two lower levels twice: their first success was lost.
	if n := strings.Count(string(log), `"type":"result"`); n != 13 {
		t.Errorf("%d pods were done, want 13: %s", n, log)
	}
}

// TestKubernetesFails: where a step fails for good, so does the Job, and no other level is begun.
func TestKubernetesFails(t *testing.T) {
	slowly(t)
	w, s3 := newWorld(t, reports, values), storagetest.StartVersityGW(t, false)
	cluster, env := newPods(t, append(w.place(t, s3), "VEILSUM_OWNER="+strings.Repeat("0", 64)))
	env = append(env, w.place(t, s3)...) // run itself knows the owner
	kubernetes := start(t, ".", env, "kubernetes/run", "1", "0", fmt.Sprint(fanIn))
	if err := kubernetes.wait(t); err == nil || kubernetes.stdout.Len() > 0 {
		t.Errorf("%v: %s", err, kubernetes.stdout.String())
	}
	job, _ := os.ReadFile(filepath.Join(cluster, "veilsum-1-0-level-1"))
	if _, err := os.Stat(filepath.Join(cluster, "veilsum-1-0-level-2")); err == nil || string(job) != "Failed" {
		t.Errorf("level 1 is %q, or level 2 was begun (%v)", job, err)
	}
	log, _ := os.ReadFile(filepath.Join(cluster, "log"))
	if n := strings.Count(string(log), `"exit_code":5`); n != 8 {
		t.Errorf("%d pods say that the task is forged, want each of 8 once: %s", n, log)
	}
}

// newPods returns a folder for testdata/kubectl and the environment to run it in. Pods have env.
func newPods(t *testing.T, env []string) (cluster string, outside []string) {
	t.Helper()
	python := os.Getenv(pythonEnv)
	if python == "" {
		t.Skip("no schemas of Kubernetes: " + pythonEnv + " is not set; .ci/run slow installs them")
	}
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(path), 0o755); err != nil { // pods run as another user
		t.Fatal(err)
	}
	kubectl, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	cluster = t.TempDir()
	task := map[string]string{}
	for _, x := range env {
		name, value, _ := strings.Cut(x, "=")
		task[name] = value
	}
	for name, content := range map[string]any{
		"configmap.json": map[string]any{"veilsum-task": task},
		"secret.json":    map[string]any{"veilsum-store": map[string]string{"AWS_ACCESS_KEY_ID": storagetest.AccessKey, "AWS_SECRET_ACCESS_KEY": storagetest.SecretKey}},
	} {
		b, err := json.Marshal(content)
		if err == nil {
			err = os.WriteFile(filepath.Join(cluster, name), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	folder := filepath.Dir(path)
	outside = append(os.Environ(), "CLUSTER="+cluster, "POD_PATH="+folder, "PATH="+strings.Join([]string{kubectl, filepath.Dir(python), folder, os.Getenv("PATH")}, ":"))
	return cluster, append(outside, env...)
}
