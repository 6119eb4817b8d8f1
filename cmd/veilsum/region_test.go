package main

import (
	"context"
	"strconv"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/aggregator"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage/dir"
)

// cmdFalsify puts a false partial sum of all reports into a region's store, with garbage in c, that "region sum --partials" will
// sign: falsify DIR EPOCH.
func cmdFalsify(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: falsify DIR EPOCH")
	}
	epoch, err := strconv.ParseUint(args[1], 10, 64)
	ts.Check(err)
	s, err := dir.Open(ts.MkAbs(args[0]))
	ts.Check(err)
	task, err := schema.ParseDigest(ts.Getenv("VEILSUM_TASK"))
	ts.Check(err)
	owner, err := readPublic(ts.Getenv("VEILSUM_OWNER"))
	ts.Check(err)
	ctx := context.Background()
	plan, err := pipeline.LoadTask(ctx, s, schema.TaskID{Digest: task}, owner)
	ts.Check(err)
	r, err := pipeline.LoadRound(ctx, s, plan, pipeline.RoundName{Task: schema.TaskID{Digest: task}, Epoch: epoch})
	ts.Check(err)
	ids, err := pipeline.ListReports(ctx, s, r.Name)
	ts.Check(err)
	sum, err := aggregator.FromReports(ctx, s, r, ids, nil)
	ts.Check(err)
	block := make([]byte, r.Secagg.BlockBytes())
	bits := 8 * len(block) / r.Secagg.N()
	for i := range r.Secagg.N() { // residues below Q, packed one behind the other
		for j, x := 0, i*7919%int(r.Secagg.Q()); j < bits; j++ {
			block[(i*bits+j)/8] |= byte(x >> j & 1 << ((i*bits + j) % 8))
		}
	}
	ts.Check(sum.Sum.AddBlocks(0, block))
	_, err = aggregator.Store(ctx, s, r, sum)
	ts.Check(err)
}
