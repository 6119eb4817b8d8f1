package client_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/client"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/pipeline/state"
	"github.com/veilsum/veilsum/schema"
)

// vehicle0 is vehicle 0's directory with one more option.
func vehicle0(f *pipelinetest.Fleet, o ...state.Option) (*client.Client, func()) {
	f.T.Helper()
	f.Options = o
	defer func() { f.Options = nil }()
	return f.Vehicle(0)
}

// given returns how many participations a directory counts, and what waits in it.
func given(t *testing.T, f *pipelinetest.Fleet) (int, []client.Waiting) {
	t.Helper()
	d, err := state.Open(filepath.Join(f.Dir, "vehicle-0"))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	s, err := client.ReadStatus(d)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Tasks) == 0 {
		return 0, s.Waiting
	}
	return s.Tasks[0].Participations, s.Waiting
}

// oneReport ends a test that broke a sealing in whatever way: one participation is counted, and one report arrives.
func oneReport(t *testing.T, f *pipelinetest.Fleet, r *pipeline.Round, what string, cut int) {
	t.Helper()
	c, exit := f.Vehicle(0)
	n, waiting := -1, []client.Waiting(nil)
	_, err := c.SealRound(r, f.Update(0))
	exit()
	n, waiting = given(t, f)
	if n != 1 || len(waiting) != 1 || waiting[0].Damaged != nil || err != nil && !errors.Is(err, client.ErrEpoch) {
		t.Fatalf("%s %d: %d participations, %d reports wait, %v", what, cut, n, len(waiting), err)
	}
	c, exit = f.Vehicle(0)
	defer exit()
	if _, err := c.Upload(ctx, f.Store, waiting[0].File, nil); err != nil {
		t.Fatalf("%s %d: %v", what, cut, err)
	}
	ids, err := pipeline.ListReports(ctx, f.Store, r.Name)
	if err != nil || len(ids) != 1 || ids[0] != waiting[0].Report {
		t.Fatalf("%s %d: reports %v (%v)", what, cut, ids, err)
	}
	for _, name := range leftovers(t, f) {
		t.Errorf("%s %d: %s is left", what, cut, name)
	}
}

