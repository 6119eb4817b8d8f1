package pipeline_test

import (
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/privacy/ledger"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
	"github.com/veilsum/veilsum/storage/mem"
)

func digest(rt *rapid.T, name string) schema.Digest {
	return schema.Digest(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(rt, name))
}

// TestNames: every name is a valid key, no two objects share one, and rounds sort by epoch.
func TestNames(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := pipeline.RoundName{Task: schema.TaskID{Digest: digest(rt, "task")}, Epoch: rapid.Uint64Range(0, 999_999_999_998).Draw(rt, "epoch"), Lane: rapid.Uint32Range(0, 4095).Draw(rt, "lane")}
		d := digest(rt, "hash")
		keys := []string{
			pipeline.TaskKey(n.Task), pipeline.ModelKey(n.Task, d), pipeline.ReleaseKey(n.Task, n.Epoch), pipeline.DeltaKey(n.Task, d), pipeline.RoundKeyKey(n, 3), pipeline.SnapshotKey(d), pipeline.DescriptorKey(n),
			pipeline.HeaderKey(n, schema.ReportID{Digest: d}), pipeline.PieceKey(n, schema.ReportID{Digest: d}, 0), pipeline.PieceKey(n, schema.ReportID{Digest: d}, 12),
			pipeline.CandidatesKey(n, d), pipeline.CheckKey(n, d, 0), pipeline.CheckKey(n, d, 15), pipeline.ManifestKey(n, schema.ManifestID{Digest: d}),
			pipeline.ReservationKey(schema.ScopeID{Digest: d}, n, schema.ManifestID{Digest: d}), pipeline.VoteKey(n, 1), pipeline.AnswerKey(n, 1),
			pipeline.ClaimKey(n, schema.VehicleID{}, 0), pipeline.ClaimKey(n, schema.VehicleID{}, 1),
			pipeline.PartialKey(n, d), pipeline.AggregateKey(n, d), pipeline.ReceiptKey(n), pipeline.FormatKey, pipeline.BatchKey(n, d), pipeline.StepKey(n, schema.StepID{Digest: d}),
			pipeline.RegionSumKey(n, "north", d), pipeline.RegionSumKey(n, "north-2", d),
			pipeline.HandoverKey(schema.ScopeID{Digest: d}, d, 77, 2), pipeline.LedgerPrefix(schema.ScopeID{Digest: d}) + ledger.EntryKey(3),
		}
		for i, k := range keys {
			if err := storage.CheckKey(k); err != nil {
				rt.Fatal(err)
			}
			if o, ok := pipeline.ParseObject(k); !ok || o.Key() != k {
				rt.Fatalf("%q is taken apart into %+v", k, o)
			}
			for _, other := range keys[:i] {
				if k == other || strings.HasPrefix(k, other+"/") || strings.HasPrefix(other, k+"/") {
					rt.Fatalf("%q and %q", k, other)
				}
			}
		}
		later := n
		later.Epoch++
		if pipeline.RoundPrefix(later) <= pipeline.RoundPrefix(n) {
			rt.Fatalf("%q sorts before %q", pipeline.RoundPrefix(later), pipeline.RoundPrefix(n))
		}
	})
}

// TestEveryNameIsKnown: a function that makes names cannot be forgotten in TestNames, and so
// not in ParseObject: fsck would call its objects unknown, and gc could not tell what they are.
func TestEveryNameIsKnown(t *testing.T) {
	made, err := parser.ParseFile(token.NewFileSet(), "layout.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	tests, err := os.ReadFile("layout_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range made.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && strings.HasSuffix(f.Name.Name, "Key") && !strings.Contains(string(tests), "pipeline."+f.Name.Name+"(") {
			t.Errorf("%s is not in TestNames", f.Name.Name)
		}
	}
}

// TestStrangeNames: what no function makes is no name of ours.
func TestStrangeNames(t *testing.T) {
	d := schema.Digest{0xab}
	n := pipeline.RoundName{Task: schema.TaskID{Digest: d}, Epoch: 7}
	upper := func(k string) string { return strings.ReplaceAll(k, "ab0", "AB0") }
	for _, k := range []string{
		"", "x", "tasks", "tasks/x/task.json", "veilsum.json.bak", "snapshots/x", "snapshots/" + d.String() + "/x",
		upper(pipeline.TaskKey(n.Task)), upper(pipeline.ModelKey(n.Task, d)), pipeline.TaskKey(n.Task) + "/x", pipeline.RoundPrefix(n) + "x.json",
		pipeline.RoundPrefix(n) + "votes/x.json", pipeline.RoundPrefix(n) + "votes/-1.json", pipeline.RoundPrefix(n) + "votes/01.json", pipeline.RoundPrefix(n) + "votes/1",
		pipeline.RoundPrefix(n) + "partials/" + d.String() + ".arrow", pipeline.RoundPrefix(n) + "partials/x.vsp", pipeline.RoundPrefix(n) + "aggregate/x/y.arrow",
		strings.Replace(pipeline.DescriptorKey(n), "000000000007-0", "7-0", 1), strings.Replace(pipeline.DescriptorKey(n), "000000000007-0", "000000000007-00", 1),
		strings.Replace(pipeline.HeaderKey(n, schema.ReportID{Digest: d}), "/ab/", "/aa/", 1), pipeline.ReportPrefix(n, schema.ReportID{Digest: d}) + "piece-x",
		pipeline.ReportPrefix(n, schema.ReportID{Digest: d}) + "piece-01", pipeline.ReportPrefix(n, schema.ReportID{Digest: d}) + "pieces",
		"scopes/" + d.String() + "/other/x", "scopes/x/ledger/entry/000000000001", pipeline.ScopePrefix(schema.ScopeID{Digest: d}) + "x/y/z.json",
	} {
		if o, ok := pipeline.ParseObject(k); ok || o != (pipeline.Object{}) {
			t.Errorf("%q is taken apart into %+v", k, o)
		}
	}
	for _, k := range []string{pipeline.PieceKey(n, schema.ReportID{Digest: d}, 1), pipeline.BatchKey(n, d), pipeline.StepKey(n, schema.StepID{Digest: d}), "other", "veilsum-probe/x"} {
		if pipeline.Evidence(k) {
			t.Errorf("%q is evidence", k)
		}
	}
	for _, k := range []string{pipeline.HeaderKey(n, schema.ReportID{Digest: d}), pipeline.ReceiptKey(n), pipeline.LedgerPrefix(schema.ScopeID{Digest: d}) + "x", pipeline.PartialKey(n, d)} {
		if !pipeline.Evidence(k) {
			t.Errorf("%q is no evidence", k)
		}
	}
}

