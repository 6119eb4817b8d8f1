package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/veilsum/veilsum/cmd/veilsum/internal/faulttest"
)

// TestNamesAreDurable: every name that a step gives, to a file or a folder, is synced in its folder
// before the step ends. Otherwise a power cut could take a key back whose public half was printed,
// or an object whose creation was acknowledged.
func TestNamesAreDurable(t *testing.T) {
	traced(t)
	steps := faultSteps(t)
	for _, s := range steps {
		t.Run(s.name, func(t *testing.T) { durable(t, s.from, s.args) })
	}
	last := steps[len(steps)-1].from
	for _, args := range [][]string{
		{"key", "new", "more.pem"},
		{"committee", "init", "--state", "d9"},
		{"budget", "show", "--remember", "budget.checkpoint"},
		{"audit", "--remember", "ledger.checkpoint"},
	} {
		t.Run(strings.Join(args[:2], " "), func(t *testing.T) { durable(t, last, args) })
	}
}

func durable(t *testing.T, from *job, args []string) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	j := from.copy(t, filepath.Join(dir, "job"))
	r, err := faulttest.Run(j.command(args, "."), faulttest.Fault{})
	if err != nil || r.Exit != 0 {
		t.Fatalf("%v: %v", r, err)
	}
	open, named := map[string]string{}, 0 // folders to be synced, and for what
	for _, c := range r.Calls {
		switch c.Name {
		case "linkat", "renameat", "mkdirat":
			if !temporary("/"+c.Path) && filepath.Base(c.Path) != ".tmp" { // what is in there need not last
				open[filepath.Dir(c.Path)] = fmt.Sprint(c)
				named++
			}
		case "fsync":
			delete(open, c.Path)
		}
	}
	for folder, call := range open {
		t.Errorf("%s: %q is never synced after %v", strings.Join(args, " "), folder, call)
	}
	if named == 0 {
		t.Error("no name was given")
	}
}
