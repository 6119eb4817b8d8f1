package watch_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/collector"
	"github.com/veilsum/veilsum/pipeline/decryptor"
	"github.com/veilsum/veilsum/pipeline/decryptor/record"
	"github.com/veilsum/veilsum/pipeline/decryptor/watch"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/pipeline/state"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

var ctx = context.Background()

// member is one decryptor that is served, as a process that starts and may be killed.
type member struct {
	*watch.Watcher
	log   strings.Builder
	close func()
}

// start opens decryptor k of the fleet; change may alter its configuration.
func start(f *pipelinetest.Fleet, k int, change func(*watch.Config)) *member {
	f.T.Helper()
	m := &member{}
	key := f.Members[k]
	opened := []*state.Dir{}
	dir := func(name string) *state.Dir {
		d, err := state.Open(filepath.Join(f.Dir, name), append([]state.Option{state.WithoutSync()}, f.Options...)...)
		if err != nil {
			f.T.Fatal(err)
		}
		opened = append(opened, d)
		return d
	}
	m.close = func() {
		for _, d := range opened {
			d.Close()
		}
	}
	states := dir("decryptor-" + string(rune('0'+k)))
	rec, err := record.Open(dir("record-"+string(rune('0'+k))), schema.NewPublicKey(key))
	if err != nil {
		f.T.Fatal(err)
	}
	d, err := decryptor.New(decryptor.Config{State: states, Key: key, Owner: schema.NewPublicKey(f.Owner), Record: rec, Now: f.Now, KeepLedgers: true})
	if err != nil {
		f.T.Fatal(err)
	}
	c := watch.Config{
		Decryptor: d, Record: rec, Store: f.Store, Owner: schema.NewPublicKey(f.Owner), Tasks: []schema.TaskID{f.TaskID}, Ahead: 2, Life: time.Hour,
		Now: f.Now, Log: slog.New(slog.NewTextHandler(&m.log, nil)),
	}
	if change != nil {
		change(&c)
	}
	if m.Watcher, err = watch.New(c); err != nil {
		f.T.Fatal(err)
	}
	return m
}

// committee starts all decryptors until the test ends.
func committee(t *testing.T, f *pipelinetest.Fleet, change func(*watch.Config)) []*member {
	t.Helper()
	var all []*member
	for k := range f.Members {
		m := start(f, k, change)
		t.Cleanup(m.close)
		all = append(all, m)
	}
	return all
}

func pass(t testing.TB, all ...*member) {
	t.Helper()
	for k, m := range all {
		if err := m.Pass(ctx); err != nil {
			t.Fatalf("decryptor %d: %v", k, err)
		}
	}
}

// open opens a round whose keys are there, with all vehicles' reports.
func open(f *pipelinetest.Fleet, epoch uint64) *pipeline.Round {
	f.T.Helper()
	r, err := f.Collector.Open(ctx, f.Store, f.Plan, collector.Opening{Name: f.Name(epoch), Model: []byte("model"), Snapshot: f.Snapshot, Deadline: f.Now()})
	if err != nil {
		f.T.Fatal(err)
	}
	for i := range f.Vehicles {
		f.Report(r, i)
	}
	return r
}

// propose closes a round, lets step do what the committee does, and proposes.
func closeRound(f *pipelinetest.Fleet, r *pipeline.Round) schema.Digest {
	f.T.Helper()
	list, _, err := f.Collector.Close(ctx, f.Store, r)
	if err != nil {
		f.T.Fatal(err)
	}
	return list
}

func propose(f *pipelinetest.Fleet, r *pipeline.Round, list schema.Digest) {
	f.T.Helper()
	if _, err := f.Collector.Propose(ctx, f.Store, r, list); err != nil {
		f.T.Fatal(err)
	}
}

func committed(f *pipelinetest.Fleet, r *pipeline.Round) {
	f.T.Helper()
	got, err := f.Collector.Collect(ctx, f.Store, r, nil)
	if err != nil || got.Receipt.Status != schema.StatusCommitted {
		f.T.Fatal(got, err)
	}
}

