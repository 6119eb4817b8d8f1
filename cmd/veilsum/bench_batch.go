package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/batch"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
	"github.com/veilsum/veilsum/storage/dir"
)

// batchBenchFlags are the sizes of "veilsum bench batch".
type batchBenchFlags struct {
	reports, values        int // on disk
	replayed, replayValues int // served again and again
	runs                   int
	check                  bool
}

const benchBatchHelp = `Sums with "veilsum batch run" as a process of its own, with all its checks.

First --reports reports of --values values lie in a directory, each with a signature, boxes and pieces of
its own. In turns, a plain Go loop reads the same files and hashes them with SHA-256, with as many goroutines:
batch_speed_over_hash is the median of the ratios of neighboring runs, its wall time over that of the whole command,
batch_cpu_over_hash the same with processor time, batch over hash. batch_rss_mib is the largest resident memory of the command. Then it is
killed with SIGKILL half-way and started again: batch_reread is how many reports the second run read that a finished step had added.

Then one hundredth, one tenth and all of --replayed reports of --replayed-values values come from a store that
serves the same sealed bodies, each time below a header of its own, freshly signed by another vehicle: nothing
that an aggregator checks is skipped. batch_cpu_us_* is the processor time for a report in microseconds, batch_cpu_spread the largest over the
smallest, batch_grown_mib_* how much resident memory the sum took beyond what was there before. Sums are written to a directory.

Needs about 26 kB in TMPDIR for 10,000 values of a report, and Linux.`

var batchFigures = []benchFigure{
	{"batch_rss_mib", "MiB", "<=", 150},
	{"batch_speed_over_hash", "ratio", ">=", 0.35},
	{"batch_cpu_over_hash", "ratio", "", 0},
	{"batch_mb_s", "MB/s", "", 0},
	{"hash_mb_s", "MB/s", "", 0},
	{"batch_killed_at", "of 1", "", 0},
	{"batch_reread", "reports", "<=", 0},
	{"batch_cpu_us_hundredth", "us", "", 0},
	{"batch_cpu_us_tenth", "us", "", 0},
	{"batch_cpu_us_all", "us", "", 0},
	{"batch_cpu_spread", "ratio", "<=", 1.15},
	{"batch_grown_mib_hundredth", "MiB", "", 0},
	{"batch_grown_mib_tenth", "MiB", "", 0},
	{"batch_grown_mib_all", "MiB", "", 0},
}

func (a *app) benchBatchCommand() *cobra.Command {
	f := &batchBenchFlags{}
	c := verb("batch", "Measure the local sum of a whole round", benchBatchHelp,
		"  veilsum bench batch --check\n  veilsum bench batch --reports 1000 --replayed 10000 --json", cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return a.benchBatch(ctx, f) })
	c.Flags().IntVar(&f.reports, "reports", 10_000, "reports on disk")
	c.Flags().IntVar(&f.values, "values", 100_000, "values of each")
	c.Flags().IntVar(&f.replayed, "replayed", 100_000, "reports of the largest replayed sum, a multiple of 100; 0 for none")
	c.Flags().IntVar(&f.replayValues, "replayed-values", 10_000, "values of each")
	c.Flags().IntVar(&f.runs, "runs", 3, "runs of each figure")
	c.Flags().BoolVar(&f.check, "check", false, "exit with status 1 if a target is missed")
	return c
}

