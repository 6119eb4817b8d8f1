package pipeline

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"io"

	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// HashModel is schema.HashModel of an object of any size.
func HashModel(ctx context.Context, s storage.Store, key string) (schema.Digest, error) {
	d, _, err := hashObject(ctx, s, key, func(h hash.Hash, size int64) {
		label := "veilsum/1/model"
		h.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(label))))
		io.WriteString(h, label)
		h.Write(binary.LittleEndian.AppendUint64(nil, uint64(size)))
	})
	return d, err
}

// HashObject is the SHA-256 of an object of any size, and its size.
func HashObject(ctx context.Context, s storage.Store, key string) (schema.Digest, int64, error) {
	return hashObject(ctx, s, key, func(hash.Hash, int64) {})
}

func hashObject(ctx context.Context, s storage.Store, key string, begin func(h hash.Hash, size int64)) (schema.Digest, int64, error) {
	rc, info, err := s.Get(ctx, key)
	if err != nil {
		return schema.Digest{}, 0, err
	}
	defer rc.Close()
	h := sha256.New()
	begin(h, info.Size)
	if _, err := io.Copy(h, rc); err != nil {
		return schema.Digest{}, 0, err
	}
	return schema.Digest(h.Sum(nil)), info.Size, nil
}
