package pipelinetest

import (
	"context"
	"crypto/sha256"
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// Get reads an object that must exist.
func (f *Fleet) Get(key string) []byte {
	f.T.Helper()
	b, err := storage.ReadAll(context.Background(), f.Store, key, 1<<30)
	f.must(err)
	return b
}

// Objects returns the hash of every object in the store by key.
func (f *Fleet) Objects() map[string]schema.Digest {
	f.T.Helper()
	all := map[string]schema.Digest{}
	for info, err := range f.Store.List(context.Background(), "", "") {
		f.must(err)
		all[info.Key] = sha256.Sum256(f.Get(info.Key))
	}
	return all
}

// Unchanged runs a step that must end in the wanted error and leave every
// object of the store as it was.
func (f *Fleet) Unchanged(want error, step func() error) {
	f.T.Helper()
	before := f.Objects()
	if err := step(); !errors.Is(err, want) {
		f.T.Errorf("error %v, want %v", err, want)
	}
	after := f.Objects()
	if maps.Equal(before, after) {
		return
	}
	for _, k := range slices.Sorted(maps.Keys(after)) {
		if before[k] != after[k] {
			f.T.Errorf("changed: %s", k)
		}
	}
	f.T.Errorf("%d objects before, %d after", len(before), len(after))
}

// ErrPower is what everything returns after a [Power] was cut.
var ErrPower = errors.New("power cut")

// Power fails at one of a role's durable writes, before or after it took
// place, and at everything later until it is restored. It counts writes to the store and to state files alike; those to
// the store, which may come from several goroutines, one after the other.
type Power struct {
	Left  int  // writes that still succeed; negative: all
	After bool // the fatal write takes place, but nobody hears of it
	dead  bool
	mu    sync.Mutex // the fields; Left and After may be set before it is used
	write sync.Mutex // of a Powered store
}

// Restore switches it on again, with all writes allowed.
func (p *Power) Restore() { p.Set(-1, false) }

// Set switches it on again, to be cut as the fields of these names say.
func (p *Power) Set(left int, after bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.Left, p.After, p.dead = left, after, false
}

// Dead tells whether the power was cut.
func (p *Power) Dead() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dead
}

func (p *Power) before() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead || p.Left == 0 && !p.After {
		p.dead = true
		return ErrPower
	}
	return nil
}

func (p *Power) after() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.Left == 0 {
		p.dead = true
		return ErrPower
	}
	if p.Left > 0 {
		p.Left--
	}
	return nil
}

// Hook is for state.WithHook.
func (p *Power) Hook(_ string, done bool) error {
	if done {
		return p.after()
	}
	return p.before()
}

// Powered is a store as seen by a role with a [Power].
type Powered struct {
	storage.Store
	Power *Power
}

// PutOnce implements storage.Store.
func (s Powered) PutOnce(ctx context.Context, key string, body []byte) (storage.Outcome, error) {
	s.Power.write.Lock()
	defer s.Power.write.Unlock()
	if err := s.Power.before(); err != nil {
		return 0, err
	}
	o, err := s.Store.PutOnce(ctx, key, body)
	if err != nil {
		return o, err
	}
	if err := s.Power.after(); err != nil {
		return 0, err
	}
	return o, nil
}
