package pipeline

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// NewestSnapshot returns the valid enrollment snapshot of the task's scope with the highest serial. [ErrNotReady] if
// there is none: nobody is enrolled yet. Snapshots of other scopes and forgeries are passed over.
func NewestSnapshot(ctx context.Context, s storage.Store, p *Plan) (*schema.Snapshot, error) {
	var newest *schema.Snapshot
	for info, err := range s.List(ctx, snapshotsPrefix, "") {
		if err != nil {
			return nil, err
		}
		root, err := schema.ParseDigest(strings.TrimPrefix(info.Key, snapshotsPrefix))
		if err != nil {
			continue
		}
		snap, err := LoadSnapshot(ctx, s, p, root)
		if errors.Is(err, ErrUntrusted) {
			continue // another scope's, or a forgery: not this authority's for this scope
		}
		if err != nil {
			return nil, err
		}
		if newest == nil || snap.Serial > newest.Serial {
			newest = snap
		}
	}
	if newest == nil {
		return nil, fmt.Errorf("%w: no vehicle is enrolled", ErrNotReady)
	}
	return newest, nil
}
