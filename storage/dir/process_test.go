package dir_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/veilsum/veilsum/storage"
	"github.com/veilsum/veilsum/storage/dir"
)

// The test program is also the writer process that these tests start and kill.
const writerEnv = "VEILSUM_TEST_DIR_WRITER" // ROOT|ID|KEYS; KEYS 0 means until killed

func TestMain(m *testing.M) {
	if job := os.Getenv(writerEnv); job != "" {
		if err := write(job); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// write creates keys and prints "won KEY" for each that it created.
func write(job string) error {
	part := strings.Split(job, "|")
	n, err := strconv.Atoi(part[2])
	if err != nil {
		return err
	}
	store, err := dir.Open(part[0], dir.WithoutSync())
	if err != nil {
		return err
	}
	for i := 0; n == 0 || i < n; i++ {
		key := fmt.Sprintf("p/%d/%d", i%5, i)
		outcome, err := store.PutOnce(context.Background(), key, content(part[1], key))
		if err != nil && !errors.Is(err, storage.ErrConflict) {
			return err
		}
		if outcome == storage.Created {
			fmt.Println("won", key)
		}
	}
	return nil
}

// content is long enough to be written in several steps, and says of itself
// whether it is whole.
func content(writer, key string) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "%s writes %s;", writer, key), 4000)
}

func startWriter(t *testing.T, root, id string, keys int) (*exec.Cmd, io.Reader) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s|%s|%d", writerEnv, root, id, keys))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, out
}

// TestProcessesRace: four processes want the same keys; each key has one winner,
// who is right about it.
func TestProcessesRace(t *testing.T) {
	const writers = 4
	keys := 100
	if testing.Short() {
		keys = 25
	}
	root := t.TempDir()
	var commands [writers]*exec.Cmd
	var outputs [writers]io.Reader
	for i := range writers {
		commands[i], outputs[i] = startWriter(t, root, fmt.Sprint(i), keys)
	}
	winner := make(map[string]string)
	for i := range writers {
		lines := bufio.NewScanner(outputs[i])
		for lines.Scan() {
			key, ok := strings.CutPrefix(lines.Text(), "won ")
			if !ok || winner[key] != "" {
				t.Errorf("writer %d: %q, already won by %q", i, lines.Text(), winner[key])
			}
			winner[key] = fmt.Sprint(i)
		}
		if err := commands[i].Wait(); err != nil {
			t.Errorf("writer %d: %v", i, err)
		}
	}
	if len(winner) != keys {
		t.Errorf("%d of %d keys have a winner", len(winner), keys)
	}
	store := open(t, root)
	for key, id := range winner {
		have, err := storage.ReadAll(t.Context(), store, key, 1<<20)
		if err != nil || !bytes.Equal(have, content(id, key)) {
			t.Errorf("%s: not what winner %s wrote: %v", key, id, err)
		}
	}
}

// TestKill: a process that is killed at any moment leaves whole objects and at
// most temporary files.
func TestKill(t *testing.T) {
	kills := 20
	if testing.Short() {
		kills = 4
	}
	root := t.TempDir()
	for i := range kills {
		cmd, out := startWriter(t, root, fmt.Sprint(i), 0)
		// Let it win i+1 objects, then kill it in the middle of another.
		lines := bufio.NewScanner(out)
		for won := 0; won <= i && lines.Scan(); won++ {
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait() // "signal: killed"
	}
	store := open(t, root)
	objects := 0
	for info, err := range store.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		have, err := storage.ReadAll(t.Context(), store, info.Key, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		id, _, _ := strings.Cut(string(have), " ")
		if !bytes.Equal(have, content(id, info.Key)) {
			t.Errorf("%s is torn: %d bytes", info.Key, len(have))
		}
		objects++
	}
	if objects < kills {
		t.Errorf("only %d objects in %d lives", objects, kills)
	}
	removed, err := store.RemoveTemp(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d kills left %d whole objects and %d temporary files", kills, objects, removed)
}
