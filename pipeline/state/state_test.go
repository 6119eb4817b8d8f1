package state_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/veilsum/veilsum/pipeline/state"
)

func open(t *testing.T, root string, opts ...state.Option) *state.Dir {
	t.Helper()
	d, err := state.Open(root, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func read(t *testing.T, d *state.Dir, name, want string) {
	t.Helper()
	if got, err := d.Read(name); err != nil || string(got) != want {
		t.Errorf("%s holds %q (%v), want %q", name, got, err, want)
	}
}

// TestPowerCut ends each operation before and after it takes effect: the file is whole in
// either case, and the next start removes what was left.
func TestPowerCut(t *testing.T) {
	root, cut := t.TempDir(), errors.New("power cut")
	var at *bool
	hook := state.WithHook(func(_ string, done bool) error {
		if at != nil && *at == done {
			return cut
		}
		return nil
	})
	d := open(t, root, hook)
	before, after := false, true
	do := func(when *bool, want error, f func() error) {
		t.Helper()
		at = when
		defer func() { at = nil }()
		if err := f(); !errors.Is(err, want) {
			t.Errorf("error %v, want %v", err, want)
		}
	}
	do(nil, nil, func() error { return d.Replace("a/b", []byte("one")) })
	do(&before, cut, func() error { return d.Replace("a/b", []byte("two")) })
	read(t, d, "a/b", "one")
	do(&after, cut, func() error { return d.Replace("a/b", []byte("three")) })
	read(t, d, "a/b", "three")
	do(&before, cut, func() error { return d.Create("c", []byte("x")) })
	do(nil, fs.ErrNotExist, func() error { _, err := d.Read("c"); return err })
	do(&after, cut, func() error { return d.Create("c", []byte("x")) })
	do(nil, fs.ErrExist, func() error { return d.Create("c", []byte("y")) })
	read(t, d, "c", "x")
	do(nil, nil, func() error { return d.Append("new/d", []byte("x")) })
	do(&before, cut, func() error { return d.Append("new/d", []byte("y")) })
	read(t, d, "new/d", "x")
	do(&after, cut, func() error { return d.Append("new/d", []byte("y")) })
	do(nil, nil, func() error { return d.Append("new/d", []byte("z")) })
	read(t, d, "new/d", "xyz")
	do(&before, cut, func() error { return d.Remove("c") })
	read(t, d, "c", "x")
	do(&after, cut, func() error { return d.Remove("c") })
	do(nil, fs.ErrNotExist, func() error { _, err := d.Read("c"); return err })
	do(nil, nil, func() error { return d.Remove("c") })
}

// TestLeftovers: temporary files of writers that died are removed at the next start, other files stay.
func TestLeftovers(t *testing.T) {
	root := t.TempDir()
	d := open(t, root)
	if err := d.Replace("a/b", []byte("one")); err != nil {
		t.Fatal(err)
	}
	w, err := d.NewWriter("a/big")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	d.Close() // the process dies here
	if files(t, root) != 3 {
		t.Fatal("want the file, the lock and a leftover:", files(t, root))
	}
	d = open(t, root)
	if names, err := d.Names("a"); err != nil || !slices.Equal(names, []string{"b"}) || files(t, root) != 2 {
		t.Error(names, files(t, root), err)
	}
	if names, err := d.Names("absent"); err != nil || len(names) != 0 {
		t.Error(names, err)
	}
}

func files(t *testing.T, root string) int {
	t.Helper()
	n := 0
	if err := filepath.WalkDir(root, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			n++
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestAbort leaves nothing, and after Commit it does nothing.
func TestAbort(t *testing.T) {
	root := t.TempDir()
	d := open(t, root)
	for _, commit := range []bool{false, true} {
		w, err := d.NewWriter("f")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.WriteString("x"); err != nil {
			t.Fatal(err)
		}
		if commit {
			if err := w.Commit(); err != nil {
				t.Fatal(err)
			}
		}
		w.Abort()
		if want := map[bool]int{false: 1, true: 2}[commit]; files(t, root) != want {
			t.Errorf("commit %t: %d files, want %d", commit, files(t, root), want)
		}
	}
}

// TestLock: one process per directory, as two with one identity could vote twice.
func TestLock(t *testing.T) {
	root := t.TempDir()
	d := open(t, root)
	if _, err := state.Open(root); !errors.Is(err, state.ErrLocked) {
		t.Fatal(err)
	}
	d.Close()
	open(t, root)
	if out, err := helper(t, "lock", root).Output(); err != nil || !strings.Contains(string(out), "locked") {
		t.Errorf("another process got the lock: %s (%v)", out, err)
	}
}

// TestModes: state is for its owner only.
func TestModes(t *testing.T) {
	root := filepath.Join(t.TempDir(), "new")
	d := open(t, root)
	if err := d.Replace("a/b", []byte("one")); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]fs.FileMode{"": 0o700, "a": 0o700, "a/b": 0o600, ".lock": 0o600} {
		info, err := os.Stat(filepath.Join(root, path))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%q: %v (%v)", path, info.Mode(), err)
		}
	}
}

// TestKilled kills a process that replaces one file over and over: the file is
// one of its whole contents.
func TestKilled(t *testing.T) {
	root := t.TempDir()
	for range 3 {
		cmd := helper(t, "write", root)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		d := open(t, root)
		b, err := d.Read("f")
		if err != nil || len(b) != 100_000 || !bytes.Equal(b, bytes.Repeat(b[:1], len(b))) {
			t.Errorf("%d bytes, mixed or cut (%v)", len(b), err)
		}
		if files(t, root) != 2 {
			t.Errorf("%d files, want the file and the lock", files(t, root))
		}
		d.Close()
	}
}

// helper runs this test binary as another process.
func helper(t *testing.T, what, root string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=TestHelper")
	cmd.Env = append(os.Environ(), "STATE_HELPER="+what, "STATE_ROOT="+root)
	return cmd
}

// TestHelper is what the other process does.
func TestHelper(t *testing.T) {
	root := os.Getenv("STATE_ROOT")
	switch os.Getenv("STATE_HELPER") {
	case "lock":
		_, err := state.Open(root)
		fmt.Println(errors.Is(err, state.ErrLocked), "locked", err)
	case "write":
		d, err := state.Open(root, state.WithoutSync())
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; ; i++ {
			if err := d.Replace("f", bytes.Repeat([]byte{byte('a' + i%26)}, 100_000)); err != nil {
				t.Fatal(err)
			}
			if i == 20 {
				fmt.Println("go on until killed")
			}
		}
	}
}
