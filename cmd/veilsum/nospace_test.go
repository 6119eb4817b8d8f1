package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/veilsum/veilsum/cmd/internal/exit"
	"github.com/veilsum/veilsum/cmd/veilsum/internal/faulttest"
)

// TestNoSpace gives the store, a member's state and a vehicle's outbox a disk that gets full
// after 0, 1, 2 … pages, for as long as a step needs more. It must fail with exit status 1, the cause and a
// hint, and nothing may be lost: with room again, the same command and the rest of the round go as if nothing
// had happened. Where this process may not mount a disk of that size (tmpfs), every call that needs space
// fails from the n-th on.
func TestNoSpace(t *testing.T) {
	traced(t)
	steps := faultSteps(t)
	places := map[string][]string{
		"store":  {"round open", "client upload", "round close", "committee check", "batch sum", "batch run", "round propose", "committee vote", "committee answer", "round collect", "round abort"},
		"d0":     {"committee init", "committee check", "committee vote", "committee answer"},
		"outbox": {"client seal"},
	}
	if !slow() {
		places = map[string][]string{"store": {"round propose"}, "d0": {"committee vote"}, "outbox": {"client seal"}}
	}
	for _, s := range steps {
		for place, names := range places {
			for _, name := range names {
				if name == s.name {
					t.Run(place+"/"+name, func(t *testing.T) { s.fill(t, place) })
				}
			}
		}
	}
}

// fill tries every amount of room until the step succeeds.
func (s *faultStep) fill(t *testing.T, place string) {
	sub := place
	if place == "outbox" {
		sub = s.args[len(s.args)-1]
	}
	step := 1
	if !slow() {
		step = 3
	}
	refused, kind := 0, "a tmpfs"
	for room := 0; ; room += step {
		if room > 200 {
			t.Fatal("200 pages are not enough")
		}
		dir, err := filepath.EvalSymlinks(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		disk := newDisk(t, s, dir, sub)
		if disk.mounted == "" {
			kind = "a disk played by faults, since no tmpfs may be mounted here"
		}
		o := disk.try(t, room)
		if o.exit == exit.Done {
			disk.release()
			break
		}
		if err := refusal(o); err != nil {
			t.Errorf("room for %d: %v: exit status %d: %s%s", room, err, o.exit, o.stdout, o.stderr)
		}
		disk.free(t)
		if err := s.recovers(t, disk.job, nil); err != nil {
			t.Errorf("room for %d: %v", room, err)
		}
		disk.release()
		refused++
	}
	if refused == 0 {
		t.Error("a full disk was never met")
	}
	t.Logf("%d times out of space, on %s", refused, kind)
}

// refusal checks what a step says that finds no room.
func refusal(o outcome) error {
	var last struct{ Type, Message, Hint string }
	lines := strings.Split(strings.TrimSpace(o.stdout), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil {
		return err
	}
	if o.exit != exit.Failed || last.Type != "error" || !strings.Contains(last.Message, syscall.ENOSPC.Error()) || last.Hint == "" {
		return fmt.Errorf("want exit status 1, %q and a hint", syscall.ENOSPC.Error())
	}
	return nil
}

// disk is a job with one directory on a disk that can be full.
type disk struct {
	job     *job
	step    *faultStep
	mounted string // "" if faults play the full disk
	sub     string
}

// newDisk copies the job of a step and puts the directory sub on a tmpfs of its own, if it may.
func newDisk(t *testing.T, s *faultStep, dir, sub string) *disk {
	t.Helper()
	d := &disk{step: s, sub: sub}
	point := filepath.Join(dir, "job", sub)
	if err := os.MkdirAll(point, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("veilsum-test", point, "tmpfs", 0, "size=4m"); err == nil {
		d.mounted = point
		t.Cleanup(d.release)
	}
	d.job = s.from.copy(t, filepath.Join(dir, "job"))
	return d
}

func (d *disk) release() {
	if d.mounted != "" {
		_ = syscall.Unmount(d.mounted, syscall.MNT_DETACH)
		d.mounted = ""
	}
}

const page = 4096

// try runs the step with room for so many pages, or calls that need space.
func (d *disk) try(t *testing.T, room int) outcome {
	t.Helper()
	if d.mounted == "" {
		return d.pretend(t, room)
	}
	var free syscall.Statfs_t
	if err := syscall.Statfs(d.mounted, &free); err != nil {
		t.Fatal(err)
	}
	filler := make([]byte, (int(free.Bavail)-room)*page)
	if err := os.WriteFile(filepath.Join(d.mounted, ".filler"), filler, 0o600); err != nil {
		t.Fatal(err)
	}
	return d.job.run(d.step.args...)
}

// free makes room again.
func (d *disk) free(t *testing.T) {
	t.Helper()
	if d.mounted == "" {
		return
	}
	if err := os.Remove(filepath.Join(d.mounted, ".filler")); err != nil {
		t.Fatal(err)
	}
}

// pretend lets every call fail that needs space, from a certain one on.
func (d *disk) pretend(t *testing.T, room int) outcome {
	t.Helper()
	r, err := faulttest.Run(d.job.command(d.step.args, d.sub), faulttest.Full(room+1))
	if err != nil {
		t.Fatal(err)
	}
	return outcome{r.Exit, r.Stdout, r.Stderr}
}
