package ledger_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"
	"strings"
	"sync"

	"github.com/veilsum/veilsum/privacy/ledger"
)

// memory is a store of create-only objects. Tests also change and remove
// objects behind the ledger's back, as a lying store does.
type memory struct {
	mu      sync.Mutex
	objects map[string][]byte
}

func newMemory() *memory { return &memory{objects: map[string][]byte{}} }

func (m *memory) PutOnce(ctx context.Context, key string, body []byte) (ledger.Outcome, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	have, ok := m.objects[key]
	switch {
	case !ok:
		m.objects[key] = bytes.Clone(body)
		return ledger.Created, nil
	case bytes.Equal(have, body):
		return ledger.Identical, nil
	}
	return ledger.Conflict, nil
}

func (m *memory) Get(ctx context.Context, key string, limit int64) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	body, ok := m.objects[key]
	if !ok {
		return nil, fmt.Errorf("%s: %w", key, fs.ErrNotExist)
	}
	if int64(len(body)) > limit {
		return nil, fmt.Errorf("%s: %d bytes, at most %d", key, len(body), limit)
	}
	return body, nil
}

func (m *memory) List(ctx context.Context, prefix, startAfter string) iter.Seq2[string, error] {
	keys := m.keys(prefix)
	return func(yield func(string, error) bool) {
		for _, k := range keys {
			if k > startAfter && !yield(k, ctx.Err()) {
				return
			}
		}
	}
}

func (m *memory) keys(prefix string) (keys []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k := range m.objects {
		if strings.HasPrefix(k, prefix) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return keys
}

// clone copies the store: the branches of a fork start from equal copies.
func (m *memory) clone() *memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := newMemory()
	for k, v := range m.objects {
		c.objects[k] = v
	}
	return c
}

// edit changes one object, as no honest store does.
func (m *memory) edit(key string, change func([]byte) []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.objects[key] = change(bytes.Clone(m.objects[key]))
}

func (m *memory) remove(keys ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range keys {
		delete(m.objects, k)
	}
}

var errCrash = errors.New("crash")

// faulty fails at one operation, counted from 0: before it happens or after,
// with the answer lost. Afterwards every operation fails, as in a dead process.
type faulty struct {
	ledger.Objects
	at    int
	after bool
	count int
	dead  bool
}

// step tells whether the operation happens, and whether its answer arrives.
func (f *faulty) step() (happens, arrives bool) {
	if f.dead {
		return false, false
	}
	n := f.count
	f.count++
	f.dead = n == f.at
	return !f.dead || f.after, !f.dead
}

func (f *faulty) PutOnce(ctx context.Context, key string, body []byte) (o ledger.Outcome, err error) {
	happens, arrives := f.step()
	if happens {
		o, err = f.Objects.PutOnce(ctx, key, body)
	}
	if !arrives {
		return 0, errCrash
	}
	return o, err
}

func (f *faulty) Get(ctx context.Context, key string, limit int64) ([]byte, error) {
	if _, arrives := f.step(); !arrives {
		return nil, errCrash
	}
	return f.Objects.Get(ctx, key, limit)
}

func (f *faulty) List(ctx context.Context, prefix, startAfter string) iter.Seq2[string, error] {
	if _, arrives := f.step(); !arrives {
		return func(yield func(string, error) bool) { yield("", errCrash) }
	}
	return f.Objects.List(ctx, prefix, startAfter)
}
