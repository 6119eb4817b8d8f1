package pipeline_test

import (
	"bytes"
	"errors"
	"testing"

	"pgregory.net/rapid"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/aggregator"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/secagg/committee"
)

// TestDropoutsAnyQuorumAnyTree drops 0 to 90 % of the vehicles, adds the rest in
// an arbitrary tree of partial sums, and opens with every quorum of t
// decryptors: always the same bytes, the same sum.
func TestDropoutsAnyQuorumAnyTree(t *testing.T) {
	f := pipelinetest.New(t, 30, pipelinetest.Task(50))
	r := f.Open(1)
	present := len(f.Vehicles)
	for i := range f.Vehicles {
		f.Report(r, i)
	}
	ids, err := pipeline.ListReports(ctx, f.Store, r.Name)
	if err != nil || len(ids) != present {
		t.Fatal(len(ids), err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(3, len(ids)).Draw(rt, "reports that arrive")
		from := rapid.IntRange(0, len(ids)-n).Draw(rt, "first")
		list := ids[from : from+n]
		direct, err := aggregator.FromReports(ctx, f.Store, r, list, nil)
		if err != nil {
			rt.Fatal(err)
		}
		want, _, err := direct.Encode(r)
		if err != nil {
			rt.Fatal(err)
		}
		tree := mergeTree(rt, f, r, list)
		got, _, err := tree.Encode(r)
		if err != nil || !bytes.Equal(got, want) {
			rt.Fatalf("the tree gives another sum (%v)", err)
		}
		sameSum(rt, r, tree, answersFor(rt, f, r, list))
	})
}

// mergeTree adds a list in a random tree.
func mergeTree(rt *rapid.T, f *pipelinetest.Fleet, r *pipeline.Round, list []schema.ReportID) *aggregator.PartialSum {
	if len(list) == 1 || rapid.IntRange(0, 3).Draw(rt, "leaf") == 0 {
		res, err := aggregator.Sum(ctx, f.Store, r, list, nil)
		if err != nil {
			rt.Fatal(err)
		}
		return &res.PartialSum
	}
	cut := rapid.IntRange(1, len(list)-1).Draw(rt, "cut")
	merged, err := aggregator.Merge(r, mergeTree(rt, f, r, list[:cut]), mergeTree(rt, f, r, list[cut:]))
	if err != nil {
		rt.Fatal(err)
	}
	return merged
}

// answersFor computes what honest decryptors answer for a list; their keys are used outside of
// their records, which would answer once only.
func answersFor(rt *rapid.T, f *pipelinetest.Fleet, r *pipeline.Round, list []schema.ReportID) map[int]schema.Signed[schema.Answer] {
	all := map[int]schema.Signed[schema.Answer]{}
	for k := range r.Task.Committee.Size {
		shares, err := committee.NewShares(r.Secagg, k)
		if err != nil {
			rt.Fatal(err)
		}
		for _, id := range list {
			seeds, err := f.Seeds(r, k, id)
			if err == nil {
				err = shares.Add(seeds)
			}
			if err != nil {
				rt.Fatal(err)
			}
		}
		all[k] = schema.Signed[schema.Answer]{Body: schema.Answer{Index: k, Shares: shares.Packed()}}
	}
	return all
}

func sameSum(rt *rapid.T, r *pipeline.Round, sum *aggregator.PartialSum, answers map[int]schema.Signed[schema.Answer]) {
	want, err := openWith(r, sum, answers, []int{0, 1, 2, 3})
	if err != nil {
		rt.Fatal(err)
	}
	for _, quorum := range [][]int{{0, 1, 2}, {0, 1, 3}, {0, 2, 3}, {1, 2, 3}} {
		got, err := openWith(r, sum, answers, quorum)
		if err != nil || !equalInts(got, want) {
			rt.Fatalf("decryptors %v open another sum (%v)", quorum, err)
		}
	}
	if _, err := openWith(r, sum, answers, []int{1, 3}); !errors.Is(err, committee.ErrAnswers) {
		rt.Fatalf("two answers: %v", err)
	}
}

func equalInts(a, b []int32) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func openWith(r *pipeline.Round, sum *aggregator.PartialSum, answers map[int]schema.Signed[schema.Answer], members []int) ([]int32, error) {
	var given []committee.Answer
	for _, k := range members {
		given = append(given, committee.Answer{Index: k, Shares: answers[k].Body.Shares})
	}
	var x []int32
	_, err := committee.Open(r.Secagg, r.ID.Digest, len(sum.Reports), r.Task.Batch.MaxDishonest, sum.Sum, given, func(_ int, block []int32) error {
		x = append(x, block...)
		return nil
	})
	return x, err
}
