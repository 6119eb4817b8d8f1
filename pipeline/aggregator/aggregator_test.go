package aggregator_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/aggregator"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

var ctx = context.Background()

func fleet(t testing.TB, n int) (*pipelinetest.Fleet, *pipeline.Round, []schema.ReportID) {
	t.Helper()
	f := pipelinetest.New(t, n, pipelinetest.Task(300))
	r := f.Open(1)
	for i := range n {
		f.Report(r, i)
	}
	ids, err := pipeline.ListReports(ctx, f.Store, r.Name)
	if err != nil || len(ids) != n {
		t.Fatal(len(ids), err)
	}
	return f, r, ids
}

func encode(t *testing.T, r *pipeline.Round, p *aggregator.PartialSum) []byte {
	t.Helper()
	b, _, err := p.Encode(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestPartialsGiveTheSameBytes: whatever partial sums lie in the store, the sum over a list is the same.
func TestPartialsGiveTheSameBytes(t *testing.T) {
	f, r, ids := fleet(t, 9)
	want, err := aggregator.FromReports(ctx, f.Store, r, ids[1:8], nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range [][]schema.ReportID{
		ids[:3],           // one to subtract
		ids[5:9],          // one more, disjoint
		ids[2:6],          // overlaps both
		{ids[0], ids[8]},  // nothing inside
		{ids[4]}, ids[:9], // all: the largest, two to subtract
	} {
		res, err := aggregator.Sum(ctx, f.Store, r, part, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := aggregator.Store(ctx, f.Store, r, &res.PartialSum); err != nil {
			t.Fatal(err)
		}
		got, err := aggregator.ForManifest(ctx, f.Store, r, ids[1:8], nil)
		if err != nil || !bytes.Equal(encode(t, r, got), encode(t, r, want)) {
			t.Errorf("after the partial sum of %d: another sum (%v)", len(part), err)
		}
	}
}

// TestPartialsSaveReading: reports inside a fitting partial sum are not read again.
func TestPartialsSaveReading(t *testing.T) {
	f, r, ids := fleet(t, 6)
	res, err := aggregator.Sum(ctx, f.Store, r, ids[:5], nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := aggregator.Store(ctx, f.Store, r, &res.PartialSum); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids[:5] {
		f.Replace(pipeline.PieceKey(r.Name, id, 0), func([]byte) []byte { return nil })
	}
	if _, err := aggregator.ForManifest(ctx, f.Store, r, ids, nil); err != nil {
		t.Error(err)
	}
	if _, err := aggregator.FromReports(ctx, f.Store, r, ids, nil); !errors.Is(err, pipeline.ErrUntrusted) {
		t.Error(err)
	}
}

// TestHostilePartials: what anybody may plant under partials/ stops nobody: junk, partial
// sums of other rounds or rings, a list with a report that does not exist.
func TestHostilePartials(t *testing.T) {
	f, r, ids := fleet(t, 4)
	whole, err := aggregator.FromReports(ctx, f.Store, r, ids, nil)
	if err != nil {
		t.Fatal(err)
	}
	raw := encode(t, r, whole)
	f.Put(pipeline.PartialKey(r.Name, schema.Digest{9}), raw) // content differs from its name
	ghost := &aggregator.PartialSum{Reports: append([]schema.ReportID{{Digest: schema.Digest{0}}}, whole.Reports...), Sum: whole.Sum}
	if _, err := aggregator.Store(ctx, f.Store, r, ghost); err != nil {
		t.Fatal(err)
	}
	f.Put(pipeline.PartialKey(r.Name, schema.Digest{2}), nil)
	f.Put(pipeline.PartialKey(r.Name, schema.Digest{3}), make([]byte, r.Secagg.SumBytes()+100+32<<20))
	got, err := aggregator.ForManifest(ctx, f.Store, r, ids, nil)
	if err != nil || !bytes.Equal(encode(t, r, got), raw) {
		t.Error("another sum", err)
	}
	other := *r
	other.ID = schema.RoundID{Digest: schema.Digest{1}}
	if _, err := aggregator.Decode(&other, raw); !errors.Is(err, schema.ErrFormat) {
		t.Error("a partial sum of another round:", err)
	}
	for i := range 200 {
		b := bytes.Clone(raw)
		b[i*len(b)/200] ^= 0x80
		if p, err := aggregator.Decode(r, b); err == nil && bytes.Equal(encode(t, r, p), raw) {
			t.Errorf("byte %d does not matter", i*len(b)/200)
		}
	}
}

// TestMergeRefusesOverlap: a report must not count twice.
func TestMergeRefusesOverlap(t *testing.T) {
	f, r, ids := fleet(t, 4)
	sum := func(ids []schema.ReportID) *aggregator.PartialSum {
		res, err := aggregator.Sum(ctx, f.Store, r, ids, nil)
		if err != nil {
			t.Fatal(err)
		}
		return &res.PartialSum
	}
	a, b := sum(ids[:3]), sum(ids[2:])
	before := encode(t, r, a)
	if _, err := aggregator.Merge(r, a, b); !errors.Is(err, aggregator.ErrOverlap) {
		t.Error(err)
	}
	if _, err := aggregator.Merge(r, a, sum(ids[3:])); err != nil || !bytes.Equal(before, encode(t, r, a)) {
		t.Error("merge changed its input", err)
	}
	empty, err := aggregator.Merge(r)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := empty.Encode(r); !errors.Is(err, aggregator.ErrEmpty) {
		t.Error(err)
	}
}

// TestSumProgressAndRepeats: a list with repetitions counts each report once and tells progress to the end.
func TestSumProgressAndRepeats(t *testing.T) {
	f, r, ids := fleet(t, 4)
	var mu sync.Mutex
	var seen []int
	res, err := aggregator.Sum(ctx, f.Store, r, slices.Concat(ids, ids), func(done, total int) {
		if !mu.TryLock() {
			t.Error("two calls at a time")
			return
		}
		defer mu.Unlock()
		if seen = append(seen, done); total != 4 {
			t.Error("total", total)
		}
	})
	if err != nil || len(res.Reports) != 4 || !slices.Equal(seen, []int{1, 2, 3, 4}) {
		t.Error(len(res.Reports), seen, err)
	}
	none, err := aggregator.Sum(ctx, f.Store, r, nil, nil)
	if err != nil || len(none.Reports) != 0 {
		t.Error(none, err)
	}
}

type failing struct {
	storage.Store
	err error
}

func (s failing) GetRange(context.Context, string, int64, int64) (io.ReadCloser, error) {
	return nil, s.err
}

func (s failing) Get(context.Context, string) (io.ReadCloser, storage.Info, error) {
	return nil, storage.Info{}, s.err
}

// TestStoreFailureIsNoRefusal: a report that could not be read is not called bad.
func TestStoreFailureIsNoRefusal(t *testing.T) {
	f, r, ids := fleet(t, 4)
	down := errors.New("the store is down")
	if _, err := aggregator.Sum(ctx, failing{f.Store, down}, r, ids, nil); !errors.Is(err, down) {
		t.Error(err)
	}
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := aggregator.Sum(canceled, f.Store, r, ids, nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
