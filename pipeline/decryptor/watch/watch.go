// Package watch serves the rounds of a decryptor: it looks at the store again and
// again, publishes round keys ahead, accepts, checks, votes and answers as the rounds go on, and erases keys
// that expire.
//
// What to do next in a round is a pure function, [Next]; what may be done at all is decided by package
// decryptor at each step, whoever calls it. So a [Watcher] that errs, is killed or restarted costs time, never
// privacy. Trouble in one round or task does not stop the others.
//
// It refuses to go on if the decryptor was restored from a backup; see [decryptor.Decryptor.CheckRecord].
package watch

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/decryptor"
	"github.com/veilsum/veilsum/pipeline/decryptor/record"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// Config is everything a watcher is built from.
type Config struct {
	Decryptor *decryptor.Decryptor // required; nobody else may use it meanwhile
	Record    *record.Record       // the decryptor's; required
	Store     storage.Store        // required
	Owner     schema.PublicKey     // the pinned key of the privacy owner
	Tasks     []schema.TaskID      // at least one
	Policy    Policy
	Ahead     int           // epochs of each task that are kept supplied with round keys, 0 to 10,000
	Life      time.Duration // of new round keys; required if Ahead is above 0
	Log       *slog.Logger  // what was done, and trouble; default slog.Default()
	Observe   func(Step)    // called after each action, for metrics and traces; may be nil
	Now       func() time.Time
}

const maxAhead = 10_000

// Watcher serves one decryptor. It is not safe for concurrent use.
type Watcher struct {
	Config
	tasks   []*task
	paused  bool
	trouble map[string]*trouble
	voided  map[schema.ScopeID]error // scopes whose ledger voids a vote of this decryptor
	stats   Stats
}

// Stats counts what a watcher did.
type Stats struct {
	Passes, Keys, Checks, Votes, Answers, Erased int
	Open                                         int // rounds that go on, at the last pass
	Troubled                                     int // rounds and tasks with trouble, at the last pass
	Paused                                       bool
	Oldest                                       time.Time // when this process first saw the oldest of the open rounds; zero if there is none
}

// task is what this process knows of one task.
type task struct {
	id        schema.TaskID
	plan      *pipeline.Plan // nil until it was read
	index     int
	checked   bool // against policy and record
	published map[uint64]bool
	spoiled   map[uint64]bool // epochs whose key cannot be published
	rounds    map[pipeline.RoundName]*round
	finished  map[pipeline.RoundName]bool
}

// round is what this process knows of one round.
type round struct {
	*pipeline.Round
	since                time.Time              // when this process first saw it open
	refused              map[string]int         // by the last check
	dealt                map[schema.Digest]bool // candidate lists
	voteSent, answerSent bool
}

