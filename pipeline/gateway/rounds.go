package gateway

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// errTask: the task is not served here.
var errTask = errors.New("gateway: task is not served")

// maxSnapshots bounds the snapshots in memory; lanes and epochs share them.
const maxSnapshots = 4

// maxTasks bounds the tasks in memory.
const maxTasks = 64

// rounds keeps verified tasks, rounds and snapshots. One is loaded at a time, so that a
// snapshot of a large fleet is not read twice at once.
type rounds struct {
	store storage.Store
	owner schema.PublicKey
	only  []schema.TaskID
	most  int
	load  chan struct{}

	mu        sync.Mutex
	tasks     recent[schema.TaskID, *pipeline.Plan]
	rounds    recent[pipeline.RoundName, *pipeline.Round]
	snapshots recent[schema.Digest, *schema.Snapshot]
}

func newRounds(s storage.Store, owner schema.PublicKey, only []schema.TaskID, most int) *rounds {
	return &rounds{store: s, owner: owner, only: only, most: most, load: make(chan struct{}, 1)}
}

func (c *rounds) size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.rounds.keys)
}

// served tells whether a task may be asked for at all.
func (c *rounds) served(id schema.TaskID) bool { return c.only == nil || slices.Contains(c.only, id) }

// plan returns a verified task.
func (c *rounds) plan(ctx context.Context, id schema.TaskID) (*pipeline.Plan, error) {
	if !c.served(id) {
		return nil, errTask
	}
	// Whoever asks for tasks that do not exist must not hold up the loading of those that do.
	if _, ok := c.known(id); !ok {
		if _, err := c.store.Stat(ctx, pipeline.TaskKey(id)); err != nil {
			return nil, err
		}
	}
	return cached(ctx, c, &c.tasks, maxTasks, id, func() (*pipeline.Plan, error) {
		return pipeline.LoadTask(ctx, c.store, id, c.owner)
	})
}

// round returns a verified round with its snapshot, if goesOn finds no fault with its descriptor. That is asked
// each time, and first: nobody needs the snapshots of rounds that ended, which are large, and
// logins to them need no key.
func (c *rounds) round(ctx context.Context, n pipeline.RoundName, goesOn func(context.Context, *pipeline.Round) error) (*pipeline.Round, error) {
	if r, ok := c.find(n); ok {
		return r, goesOn(ctx, r)
	}
	p, err := c.plan(ctx, n.Task)
	if err != nil {
		return nil, err
	}
	if int64(n.Lane) >= int64(p.Task.Batch.Lanes) {
		return nil, errTask
	}
	d, err := pipeline.LoadDescriptor(ctx, c.store, p, n)
	if err != nil {
		return nil, err
	}
	if err := goesOn(ctx, d); err != nil {
		return nil, err
	}
	root := d.Descriptor.Snapshot
	d.Snapshot, err = cached(ctx, c, &c.snapshots, maxSnapshots, root, func() (*schema.Snapshot, error) {
		return pipeline.LoadSnapshot(ctx, c.store, p, root)
	})
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rounds.put(n, d, c.most)
	return d, nil
}

func (c *rounds) known(id schema.TaskID) (*pipeline.Plan, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tasks.get(id)
}

func (c *rounds) find(n pipeline.RoundName) (*pipeline.Round, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rounds.get(n)
}

// cached returns what is in memory, or loads it, alone. Failures are not remembered.
func cached[K comparable, V any](ctx context.Context, c *rounds, m *recent[K, V], most int, key K, load func() (V, error)) (V, error) {
	look := func() (V, bool) {
		c.mu.Lock()
		defer c.mu.Unlock()
		return m.get(key)
	}
	var none V
	if v, ok := look(); ok {
		return v, nil
	}
	select {
	case c.load <- struct{}{}:
		defer func() { <-c.load }()
	case <-ctx.Done():
		return none, ctx.Err()
	}
	if v, ok := look(); ok {
		return v, nil
	}
	v, err := load()
	if err != nil {
		return none, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	m.put(key, v, most)
	return v, nil
}

// recent is a small map that forgets what was not used for longest.
type recent[K comparable, V any] struct {
	keys []K // the latest last
	m    map[K]V
}

func (r *recent[K, V]) get(key K) (V, bool) {
	v, ok := r.m[key]
	if ok && r.keys[len(r.keys)-1] != key {
		i := slices.Index(r.keys, key)
		r.keys = append(slices.Delete(r.keys, i, i+1), key)
	}
	return v, ok
}

func (r *recent[K, V]) put(key K, v V, most int) {
	if r.m == nil {
		r.m = map[K]V{}
	}
	if _, ok := r.m[key]; !ok {
		if len(r.keys) >= most {
			delete(r.m, r.keys[0])
			r.keys = slices.Delete(r.keys, 0, 1)
		}
		r.keys = append(r.keys, key)
	}
	r.m[key] = v
}
