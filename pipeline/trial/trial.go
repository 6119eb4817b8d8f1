// Package trial sets up everybody of one task in one process: privacy owner, enrollment authority, collector,
// committee and vehicles, with fresh keys, so that a notebook, an example or a test can play rounds at once.
//
// It is for trying out. Whoever holds all keys at once can open every single report: in production each decryptor
// runs "veilsum committee serve" on a machine of its own, and each vehicle makes its own key.
package trial

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/client"
	"github.com/veilsum/veilsum/pipeline/decryptor"
	"github.com/veilsum/veilsum/pipeline/decryptor/record"
	"github.com/veilsum/veilsum/pipeline/decryptor/watch"
	"github.com/veilsum/veilsum/pipeline/state"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// Config is everything a cast is made from.
type Config struct {
	Store storage.Store // where all meet; required
	Dir   string        // an empty folder for state directories; required
	// Task without keys. Its committee's Size, Threshold and Malicious may be zero: then any three of four open.
	Task     schema.Task
	Vehicles int // to enroll, at least 1
	// Ahead is how many epochs are kept supplied with round keys. Default 4.
	Ahead int
	Now   func() time.Time // may be nil
}

// Cast is everybody of one task. Its methods are safe for concurrent use, but one vehicle has one client at a time.
type Cast struct {
	Owner     schema.PublicKey
	Collector ed25519.PrivateKey
	Task      schema.TaskID
	Plan      *pipeline.Plan
	Snapshot  schema.Digest // of all vehicles

	config   Config
	owner    ed25519.PrivateKey
	members  []*decryptor.Decryptor
	watchers []*watch.Watcher
	vehicles []client.Identity
	dirs     []*state.Dir
}

const life = 24 * time.Hour // of round keys

// New makes all keys, signs and publishes the task, enrolls the vehicles, and opens the committee's state. Close the
// cast at the end.
func New(ctx context.Context, c Config) (*Cast, error) {
	if c.Store == nil || c.Dir == "" || c.Vehicles < 1 {
		return nil, errors.New("trial: a store, a folder and at least one vehicle are required")
	}
	if c.Ahead == 0 {
		c.Ahead = 4
	}
	if c.Task.Committee.Size == 0 {
		c.Task.Committee = schema.Committee{Size: 4, Threshold: 3, Malicious: 1}
	}
	cast := &Cast{config: c, Collector: newKey(), owner: newKey()}
	cast.Owner = schema.NewPublicKey(cast.owner)
	if err := cast.set(ctx); err != nil {
		cast.Close()
		return nil, err
	}
	return cast, nil
}

func newKey() ed25519.PrivateKey {
	_, key, _ := ed25519.GenerateKey(rand.Reader) // crypto/rand never fails
	return key
}

func (c *Cast) set(ctx context.Context) error {
	authority, members := newKey(), make([]ed25519.PrivateKey, c.config.Task.Committee.Size)
	t := c.config.Task
	t.Committee.Keys = nil
	for k := range members {
		members[k] = newKey()
		t.Committee.Keys = append(t.Committee.Keys, schema.NewPublicKey(members[k]))
	}
	t.Owner, t.Authority, t.Collector = c.Owner, schema.NewPublicKey(authority), schema.NewPublicKey(c.Collector)
	var err error
	if c.Task, c.Plan, err = pipeline.PublishTask(ctx, c.config.Store, t, c.owner); err != nil {
		return err
	}
	if err := c.enroll(ctx, authority); err != nil {
		return err
	}
	for k, key := range members {
		if err := c.seat(k, key); err != nil {
			return fmt.Errorf("decryptor %d: %w", k, err)
		}
	}
	return c.Pass(ctx) // round keys
}

func (c *Cast) enroll(ctx context.Context, authority ed25519.PrivateKey) error {
	list := make([]schema.Enrolled, c.config.Vehicles)
	for i := range list {
		v := client.Identity{Key: newKey()}
		rand.Read(v.ID[:])
		rand.Read(v.DeviceSecret[:])
		c.vehicles, list[i] = append(c.vehicles, v), schema.Enrolled{ID: v.ID, Key: schema.NewPublicKey(v.Key)}
	}
	var err error
	c.Snapshot, err = pipeline.PublishSnapshot(ctx, c.config.Store, c.Plan, 1, list, authority)
	return err
}

