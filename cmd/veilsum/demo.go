package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/fleetsim"
	"github.com/veilsum/veilsum/pipeline/releaser"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
	"github.com/veilsum/veilsum/storage/dir"
)

// demoFlags are the flags of "veilsum demo"; zero means the default of the data set.
type demoFlags struct {
	data     string
	out      string
	store    string
	rounds   int
	vehicles int
	epsilon  float64
	clipping float64
	adaptive bool
	compress string
	seed     uint64
	canaries int
	force    bool
}

const demoHelp = `Trains a classifier over a fleet of simulated vehicles that never show anybody
their data, and the same classifier without privacy beside it. All roles run in
this process, but each has keys and a state directory of its own below
OUT/state, and they meet only in the store: a privacy owner signs the task, an
authority enrolls the vehicles, a collector opens rounds, each vehicle trains,
clips and seals one report, four decryptors (any three open, one may lie) check,
vote and answer, two regional aggregators add and a root merges. A fifth of the
vehicles vanishes in each round, some in the middle of their upload; in every
second round one decryptor is silent.

The data is real and built into the program: "inertial" (wrist movements, about
400 vehicles), "digits" (MNIST, 500 vehicles, about twice the time) or "network" (MNIST
by a network of 101,770 values, 2,000 vehicles: 10 GB of reports, or 2 GB with --compress srht:5). --seed
chooses who vanishes when; keys and noise always come from the system.

--canaries 124 adds vehicles that learn nothing: by a coin each, their update is as long as
the clipping norm in every round, or zero. They do not change what the fleet learns. At the end
they are looked for in the opened means, and what that proves of epsilon is printed; more
than the ledger counts is status 5. "veilsum audit canary --help" says more.

OUT holds report.html (one page, no network), aggregates/round-NNN.arrow, state/
and, unless --store says otherwise, store/. So that a run takes seconds, its rounds
do not wait for the disk (no fsync): a power cut may spoil OUT. No other
command of veilsum does that.`

func (a *app) demoCommand() *cobra.Command {
	f := &demoFlags{}
	c := verb("demo", "Train on a simulated fleet, from sealed report to opened sum", demoHelp,
		"  veilsum demo\n  veilsum demo --data digits --out digits --json\n  veilsum demo --adaptive --clipping-norm 20 --out adaptive", cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return a.demo(ctx, f) })
	c.Flags().StringVar(&f.data, "data", "inertial", "inertial, digits or network")
	c.Flags().StringVar(&f.out, "out", "./veilsum-demo", "folder for report, aggregates, keys and state")
	c.Flags().StringVar(&f.store, "store", "", "file:DIR or s3://BUCKET/PREFIX?endpoint=HOST:PORT (default file:OUT/store)")
	c.Flags().IntVar(&f.rounds, "rounds", 0, "rounds of training (default 20 for inertial, 16 for digits)")
	c.Flags().IntVar(&f.vehicles, "vehicles", 0, "vehicles the data is cut into (default 398 for inertial, 500 for digits)")
	c.Flags().Float64Var(&f.epsilon, "epsilon", 0, "privacy budget of all rounds together, at delta 1e-5 (default 7.5)")
	c.Flags().Float64Var(&f.clipping, "clipping-norm", 0, "L2 bound on an update, with --adaptive that of the first round (default 2)")
	c.Flags().BoolVar(&f.adaptive, "adaptive", false, "let the clipping norm follow the median norm of the updates, inside the same budget")
	c.Flags().StringVar(&f.compress, "compress", "", "KIND:RATIO, send a linear map of each update with so many times fewer numbers (kinds: random_k, srht, count_sketch, low_rank)")
	c.Flags().Uint64Var(&f.seed, "seed", 1, "chooses who vanishes when; never keys or noise")
	c.Flags().IntVar(&f.canaries, "canaries", 0, "more vehicles, in or out by a fair coin, to attack the opened means with (12 to 124 for inertial)")
	c.Flags().BoolVar(&f.force, "force", false, "remove an earlier demo from --out first")
	return c
}

// demoRun is one run of the demo.
type demoRun struct {
	app         *app
	flags       *demoFlags
	started     time.Time
	data        *demoData
	fleet       *fleetsim.Fleet
	trainer     *fleetsim.Trainer
	plain       []float64 // accuracy without privacy after each round
	store       storage.Store
	storeURL    string
	world       *demoWorld
	compression *schema.Compression // of the updates; nil without
	rounds      []demoRound
	released    *releaser.Released // the newest model
	before      []byte             // the one before, from which the last round started
	canaries    demoCanaries
}

func (a *app) demo(ctx context.Context, f *demoFlags) error {
	d := &demoRun{app: a, flags: f, started: time.Now()}
	if err := d.prepare(ctx); err != nil {
		if ctx.Err() != nil {
			err = withHint(err, "the demo does not resume: start again with --force or another --out")
		}
		return err
	}
	defer d.world.close()
	for number := range d.fleet.Config().Rounds {
		if err := d.round(ctx, number); err != nil {
			if ctx.Err() != nil {
				return withHint(err, "%d rounds are complete in %s; the demo does not resume: start again with --force or another --out", number, f.out)
			}
			return fmt.Errorf("round %d: %w", number+1, err)
		}
	}
	return d.finish(ctx)
}

