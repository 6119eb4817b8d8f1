package calls

import (
	"crypto/ed25519"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/veilsum/veilsum/pipeline/auditor"
	"github.com/veilsum/veilsum/pipeline/decryptor"
	"github.com/veilsum/veilsum/pipeline/decryptor/record"
	"github.com/veilsum/veilsum/pipeline/decryptor/watch"
	"github.com/veilsum/veilsum/pipeline/state"
	"github.com/veilsum/veilsum/privacy/accountant"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// member is one decryptor with its watcher. mu guards it: neither is safe for concurrent use.
type member struct {
	mu      sync.Mutex
	watcher *watch.Watcher
	dirs    []*state.Dir
	closed  bool
}

func (m *member) close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return closeDirs(m)
}

func closeDirs(m *member) error {
	var all []error
	for _, d := range m.dirs {
		all = append(all, d.Close())
	}
	m.dirs = nil
	return errors.Join(all...)
}

type memberRequest struct {
	Store  int64    `json:"store"`
	Tasks  []string `json:"tasks"`
	Owner  string   `json:"owner"`
	Key    string   `json:"key"`
	State  string   `json:"state"`
	Record string   `json:"record"`
	Ahead  int      `json:"ahead"` // epochs that are kept supplied with round keys
	Life   float64  `json:"life"`  // of a round key, seconds
	Sync   bool     `json:"sync"`
}

// openMember opens a committee member that serves the tasks, as "veilsum committee serve" does.
func openMember(c *call, q memberRequest) (any, error) {
	m := &member{}
	key, err := readKey(q.Key)
	if err == nil {
		err = m.open(c, q, key)
	}
	var h int64
	if err == nil {
		h, err = c.keep(m)
	}
	if err != nil {
		return nil, errors.Join(err, closeDirs(m))
	}
	return map[string]any{"handle": h, "public_key": schema.NewPublicKey(key)}, nil
}

func (m *member) open(c *call, q memberRequest, key ed25519.PrivateKey) (err error) {
	w := watch.Config{Ahead: q.Ahead, Log: slog.New(slog.DiscardHandler)}
	if w.Store, err = get[storage.Store](c.Library, q.Store); err != nil {
		return err
	}
	if w.Owner, err = readPublic(q.Owner); err != nil {
		return err
	}
	for _, s := range q.Tasks {
		id, err := parseTask(s)
		if err != nil {
			return err
		}
		w.Tasks = append(w.Tasks, id)
	}
	if !(q.Life > 0 && q.Life < 1e9) {
		return mistake("life: %g seconds", q.Life)
	}
	w.Life = time.Duration(q.Life * float64(time.Second))
	if q.State == q.Record {
		return mistake("state and record are two directories: one must survive the other's loss")
	}
	for _, name := range []string{q.State, q.Record} {
		d, err := openDir(name, q.Sync)
		if err != nil {
			return err
		}
		m.dirs = append(m.dirs, d)
	}
	if w.Record, err = record.Open(m.dirs[1], schema.NewPublicKey(key)); err != nil {
		return err
	}
	w.Decryptor, err = decryptor.New(decryptor.Config{State: m.dirs[0], Key: key, Owner: w.Owner, Record: w.Record, KeepLedgers: true})
	if err != nil {
		return err
	}
	if m.watcher, err = watch.New(w); err != nil {
		return mistake("%w", err)
	}
	return nil
}

// stepMember looks at every round once and does what can be done: publish keys, check, vote, answer, erase.
func stepMember(c *call, q struct {
	Member int64 `json:"member"`
},
) (any, error) {
	m, err := get[*member](c.Library, q.Member)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, mistake("the member is closed")
	}
	if err := m.watcher.Pass(c); err != nil {
		return nil, err
	}
	s := m.watcher.Stats()
	return map[string]int{
		"passes": s.Passes, "keys": s.Keys, "checks": s.Checks, "votes": s.Votes, "answers": s.Answers, "erased": s.Erased, "open": s.Open,
	}, nil
}

// account judges what was released, by every accountant.
func account(_ *call, request []byte) (any, error) {
	q, err := accountant.ParseQuery(request)
	if err != nil {
		return nil, caller{err}
	}
	return accountant.Judge(q.Event, q.Relation, q.Delta)
}

// flawError is a failed audit with its report.
type flawError struct {
	error
	report *auditor.Report
}

func (f *flawError) Unwrap() error { return f.error }

// audit recomputes every claim of a store.
func audit(c *call, q struct {
	Store       int64  `json:"store"`
	Owner       string `json:"owner"`
	Task        string `json:"task"`
	Pieces      string `json:"pieces"` // "auto", "require", "skip"
	PassUnnamed bool   `json:"pass_unnamed"`
},
) (any, error) {
	s, err := get[storage.Store](c.Library, q.Store)
	if err != nil {
		return nil, err
	}
	owner, err := readPublic(q.Owner)
	if err != nil {
		return nil, err
	}
	depth, ok := map[string]auditor.Depth{"auto": auditor.DepthAuto, "require": auditor.DepthPieces, "skip": auditor.DepthSigned}[q.Pieces]
	if !ok {
		return nil, mistake(`pieces %.20q: want "auto", "require" or "skip"`, q.Pieces)
	}
	opt := auditor.Options{PassUnnamed: q.PassUnnamed, Depth: depth}
	if q.Task != "" {
		id, err := parseTask(q.Task)
		if err != nil {
			return nil, err
		}
		opt.Task = &id
	}
	rep, err := auditor.Audit(c, s, owner, opt)
	if err != nil && rep != nil {
		return nil, &flawError{err, rep}
	}
	return rep, err
}
