package collector

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/schema/arrowipc"
	"github.com/veilsum/veilsum/storage"
)

// Published reads what a committed round published, and the file itself, as anybody may. The bytes must be those that the receipt names, and
// hold the task's tensors: [pipeline.ErrUntrusted] if not. [pipeline.ErrEnded] if the round is void.
func Published(ctx context.Context, s storage.Store, r *pipeline.Round, rec schema.Receipt) (*arrowipc.Aggregate, []byte, error) {
	if rec.Status != schema.StatusCommitted {
		return nil, nil, fmt.Errorf("%w: round %s is %s and published nothing: %s", pipeline.ErrEnded, r.Name, rec.Status, rec.Reason)
	}
	key := pipeline.AggregateKey(r.Name, rec.Aggregate)
	file, err := storage.ReadAll(ctx, s, key, rec.AggregateSize)
	if errors.Is(err, storage.ErrTooLarge) {
		err = pipeline.Untrusted(key, err)
	}
	if err != nil {
		return nil, nil, err
	}
	a, err := arrowipc.OpenAggregate(file, rec.Aggregate)
	if err == nil && !slices.EqualFunc(a.Tensors, r.Task.Tensors, schema.Tensor.Equal) {
		err = errors.New("it has other tensors than the task")
	}
	if err != nil {
		return nil, nil, pipeline.Untrusted(key, err)
	}
	return a, file, nil
}
