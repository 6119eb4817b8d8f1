package pipeline

import (
	"context"
	"crypto/ed25519"

	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// PublishTask completes a task, signs it with the privacy owner's key, writes it, and reads it back as every role does.
func PublishTask(ctx context.Context, s storage.Store, t schema.Task, owner ed25519.PrivateKey) (schema.TaskID, *Plan, error) {
	done, err := Complete(t)
	if err != nil {
		return schema.TaskID{}, nil, err
	}
	signed, err := schema.SignBody(done, owner)
	if err != nil {
		return schema.TaskID{}, nil, err
	}
	id := schema.NewTaskID(signed)
	if _, err := s.PutOnce(ctx, TaskKey(id), signed.Bytes()); err != nil {
		return id, nil, err
	}
	p, err := LoadTask(ctx, s, id, schema.NewPublicKey(owner))
	return id, p, err
}

// PublishSnapshot signs an enrollment snapshot of the task's scope with the authority's key, writes it, and returns its root.
func PublishSnapshot(ctx context.Context, s storage.Store, p *Plan, serial uint64, vehicles []schema.Enrolled, authority ed25519.PrivateKey) (schema.Digest, error) {
	snapshot, err := schema.NewSnapshot(p.Task.Scope.ID(), serial, vehicles, authority)
	if err != nil {
		return schema.Digest{}, err
	}
	_, err = s.PutOnce(ctx, SnapshotKey(snapshot.Root()), snapshot.Bytes())
	return snapshot.Root(), err
}
