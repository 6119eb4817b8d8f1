package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/gateway/remote"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
	"github.com/veilsum/veilsum/storage/dir"
)

// gatewayBenchFlags are the sizes of "veilsum bench gateway".
type gatewayBenchFlags struct {
	vehicles, rate, values int // slow vehicles: how many, bytes a second, d
	reports, workers, fast int // fast ones: reports of one run, connections, d
	reps                   int
	check                  bool
}

const benchGatewayHelp = `Starts "veilsum serve" on a directory as a process of its own, and measures it
over real TLS with the client that vehicles use.

First all --vehicles send one report each at the same time, every connection slowed
down to --rate bytes a second, handshake included: gateway_rss_mib is the largest
resident memory of the gateway's process, gateway_inflight the most bodies it read at one
time, gateway_refusals its answers 429 and 503, gateway_errors everything else that
was no success, and vehicles that gave up.

Then --workers connections send --reports whole reports as fast as they can, in turns with
a plain net/http server that copies the same bodies, over the same TLS and HTTP/2, to files and
fsyncs them. gateway_over_bare_time and gateway_over_bare_cpu are medians of the
ratios of neighboring runs: wall time, and processor time of the servers.

Reports are really signed, their pieces are equal. Needs about 1 GB in TMPDIR, and Linux.`

var gatewayFigures = []benchFigure{
	{"gateway_rss_mib", "MiB", "<=", 300},
	{"gateway_inflight", "bodies", "", 0},
	{"gateway_errors", "requests", "<=", 0},
	{"gateway_refusals", "requests", "", 0},
	{"gateway_slow_seconds", "s", "", 0},
	{"gateway_mb_s", "MB/s", "", 0},
	{"bare_mb_s", "MB/s", "", 0},
	{"gateway_over_bare_time", "ratio", "", 0},
	{"gateway_over_bare_cpu", "ratio", "", 0},
}

func (a *app) benchGatewayCommand() *cobra.Command {
	f := &gatewayBenchFlags{}
	c := verb("gateway", "Measure the upload gateway under load", benchGatewayHelp,
		"  veilsum bench gateway\n  veilsum bench gateway --vehicles 500 --rate 4000 --json", cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return a.benchGateway(ctx, f) })
	c.Flags().IntVar(&f.vehicles, "vehicles", 2000, "slow vehicles at the same time")
	c.Flags().IntVar(&f.rate, "rate", 1000, "bytes a second of a slow vehicle")
	c.Flags().IntVar(&f.values, "values", 20_000, "values of a slow vehicle's report")
	c.Flags().IntVar(&f.reports, "reports", 48, "reports of one fast run")
	c.Flags().IntVar(&f.workers, "workers", 16, "connections of a fast run")
	c.Flags().IntVar(&f.fast, "fast-values", 400_000, "values of a fast report")
	c.Flags().IntVar(&f.reps, "runs", 5, "fast runs of each server")
	c.Flags().BoolVar(&f.check, "check", false, "exit with status 1 if a target is missed")
	return c
}

