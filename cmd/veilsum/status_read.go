package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/veilsum/veilsum/cmd/internal/version"
	"github.com/veilsum/veilsum/cmd/veilsum/internal/report"
	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// Bounds of what one reading of a store looks at, so that neither a long history nor what somebody planted
// makes it long.
const (
	statusTasks   = 64
	statusRounds  = 40 // of one task that are shown
	statusFolders = 2_000
	statusTries   = 200     // names of rounds without a descriptor
	statusObjects = 200_000 // below the reports of one round
	statusEvents  = 100
	statusTrouble = 20   // errors that are shown
	statusLists   = 8    // candidate lists of one round
	statusAhead   = 1000 // round keys of one member
	statusFull    = 64   // readings between two that look for rounds from the beginning
	statusLag     = 16   // epochs behind the newest in which new lanes are looked for each time
)

// statusReader reads what anybody who may read the store can see, again and again. What has ended it reads
// once. It is not safe for concurrent use.
type statusReader struct {
	store   storage.Store
	name    string // of the store, for people
	owner   schema.PublicKey
	only    []schema.TaskID // nil: all of the owner
	budgets *budgetReader
	tasks   map[schema.TaskID]*statusTask
	reads   int
}

// statusTask is what is known of a task.
type statusTask struct {
	names  map[pipeline.RoundName]bool
	cursor string // where the list of rounds goes on
	newest uint64 // epoch of a verified round
	ended  map[pipeline.RoundName]*statusRound
}

// statusRound is a round and who did what in it.
type statusRound struct {
	report.StatusRound
	checked, voted, answered map[int]bool
}

func newStatusReader(s storage.Store, name string, owner schema.PublicKey, only []schema.TaskID) *statusReader {
	return &statusReader{store: s, name: name, owner: owner, only: only, budgets: newBudgetReader(s, owner), tasks: map[schema.TaskID]*statusTask{}}
}

// read looks at the store. Trouble with one object leaves the others be, and is named.
func (s *statusReader) read(ctx context.Context) report.Status {
	d := report.Status{
		Title: "Veilsum status", Store: s.name, Owner: s.owner.String(),
		Created: "as of " + time.Now().UTC().Format("2006-01-02 15:04:05 MST") + ", veilsum " + version.New("veilsum").Version,
	}
	if f, err := pipeline.ReadFormat(ctx, s.store); err == nil {
		d.Store += ", " + f.Format
	} else if !errors.Is(err, storage.ErrNotExist) {
		d.Trouble = append(d.Trouble, err.Error())
		return d
	}
	ids, err := s.listTasks(ctx)
	if err != nil {
		d.Trouble = append(d.Trouble, err.Error())
	}
	seen := map[schema.ScopeID]bool{}
	for _, id := range ids {
		p, err := s.budgets.plan(ctx, id)
		if s.only == nil && errors.Is(err, pipeline.ErrUntrusted) {
			continue // another owner's
		}
		if err != nil {
			d.Trouble = append(d.Trouble, err.Error())
			continue
		}
		b, err := s.budgets.task(ctx, id)
		switch scope := p.Task.Scope.ID(); {
		case err != nil:
			d.Trouble = append(d.Trouble, err.Error())
		case !seen[scope]:
			seen[scope] = true
			d.Scopes = append(d.Scopes, s.scope(b))
		}
		t, trouble := s.task(ctx, id, p, b)
		d.Tasks, d.Trouble = append(d.Tasks, t), append(d.Trouble, trouble...)
	}
	slices.SortStableFunc(d.Tasks, func(a, b report.StatusTask) int { return cmp.Compare(a.Name, b.Name) })
	if more := len(d.Trouble) - statusTrouble; more > 0 {
		d.Trouble = append(d.Trouble[:statusTrouble], fmt.Sprintf("and %d more", more))
	}
	s.reads++
	return d
}

// listTasks returns the tasks to show.
func (s *statusReader) listTasks(ctx context.Context) ([]schema.TaskID, error) {
	if s.only != nil {
		return s.only, nil
	}
	var ids []schema.TaskID
	const prefix = "tasks/"
	for after := ""; len(ids) < statusTasks; {
		o, next, err := firstObject(ctx, s.store, prefix, after)
		if err != nil || next == "" {
			return ids, err
		}
		if o.Kind != pipeline.KindUnknown {
			ids = append(ids, o.Round.Task)
		}
		folder, _, _ := strings.Cut(next[len(prefix):], "/")
		after = prefix + folder + "/~" // '~' sorts behind every letter that a name may have
	}
	return ids, nil
}

// firstObject returns the first object behind a name, with its name; "" at the end.
func firstObject(ctx context.Context, s storage.Store, prefix, after string) (pipeline.Object, string, error) {
	for info, err := range s.List(ctx, prefix, after) {
		if err != nil {
			return pipeline.Object{}, "", err
		}
		o, _ := pipeline.ParseObject(info.Key)
		return o, info.Key, nil
	}
	return pipeline.Object{}, "", nil
}

