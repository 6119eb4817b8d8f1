package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/veilsum/veilsum/cmd/internal/ui"
	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/decryptor"
	"github.com/veilsum/veilsum/pipeline/decryptor/watch"
	"github.com/veilsum/veilsum/schema"
)

type watchFlags struct {
	taskFlags
	stateFlags
	tasks  []string
	key    string
	index  int
	poll   time.Duration
	expire time.Duration
	policy string
	inner  string // address of the metrics
	public bool
	otlp   string
	ahead  int
	once   bool
}

func (a *app) committeeServeCommand() *cobra.Command {
	f := &watchFlags{}
	c := verb("serve", "Do a decryptor's work in every round, again and again", `Looks at the store every --poll and does, for all rounds of the given tasks, what "committee init
--epochs", "check", "vote" and "answer" do, as the rounds go on; round keys are made for the next --ahead
epochs, and erased when they expire or have answered. Nothing is signed that these commands would
not sign. Trouble in one round does not stop the others; it is told once and tried again.

Before it signs anything it compares --record with --state and with what the store shows of this
decryptor's signatures, and ends with status 1 if one of them was restored from a backup. Keep the
record on another disk than the state, and neither in a backup. "committee status" shows what it signed.

--policy names a YAML file that may only refuse: min_batch_size, max_epsilon_per_round, tasks (a list),
max_rounds_per_day, pause_file (nothing is signed while it exists). --once makes one pass, for cron.
After "task renew" give --task twice, with the old TaskID and the new one.
--metrics gives Prometheus' /metrics and /healthz in the clear, on this machine only unless --metrics-public;
OPERATING.md names them. SIGUSR1 prints what was done so far; SIGINT and SIGTERM end it with status 0, at any moment.`,
		`  veilsum committee serve --state d0 --record /mnt/other/d0 --store file:./store --task $TASK --owner owner.pub --ahead 20
  veilsum committee serve --state d0 --key d0.pem --passphrase-file pass.txt --policy policy.yaml --once`,
		cobra.NoArgs, func(ctx context.Context, _ []string) error { return a.committeeServe(ctx, f) })
	f.registerStore(c)
	f.stateFlags.register(c)
	c.Flags().StringArrayVar(&f.tasks, "task", strings.Fields(os.Getenv("VEILSUM_TASK")), "TaskID, 64 hexadecimal digits; may be repeated (VEILSUM_TASK)")
	c.Flags().StringVar(&f.owner, "owner", os.Getenv("VEILSUM_OWNER"), "pinned public key of the privacy owner, hexadecimal or a file (VEILSUM_OWNER)")
	c.Flags().StringVar(&f.key, "key", "", "the decryptor's key file; default the one in --state")
	c.Flags().IntVar(&f.index, "index", -1, "this decryptor's place in the committee, to be sure; default where its key is")
	c.Flags().DurationVar(&f.poll, "poll", 30*time.Second, "time between two looks, give or take a quarter")
	c.Flags().DurationVar(&f.expire, "expires", 30*24*time.Hour, "life of new round keys; then they are erased")
	c.Flags().StringVar(&f.policy, "policy", "", "YAML file with what this decryptor refuses")
	c.Flags().IntVar(&f.ahead, "ahead", 10, "epochs to keep supplied with round keys; 0 makes none")
	c.Flags().BoolVar(&f.once, "once", false, "look once, then end")
	c.Flags().StringVar(&f.inner, "metrics", "", "PORT or HOST:PORT for /metrics in the clear, 9101 for example; empty: none")
	c.Flags().BoolVar(&f.public, "metrics-public", false, "let --metrics listen on an address that other machines reach")
	c.Flags().StringVar(&f.otlp, "otlp", "", otlpHelp)
	c.MarkFlagsMutuallyExclusive("metrics", "once")
	return c
}

func (a *app) committeeServe(ctx context.Context, f *watchFlags) error {
	c, err := a.watchConfig(f)
	if err != nil {
		return err
	}
	key, err := a.memberKey(&f.stateFlags, f.key)
	if err != nil {
		return err
	}
	m, err := f.openMemories(schema.NewPublicKey(key))
	if err != nil {
		return err
	}
	defer m.close()
	c.Record = m.record
	c.Decryptor, err = decryptor.New(decryptor.Config{State: m.state, Key: key, Owner: c.Owner, Record: m.record, KeepLedgers: true})
	if err != nil {
		return err
	}
	metrics := newCommitteeMetrics(c)
	t, err := newTracer(ctx, f.otlp, "decryptor", c.Log)
	if err != nil {
		return err
	}
	defer t.close()
	c.Observe = func(s watch.Step) { metrics.observe(s); t.step(s) }
	w, err := watch.New(c)
	if err != nil {
		return usage("%w", err)
	}
	if err := f.checkIndex(ctx, c); err != nil {
		return err
	}
	if f.once {
		err := w.Pass(ctx)
		a.served(w)
		return err
	}
	stop, err := a.committeeListen(f, metrics)
	if err != nil {
		return err
	}
	defer stop()
	a.out.Info("serving decryptor %s, every %s", schema.NewPublicKey(key), f.poll)
	return w.Run(ctx, f.poll, func() {
		a.served(w)
		if f.inner != "" {
			metrics.pass(ctx, w.Stats())
		}
	})
}