func (a *app) benchGateway(ctx context.Context, f *gatewayBenchFlags) error {
	if min(f.vehicles, f.rate, f.values, f.reports, f.workers, f.fast, f.reps) < 1 {
		return usage("all sizes are 1 or more")
	}
	root, err := os.MkdirTemp("", "veilsum-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(root)
	b := a.newBench(root, 10_000, gatewayFigures)
	if err := b.slowVehicles(ctx, f); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	if err := b.fastVehicles(ctx, f); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	a.out.Done()
	return b.verdict(f.check, "run it again alone on a quiet machine")
}

// gatewayLoad is a round behind a gateway, with reports that wait to be sent.
type gatewayLoad struct {
	child  *benchChild
	world  *benchWorld
	replay *benchReplay
	pieces [][]byte
	hashes []schema.Digest
	rate   int // bytes a second of a connection, 0: as fast as it goes
}

// newLoad makes a round of n vehicles in a directory and starts a gateway in front of it.
func (b *bench) newLoad(ctx context.Context, name string, values, n int) (*gatewayLoad, error) {
	w, err := b.newWorld(ctx, benchWish{values: values, suite: 1, vehicles: n})
	if err != nil {
		return nil, err
	}
	root := filepath.Join(b.dir, name)
	if err := w.publish(ctx, root); err != nil {
		return nil, err
	}
	if err := w.report(ctx, 1); err != nil {
		return nil, err
	}
	x := &gatewayLoad{world: w}
	if x.replay, err = w.replay(ctx, n, true); err != nil {
		return nil, err
	}
	for j := range w.round.Header().Pieces() {
		p, err := storage.ReadAll(ctx, w.store, pipeline.PieceKey(w.round.Name, w.reports[0], j), 1<<30)
		if err != nil {
			return nil, err
		}
		x.pieces, x.hashes = append(x.pieces, p), append(x.hashes, schema.HashPiece(j, p))
	}
	x.child, err = startChild(ctx, filepath.Join(b.dir, name+".pem"), "serve", "--store", root, "--owner", schema.NewPublicKey(w.owner).String(),
		"--metrics", "127.0.0.1:0", "--max-per-address", "-1", "--burst", "100000")
	return x, err
}

// publish copies the world's public objects into a directory, without the reports.
func (w *benchWorld) publish(ctx context.Context, root string) error {
	s, err := dir.Open(root, dir.WithoutSync())
	if err != nil {
		return err
	}
	for info, err := range w.store.List(ctx, "", "") {
		if err != nil {
			return err
		}
		raw, err := storage.ReadAll(ctx, w.store, info.Key, info.Size)
		if err != nil {
			return err
		}
		if _, err := s.PutOnce(ctx, info.Key, raw); err != nil {
			return err
		}
	}
	return nil
}

// bytes is what one report takes on the wire.
func (x *gatewayLoad) bytes() int64 {
	n := int64(len(x.replay.headers[0]))
	for _, p := range x.pieces {
		n += int64(len(p))
	}
	return n
}

// send sends vehicle i's whole report as a vehicle does.
func (x *gatewayLoad) send(ctx context.Context, i int) error {
	v, name := x.world.vehicle(i), x.world.round.Name
	c := remote.Config{URL: x.child.url(), Vehicle: v.ID, Key: v.Key, RootCAs: x.child.roots, Tries: 12}
	if x.rate > 0 {
		c.Dial = slowDial(x.rate)
	}
	s, err := remote.Open(c)
	if err != nil {
		return err
	}
	defer s.Close()
	object := x.replay.headers[i]
	head, _ := x.replay.header(i).BoxOffset(0)
	missing, _, err := s.Announce(ctx, object[:head], x.hashes)
	if err != nil {
		return err
	}
	for _, j := range missing {
		if _, err := s.PutOnce(ctx, pipeline.PieceKey(name, x.replay.ids[i], j), x.pieces[j]); err != nil {
			return err
		}
	}
	_, err = s.PutOnce(ctx, pipeline.HeaderKey(name, x.replay.ids[i]), object)
	return err
}

// slowVehicles is the first part: memory and errors with many slow connections.
func (b *bench) slowVehicles(ctx context.Context, f *gatewayBenchFlags) error {
	b.app.out.Progress("signing reports", 0, int64(f.vehicles))
	x, err := b.newLoad(ctx, "slow", f.values, f.vehicles)
	if err != nil {
		return err
	}
	defer x.child.stop()
	x.rate = f.rate
	stop := x.child.sample(ctx)
	start := time.Now()
	failed := make(chan error, f.vehicles)
	for i := range f.vehicles {
		go func() { failed <- x.send(ctx, i) }()
	}
	gaveUp := 0
	for i := range f.vehicles {
		if err := <-failed; err != nil {
			gaveUp++
			b.app.out.Warn("a vehicle gave up: %v", err)
		}
		b.app.out.Progress("reports of slow vehicles", int64(i+1), int64(f.vehicles))
	}
	elapsed := time.Since(start).Seconds()
	seen, err := stop()
	if err != nil {
		return err
	}
	peak, err := x.child.peakMemory()
	if err != nil {
		return err
	}
	b.put("gateway_rss_mib", peak)
	b.put("gateway_inflight", seen.inflight)
	b.put("gateway_errors", seen.errors+float64(gaveUp))
	b.put("gateway_refusals", seen.refusals)
	b.put("gateway_slow_seconds", elapsed)
	return ctx.Err()
}

// fastVehicles is the second part: time over that of a bare server.
func (b *bench) fastVehicles(ctx context.Context, f *gatewayBenchFlags) error {
	x, err := b.newLoad(ctx, "fast", f.fast, f.reports*(f.reps+1))
	if err != nil {
		return err
	}
	defer x.child.stop()
	bare, err := startChild(ctx, filepath.Join(b.dir, "bare.pem"), "bench", "bare-put", "--dir", b.dir)
	if err != nil {
		return err
	}
	defer bare.stop()
	var times, work, gateway, plain []float64
	mb := float64(x.bytes()) * float64(f.reports) / 1e6
	for run := range f.reps + 1 { // the first warms up
		b.app.out.Progress("runs of fast vehicles", int64(run), int64(f.reps+1))
		t1, c1, err := x.child.measure(ctx, f, func(ctx context.Context, i int) error { return x.send(ctx, run*f.reports+i) })
		if err != nil {
			return err
		}
		t2, c2, err := bare.measure(ctx, f, func(ctx context.Context, i int) error { return bare.put(ctx, x, i) })
		if err != nil {
			return err
		}
		if run > 0 {
			times, work, gateway, plain = append(times, t1/t2), append(work, ratioOf(c1, c2)), append(gateway, mb/t1), append(plain, mb/t2)
		}
	}
	b.put("gateway_mb_s", median(gateway))
	b.put("bare_mb_s", median(plain))
	b.put("gateway_over_bare_time", median(times))
	b.put("gateway_over_bare_cpu", median(work))
	return nil
}

// ratioOf is no number if the clock did not even see one tick.
func ratioOf(a, b float64) float64 {
	if a == 0 || b == 0 {
		return math.NaN()
	}
	return a / b
}

// measure returns the wall time and the server's processor time of one run, in seconds.
func (c *benchChild) measure(ctx context.Context, f *gatewayBenchFlags, send func(ctx context.Context, i int) error) (wall, cpu float64, err error) {
	before, err := c.cpu()
	if err != nil {
		return 0, 0, err
	}
	start := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(f.workers)
	for i := range f.reports {
		group.Go(func() error { return send(ctx, i) })
	}
	if err := group.Wait(); err != nil {
		return 0, 0, err
	}
	wall = time.Since(start).Seconds()
	after, err := c.cpu()
	return wall, after - before, err
}
