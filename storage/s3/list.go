package s3

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"github.com/minio/minio-go/v7"

	"github.com/veilsum/veilsum/storage"
)

// List implements [storage.Store]. It asks for pages of 1,000 and trusts neither
// their order nor their filter. Objects whose name is no key are left out.
func (s *Store) List(ctx context.Context, prefix, startAfter string) iter.Seq2[storage.Info, error] {
	return func(yield func(storage.Info, error) bool) {
		if cleanPart(prefix) != prefix {
			return // no key starts so
		}
		if err := ctx.Err(); err != nil {
			yield(storage.Info{}, err)
			return
		}
		if !s.list(ctx, prefix, startAfter, yield) {
			return
		}
		// minio-go ends a canceled listing as if it were complete.
		if err := ctx.Err(); err != nil {
			yield(storage.Info{}, err)
		}
	}
}

// list reports whether the caller wants to hear more.
func (s *Store) list(ctx context.Context, prefix, startAfter string, yield func(storage.Info, error) bool) bool {
	options := minio.ListObjectsOptions{Prefix: s.base() + prefix, Recursive: true}
	if startAfter != "" {
		options.StartAfter = s.base() + cleanPart(startAfter)
	}
	last := ""
	for found := range s.read.ListObjectsIter(ctx, s.config.Bucket, options) {
		if found.Err != nil {
			yield(storage.Info{}, s.fail("list", prefix, found.Err))
			return false
		}
		key, ok := strings.CutPrefix(found.Key, s.base())
		if !ok || !strings.HasPrefix(key, prefix) || key <= startAfter || storage.CheckKey(key) != nil {
			continue
		}
		if key <= last {
			yield(storage.Info{}, fmt.Errorf("s3: list %q: the server lists %q after %q", prefix, key, last))
			return false
		}
		last = key
		if !yield(info(key, found), nil) {
			return false
		}
	}
	return true
}

// cleanPart returns the longest start of s that a key could have (roughly):
// servers choke on some bytes, and a shorter startAfter only lists more.
func cleanPart(s string) string {
	for i := range min(len(s), 1024) {
		c := s[i]
		if c != '/' && storage.CheckKey("x"+string(rune(c))) != nil {
			return s[:i]
		}
	}
	return s[:min(len(s), 1024)]
}
