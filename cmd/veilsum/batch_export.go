package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/collector"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/schema/arrowipc"
	"github.com/veilsum/veilsum/schema/tensors/export"
	"github.com/veilsum/veilsum/storage"
)

type exportFlags struct {
	roundFlags
	out, from string
	force     bool
}

func (a *app) batchExportCommand() *cobra.Command {
	f := &exportFlags{}
	c := verb("export", "Write a round's aggregate for NumPy or safetensors", `Writes the mean that a round published in the format that the name of --out
says: .npz (one array a tensor, as numpy.load reads it; the member veilsum.json
has the metadata), .safetensors, or .arrow, the aggregate's own bytes. The
aggregate is read from the store and checked against the round's signed receipt.
--from converts an aggregate file that you have, which is believed as it is.`,
		"  veilsum batch export --epoch 1 --out mean.npz --store file:./store --task $TASK --owner owner.pub", cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return a.batchExport(ctx, f) })
	f.roundFlags.register(c)
	c.Flags().Lookup("epoch").Annotations = nil // unlike in other commands it is not always needed
	c.Flags().StringVar(&f.out, "out", "", "file to write, named .npz, .safetensors or .arrow")
	c.Flags().StringVar(&f.from, "from", "", "convert this aggregate file instead of reading a store")
	c.Flags().BoolVar(&f.force, "force", false, "overwrite --out")
	must(c.MarkFlagRequired("out"))
	c.MarkFlagsOneRequired("epoch", "from")
	c.MarkFlagsMutuallyExclusive("epoch", "from")
	return c
}

func (a *app) batchExport(ctx context.Context, f *exportFlags) error {
	format := strings.ToLower(filepath.Ext(f.out))
	if format != ".arrow" && !export.CanWrite(f.out) {
		return usage("--out %s: the name must end in .npz, .safetensors or .arrow", f.out)
	}
	raw, sum, err := f.aggregate(ctx, a)
	if err != nil {
		return err
	}
	agg, err := arrowipc.OpenAggregate(raw, sum)
	if err != nil && f.from != "" {
		return withHint(err, "--from takes the mean that \"round collect\" or \"round merge\" wrote")
	}
	if err != nil {
		return err
	}
	if format != ".arrow" {
		var b bytes.Buffer
		if err := export.Write(&b, f.out, agg.Tensors, agg.Values, agg.Meta); err != nil {
			return err
		}
		raw = b.Bytes()
	}
	if err := writeFile(f.out, raw, 0o644, f.force); err != nil {
		return err
	}
	a.out.Result(exportResult{File: f.out, Tensors: len(agg.Tensors), Values: len(agg.Values), Bytes: len(raw), Aggregate: sum})
	return nil
}

// aggregate returns the bytes of the aggregate and the hash that its receipt names.
func (f *exportFlags) aggregate(ctx context.Context, a *app) ([]byte, schema.Digest, error) {
	if f.from != "" {
		raw, err := a.readInput(f.from, schema.MaxValues)
		return raw, sha256.Sum256(raw), err
	}
	o, r, err := f.round(ctx)
	if err != nil {
		return nil, schema.Digest{}, err
	}
	rec, err := pipeline.LoadReceipt(ctx, o.store, r)
	if err != nil && !errors.Is(err, storage.ErrNotExist) {
		return nil, schema.Digest{}, err // a receipt that does not verify is nothing to wait for
	}
	if err != nil {
		return nil, schema.Digest{}, withHint(fmt.Errorf("%w: round %s has no receipt: %w", pipeline.ErrNotReady, r.Name, err), `"veilsum round status" shows how far it is`)
	}
	_, raw, err := collector.Published(ctx, o.store, r, rec)
	return raw, rec.Aggregate, err
}

type exportResult struct {
	File      string        `json:"file"`
	Tensors   int           `json:"tensors"`
	Values    int           `json:"values"`
	Bytes     int           `json:"bytes"`
	Aggregate schema.Digest `json:"aggregate_sha256"`
}

// Text implements ui.Result.
func (r exportResult) Text() string {
	return fmt.Sprintf("%s: %s of %s, %d bytes\n", r.File, many(r.Tensors, "tensor"), many(r.Values, "value"), r.Bytes)
}