// seat opens decryptor k with its record.
func (c *Cast) seat(k int, key ed25519.PrivateKey) error {
	home, err := c.open(fmt.Sprintf("decryptor-%d", k))
	if err != nil {
		return err
	}
	shelf, err := c.open(fmt.Sprintf("record-%d", k))
	if err != nil {
		return err
	}
	rec, err := record.Open(shelf, schema.NewPublicKey(key))
	if err != nil {
		return err
	}
	d, err := decryptor.New(decryptor.Config{State: home, Key: key, Owner: c.Owner, Record: rec, Now: c.config.Now, KeepLedgers: true})
	if err != nil {
		return err
	}
	w, err := watch.New(watch.Config{
		Decryptor: d, Record: rec, Store: c.config.Store, Owner: c.Owner, Tasks: []schema.TaskID{c.Task},
		Ahead: c.config.Ahead, Life: life, Now: c.config.Now, Log: slog.New(slog.DiscardHandler),
	})
	c.members, c.watchers = append(c.members, d), append(c.watchers, w)
	return err
}

// open opens a state directory that does not wait for the disk: nothing of a trial outlives its process.
func (c *Cast) open(name string) (*state.Dir, error) {
	d, err := state.Open(filepath.Join(c.config.Dir, name), state.WithoutSync())
	if err == nil {
		c.dirs = append(c.dirs, d)
	}
	return d, err
}

// Pass lets every decryptor look at the store once and do what can be done.
func (c *Cast) Pass(ctx context.Context) error {
	return c.Committee(func(k int, _ *decryptor.Decryptor) error { return c.watchers[k].Pass(ctx) })
}

// Committee does a step in every decryptor at once, k from 0. Do not call it while Serve runs.
func (c *Cast) Committee(step func(k int, d *decryptor.Decryptor) error) error {
	var g errgroup.Group
	for k, d := range c.members {
		g.Go(func() error {
			if err := step(k, d); err != nil {
				return fmt.Errorf("decryptor %d: %w", k, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// Serve lets the decryptors look at the store again and again, about every so often, until ctx ends. Do not call Pass meanwhile.
func (c *Cast) Serve(ctx context.Context, every time.Duration) error {
	var g errgroup.Group
	for _, m := range c.watchers {
		g.Go(func() error { return m.Run(ctx, every, nil) })
	}
	return g.Wait()
}

// Vehicles returns how many vehicles are enrolled.
func (c *Cast) Vehicles() int { return len(c.vehicles) }

// Identity returns the key, pseudonym and device secret of vehicle i.
func (c *Cast) Identity(i int) client.Identity { return c.vehicles[i] }

// Home is the state directory of vehicle i; whoever is done with the vehicle may remove it.
func (c *Cast) Home(i int) string { return filepath.Join(c.config.Dir, fmt.Sprintf("vehicle-%d", i)) }

// Client opens the client of vehicle i, 0 to Vehicles()-1, as after an ignition; call stop when it has done its work.
func (c *Cast) Client(i int) (v *client.Client, stop func(), err error) {
	dir, err := state.Open(c.Home(i), state.WithoutSync())
	if err != nil {
		return nil, nil, err
	}
	v, err = client.New(client.Config{State: dir, Identity: c.vehicles[i], Owner: c.Owner, Now: c.config.Now})
	if err != nil {
		dir.Close()
		return nil, nil, err
	}
	return v, func() { dir.Close() }, nil
}

// Close gives the decryptors' directories free. It does not remove them.
func (c *Cast) Close() {
	for _, d := range c.dirs {
		d.Close()
	}
}

// Format implements fmt.Formatter: a cast never prints its keys.
func (Cast) Format(f fmt.State, _ rune) { io.WriteString(f, "[redacted]") }

// LogValue implements slog.LogValuer.
func (Cast) LogValue() slog.Value { return slog.StringValue("[redacted]") }
