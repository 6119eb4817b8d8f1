package engine_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
	"github.com/veilsum/veilsum/storage/dir"
	"github.com/veilsum/veilsum/storage/s3"
)

// The usual world: fanIn makes three levels of its few reports, 8 steps, then 2, then 1.
const (
	reports = 31
	values  = 2000
	fanIn   = 4
)

// world is a round whose list is frozen, to be copied into any number of stores. One of its reports is damaged.
type world struct {
	fleet *pipelinetest.Fleet
	round *pipeline.Round
}

func newWorld(t testing.TB, reports, values int) *world {
	t.Helper()
	f := pipelinetest.New(t, reports, pipelinetest.Task(values))
	w := &world{fleet: f, round: f.Open(1)}
	var ids []schema.ReportID
	for i := range reports {
		ids = append(ids, f.Report(w.round, i))
	}
	f.Replace(pipeline.PieceKey(w.round.Name, ids[7], 0), func(piece []byte) []byte { piece[len(piece)/2] ^= 1; return piece })
	*f.Clock = f.Clock.Add(2 * time.Minute)
	if _, n, err := f.Collector.Close(context.Background(), f.Store, w.round); err != nil || n != reports {
		t.Fatalf("%d reports in the list: %v", n, err)
	}
	return w
}

// place copies the round into a store and returns the environment in which veilsum finds it there.
func (w *world) place(t testing.TB, url string) []string {
	t.Helper()
	ctx, to := context.Background(), openStore(t, url)
	for info, err := range w.fleet.Store.List(ctx, "", "") {
		if err != nil {
			t.Fatal(err)
		}
		if _, err := to.PutOnce(ctx, info.Key, w.fleet.Get(info.Key)); err != nil {
			t.Fatal(err)
		}
	}
	return []string{
		"VEILSUM_STORE=" + url, "VEILSUM_TASK=" + w.fleet.TaskID.String(),
		"VEILSUM_OWNER=" + schema.NewPublicKey(w.fleet.Owner).String(),
	}
}

func openStore(t testing.TB, url string) storage.Store {
	t.Helper()
	s, err := opened(url)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func opened(url string) (storage.Store, error) {
	if path, ok := strings.CutPrefix(url, "file:"); ok {
		return dir.Open(path)
	}
	config, err := s3.ParseURL(url)
	if err != nil {
		return nil, err
	}
	return s3.Open(config)
}

// made returns what a batch has written to a store: SHA-256 by name.
func (w *world) made(t *testing.T, url string) map[string]string {
	t.Helper()
	ctx, s := context.Background(), openStore(t, url)
	before, all := w.fleet.Objects(), map[string]string{}
	for info, err := range s.List(ctx, "", "") {
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := before[info.Key]; ok {
			continue
		}
		b, err := storage.ReadAll(ctx, s, info.Key, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(b)
		all[strings.TrimPrefix(info.Key, pipeline.RoundPrefix(w.round.Name))] = hex.EncodeToString(sum[:])
	}
	return all
}

// same fails the test unless two stores hold the same names with the same bytes.
func same(t *testing.T, got, want map[string]string) {
	t.Helper()
	if len(want) == 0 {
		t.Fatal("the local runner made nothing")
	}
	for name := range want {
		if got[name] != want[name] {
			t.Errorf("%s has SHA-256 %q, the local runner's has %q", name, got[name], want[name])
		}
	}
	for name := range got {
		if want[name] == "" {
			t.Errorf("%s: the local runner made no such object", name)
		}
	}
}

// builtIn is the folder of what program built; TestMain removes it.
var builtIn string

// program builds veilsum, once.
var program = sync.OnceValues(func() (path string, err error) {
	if builtIn, err = os.MkdirTemp("", "veilsum-built-"); err != nil {
		return "", err
	}
	path = filepath.Join(builtIn, "veilsum")
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-ldflags=-s -w", "-o", path, "../cmd/veilsum").CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w: %s", err, out)
	}
	return path, nil
})

// recordOf is the name of a step's record.
func (w *world) recordOf(step string) string {
	return pipeline.RoundPrefix(w.round.Name) + "steps/" + step + ".json"
}