// TestServe plays two rounds with nothing but passes of the committee between the Collector's steps.
func TestServe(t *testing.T) {
	f := pipelinetest.New(t, 5, pipelinetest.Task(100))
	all := committee(t, f, nil)
	steps := map[watch.Action]int{}
	all[0].Observe = func(s watch.Step) {
		if s.Err == nil && s.Round.Task == f.TaskID && s.Duration >= 0 && !s.Start.IsZero() {
			steps[s.Action]++
		}
	}
	pass(t, all...)
	for epoch := uint64(1); epoch <= 2; epoch++ {
		r := open(f, epoch)
		pass(t, all...)
		if got := all[0].Stats(); got.Open != 1 || got.Oldest.IsZero() {
			t.Errorf("%+v", got)
		}
		list := closeRound(f, r)
		pass(t, all...)
		propose(f, r, list)
		pass(t, all...) // votes, and the last ones answer
		pass(t, all...)
		committed(f, r)
		pass(t, all...)
	}
	got := all[0].Stats()
	got.Passes = 0
	if want := (watch.Stats{Keys: 4, Checks: 2, Votes: 2, Answers: 2}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if want := map[watch.Action]int{watch.Accept: 2, watch.Check: 2, watch.Vote: 2, watch.Answer: 2}; !maps.Equal(steps, want) {
		t.Errorf("observed %v, want %v", steps, want)
	}
	if log := all[0].log.String(); strings.Contains(log, "trouble") || strings.Count(log, "msg=voted") != 2 {
		t.Error(log)
	}
}

// TestKilledAtEachWrite cuts the power of decryptor 0 at each of its durable writes, before and after
// it takes effect, and starts it again: it goes on, the round is committed, and it signed one vote and one answer.
func TestKilledAtEachWrite(t *testing.T) {
	for _, after := range []bool{false, true} {
		for left := 0; ; left++ {
			if testing.Short() && left%5 != 0 {
				continue
			}
			if !killedAt(t, left, after) {
				if left < 12 {
					t.Errorf("a round has %d durable writes only", left)
				}
				break
			}
		}
	}
}

func killedAt(t *testing.T, left int, after bool) (cut bool) {
	f := pipelinetest.New(t, 4, pipelinetest.Task(40))
	real, power := f.Store, &pipelinetest.Power{Left: left, After: after}
	var zero *member
	again := func() {
		if zero != nil {
			zero.close()
		}
		f.Options = []state.Option{state.WithHook(power.Hook)}
		zero = start(f, 0, func(c *watch.Config) { c.Ahead, c.Store = 1, pipelinetest.Powered{Store: real, Power: power} })
		f.Options = nil
	}
	defer func() { zero.close() }()
	round := func() {
		for range 3 {
			if zero == nil {
				startAgain(power, again)
			}
			if err := zero.Pass(ctx); err == nil {
				return
			} else if !power.Dead() {
				t.Fatalf("%d writes, after %t: %v\n%s", left, after, err, zero.log.String())
			}
			cut = true
			power.Restore()
			again()
		}
		t.Fatal("it does not go on")
	}
	var others []*member
	for k := 1; k < 4; k++ {
		m := start(f, k, func(c *watch.Config) { c.Ahead = 1 })
		defer m.close()
		others = append(others, m)
	}
	everybody := func() { round(); pass(t, others...); round() }
	everybody()
	r := open(f, 1)
	list := closeRound(f, r)
	everybody()
	propose(f, r, list)
	round()
	pass(t, others[:2]...) // decryptor 3 is silent: decryptor 0 must answer
	round()
	pass(t, others[:2]...)
	committed(f, r)
	if n := zero.Stats(); n.Troubled != 0 {
		t.Errorf("%d writes, after %t: trouble\n%s", left, after, zero.log.String())
	}
	raw, err := os.ReadFile(filepath.Join(f.Dir, "record-0", record.File))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(raw), `"kind":"vote"`) + strings.Count(string(raw), `"kind":"answer"`); n != 2 {
		t.Errorf("%d votes and answers in the record", n)
	}
	return cut
}

// startAgain opens the directories, which writes, too.
func startAgain(power *pipelinetest.Power, again func()) {
	left, after := power.Left, power.After
	power.Restore()
	again()
	power.Left, power.After = left, after
}

