package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/batch"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
	"github.com/veilsum/veilsum/storage/dir"
)

// benchHashCommand is the loop that a batch is compared with; "bench batch" starts it.
func (a *app) benchHashCommand() *cobra.Command {
	c := verb("hash-files DIR", "Read and hash files, for comparison", "Reads every file below DIR whole and hashes it with SHA-256, on as many goroutines as there are processors. Listing the files is not timed.",
		"  veilsum bench hash-files /tmp/x --json", cobra.ExactArgs(1),
		func(ctx context.Context, args []string) error { return a.hashFiles(ctx, args[0]) })
	c.Hidden = true
	return c
}

// childResult is what a child process of a benchmark measured itself.
type childResult struct {
	Bytes int64   `json:"bytes"`
	Wall  float64 `json:"wall"`  // seconds
	CPU   float64 `json:"cpu"`   // seconds, user and system
	Grown float64 `json:"grown"` // MiB of resident memory
}

// Text implements ui.Result.
func (r childResult) Text() string {
	return fmt.Sprintf("%d bytes, %.3f s, %.3f s of processor time, %.1f MiB grown\n", r.Bytes, r.Wall, r.CPU, r.Grown)
}

func (a *app) hashFiles(ctx context.Context, root string) error {
	var files []string
	if err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			files = append(files, path)
		}
		return err
	}); err != nil {
		return err
	}
	before, err := benchClock()
	if err != nil {
		return err
	}
	start := time.Now()
	workers := pipeline.Workers(len(files))
	sizes := make([]int64, workers)
	g, ctx := errgroup.WithContext(ctx)
	for w := range workers {
		g.Go(func() error {
			var buf []byte
			for i := w; i < len(files) && ctx.Err() == nil; i += workers {
				var err error
				if buf, err = readReusing(files[i], buf); err != nil {
					return err
				}
				sha256.Sum256(buf)
				sizes[w] += int64(len(buf))
			}
			return ctx.Err()
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	r := childResult{Wall: time.Since(start).Seconds()}
	after, err := benchClock()
	r.CPU = (after - before).Seconds()
	for _, n := range sizes {
		r.Bytes += n
	}
	a.out.Result(r)
	return err
}

func readReusing(path string, buf []byte) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	buf = slices.Grow(buf[:0], int(info.Size()))[:info.Size()]
	_, err = io.ReadFull(f, buf)
	return buf, err
}

// batchReplayed is the second part: processor time for a report, and memory, by the number of reports.
func (b *bench) batchReplayed(ctx context.Context, f *batchBenchFlags) error {
	names := []string{"hundredth", "tenth", "all"}
	cpu, grown := make([][]float64, len(names)), make([]float64, len(names))
	for run := range f.runs {
		for i, share := range []int{100, 10, 1} {
			b.app.out.Progress("replayed sums", int64(run*len(names)+i), int64(f.runs*len(names)))
			n := f.replayed / share
			r, err := benchProcess(ctx, "bench", "batch-replay", "--reports", strconv.Itoa(n), "--batch", strconv.Itoa(f.replayed),
				"--values", strconv.Itoa(f.replayValues), "--repeat", strconv.Itoa(min(10, share)), "--json")
			if err != nil {
				return err
			}
			cpu[i] = append(cpu[i], r.number("cpu")/float64(n)*1e6)
			grown[i] = max(grown[i], r.number("grown"))
		}
	}
	var medians []float64
	for i, name := range names {
		medians = append(medians, median(cpu[i]))
		b.put("batch_cpu_us_"+name, medians[i])
	}
	b.put("batch_cpu_spread", ratioOf(slices.Max(medians), slices.Min(medians)))
	for i, name := range names {
		b.put("batch_grown_mib_"+name, grown[i])
	}
	return nil
}

// benchReplayCommand is one replayed sum; "bench batch" starts it.
func (a *app) benchReplayCommand() *cobra.Command {
	var reports, size, values, repeat int
	c := verb("batch-replay", "Sum replayed reports, for comparison", "Makes a round, signs as many headers over the same bodies, and sums them.",
		"  veilsum bench batch-replay --reports 1000 --json", cobra.NoArgs,
		func(ctx context.Context, _ []string) error {
			if reports < 2 || size < reports || values < 1 || repeat < 1 {
				return usage("all sizes are 1 or more, --reports 2 or more and at most --batch")
			}
			return a.batchReplay(ctx, reports, size, values, repeat)
		})
	c.Hidden = true
	c.Flags().IntVar(&reports, "reports", 1000, "reports")
	c.Flags().IntVar(&size, "batch", 100_000, "most reports of a round, for which the modulus is sized")
	c.Flags().IntVar(&values, "values", 10_000, "values of each")
	c.Flags().IntVar(&repeat, "repeat", 1, "sums, of which the mean counts")
	return c
}

func (a *app) batchReplay(ctx context.Context, reports, size, values, repeat int) error {
	root, err := os.MkdirTemp("", "veilsum-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(root)
	b := &bench{app: a, sizes: benchSizes{batch: size}, dir: root}
	s, err := b.newSignedReplay(ctx, values, reports)
	if err != nil {
		return err
	}
	defer s.heads.Close()
	debug.FreeOSMemory() // what making the round took does not count
	resident, err := resetPeak()
	if err != nil {
		return err
	}
	before, err := benchClock()
	if err != nil {
		return err
	}
	start := time.Now()
	for i := range repeat {
		if err := s.sum(ctx, filepath.Join(root, strconv.Itoa(i))); err != nil {
			return err
		}
	}
	after, err := benchClock()
	if err != nil {
		return err
	}
	peak, err := memoryOf("VmHWM:")
	a.out.Result(childResult{Wall: time.Since(start).Seconds() / float64(repeat), CPU: (after - before).Seconds() / float64(repeat), Grown: peak - resident})
	return err
}

// resetPeak makes the kernel forget the largest resident memory and returns the present one, MiB.
func resetPeak() (float64, error) {
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		return 0, err
	}
	return memoryOf("VmRSS:")
}

// memoryOf reads a figure of this process, MiB.
func memoryOf(name string) (float64, error) {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			kib, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kib / 1024, err
		}
	}
	return 0, errors.New("bench: no " + name + " in /proc/self/status")
}