func (s *statusReader) scope(b *scopeBudget) report.StatusScope {
	scope := b.plan.Task.Scope
	d := report.StatusScope{
		Name: scope.Name, ID: scope.ID().String(), Allowed: float64(scope.Epsilon), Delta: float64(scope.Delta),
		Relation: scope.Relation, Unit: scope.Unit, Spent: b.report.Guarantee.Epsilon, Epochs: b.report.Epochs,
	}
	all := b.ledger.Reservations()
	d.Hidden = max(0, len(all)-statusEvents)
	all = all[d.Hidden:]
	for i := range all {
		x := all[len(all)-1-i]
		e := report.StatusEvent{Entry: x.Index, Task: schema.TaskID{Digest: schema.Digest(x.Task)}.Short(), Round: fmt.Sprintf("%d-%d", x.Epoch, x.Lane), Reports: x.Reports, State: "reserved"}
		switch {
		case x.Settled > 0:
			e.State = "settled: " + x.Status
		case x.Voided > 0:
			e.State = "voided"
		}
		d.Events = append(d.Events, e)
	}
	return d
}

// task reads a task's newest rounds. b is nil if its ledger cannot be read.
func (s *statusReader) task(ctx context.Context, id schema.TaskID, p *pipeline.Plan, b *scopeBudget) (report.StatusTask, []string) {
	c := p.Task.Committee
	d := report.StatusTask{
		Name: p.Task.Name, ID: id.String(), Lanes: p.Task.Batch.Lanes, MinBatch: p.Task.Batch.Min, Max: p.Task.Batch.Max,
		Left: -1, Threshold: c.Threshold,
	}
	if b != nil {
		if n, err := p.Privacy.Rounds(b.report.Events, float64(p.Task.Scope.Epsilon), float64(p.Task.Scope.Delta)); err == nil {
			d.Left = n
		}
	}
	var trouble []string
	t := s.tasks[id]
	if t == nil {
		t = &statusTask{names: map[pipeline.RoundName]bool{}, ended: map[pipeline.RoundName]*statusRound{}}
		s.tasks[id] = t
	}
	if err := s.listRounds(ctx, id, t); err != nil {
		trouble = append(trouble, err.Error())
	}
	for k, key := range c.Keys {
		d.Members = append(d.Members, report.StatusMember{Index: k, Key: key.String()})
	}
	rounds, hidden, more := s.rounds(ctx, p, t)
	for _, r := range rounds {
		d.Rounds = append(d.Rounds, r.StatusRound)
		for k := range d.Members {
			m := &d.Members[k]
			last(&m.Check, r.Name, r.checked[k])
			last(&m.Vote, r.Name, r.voted[k])
			last(&m.Answer, r.Name, r.answered[k])
		}
	}
	d.Hidden = hidden
	for k := range d.Members {
		n, err := s.ahead(ctx, id, k, t.newest)
		if d.Members[k].Ahead = n; err != nil {
			trouble = append(trouble, err.Error())
		}
	}
	return d, append(trouble, more...)
}

// last keeps the first name, since the newest round comes first.
func last(to *string, round string, did bool) {
	if *to == "" && did {
		*to = round
	}
}

// listRounds finds the folders of rounds, by steps from one to the next.
func (s *statusReader) listRounds(ctx context.Context, id schema.TaskID, t *statusTask) error {
	prefix := pipeline.RoundsPrefix(id)
	for range statusFolders {
		_, key, err := firstObject(ctx, s.store, prefix, t.cursor)
		if err != nil {
			return err
		}
		if key == "" { // the next reading looks for late lanes, now and then for everything
			t.cursor = ""
			if t.newest > statusLag && s.reads%statusFull != 0 {
				t.cursor = fmt.Sprintf("%s%012d", prefix, t.newest-statusLag)
			}
			return nil
		}
		folder, _, _ := strings.Cut(key[len(prefix):], "/")
		if n, ok := pipeline.ParseRoundName(id, folder); ok {
			t.names[n] = true
		}
		t.cursor = prefix + folder + "/~"
	}
	return nil
}

// rounds reads the newest rounds that have a descriptor, and says how many it did not look at, and what does not verify.
func (s *statusReader) rounds(ctx context.Context, p *pipeline.Plan, t *statusTask) (all []*statusRound, hidden int, trouble []string) {
	names := make([]pipeline.RoundName, 0, len(t.names))
	for n := range t.names {
		names = append(names, n)
	}
	slices.SortFunc(names, func(a, b pipeline.RoundName) int {
		return cmp.Or(cmp.Compare(b.Epoch, a.Epoch), cmp.Compare(a.Lane, b.Lane))
	})
	tries := 0
	for i, n := range names {
		if len(all) >= statusRounds || tries >= statusTries || ctx.Err() != nil {
			hidden = len(names) - i
			break
		}
		if r := t.ended[n]; r != nil {
			all = append(all, r)
			continue
		}
		r, err := s.round(ctx, p, n)
		if err != nil && !errors.Is(err, pipeline.ErrNotReady) {
			trouble = append(trouble, err.Error())
		}
		if r == nil { // a folder without a good descriptor hides no round
			tries++
			continue
		}
		t.newest = max(t.newest, n.Epoch)
		if r.State == schema.StatusCommitted || r.State == schema.StatusVoid {
			t.ended[n] = r
		}
		all = append(all, r)
	}
	return all, hidden, trouble
}

func shortRound(n pipeline.RoundName) string { return fmt.Sprintf("%d-%d", n.Epoch, n.Lane) }

// ahead counts the round keys that a member has published for epochs behind one.
func (s *statusReader) ahead(ctx context.Context, id schema.TaskID, k int, epoch uint64) (n int, err error) {
	prefix := pipeline.RoundKeysPrefix(id, k)
	for _, err := range s.store.List(ctx, prefix, fmt.Sprintf("%s%012d-~", prefix, epoch)) {
		if err != nil || n == statusAhead {
			return n, err
		}
		n++
	}
	return n, nil
}