// committeeListen serves the metrics, if they are wanted. A listener that fails later stops no decryptor.
func (a *app) committeeListen(f *watchFlags, m *committeeMetrics) (stop func(), err error) {
	if f.inner == "" {
		return func() {}, nil
	}
	l, err := loopbackListen("--metrics", f.inner, f.public, "--metrics-public")
	if err != nil {
		return nil, err
	}
	s := innerServer(l, metricsMux(m.registry), make(chan error, 1))
	a.out.Info("metrics on http://%s/metrics", s.Addr)
	return func() { s.Close() }, nil
}

// served keeps the line that SIGUSR1 asks for.
func (a *app) served(w *watch.Watcher) {
	s := w.Stats()
	a.out.Progress(fmt.Sprintf("%d passes, %d rounds go on, %d in trouble; %d keys, %d checks, %d votes, %d keys erased, answers",
		s.Passes, s.Open, s.Troubled, s.Keys, s.Checks, s.Votes, s.Erased), int64(s.Answers), 0)
}

// watchConfig reads the flags that need no key.
func (a *app) watchConfig(f *watchFlags) (watch.Config, error) {
	c := watch.Config{Ahead: f.ahead, Life: f.expire, Log: slog.New(ui.NewHandler(a.out))}
	if f.poll <= 0 {
		return c, usage("--poll %s: want a time above 0", f.poll)
	}
	if len(f.tasks) == 0 {
		f.tasks = []string{""} // asked for below
	}
	for _, f.task = range f.tasks {
		id, owner, err := f.ids()
		if err != nil {
			return c, err
		}
		c.Tasks, c.Owner = append(c.Tasks, id), owner
	}
	var err error
	if c.Policy, err = readPolicy(f.policy); err != nil {
		return c, err
	}
	c.Store, err = openStore(f.store)
	return c, err
}

// checkIndex compares --index with the tasks that can be read now.
func (f *watchFlags) checkIndex(ctx context.Context, c watch.Config) error {
	if f.index < 0 {
		return nil
	}
	for _, id := range c.Tasks {
		p, err := pipeline.LoadTask(ctx, c.Store, id, c.Owner)
		if err != nil {
			return err
		}
		if k, err := c.Decryptor.Index(p); err != nil || k != f.index {
			return errors.Join(err, usage("--index %d: the key is decryptor %d of task %s", f.index, k, id.Short()))
		}
	}
	return nil
}

// policyFile is the form of a policy in YAML.
type policyFile struct {
	MinBatchSize       int      `yaml:"min_batch_size"`
	MaxEpsilonPerRound float64  `yaml:"max_epsilon_per_round"`
	Tasks              []string `yaml:"tasks"`
	MaxRoundsPerDay    int      `yaml:"max_rounds_per_day"`
	PauseFile          string   `yaml:"pause_file"`
}

func readPolicy(path string) (watch.Policy, error) {
	var p watch.Policy
	if path == "" {
		return p, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return p, err
	}
	defer f.Close()
	var y policyFile
	d := yaml.NewDecoder(io.LimitReader(f, 1<<20))
	d.KnownFields(true)
	err = d.Decode(&y)
	if errors.Is(err, io.EOF) { // of a file that was cut short, say: it must not read as a policy that allows all
		err = errors.New("there is no policy in it")
	} else if err == nil && d.Decode(new(policyFile)) != io.EOF {
		err = errors.New("something follows the policy")
	}
	if err != nil {
		return p, usage("%s: %w", path, err)
	}
	if y.MinBatchSize < 0 || y.MaxEpsilonPerRound < 0 || y.MaxRoundsPerDay < 0 {
		return p, usage("%s: want no number below 0", path)
	}
	p = watch.Policy{MinBatchSize: y.MinBatchSize, MaxEpsilonPerRound: y.MaxEpsilonPerRound, MaxRoundsPerDay: y.MaxRoundsPerDay}
	for _, t := range y.Tasks {
		id, err := schema.ParseDigest(t)
		if err != nil {
			return p, usage("%s: tasks: %w", path, err)
		}
		p.Tasks = append(p.Tasks, schema.TaskID{Digest: id})
	}
	if y.PauseFile != "" {
		p.Paused = func() bool { _, err := os.Stat(y.PauseFile); return !errors.Is(err, os.ErrNotExist) }
	}
	return p, nil
}