// signedReplay is a benchReplay that takes little memory: the round is in a directory, and the heads (header, box hashes,
// signature) in a file: of each report the index of its original, and its head.
type signedReplay struct {
	storage.Store
	plan   *pipeline.Plan
	name   pipeline.RoundName
	ids    []schema.ReportID // sorted
	heads  *os.File
	size   int        // of a head
	bodies [][]byte   // of the originals: boxes and corr
	pieces [][][]byte // of the originals
}

func (b *bench) newSignedReplay(ctx context.Context, values, n int) (*signedReplay, error) {
	w, err := b.newWorld(ctx, benchWish{values: values, suite: 1, vehicles: n})
	if err != nil {
		return nil, err
	}
	root := filepath.Join(b.dir, "round")
	if err := w.publish(ctx, root); err != nil {
		return nil, err
	}
	s := &signedReplay{plan: w.round.Plan, name: w.round.Name}
	if s.Store, err = dir.Open(root); err != nil {
		return nil, err
	}
	if err := w.report(ctx, min(benchSealed, n)); err != nil {
		return nil, err
	}
	all, err := w.replay(ctx, n, false)
	if err != nil {
		return nil, err
	}
	if err := s.keep(ctx, all); err != nil {
		return nil, err
	}
	s.heads, err = os.CreateTemp(b.dir, "heads-")
	if err != nil {
		return nil, err
	}
	return s, s.writeHeads(all)
}

// keep keeps the bodies of the originals.
func (s *signedReplay) keep(ctx context.Context, all *benchReplay) error {
	for _, rep := range all.originals {
		off, _ := rep.Header.BoxOffset(0)
		s.size, s.bodies = int(off), append(s.bodies, rep.Bytes()[off:])
		var pieces [][]byte
		for j := range rep.Header.Pieces() {
			raw, err := storage.ReadAll(ctx, all.Store, pipeline.PieceKey(s.name, rep.ID, j), 1<<30)
			if err != nil {
				return err
			}
			pieces = append(pieces, raw)
		}
		s.pieces = append(s.pieces, pieces)
	}
	return nil
}