// New checks the configuration.
func New(c Config) (*Watcher, error) {
	if c.Decryptor == nil || c.Record == nil || c.Store == nil || c.Owner.IsZero() || len(c.Tasks) == 0 {
		return nil, errors.New("watch: decryptor, record, store, owner key and tasks are required")
	}
	if c.Ahead < 0 || c.Ahead > maxAhead || c.Ahead > 0 && c.Life <= 0 {
		return nil, fmt.Errorf("watch: keys for %d epochs of life %s: want 0 to %d and a time above 0", c.Ahead, c.Life, maxAhead)
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	w := &Watcher{Config: c, trouble: map[string]*trouble{}, voided: map[schema.ScopeID]error{}}
	for _, id := range c.Tasks {
		w.tasks = append(w.tasks, &task{
			id: id, published: map[uint64]bool{}, spoiled: map[uint64]bool{},
			rounds: map[pipeline.RoundName]*round{}, finished: map[pipeline.RoundName]bool{},
		})
	}
	return w, nil
}

// Stats returns what was done so far.
func (w *Watcher) Stats() Stats { return w.stats }

// Fatal tells whether an error ends the service: this decryptor must sign nothing more.
func Fatal(err error) bool {
	return errors.Is(err, decryptor.ErrRestored) || errors.Is(err, record.ErrDamaged)
}

// Run passes over all tasks until the context ends, which is not an error, or an error is [Fatal]. Passes
// are every apart, give or take a quarter by chance, so that a committee does not come in step; up to eight
// times as long while nothing works.
func (w *Watcher) Run(ctx context.Context, every time.Duration, after func()) error {
	for failed := 0; ; {
		err := w.Pass(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if Fatal(err) {
			return err
		}
		if failed++; err == nil || w.stats.Troubled < len(w.tasks) {
			failed = 0
		}
		if after != nil {
			after()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(jitter(every << min(failed, 3))):
		}
	}
}

// jitter returns a time from 3/4 to 5/4 of d.
func jitter(d time.Duration) time.Duration {
	var b [8]byte
	rand.Read(b[:])
	return d*3/4 + time.Duration(binary.LittleEndian.Uint64(b[:])%uint64(max(d/2, 1)))
}

// Pass looks at every task and round once and does what can be done. Expired keys are
// erased first, whatever the store does. It returns all errors joined, each of which was logged when it was new.
func (w *Watcher) Pass(ctx context.Context) error {
	w.stats.Passes++
	w.stats.Open, w.stats.Troubled, w.stats.Oldest = 0, 0, time.Time{}
	n, err := w.Decryptor.Erase()
	all := []error{w.note("erase", err)}
	if n > 0 {
		w.stats.Erased += n
		w.Log.Info("erased", "keys", n)
	}
	if w.pausing() {
		return errors.Join(all...)
	}
	for _, t := range w.tasks {
		if ctx.Err() != nil {
			break
		}
		err := w.serve(ctx, t)
		if Fatal(err) {
			return err
		}
		all = append(all, err)
		for _, r := range t.rounds {
			if r.Round == nil {
				continue
			}
			if w.stats.Open++; w.stats.Oldest.IsZero() || r.since.Before(w.stats.Oldest) {
				w.stats.Oldest = r.since
			}
		}
	}
	return errors.Join(append(all, ctx.Err())...)
}

func (w *Watcher) pausing() bool {
	paused := w.Policy.Paused != nil && w.Policy.Paused()
	if paused != w.paused {
		w.Log.Warn(map[bool]string{true: "paused", false: "resumed"}[paused])
	}
	w.paused, w.stats.Paused = paused, paused
	return paused
}

// serve passes over one task.
func (w *Watcher) serve(ctx context.Context, t *task) error {
	key := t.id.String()
	if w.resting(key) {
		return nil
	}
	err := w.prepare(ctx, t)
	if w.note(key, err, "task", t.id) != nil {
		return err
	}
	keys, err := w.Decryptor.Rounds(t.id)
	if w.note(key, err, "task", t.id) != nil {
		return err
	}
	var all []error
	if err := w.publish(ctx, t, keys); err != nil {
		all = append(all, err)
	}
	for _, k := range keys {
		if t.finished[k.Name] {
			continue
		}
		err := w.step(ctx, t, k)
		if Fatal(err) || ctx.Err() != nil {
			return err
		}
		all = append(all, err)
	}
	return errors.Join(all...)
}

// prepare reads the task once, asks the policy, and compares the record with what the store shows.
func (w *Watcher) prepare(ctx context.Context, t *task) (err error) {
	if t.plan == nil {
		if err := pipeline.CheckFormat(ctx, w.Store); err != nil {
			return err
		}
		p, err := pipeline.LoadTask(ctx, w.Store, t.id, w.Owner)
		if err != nil {
			return err
		}
		if t.index, err = w.Decryptor.Index(p); err != nil {
			return err
		}
		t.plan = p
	}
	if !t.checked { // neither a task nor the policy changes while this runs
		if err := w.Policy.Allow(t.id, t.plan); err != nil {
			return err
		}
		if err := w.Decryptor.CheckRecord(ctx, w.Store, t.id, t.plan); err != nil {
			return err
		}
		t.checked = true
	}
	return nil
}

// publish makes and publishes the keys of the epochs to come.
func (w *Watcher) publish(ctx context.Context, t *task, keys []decryptor.Status) error {
	now := w.Now()
	soon := now.Add(w.Life / 2).Unix()
	made := 0
	for _, e := range Ahead(keys, func(e uint64) bool { return t.spoiled[e] }, w.Ahead, soon) {
		if t.published[e] {
			continue
		}
		n, err := w.Decryptor.PublishKeys(ctx, w.Store, t.id, e, e, now.Add(w.Life))
		if !slices.ContainsFunc(keys, func(k decryptor.Status) bool { return k.Name.Epoch == e }) {
			made += n // others are published again, by a process that does not know whether they were
		}
		if errors.Is(err, storage.ErrConflict) || errors.Is(err, decryptor.ErrNoKey) {
			t.spoiled[e] = true // somebody took the name, or the key has expired: the next epoch
		}
		if w.note(t.id.String()+" keys", err, "task", t.id, "epoch", e) != nil {
			return err
		}
		t.published[e] = true
	}
	if made > 0 {
		w.stats.Keys += made
		w.Log.Info("published", "task", t.id, "keys", made)
	}
	return nil
}
