package region

import (
	"context"
	"errors"
	"fmt"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// Synced is what Sync found at the root.
type Synced struct {
	Copied []string        // names of the objects that the region's store has now
	End    *schema.Receipt // nil while the round goes on
}

// maxCopy bounds an object that is copied to a region: models are the largest.
const maxCopy = 4 << 30

// Sync copies what the vehicles of a region need from the root's store to the region's, verified: task, enrollment
// snapshot, round keys, model and descriptor, the descriptor last, and once the round has ended its manifest and receipt,
// which tell a vehicle what became of its report. It may be repeated at any time.
func Sync(ctx context.Context, near, root storage.Store, r *pipeline.Round) (*Synced, error) {
	if err := pipeline.PrepareRegion(ctx, near); err != nil {
		return nil, err
	}
	out := &Synced{}
	names := []string{pipeline.TaskKey(r.Name.Task), pipeline.SnapshotKey(r.Descriptor.Snapshot)}
	for k := range r.Descriptor.RoundKeys {
		names = append(names, pipeline.RoundKeyKey(r.Name, k))
	}
	names = append(names, pipeline.ModelKey(r.Name.Task, r.Descriptor.ModelHash), pipeline.DescriptorKey(r.Name))
	receipt, err := pipeline.LoadReceipt(ctx, root, r)
	switch {
	case err == nil:
		out.End = &receipt
		if !receipt.Manifest.IsZero() {
			names = append(names, pipeline.ManifestKey(r.Name, receipt.Manifest))
		}
		names = append(names, pipeline.ReceiptKey(r.Name))
	case !errors.Is(err, storage.ErrNotExist):
		return nil, err
	}
	for _, key := range names {
		if err := carry(ctx, near, root, r, key); err != nil {
			return nil, err
		}
		out.Copied = append(out.Copied, key)
	}
	// What was copied is what the root says: whoever reads the region's store verifies it again.
	if _, err := pipeline.LoadRound(ctx, near, r.Plan, r.Name); err != nil {
		return nil, err
	}
	return out, nil
}

// carry copies one object, unless it is there.
func carry(ctx context.Context, near, root storage.Store, r *pipeline.Round, key string) error {
	if _, err := near.Stat(ctx, key); !errors.Is(err, storage.ErrNotExist) {
		return err
	}
	b, err := storage.ReadAll(ctx, root, key, maxCopy)
	if err != nil {
		return err
	}
	if key == pipeline.ModelKey(r.Name.Task, r.Descriptor.ModelHash) && schema.HashModel(b) != r.Descriptor.ModelHash {
		return fmt.Errorf("%w: %s: its content differs from its name", pipeline.ErrUntrusted, key)
	}
	_, err = near.PutOnce(ctx, key, b)
	return err
}