// writeHeads signs every report.
func (s *signedReplay) writeHeads(all *benchReplay) error {
	order := make([]int, len(all.ids))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return schema.CompareReports(all.ids[i], all.ids[j]) })
	for _, i := range order {
		object, err := all.object(i)
		if err != nil {
			return err
		}
		s.ids = append(s.ids, all.ids[i])
		line := append(binary.LittleEndian.AppendUint32(nil, uint32(all.original(i))), object[:s.size]...)
		if _, err := s.heads.Write(line); err != nil {
			return err
		}
	}
	return nil
}

// Get implements storage.Store: headers of their own, pieces of the originals.
func (s *signedReplay) Get(ctx context.Context, key string) (io.ReadCloser, storage.Info, error) {
	o, ok := pipeline.ParseObject(key)
	if !ok || o.Kind != pipeline.KindHeader && o.Kind != pipeline.KindPiece {
		return s.Store.Get(ctx, key)
	}
	i, ok := slices.BinarySearchFunc(s.ids, o.Report, schema.CompareReports)
	if !ok {
		return nil, storage.Info{}, fmt.Errorf("%w: %q", storage.ErrNotExist, key)
	}
	head := make([]byte, 4+s.size)
	if _, err := s.heads.ReadAt(head, int64(i*len(head))); err != nil {
		return nil, storage.Info{}, err
	}
	original := binary.LittleEndian.Uint32(head)
	if o.Kind == pipeline.KindPiece {
		piece := s.pieces[original][o.Index]
		return io.NopCloser(bytes.NewReader(piece)), storage.Info{Key: key, Size: int64(len(piece))}, nil
	}
	body := s.bodies[original]
	return io.NopCloser(io.MultiReader(bytes.NewReader(head[4:]), bytes.NewReader(body))), storage.Info{Key: key, Size: int64(s.size + len(body))}, nil
}

// sum plans and sums all reports, and writes to a directory.
func (s *signedReplay) sum(ctx context.Context, root string) error {
	out, err := dir.Open(root)
	if err != nil {
		return err
	}
	defer os.RemoveAll(root)
	r, err := pipeline.LoadRound(ctx, s.Store, s.plan, s.name)
	if err != nil {
		return err
	}
	t, err := batch.New(r.ID, schema.Digest{1}, batch.DefaultFanIn, schema.BatchRegion{Reports: s.ids})
	if err != nil {
		return err
	}
	store := written{s, out}
	if err := batch.Publish(ctx, store, r, t); err != nil {
		return err
	}
	ran, err := batch.Run(ctx, t, &batch.Local{Store: store, Round: r, Workers: runtime.GOMAXPROCS(0)})
	if err == nil && len(ran.Root.Record.Vehicles) != len(s.ids) {
		err = fmt.Errorf("added %d of %d reports", len(ran.Root.Record.Vehicles), len(s.ids))
	}
	return err
}

// written is a store that keeps apart what a batch writes.
type written struct {
	*signedReplay
	out storage.Store
}

func (w written) own(key string) bool {
	o, _ := pipeline.ParseObject(key)
	return slices.Contains([]pipeline.Kind{pipeline.KindBatch, pipeline.KindStep, pipeline.KindPartial}, o.Kind)
}

// PutOnce implements storage.Store.
func (w written) PutOnce(ctx context.Context, key string, body []byte) (storage.Outcome, error) {
	return w.out.PutOnce(ctx, key, body)
}

// Get implements storage.Store.
func (w written) Get(ctx context.Context, key string) (io.ReadCloser, storage.Info, error) {
	if w.own(key) {
		return w.out.Get(ctx, key)
	}
	return w.signedReplay.Get(ctx, key)
}

// Stat implements storage.Store.
func (w written) Stat(ctx context.Context, key string) (storage.Info, error) {
	if w.own(key) {
		return w.out.Stat(ctx, key)
	}
	return w.signedReplay.Stat(ctx, key)
}
