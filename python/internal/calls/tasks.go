package calls

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/courier"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
	"github.com/veilsum/veilsum/storage/dir"
	"github.com/veilsum/veilsum/storage/mem"
	"github.com/veilsum/veilsum/storage/s3"
)

// Version of the C ABI: it changes whenever a method, a field or a struct changes its meaning.
const Version = 1

func version(c *call, _ struct{}) (any, error) {
	c.mu.Lock()
	v := map[string]any{"abi": Version, "format": schema.Version, "go": runtime.Version(), "handles": len(c.handles)}
	c.mu.Unlock()
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" || s.Key == "vcs.modified" {
				v[strings.TrimPrefix(s.Key, "vcs.")] = s.Value
			}
		}
	}
	return v, nil
}

type handle struct {
	Handle int64 `json:"handle"`
}

// openStore opens "mem:", "file:DIR", a path, or "s3://BUCKET/PREFIX?endpoint=HOST:PORT". create makes a directory that is
// absent, and makes the store say what it is.
func openStore(c *call, q struct {
	URL    string `json:"url"`
	Create bool   `json:"create"`
	Sync   bool   `json:"sync"`
},
) (any, error) {
	var options []dir.Option
	if !q.Sync {
		options = append(options, dir.WithoutSync())
	}
	s, err := driver(q.URL, q.Create, options...)
	if err != nil {
		return nil, err
	}
	if q.Create || q.URL == "mem:" {
		err = pipeline.Prepare(c, s)
	} else {
		err = pipeline.CheckFormat(c, s)
	}
	if err != nil {
		return nil, err
	}
	h, err := c.keep(s)
	return handle{h}, err
}

func driver(url string, create bool, options ...dir.Option) (storage.Store, error) {
	path, isDir := strings.CutPrefix(url, "file:")
	isDir = isDir || !strings.Contains(url, ":")
	switch {
	case url == "mem:":
		return mem.New(), nil
	case strings.HasPrefix(url, "s3://"):
		config, err := s3.ParseURL(url)
		if err != nil {
			return nil, mistake("store: %w", err)
		}
		return s3.Open(config, s3.RetainOnly(pipeline.Evidence))
	case isDir && path != "" && !strings.HasPrefix(path, "//"):
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) && !create {
			return nil, fmt.Errorf("no store at %s: %w", path, storage.ErrNotExist)
		}
		return dir.Open(path, options...)
	}
	return nil, mistake(`store %.80q: want "mem:", "file:DIR" or "s3://BUCKET/PREFIX?endpoint=HOST:PORT"`, url)
}

// task is a verified task in a store.
type task struct {
	store storage.Store
	id    schema.TaskID
	owner schema.PublicKey
	plan  *pipeline.Plan
}

type taskAnswer struct {
	Handle int64            `json:"handle"`
	TaskID schema.TaskID    `json:"task_id"`
	Owner  schema.PublicKey `json:"owner"`
	Task   schema.Task      `json:"task"`
	// Values is d; ReportBytes are those of all objects of one report.
	Values      int     `json:"values"`
	ReportBytes int64   `json:"report_bytes"`
	Epsilon     float64 `json:"epsilon"` // of one round, at the scope's delta
	Epoch       uint64  `json:"epoch"`   // of a bundle, else 0
}

func (c *call) keepTask(t *task, epoch uint64) (any, error) {
	g, err := pipeline.EventGuarantee(t.plan.Event(), t.plan.Task.Scope)
	if err != nil {
		return nil, err
	}
	a := taskAnswer{TaskID: t.id, Owner: t.owner, Task: t.plan.Task, Epsilon: g.Epsilon, Epoch: epoch}
	a.Values = t.plan.Privacy.Values()
	a.ReportBytes = t.plan.Secagg.ReportBytes()
	a.Handle, err = c.keep(t)
	return a, err
}

// publishTask completes, signs and writes a task.
func publishTask(c *call, q struct {
	Store int64           `json:"store"`
	Task  json.RawMessage `json:"task"`
	Key   string          `json:"key"`
},
) (any, error) {
	s, err := get[storage.Store](c.Library, q.Store)
	if err != nil {
		return nil, err
	}
	key, err := readKey(q.Key)
	if err != nil {
		return nil, err
	}
	var body schema.Task
	if err := strict(q.Task, &body); err != nil {
		return nil, mistake("task: %w", err)
	}
	t := &task{store: s, owner: schema.NewPublicKey(key)}
	if body.Owner.IsZero() {
		body.Owner = t.owner
	}
	if body.Owner != t.owner {
		return nil, fmt.Errorf("%w: the task's owner is %s, this key is %s", pipeline.ErrKey, body.Owner, t.owner)
	}
	if t.id, t.plan, err = pipeline.PublishTask(c, s, body, key); err != nil {
		return nil, err
	}
	return c.keepTask(t, 0)
}

