package s3

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/veilsum/veilsum/storage"
)

// uploads lists the uploads in parts that nobody completed, of names that start with prefix.
func (s *Store) uploads(ctx context.Context, prefix string) (all []minio.ObjectMultipartInfo, err error) {
	for key, id := "", ""; ; {
		found, err := s.read.ListMultipartUploads(ctx, s.config.Bucket, prefix, key, id, "", 1000)
		if err != nil {
			return nil, err
		}
		for _, u := range found.Uploads {
			if strings.HasPrefix(u.Key, prefix) {
				all = append(all, u)
			}
		}
		if !found.IsTruncated || found.NextKeyMarker == key && found.NextUploadIDMarker == id {
			return all, nil
		}
		key, id = found.NextKeyMarker, found.NextUploadIDMarker
	}
}

// Leftovers implements [storage.Janitor]: uploads in parts that nobody completed, and
// the notes of such. A server that cannot list uploads shows none.
func (s *Store) Leftovers(ctx context.Context, before time.Time) ([]storage.Leftover, error) {
	uploads, err := s.uploads(ctx, s.base())
	if err != nil && doubtful(err) {
		return nil, s.fail("list uploads", s.base(), err)
	}
	var all []storage.Leftover
	for _, u := range uploads {
		if !u.Initiated.After(before) {
			all = append(all, storage.Leftover{Key: strings.TrimPrefix(u.Key, s.base()), Name: "upload " + u.UploadID + " " + u.Key, Size: -1, Modified: u.Initiated})
		}
	}
	for found := range s.read.ListObjectsIter(ctx, s.config.Bucket, minio.ListObjectsOptions{Prefix: s.base() + notesFolder, Recursive: true}) {
		if found.Err != nil {
			return nil, s.fail("list", notesFolder, found.Err)
		}
		if !found.LastModified.After(before) {
			all = append(all, storage.Leftover{Name: "note " + found.Key, Size: found.Size, Modified: found.LastModified})
		}
	}
	return all, ctx.Err()
}

// RemoveLeftover implements [storage.Janitor].
func (s *Store) RemoveLeftover(ctx context.Context, l storage.Leftover) error {
	kind, rest, _ := strings.Cut(l.Name, " ")
	id, name, isUpload := strings.Cut(rest, " ")
	var err error
	switch {
	case kind == "upload" && isUpload && strings.HasPrefix(name, s.base()):
		err = s.read.AbortMultipartUpload(ctx, s.config.Bucket, name, id)
	case kind == "note" && strings.HasPrefix(rest, s.base()+notesFolder):
		err = s.read.RemoveObject(ctx, s.config.Bucket, rest, minio.RemoveObjectOptions{})
	default:
		return fmt.Errorf("%w: %q is no leftover of this store", storage.ErrKey, l.Name)
	}
	if err == nil || minio.ToErrorResponse(err).Code == minio.NoSuchUpload {
		return nil
	}
	if err := s.fail("remove", l.Name, err); !errors.Is(err, storage.ErrNotExist) {
		return err
	}
	return nil
}