// prepare does all that comes before the first round.
func (d *demoRun) prepare(ctx context.Context) error {
	if err := d.loadFleet(); err != nil {
		return err
	}
	if err := d.checkCanaries(); err != nil {
		return err
	}
	task, err := demoTask(d.fleet, d.flags.canaries, d.flags.adaptive) // refuses impossible budgets before a file is written
	if err != nil {
		return err
	}
	task.Compression = d.compression
	if err := freeFolder(d.flags); err != nil {
		return err
	}
	if err := d.openStore(ctx); err != nil {
		return err
	}
	if err := makeFolder(d.flags.out); err != nil {
		return err
	}
	if d.plain, err = fleetsim.PlainRun(d.fleet, d.flags.seed); err != nil {
		return err
	}
	d.trainer = d.fleet.Trainer()
	if d.world, err = newDemoWorld(ctx, d, task); err != nil {
		return err
	}
	if err := d.plant(); err != nil {
		return err
	}
	p := d.world.plan
	d.app.out.Info("%s: %d vehicles, %d rounds, task %s in %s", d.data.title, d.fleet.Vehicles(), d.fleet.Config().Rounds, d.world.task.Short(), d.storeURL)
	clipped := "clipped to"
	if p.Adaptive() {
		clipped = "clipped in the first round to"
	}
	d.app.out.Info("%d values %s %g, noise multiplier %.4g, at least %d reports, of which %d may be dishonest",
		p.Privacy.Values(), clipped, p.Privacy.ClippingNorm(), float64(p.Task.Privacy.NoiseMultiplier), p.Task.Batch.Min, p.Task.Batch.MaxDishonest)
	return nil
}

func (d *demoRun) loadFleet() error {
	var err error
	if d.data, err = loadDemoData(d.flags.data); err != nil {
		return err
	}
	config, err := d.flags.configure(d.data.config)
	if err != nil {
		return err
	}
	if d.compression, err = parseCompression(d.flags.compress); err != nil {
		return err
	}
	if c := d.compression; c != nil { // smaller steps where the map makes a larger error
		config = config.Compressed(float64(c.Ratio) - 1)
	}
	d.fleet, err = fleetsim.New(config, d.data.rows)
	if errors.Is(err, fleetsim.ErrConfig) {
		return &usageError{Err: err, Hint: "try more --vehicles"}
	}
	return err
}

// configure puts the flags into the data set's configuration.
func (f *demoFlags) configure(c fleetsim.Config) (fleetsim.Config, error) {
	switch {
	case f.rounds < 0 || f.rounds > 10_000:
		return c, usage("--rounds %d: want 1 to 10000", f.rounds)
	case f.vehicles < 0 || f.vehicles > 100_000:
		return c, usage("--vehicles %d: want at most 100000", f.vehicles)
	case f.epsilon < 0 || f.epsilon > 1000 || f.epsilon != f.epsilon:
		return c, usage("--epsilon %g: want more than 0, at most 1000", f.epsilon)
	case f.clipping < 0 || f.clipping > 1e6 || f.clipping != f.clipping:
		return c, usage("--clipping-norm %g: want more than 0, at most 1e6", f.clipping)
	}
	if f.rounds > 0 {
		c.Rounds = f.rounds
	}
	if f.epsilon > 0 {
		c.Epsilon = f.epsilon
	}
	if f.clipping > 0 {
		c.ClippingNorm = f.clipping
	}
	if f.vehicles > 0 {
		c.Vehicles = f.vehicles
		c.MaxDishonest = (f.vehicles + 25) / 50 // 2 %, as in the defaults
	}
	return c, nil
}

// demoMarker tells that a folder was made by the demo and may be removed by --force.
const demoMarker = "veilsum-demo.txt"

// demoEntries is everything the demo writes into its folder.
var demoEntries = []string{"store", "state", "aggregates", "report.html", demoMarker}

// freeFolder refuses an --out that holds an earlier demo or files of the same
// names: nothing is overwritten.
func freeFolder(f *demoFlags) error {
	if f.force {
		if err := removeDemo(f.out); err != nil {
			return err
		}
	}
	for _, name := range demoEntries {
		if _, err := os.Lstat(filepath.Join(f.out, name)); !errors.Is(err, fs.ErrNotExist) {
			if err != nil {
				return err
			}
			return withHint(fmt.Errorf("%s exists", filepath.Join(f.out, name)), "choose another --out, or --force to remove an earlier demo")
		}
	}
	return nil
}

func makeFolder(out string) error {
	if err := os.MkdirAll(filepath.Join(out, "aggregates"), 0o755); err != nil {
		return err
	}
	text := "Made by \"veilsum demo\"; \"veilsum demo --force\" removes it. state/ holds the private keys of all simulated roles.\n"
	return writeFile(filepath.Join(out, demoMarker), []byte(text), 0o644, false)
}

// removeDemo removes what an earlier demo wrote, and nothing from a folder that it did not make.
func removeDemo(out string) error {
	if _, err := os.Lstat(filepath.Join(out, demoMarker)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, name := range demoEntries { // the marker last, so that a removal that was cut off can go on
		if err := os.RemoveAll(filepath.Join(out, name)); err != nil {
			return err
		}
	}
	return nil
}

// openStore opens --store; a directory without waiting for the disk.
func (d *demoRun) openStore(ctx context.Context) error {
	d.storeURL = d.flags.store
	if d.storeURL == "" {
		d.storeURL = "file:" + filepath.Join(d.flags.out, "store")
	}
	var err error
	if d.store, err = createStore(d.storeURL, dir.WithoutSync()); err != nil {
		return err
	}
	return pipeline.Prepare(ctx, d.store)
}