// TestRestoredIsFatal: a watcher whose decryptor forgot its vote ends, and signs nothing.
func TestRestoredIsFatal(t *testing.T) {
	f := pipelinetest.New(t, 4, pipelinetest.Task(40))
	all := committee(t, f, nil)
	pass(t, all...)
	r := open(f, 1)
	list := closeRound(f, r)
	pass(t, all...)
	all[0].close()
	old := filepath.Join(t.TempDir(), "old")
	for _, name := range []string{"decryptor-0", "record-0"} {
		if err := os.CopyFS(filepath.Join(old, name), os.DirFS(filepath.Join(f.Dir, name))); err != nil {
			t.Fatal(err)
		}
	}
	propose(f, r, list)
	first := start(f, 0, nil)
	pass(t, first)
	first.close()
	for _, name := range []string{"decryptor-0", "record-0"} {
		if err := errors.Join(os.RemoveAll(filepath.Join(f.Dir, name)), os.CopyFS(filepath.Join(f.Dir, name), os.DirFS(filepath.Join(old, name)))); err != nil {
			t.Fatal(err)
		}
	}
	second := start(f, 0, nil)
	defer second.close()
	f.Unchanged(decryptor.ErrRestored, func() error { return second.Run(ctx, time.Hour, nil) })
	if !strings.Contains(second.log.String(), "level=ERROR msg=trouble") {
		t.Error(second.log.String())
	}
}

// TestSetBackWhileItRuns: a machine that is set back to a snapshot of it, memory and disks, signs no vote where the
// store shows one of before.
func TestSetBackWhileItRuns(t *testing.T) {
	f := pipelinetest.New(t, 4, pipelinetest.Task(40))
	all := committee(t, f, nil)
	pass(t, all...)
	r := open(f, 1)
	list := closeRound(f, r)
	pass(t, all...)
	pass(t, all...) // the keys of the next epoch
	before := *f
	before.Dir = t.TempDir()
	for _, dir := range []string{"decryptor-0", "record-0"} {
		if err := os.CopyFS(filepath.Join(before.Dir, dir), os.DirFS(filepath.Join(f.Dir, dir))); err != nil {
			t.Fatal(err)
		}
	}
	snapshot := start(&before, 0, nil)
	defer snapshot.close()
	pass(t, snapshot) // it has compared its record, once
	propose(f, r, list)
	pass(t, all...)
	if err := snapshot.Pass(ctx); !errors.Is(err, decryptor.ErrRestored) || !watch.Fatal(err) || snapshot.Stats().Votes != 0 {
		t.Errorf("%v: %+v", err, snapshot.Stats())
	}
	pass(t, all...)
	committed(f, r)
}

// TestTroubleStaysAlone: one round's damaged object neither stops the other rounds nor fills the log, and is tried
// again when it is cured.
func TestTroubleStaysAlone(t *testing.T) {
	f := pipelinetest.New(t, 4, pipelinetest.Task(40))
	all := committee(t, f, nil)
	pass(t, all...)
	good := f.Get(pipeline.RoundKeyKey(f.Name(1), 0))
	f.Put(pipeline.DescriptorKey(f.Name(1)), good) // not a descriptor
	r := open(f, 2)
	list := closeRound(f, r)
	run := func() {
		for _, m := range all {
			m.Pass(ctx)
		}
	}
	run()
	propose(f, r, list)
	for range 4 {
		run()
	}
	committed(f, r)
	if n := strings.Count(all[0].log.String(), "msg=trouble"); n != 1 {
		t.Errorf("%d lines of trouble\n%s", n, all[0].log.String())
	}
	if err := f.Store.Delete(ctx, pipeline.DescriptorKey(f.Name(1))); err != nil {
		t.Fatal(err)
	}
	for range 40 {
		run()
	}
	if !strings.Contains(all[0].log.String(), `msg="goes on"`) {
		t.Error(all[0].log.String())
	}
}

// TestVoidedScope: a scope that voids a vote of this decryptor is told once; other work goes on.
func TestVoidedScope(t *testing.T) {
	f := pipelinetest.New(t, 4, pipelinetest.Task(40))
	all := committee(t, f, func(c *watch.Config) { c.Ahead = 3 })
	pass(t, all...)
	r := open(f, 1)
	list := closeRound(f, r)
	pass(t, all...)
	propose(f, r, list)
	pass(t, all[0])
	vote := f.Get(pipeline.VoteKey(r.Name, 0))
	f.Replace(pipeline.VoteKey(r.Name, 0), func([]byte) []byte { return nil })
	if _, err := f.Collector.Abort(ctx, f.Store, r, "nobody voted"); err != nil {
		t.Fatal(err)
	}
	f.Put(pipeline.VoteKey(r.Name, 0), vote)
	for epoch := uint64(2); epoch <= 3; epoch++ {
		r := open(f, epoch)
		list := closeRound(f, r)
		for _, m := range all {
			m.Pass(ctx)
		}
		propose(f, r, list)
		for range 20 {
			for _, m := range all {
				m.Pass(ctx)
			}
		}
		committed(f, r) // the three others
	}
	log := all[0].log.String()
	if n := strings.Count(log, "level=ERROR"); n != 2 || !strings.Contains(log, "no more votes in this scope") {
		t.Errorf("%d errors\n%s", n, log)
	}
	if got := all[0].Stats(); got.Votes != 1 || got.Checks != 3 {
		t.Errorf("%+v", got)
	}
}