func openTask(c *call, q struct {
	Store int64  `json:"store"`
	Task  string `json:"task"`
	Owner string `json:"owner"`
},
) (any, error) {
	s, err := get[storage.Store](c.Library, q.Store)
	if err != nil {
		return nil, err
	}
	id, err := parseTask(q.Task)
	if err != nil {
		return nil, err
	}
	return c.loadTask(s, id, q.Owner, 0)
}

func (c *call) loadTask(s storage.Store, id schema.TaskID, owner string, epoch uint64) (any, error) {
	key, err := readPublic(owner)
	if err != nil {
		return nil, err
	}
	t := &task{store: s, id: id, owner: key}
	if t.plan, err = pipeline.LoadTask(c, s, id, key); err != nil {
		return nil, err
	}
	return c.keepTask(t, epoch)
}

// bundle packs what clients without a store need to seal for an epoch.
func bundle(c *call, q struct {
	Task  int64  `json:"task"`
	Epoch uint64 `json:"epoch"`
},
) (any, error) {
	t, err := get[*task](c.Library, q.Task)
	if err != nil {
		return nil, err
	}
	raw, err := courier.Pack(c, t.store, t.plan, t.id, q.Epoch)
	if err != nil {
		return nil, err
	}
	return struct{}{}, c.reply(raw)
}

// openBundle verifies a bundle's task against the pinned key, and the TaskID if one is pinned, too.
func openBundle(c *call, q struct {
	Owner string `json:"owner"`
	Task  string `json:"task"`
},
) (any, error) {
	raw, err := c.one("the bundle")
	if err != nil {
		return nil, err
	}
	b, err := courier.Unpack(c, raw)
	if err != nil {
		return nil, err
	}
	if q.Task != "" {
		id, err := parseTask(q.Task)
		if err != nil {
			return nil, err
		}
		if id != b.Task {
			return nil, fmt.Errorf("%w: the bundle is of task %s, not of %s", pipeline.ErrUntrusted, b.Task.Short(), id.Short())
		}
	}
	return c.loadTask(b.Store, b.Task, q.Owner, b.Epoch)
}

// one returns the only buffer of a call.
func (c *call) one(what string) ([]byte, error) {
	if len(c.bodies) != 1 {
		return nil, mistake("%d buffers, want one: %s", len(c.bodies), what)
	}
	return c.bodies[0], nil
}

// budget tells what the scope of a task has spent and what is left.
func budget(c *call, q struct {
	Task int64 `json:"task"`
},
) (any, error) {
	t, err := get[*task](c.Library, q.Task)
	if err != nil {
		return nil, err
	}
	charges, err := pipeline.LoadCharges(c, t.store, t.plan.Task.Scope, t.owner)
	if err != nil {
		return nil, err
	}
	g, err := charges.Guarantee()
	if err != nil {
		return nil, err
	}
	left, err := charges.RoundsLeft(t.plan)
	return map[string]any{
		"epsilon": g.Epsilon, "delta": g.Delta, "relation": g.Relation, "unit": g.Unit,
		"allowed": float64(t.plan.Task.Scope.Epsilon), "epochs": charges.Epochs(), "rounds_left": left,
	}, err
}

// enroll gives public keys random pseudonyms and signs a new snapshot of the scope, with all that the newest one has.
func enroll(c *call, q struct {
	Task       int64              `json:"task"`
	Key        string             `json:"key"`
	PublicKeys []schema.PublicKey `json:"public_keys"`
},
) (any, error) {
	t, err := get[*task](c.Library, q.Task)
	if err != nil {
		return nil, err
	}
	key, err := readKey(q.Key)
	if err != nil {
		return nil, err
	}
	if own := schema.NewPublicKey(key); own != t.plan.Task.Authority {
		return nil, fmt.Errorf("%w: the task's authority is %s, this key is %s", pipeline.ErrKey, t.plan.Task.Authority, own)
	}
	last, err := pipeline.NewestSnapshot(c, t.store, t.plan)
	if err != nil && !errors.Is(err, pipeline.ErrNotReady) { // the first to be enrolled
		return nil, err
	}
	var all []schema.Enrolled
	serial := uint64(1)
	if last != nil {
		all, serial = slices.Clone(last.Vehicles()), last.Serial+1
	}
	known := make(map[schema.PublicKey]schema.VehicleID, len(all))
	for _, e := range all {
		known[e.Key] = e.ID
	}
	ids := make([]schema.VehicleID, len(q.PublicKeys))
	for i, k := range q.PublicKeys {
		id, ok := known[k]
		if !ok {
			if _, err := rand.Read(id[:]); err != nil {
				return nil, err
			}
			all, known[k] = append(all, schema.Enrolled{ID: id, Key: k}), id
		}
		ids[i] = id
	}
	if last != nil && len(all) == len(last.Vehicles()) {
		return map[string]any{"snapshot": last.Root(), "ids": ids}, nil
	}
	root, err := pipeline.PublishSnapshot(c, t.store, t.plan, serial, all, key)
	return map[string]any{"snapshot": root, "ids": ids}, err
}