func (a *app) benchBatch(ctx context.Context, f *batchBenchFlags) error {
	if f.reports < 0 || f.reports == 1 || f.values < 1 || f.replayValues < 1 || f.runs < 1 || f.replayed%100 != 0 || f.replayed < 0 || f.replayed/100 == 1 {
		return usage("--reports is 2 or more or 0, --replayed a multiple of 100 from 200 or 0, all else 1 or more")
	}
	root, err := os.MkdirTemp("", "veilsum-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(root)
	b := a.newBench(root, max(f.reports, f.replayed), batchFigures)
	if f.reports > 0 {
		b.sizes.batch = f.reports
		if err := b.batchOnDisk(ctx, f); err != nil {
			return fmt.Errorf("bench: %w", err)
		}
	}
	if f.replayed > 0 {
		if err := b.batchReplayed(ctx, f); err != nil {
			return fmt.Errorf("bench: %w", err)
		}
	}
	a.out.Done()
	return b.verdict(f.check, "run it again alone on a quiet machine")
}

// benchSealed is how many reports are really sealed; the others have a signature of their own over the same bodies.
const benchSealed = 16

// batchDisk is a round in a directory with a frozen list.
type batchDisk struct {
	b     *bench
	world *benchWorld
	root  string
	bytes int64
	bench []string // flags of a command on the round
}

// newDisk makes the round. Every report has files of its own.
func (b *bench) newDisk(ctx context.Context, f *batchBenchFlags) (*batchDisk, error) {
	w, err := b.newWorld(ctx, benchWish{values: f.values, suite: 1, vehicles: f.reports})
	if err != nil {
		return nil, err
	}
	d := &batchDisk{b: b, world: w, root: filepath.Join(b.dir, "disk")}
	if err := w.publish(ctx, d.root); err != nil {
		return nil, err
	}
	if err := w.report(ctx, min(benchSealed, f.reports)); err != nil {
		return nil, err
	}
	s, err := w.replay(ctx, f.reports, false)
	if err != nil {
		return nil, err
	}
	out, err := dir.Open(d.root, dir.WithoutSync())
	if err != nil {
		return nil, err
	}
	name := w.round.Name
	for i, id := range s.ids {
		keys := []string{pipeline.HeaderKey(name, id)}
		for j := range s.header(i).Pieces() {
			keys = append(keys, pipeline.PieceKey(name, id, j))
		}
		for _, key := range keys {
			raw, err := storage.ReadAll(ctx, s, key, 1<<30)
			if err != nil {
				return nil, err
			}
			if _, err := out.PutOnce(ctx, key, raw); err != nil {
				return nil, err
			}
			d.bytes += int64(len(raw))
		}
		b.app.out.Progress("writing reports", int64(i+1), int64(f.reports))
	}
	if err := w.freeze(ctx, out, s.ids); err != nil {
		return nil, err
	}
	syscall.Sync() // or the first run would share the disk with what is still to be written
	d.bench = []string{
		"--epoch", fmt.Sprint(name.Epoch), "--store", "file:" + d.root, "--task", name.Task.String(),
		"--owner", schema.NewPublicKey(w.owner).String(), "--json",
	}
	return d, nil
}

// freeze writes the candidate list.
func (w *benchWorld) freeze(ctx context.Context, s storage.Store, ids []schema.ReportID) error {
	t, err := batch.New(w.round.ID, schema.Digest{1}, batch.DefaultFanIn, schema.BatchRegion{Reports: ids})
	if err != nil {
		return err
	}
	list := schema.Candidates{Version: schema.Version, RoundID: w.round.ID, Reports: t.Plan.Regions[0].Reports}
	raw, err := list.Encode()
	if err != nil {
		return err
	}
	_, err = s.PutOnce(ctx, pipeline.CandidatesKey(w.round.Name, list.ID()), raw)
	return err
}

// benchRun is what one process took.
type benchRun struct {
	wall, cpu float64 // seconds
	rss       float64 // MiB
	answer    map[string]any
}

// benchProcess runs this program again, to its end.
func benchProcess(ctx context.Context, args ...string) (*benchRun, error) {
	c, err := thisProgram(ctx, args...)
	if err != nil {
		return nil, err
	}
	var out, said bytes.Buffer
	c.Stdout, c.Stderr = &out, &said
	start := time.Now()
	err = c.Run()
	r := &benchRun{wall: time.Since(start).Seconds(), answer: map[string]any{}}
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %.400s%.400s", strings.Join(args[:2], " "), err, said.String(), out.String())
	}
	u, ok := c.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return nil, errors.New("no rusage")
	}
	r.cpu, r.rss = (c.ProcessState.UserTime() + c.ProcessState.SystemTime()).Seconds(), float64(u.Maxrss)/1024
	lines := bytes.Split(bytes.TrimSpace(out.Bytes()), []byte("\n")) // progress comes first
	return r, json.Unmarshal(lines[len(lines)-1], &r.answer)
}

func (r *benchRun) number(name string) float64 {
	v, ok := r.answer[name].(float64)
	if !ok {
		return -1
	}
	return v
}