// TestPolicy: the operator's wishes only refuse.
func TestPolicy(t *testing.T) {
	f := pipelinetest.New(t, 4, pipelinetest.Task(40))
	g, err := pipeline.EventGuarantee(f.Plan.Event(), f.Task.Scope)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range map[string]watch.Policy{
		"batch":   {MinBatchSize: 5},
		"epsilon": {MaxEpsilonPerRound: g.Epsilon * 0.99},
		"tasks":   {Tasks: []schema.TaskID{{}}},
	} {
		m := start(f, 0, func(c *watch.Config) { c.Policy = p })
		f.Unchanged(watch.ErrPolicy, func() error { return m.Pass(ctx) })
		m.close()
	}
	allowed := watch.Policy{MinBatchSize: 4, MaxEpsilonPerRound: g.Epsilon * 1.01, Tasks: []schema.TaskID{f.TaskID}}
	if err := allowed.Allow(f.TaskID, f.Plan); err != nil {
		t.Error(err)
	}
	stop := true
	m := start(f, 0, func(c *watch.Config) { c.Policy.Paused = func() bool { return stop } })
	defer m.close()
	f.Unchanged(nil, func() error { return m.Pass(ctx) })
	stop = false
	pass(t, m)
	if m.Stats().Keys != 2 || !strings.Contains(m.log.String(), "msg=resumed") {
		t.Errorf("%+v\n%s", m.Stats(), m.log.String())
	}
}

// TestRoundsPerDay: the quota holds the second vote of a day back, and lets it go the next.
func TestRoundsPerDay(t *testing.T) {
	f := pipelinetest.New(t, 4, pipelinetest.Task(40))
	all := committee(t, f, func(c *watch.Config) { c.Policy.MaxRoundsPerDay = 1; c.Life = 100 * time.Hour })
	pass(t, all...)
	var rounds []*pipeline.Round
	for epoch := uint64(1); epoch <= 2; epoch++ {
		r := open(f, epoch)
		list := closeRound(f, r)
		pass(t, all...)
		propose(f, r, list)
		rounds = append(rounds, r)
		for range 2 {
			for _, m := range all {
				if err := m.Pass(ctx); err != nil && (epoch == 1 || !errors.Is(err, watch.ErrPolicy)) {
					t.Fatal(err)
				}
			}
		}
	}
	committed(f, rounds[0])
	if _, err := f.Collector.Collect(ctx, f.Store, rounds[1], nil); !errors.Is(err, pipeline.ErrDecryptors) {
		t.Fatal(err)
	}
	*f.Clock = f.Now().Add(25 * time.Hour)
	for range 40 {
		for _, m := range all {
			m.Pass(ctx)
		}
	}
	committed(f, rounds[1])
}

// down is a store that cannot be reached.
type down struct{ storage.Store }

func (down) Get(context.Context, string) (io.ReadCloser, storage.Info, error) {
	return nil, storage.Info{}, os.ErrDeadlineExceeded
}

// TestEraseWithoutStore: keys go at their expiry though the store is down, and though it is paused; then others
// are made behind them.
func TestEraseWithoutStore(t *testing.T) {
	for name, change := range map[string]func(*watch.Config){
		"down":   func(c *watch.Config) { c.Store = down{c.Store} },
		"paused": func(c *watch.Config) { c.Policy.Paused = func() bool { return true } },
	} {
		f := pipelinetest.New(t, 4, pipelinetest.Task(40))
		m := start(f, 0, nil)
		pass(t, m)
		m.close()
		*f.Clock = f.Now().Add(2 * time.Hour)
		m = start(f, 0, change)
		m.Pass(ctx)
		if n := m.Stats().Erased; n != 2 {
			t.Errorf("%s: %d keys erased", name, n)
		}
		m.close()
		m = start(f, 0, nil)
		pass(t, m)
		if m.Stats().Keys != 2 {
			t.Errorf("%s: %+v", name, m.Stats())
		}
		f.Get(pipeline.RoundKeyKey(f.Name(4), 0))
		m.close()
	}
}

// TestConfig: what a watcher cannot work without is required.
func TestConfig(t *testing.T) {
	if _, err := watch.New(watch.Config{}); err == nil {
		t.Error("an empty configuration is accepted")
	}
}