// leftovers lists what should not be in a vehicle's directory between two commands.
func leftovers(t *testing.T, f *pipelinetest.Fleet) (names []string) {
	t.Helper()
	if err := filepath.WalkDir(filepath.Join(f.Dir, "vehicle-0"), func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() && e.Name() != ".lock" && e.Name() != "history.json" {
			names = append(names, path)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return names
}

// TestPowerWhileSealing cuts the power before and after each durable write of a sealing: the
// vehicle has one turn and takes it once.
func TestPowerWhileSealing(t *testing.T) {
	for _, after := range []bool{false, true} {
		for cut := 0; ; cut++ {
			f := pipelinetest.New(t, 1, pipelinetest.Task(300))
			r := f.Open(1)
			power := &pipelinetest.Power{Left: cut, After: after}
			c, exit := vehicle0(f, state.WithHook(power.Hook))
			_, err := c.SealRound(r, f.Update(0))
			exit()
			if err == nil {
				break
			}
			if !errors.Is(err, pipelinetest.ErrPower) || cut > 20 {
				t.Fatal(cut, err)
			}
			oneReport(t, f, r, "power cut", cut)
		}
	}
}

// TestFullDisk lets the disk be full from each of its writes on: a clear error, no half file, and
// nothing counted that cannot be sent. With space again the vehicle goes on.
func TestFullDisk(t *testing.T) {
	for cut := 0; ; cut++ {
		f := pipelinetest.New(t, 1, pipelinetest.Task(3000))
		r := f.Open(1)
		n := 0
		c, exit := vehicle0(f, state.WithDisk(func(string, int) error {
			if n++; n > cut {
				return syscall.ENOSPC
			}
			return nil
		}))
		_, err := c.SealRound(r, f.Update(0))
		exit()
		if err == nil {
			if cut < 6 {
				t.Fatal("the disk was never full")
			}
			break
		}
		if !errors.Is(err, syscall.ENOSPC) || cut > 50 {
			t.Fatal(cut, err)
		}
		counted, waiting := given(t, f)
		if counted != 0 || len(waiting) != 0 || len(leftovers(t, f)) != 0 {
			t.Fatalf("cut %d: %d counted, %d wait, left %v", cut, counted, len(waiting), leftovers(t, f))
		}
		oneReport(t, f, r, "full disk", cut)
	}
}

// TestUncountedIsNeverSent: what a sealing left that was cut short goes nowhere, by whatever name
// it is asked for, and the next sealing removes it.
func TestUncountedIsNeverSent(t *testing.T) {
	f := pipelinetest.New(t, 1, pipelinetest.Task(300))
	r := f.Open(1)
	power := &pipelinetest.Power{Left: 2} // the history exists and the report; it is not counted
	c, exit := vehicle0(f, state.WithHook(power.Hook))
	if _, err := c.SealRound(r, f.Update(0)); !errors.Is(err, pipelinetest.ErrPower) {
		t.Fatal(err)
	}
	exit()
	left := leftovers(t, f)
	if len(left) != 1 {
		t.Fatal(left)
	}
	c, exit = f.Vehicle(0)
	defer exit()
	file := "outbox/" + filepath.Base(left[0])
	f.Unchanged(client.ErrUncounted, func() error { _, err := c.Upload(ctx, f.Store, file, nil); return err })
	f.Unchanged(client.ErrUncounted, func() error { _, err := c.Deliver(ctx, f.Store, f.Plan, file, nil); return err })
	if _, err := c.SealRound(f.Open(2), f.Update(0)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left[0]); !errors.Is(err, os.ErrNotExist) {
		t.Error("the file is still there", err)
	}
}

// TestDamagedHistory: a vehicle that forgot what it gave must not go on, whatever is wrong with the file.
func TestDamagedHistory(t *testing.T) {
	f := pipelinetest.New(t, 4, pipelinetest.Task(300))
	r := f.Open(1)
	f.Report(r, 0)
	path := filepath.Join(f.Dir, "vehicle-0", "history.json")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	next := f.Open(2)
	for name, bad := range map[string]string{
		"cut":           string(good[:len(good)/2]),
		"empty":         "",
		"zeros":         string(make([]byte, len(good))),
		"null":          "null",
		"no scopes":     `{"body":{"scopes":null},"hash":"` + schema.Hash("history", []byte(`{"scopes":null}`)).String() + `"}`,
		"null scope":    `{"body":{"scopes":{"a":null}},"hash":"` + schema.Hash("history", []byte(`{"scopes":{"a":null}}`)).String() + `"}`,
		"fewer given":   strings.Replace(string(good), `"participations":1`, `"participations":0`, 1),
		"earlier epoch": strings.Replace(string(good), `"last_epoch":1`, `"last_epoch":0`, 1),
		"other field":   strings.Replace(string(good), `{"body"`, `{"x":1,"body"`, 1),
		"two":           string(good) + string(good),
	} {
		if bad == string(good) {
			t.Fatal(name, "changes nothing")
		}
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		c, exit := f.Vehicle(0)
		f.Unchanged(client.ErrHistory, func() error { _, err := c.SealRound(next, f.Update(0)); return err })
		if _, err := c.Outbox(); !errors.Is(err, client.ErrHistory) {
			t.Error(name, err)
		}
		exit()
		if b, err := os.ReadFile(path); err != nil || string(b) != bad {
			t.Error(name, "the damaged file was replaced", err)
		}
	}
}

// TestLostHistory: reports without the history that counted them show that it is gone.
func TestLostHistory(t *testing.T) {
	f := pipelinetest.New(t, 1, pipelinetest.Task(300))
	c, exit := f.Vehicle(0)
	defer exit()
	if _, err := c.SealRound(f.Open(1), f.Update(0)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(f.Dir, "vehicle-0", "history.json")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.SealRound(f.Open(2), f.Update(0)); !errors.Is(err, client.ErrHistory) {
		t.Error(err)
	}
}

// TestDamagedReport: a report that rotted on the disk is not sent, in no part.
func TestDamagedReport(t *testing.T) {
	f := pipelinetest.New(t, 1, pipelinetest.Task(3000))
	c, exit := f.Vehicle(0)
	defer exit()
	sealed, err := c.SealRound(f.Open(1), f.Update(0))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(f.Dir, "vehicle-0", sealed.File())
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(good); at += 97 {
		bad := bytes.Clone(good)
		bad[at] ^= 1
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		f.Unchanged(client.ErrDamaged, func() error {
			_, err := c.Upload(ctx, f.Store, sealed.File(), nil)
			if errors.Is(err, pipeline.ErrUntrusted) { // what only the signature shows, as a key that was replaced does
				err = client.ErrDamaged
			}
			return err
		})
	}
	if err := os.WriteFile(path, good, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Upload(ctx, f.Store, sealed.File(), nil); err != nil {
		t.Error(err)
	}
}

// FuzzHistory: any bytes give an error or a history that is written as it was read.
func FuzzHistory(f *testing.F) {
	fleet := pipelinetest.New(f, 1, pipelinetest.Task(10))
	fleet.Report(fleet.Open(1), 0)
	raw, err := os.ReadFile(filepath.Join(fleet.Dir, "vehicle-0", "history.json"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add(raw[:len(raw)-1])
	f.Add([]byte("null"))
	f.Fuzz(func(t *testing.T, b []byte) {
		again, err := client.DecodeHistory(b)
		if err != nil {
			return
		}
		if last, err := client.DecodeHistory(again); err != nil || !bytes.Equal(last, again) {
			t.Errorf("%s became %s (%v)", again, last, err)
		}
	})
}