// forget removes what a batch wrote.
func (d *batchDisk) forget() error {
	for _, folder := range []string{"steps", "partials", "batches"} {
		if err := os.RemoveAll(d.folder(folder)); err != nil {
			return err
		}
	}
	return nil
}

func (d *batchDisk) folder(name string) string {
	return filepath.Join(d.root, filepath.FromSlash(pipeline.RoundPrefix(d.world.round.Name)), name)
}

// run does the whole batch once.
func (d *batchDisk) run(ctx context.Context, f *batchBenchFlags) (*benchRun, error) {
	r, err := benchProcess(ctx, append([]string{"batch", "run"}, d.bench...)...)
	if err == nil && r.number("reports") != float64(f.reports) {
		err = fmt.Errorf("batch run added %v of %d reports", r.answer["reports"], f.reports)
	}
	return r, err
}

// batchOnDisk is the first part: speed, memory, and a kill.
func (b *bench) batchOnDisk(ctx context.Context, f *batchBenchFlags) error {
	d, err := b.newDisk(ctx, f)
	if err != nil {
		return err
	}
	defer os.RemoveAll(d.root)
	var speed, work, mbs, plain []float64
	rss, mb := 0.0, float64(d.bytes)/1e6
	for run := range f.runs + 1 { // the first warms up
		b.app.out.Progress("runs over the disk", int64(run), int64(f.runs+1))
		hash, err := benchProcess(ctx, "bench", "hash-files", d.folder("reports"), "--json")
		if err != nil {
			return err
		}
		if err := d.forget(); err != nil {
			return err
		}
		sum, err := d.run(ctx, f)
		if err != nil {
			return err
		}
		if hash.number("bytes") != float64(d.bytes) {
			return fmt.Errorf("hashed %v of %d bytes", hash.answer["bytes"], d.bytes)
		}
		rss = max(rss, sum.rss)
		if run > 0 {
			speed, work = append(speed, ratioOf(hash.number("wall"), sum.wall)), append(work, ratioOf(sum.cpu, hash.number("cpu")))
			mbs, plain = append(mbs, mb/sum.wall), append(plain, mb/hash.number("wall"))
		}
	}
	b.put("batch_rss_mib", rss)
	b.put("batch_speed_over_hash", median(speed))
	b.put("batch_cpu_over_hash", median(work))
	b.put("batch_mb_s", median(mbs))
	b.put("hash_mb_s", median(plain))
	return b.batchKilled(ctx, f, d)
}

// batchKilled kills a run once half of its steps are done.
func (b *bench) batchKilled(ctx context.Context, f *batchBenchFlags, d *batchDisk) error {
	if err := d.forget(); err != nil {
		return err
	}
	fanIn := max(schema.MinFanIn, min(batch.DefaultFanIn, f.reports/8))
	args := append([]string{"batch", "run", "--fan-in", fmt.Sprint(fanIn)}, d.bench...)
	c, err := thisProgram(ctx, args...)
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	for leaves := (f.reports + fanIn - 1) / fanIn; ; time.Sleep(time.Millisecond) {
		done, _ := os.ReadDir(d.folder("steps")) // absent at first
		if 2*len(done) >= leaves {
			break
		}
		select {
		case err := <-ended:
			return fmt.Errorf("batch run ended before it was killed: %w", err)
		default:
		}
	}
	if err := c.Process.Kill(); err != nil {
		return err
	}
	<-ended
	added, err := d.added()
	if err != nil {
		return err
	}
	again, err := benchProcess(ctx, args...)
	if err != nil {
		return err
	}
	if again.number("reports") != float64(f.reports) {
		return fmt.Errorf("after the kill %v of %d reports were added", again.answer["reports"], f.reports)
	}
	b.put("batch_killed_at", float64(added)/float64(f.reports))
	b.put("batch_reread", again.number("read")-float64(f.reports-added))
	return nil
}

// added counts the reports in finished steps of level 1.
func (d *batchDisk) added() (int, error) {
	files, err := filepath.Glob(filepath.Join(d.folder("steps"), "*.json"))
	if err != nil {
		return 0, err
	}
	n := 0
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			return 0, err
		}
		rec, err := schema.DecodeStepRecord(raw)
		if err != nil {
			return 0, err
		}
		if rec.Level == 1 {
			n += rec.Inputs
		}
	}
	return n, nil
}
