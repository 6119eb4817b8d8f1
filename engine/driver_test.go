package engine_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// drive runs the driver with one process in the place of Spark, which does every step twice at a time.
func drive(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	python := os.Getenv("VEILSUM_PYTHON")
	if python == "" {
		t.Skip("no Python to run the driver with: VEILSUM_PYTHON is not set; .ci/run installs one")
	}
	stand, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	env = append(append(os.Environ(), env...), "PYTHONPATH="+stand, "PYTHONDONTWRITEBYTECODE=1")
	return start(t, ".", env, python, append([]string{"spark/veilsum_spark.py", "--epoch", "1", "--fan-in", fmt.Sprint(fanIn)}, args...)...)
}

// TestDriver runs the driver without Spark: its result and all it stores are those of the local runner.
func TestDriver(t *testing.T) {
	if testing.Short() {
		t.Skip("starts dozens of processes")
	}
	w := newWorld(t, reports, values)
	url := "file:" + t.TempDir()
	events, env := wrapped(t, "")
	w.settled(t, drive(t, append(env, w.place(t, url)...)), url)
	for step, n := range begun(t, events) {
		if n != 2 {
			t.Errorf("step %s began %d times", step, n)
		}
	}
}

// TestDriverRefuses breaks what the driver checks: it must fail and print no result.
func TestDriverRefuses(t *testing.T) {
	if testing.Short() {
		t.Skip("starts dozens of processes")
	}
	w := newWorld(t, reports, values)
	for harm, want := range map[string]string{
		"1-3=" + fails:    "exit status 1",
		"1-3=" + miscount: "reports read: 30, the plan has 31",
		"2-1=" + miscount: "partial sums read: 9, the plan has 10",
		"1-3=" + other:    "level 1: steps",
		"3-0=" + other:    "level 3: steps",
	} {
		t.Run(harm, func(t *testing.T) {
			_, env := wrapped(t, harm)
			d := drive(t, append(env, w.place(t, "file:"+t.TempDir())...))
			if err := d.wait(t); err == nil || d.stdout.Len() > 0 || !strings.Contains(d.text(), want) {
				t.Errorf("%v: %q, want %q in %s", err, d.stdout.String(), want, d.text())
			}
		})
	}
}