// TestListReports finds exactly the header objects, whatever else lies there.
func TestListReports(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s, n := mem.New(), pipeline.RoundName{Epoch: 7}
		var want []schema.ReportID
		for range rapid.IntRange(0, 8).Draw(rt, "reports") {
			id := schema.ReportID{Digest: digest(rt, "id")}
			want = append(want, id)
			put(rt, s, pipeline.HeaderKey(n, id))
			put(rt, s, pipeline.PieceKey(n, id, 0))
			other := n
			other.Epoch++
			put(rt, s, pipeline.HeaderKey(other, id))
		}
		id := schema.ReportID{Digest: digest(rt, "id")}
		p, hex := pipeline.ReportsPrefix(n), id.String()
		for _, junk := range []string{
			p + hex + "/header", p + "0" + hex[1:2] + "x/" + hex + "/header", p + hex[:2] + "/" + hex[1:] + "/header",
			p + hex[:2] + "/" + hex + "/more/header", p + hex[:2] + "/" + strings.ToUpper(hex) + "x/header", p + hex[:2] + "/" + hex + "/header2",
		} {
			_, _ = s.PutOnce(ctx, junk, nil) // some are no valid keys
		}
		got, err := pipeline.ListReports(ctx, s, n)
		slices.SortFunc(want, schema.CompareReports)
		if err != nil || !slices.Equal(got, slices.Compact(want)) {
			rt.Fatalf("%v, want %v (%v)", got, want, err)
		}
	})
}

func put(rt *rapid.T, s storage.Store, key string) {
	if _, err := s.PutOnce(ctx, key, []byte(key)); err != nil {
		rt.Fatal(err)
	}
}

// TestManyProposals: a flood of planted lists ends in an error, not in memory without bound.
func TestManyProposals(t *testing.T) {
	s := mem.New()
	r := &pipeline.Round{Plan: &pipeline.Plan{}, Name: pipeline.RoundName{Epoch: 1}}
	for i := range 1100 {
		id := schema.Digest{byte(i), byte(i >> 8)}
		for _, key := range []string{pipeline.CandidatesKey(r.Name, id), pipeline.ManifestKey(r.Name, schema.ManifestID{Digest: id})} {
			if _, err := s.PutOnce(ctx, key, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := pipeline.ListCandidates(ctx, s, r); !errors.Is(err, pipeline.ErrUntrusted) {
		t.Error(err)
	}
	if _, err := pipeline.ListManifests(ctx, s, r); !errors.Is(err, pipeline.ErrUntrusted) {
		t.Error(err)
	}
}

// TestForEach calls every index once, never a worker twice at a time, and stops at the first error.
func TestForEach(t *testing.T) {
	for _, n := range []int{0, 1, 2, 100} {
		calls, busy := make([]atomic.Int32, n), make([]sync.Mutex, pipeline.Workers(n))
		err := pipeline.ForEach(ctx, n, func(_ context.Context, w, i int) error {
			if !busy[w].TryLock() {
				t.Error("worker", w, "is busy")
			}
			defer busy[w].Unlock()
			calls[i].Add(1)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for i := range calls {
			if calls[i].Load() != 1 {
				t.Errorf("%d of %d: %d calls", i, n, calls[i].Load())
			}
		}
	}
	stop, seen := errors.New("stop"), atomic.Int32{}
	err := pipeline.ForEach(ctx, 1000, func(context.Context, int, int) error { seen.Add(1); return stop })
	if !errors.Is(err, stop) || int(seen.Load()) > pipeline.Workers(1000) {
		t.Error(err, seen.Load(), "calls")
	}
}

// TestParseRoundName: names are read as they are written, and nothing else is one.
func TestParseRoundName(t *testing.T) {
	for _, n := range []pipeline.RoundName{{}, {Epoch: 7, Lane: 3}, {Epoch: 1<<64 - 1, Lane: 1<<32 - 1}} {
		if got, ok := pipeline.ParseRoundName(n.Task, n.String()); !ok || got != n {
			t.Errorf("%s: %v %t", n, got, ok)
		}
	}
	for _, bad := range []string{"", "7-3", "000000000007", "000000000007-", "000000000007-03", "+00000000007-3", "000000000007-3-1", "000000000007-4294967296", "000000000007-3 "} {
		if n, ok := pipeline.ParseRoundName(schema.TaskID{}, bad); ok {
			t.Errorf("%q is taken for %v", bad, n)
		}
	}
}
