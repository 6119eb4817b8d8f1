package calls

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/collector"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// result answers with what a round published: its values in the tensors' own types, each tensor at a multiple of 64 bytes.
func result(c *call, q roundRequest) (any, error) {
	r, err := c.whole(q.Round)
	if err != nil {
		return nil, err
	}
	rec, err := pipeline.LoadReceipt(c, r.store, r.Round)
	if errors.Is(err, storage.ErrNotExist) {
		return nil, fmt.Errorf("%w: round %s goes on", pipeline.ErrNotReady, r.Name)
	}
	if err != nil {
		return nil, err
	}
	return c.aggregate(r, rec)
}

// column says where a tensor's values lie in the answer's buffer.
type column struct {
	schema.Tensor
	Offset int `json:"offset"` // bytes
	Values int `json:"values"`
}

func (c *call) aggregate(r *round, rec schema.Receipt) (any, error) {
	a, _, err := collector.Published(c, r.store, r.Round, rec)
	if err != nil {
		return nil, err
	}
	columns, size, err := layout(a.Tensors)
	if err != nil {
		return nil, err
	}
	out, err := c.grow(size)
	if err != nil {
		return nil, err
	}
	values := a.Values
	for _, x := range columns {
		putValues(out[x.Offset:], values[:x.Values], x.DType)
		values = values[x.Values:]
	}
	return map[string]any{"columns": columns, "metadata": a.Meta, "receipt": rec, "key": pipeline.AggregateKey(r.Name, rec.Aggregate)}, nil
}

// align is where Arrow wants buffers to begin.
const align = 64

func layout(tensors []schema.Tensor) (columns []column, size int, err error) {
	for _, t := range tensors {
		n, err := t.Size()
		if err != nil {
			return nil, 0, err
		}
		columns = append(columns, column{t, size, n})
		size += (n*width(t.DType) + align - 1) / align * align
	}
	return columns, size, nil
}

func width(dtype string) int {
	if dtype == "float32" {
		return 4
	}
	return 8
}

// putValues writes values little-endian; those of a float32 tensor are exact in it.
func putValues(dst []byte, values []float64, dtype string) {
	for i, v := range values {
		if dtype == "float32" {
			binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(float32(v)))
		} else {
			binary.LittleEndian.PutUint64(dst[8*i:], math.Float64bits(v))
		}
	}
}

// status counts what the store holds of a round.
func status(c *call, q roundRequest) (any, error) {
	r, err := c.whole(q.Round)
	if err != nil {
		return nil, err
	}
	ids, err := pipeline.ListReports(c, r.store, r.Name)
	if err != nil {
		return nil, err
	}
	out := map[string]any{"reports": len(ids), "status": "open"}
	list, n, err := pipeline.FrozenCandidates(c, r.store, r.Round)
	if err != nil {
		return nil, err
	}
	checks := 0
	if n > 0 {
		all, err := pipeline.LoadChecks(c, r.store, r.Round, list)
		if err != nil {
			return nil, err
		}
		checks = len(all)
	}
	out["candidates"], out["checks"] = n, checks
	return out, later(c, r, out)
}

// later counts votes and answers, and tells how the round ended.
func later(ctx context.Context, r *round, out map[string]any) error {
	votes, err := pipeline.LoadVotes(ctx, r.store, r.Round)
	if err != nil {
		return err
	}
	answers := 0
	if id, _, err := pipeline.Certified(r.Round, votes); err == nil {
		all, err := pipeline.LoadAnswers(ctx, r.store, r.Round, id)
		if err != nil {
			return err
		}
		answers = len(all)
	}
	out["votes"], out["answers"] = len(votes), answers
	rec, err := pipeline.LoadReceipt(ctx, r.store, r.Round)
	if errors.Is(err, storage.ErrNotExist) {
		return nil
	}
	if err == nil {
		out["status"] = rec.Status
	}
	return err
}
