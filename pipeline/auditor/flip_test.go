package auditor_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"maps"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/veilsum/veilsum/pipeline/auditor"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// overlay is a store in which one object has other bytes.
type overlay struct {
	storage.Store
	key  string
	body []byte
}

// Get implements storage.Store.
func (o overlay) Get(ctx context.Context, key string) (io.ReadCloser, storage.Info, error) {
	if key != o.key {
		return o.Store.Get(ctx, key)
	}
	return io.NopCloser(bytes.NewReader(o.body)), storage.Info{Key: key, Size: int64(len(o.body))}, nil
}

// GetRange implements storage.Store.
func (o overlay) GetRange(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	if key != o.key {
		return o.Store.GetRange(ctx, key, off, n)
	}
	if off < 0 || n < 0 || off+n > int64(len(o.body)) {
		return nil, storage.ErrRange
	}
	return io.NopCloser(bytes.NewReader(o.body[off : off+n])), nil
}

// Every single changed byte of every object of a stored round, signature text
// included, is found, and the object is named. Two changes are tried at each byte:
// the last bit, and one of the others. Without VEILSUM_SLOW=1 only a part of the bytes is changed.
func TestEveryByte(t *testing.T) {
	step := 251
	if os.Getenv("VEILSUM_SLOW") == "1" {
		step = 1
	} else if testing.Short() {
		step = 997
	}
	f := play(t, pipelinetest.Task(8), 1, 0, 1, 2, 3)
	owner := schema.NewPublicKey(f.Owner)
	if _, err := f.audit(auditor.Options{Depth: auditor.DepthPieces}); err != nil {
		t.Fatal(err)
	}
	started := time.Now()
	keys := slices.Sorted(maps.Keys(f.Objects()))
	var changes []change
	total, stored := 0, map[string][]byte{}
	for _, key := range keys {
		stored[key] = f.Get(key)
		n := len(stored[key])
		total += n
		for at := step / 2 % n; at < n; at += step {
			changes = append(changes, change{key, at})
		}
	}
	parallel(len(changes), func(i int) {
		c := changes[i]
		for _, mask := range []byte{1, 2 << (c.at % 7)} {
			body := bytes.Clone(stored[c.key])
			body[c.at] ^= mask
			_, err := auditor.Audit(ctx, overlay{f.Store, c.key, body}, owner, auditor.Options{Depth: auditor.DepthPieces})
			var flaw *auditor.Flaw
			if !errors.As(err, &flaw) || flaw.Object != c.key {
				t.Errorf("%s: byte %d of %d changed by %#02x: error %v, want a flaw of this object", c.key, c.at, len(body), mask, err)
			}
		}
	})
	t.Logf("%d objects of %d bytes: %d bytes changed in two ways in %v", len(keys), total, len(changes), time.Since(started))
}

type change struct {
	key string
	at  int
}

func parallel(n int, do func(i int)) {
	var group sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for w := range workers {
		group.Go(func() {
			for i := w; i < n; i += workers {
				do(i)
			}
		})
	}
	group.Wait()
}

// without is a store that hides one object.
type without struct {
	storage.Store
	key string
}

// Get implements storage.Store.
func (o without) Get(ctx context.Context, key string) (io.ReadCloser, storage.Info, error) {
	if key == o.key {
		return nil, storage.Info{}, storage.ErrNotExist
	}
	return o.Store.Get(ctx, key)
}

// List implements storage.Store.
func (o without) List(ctx context.Context, prefix, after string) iter.Seq2[storage.Info, error] {
	return func(yield func(storage.Info, error) bool) {
		for info, err := range o.Store.List(ctx, prefix, after) {
			if info.Key != o.key && !yield(info, err) {
				return
			}
		}
	}
}
