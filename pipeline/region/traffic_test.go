package region_test

import (
	"context"
	"io"
	"os"
	"sync/atomic"
	"testing"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/collector"
	"github.com/veilsum/veilsum/pipeline/decryptor"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/storage"
)

// counted counts the bytes that a store takes in and gives out.
type counted struct {
	storage.Store
	in, out *atomic.Int64
}

func (s counted) PutOnce(ctx context.Context, key string, body []byte) (storage.Outcome, error) {
	s.in.Add(int64(len(body)))
	return s.Store.PutOnce(ctx, key, body)
}

func (s counted) Get(ctx context.Context, key string) (io.ReadCloser, storage.Info, error) {
	rc, info, err := s.Store.Get(ctx, key)
	return counting{rc, s.out}, info, err
}

func (s counted) GetRange(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	rc, err := s.Store.GetRange(ctx, key, off, n)
	return counting{rc, s.out}, err
}

type counting struct {
	io.ReadCloser
	n *atomic.Int64
}

func (c counting) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// rootTraffic plays a round of 3n vehicles with d values, with three regions or none, and returns what the root's store
// took in and gave out, from the first report to the receipt.
func rootTraffic(t *testing.T, d, n int, regions bool) (w *world, in, out int64) {
	t.Helper()
	task := pipelinetest.Task(d)
	task.Batch.Max = max(64, 3*n)
	w = emptyWorld(t, task, 3*n)
	if !regions {
		w.keys = nil
	}
	w.open(1)
	var took, gave atomic.Int64
	w.Store = counted{w.Store, &took, &gave}
	for i := range w.Vehicles {
		if regions {
			w.report(three[i%3], i)
		} else {
			w.Report(w.r, i)
		}
	}
	if regions {
		w.sums()
	}
	w.playWith(w.Collector)
	return w, took.Load(), gave.Load()
}

// playWith plays a round from its close on.
func (w *world) playWith(c *collector.Collector) {
	w.T.Helper()
	all := []int{0, 1, 2, 3}
	list, _, err := c.Close(ctx, w.Store, w.r)
	w.ok(err)
	w.Committee(all, func(d *decryptor.Decryptor) error { _, err := d.Check(ctx, w.Store, w.r, list, nil); return err })
	_, err = c.Propose(ctx, w.Store, w.r, list)
	w.ok(err)
	w.answered()
	got, err := c.Collect(ctx, w.Store, w.r, nil)
	w.ok(err)
	if _, err := pipeline.LoadManifest(ctx, w.Store, w.r, got.Receipt.Manifest); err != nil {
		w.T.Error(err)
	}
}

// TestRootTraffic: with regions the root takes in and gives out headers and sums, whose number and size do not grow with the values
// of all reports. VEILSUM_SLOW=1 measures 300 vehicles with 100,000 values.
func TestRootTraffic(t *testing.T) {
	type size struct{ d, n int }
	sizes := []size{{4000, 8}}
	if os.Getenv("VEILSUM_SLOW") == "1" {
		sizes = append(sizes, size{100_000, 100})
	}
	for _, s := range sizes {
		_, plainIn, plainOut := rootTraffic(t, s.d, s.n, false)
		w, in, out := rootTraffic(t, s.d, s.n, true)
		header, sum := int64(w.r.Secagg.HeaderObjectBytes()), w.r.Secagg.SumBytes()
		t.Logf("%d vehicles, %d values: the root takes in %d bytes with 3 regions, %d without (%.1f %%), gives out %d and %d (%.1f %%)",
			3*s.n, s.d, in, plainIn, 100*float64(in)/float64(plainIn), out, plainOut, 100*float64(out)/float64(plainOut))
		// For each report its header and its place in the lists, and the regions' sums and the root's; never a piece.
		if most := int64(3*s.n)*(header+400) + 5*sum + 1<<16; in > most {
			t.Errorf("%d bytes come in, at most %d are accounted for", in, most)
		}
	}
}
