package s3

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/veilsum/veilsum/storage"
)

var _ storage.Presigner = (*Store)(nil)

// PresignPut implements [storage.Presigner]. Condition, size and hash are signed, so the server that honors them
// (see [Store.Probe]) creates exactly this object or none; the hash is also stored where Get looks for it.
func (s *Store) PresignPut(ctx context.Context, key string, size int64, sum [sha256.Size]byte, life time.Duration) (string, map[string]string, error) {
	name, err := s.object(key)
	if err != nil {
		return "", nil, err
	}
	header := map[string]string{
		"If-None-Match":            "*",
		"Content-Length":           strconv.FormatInt(size, 10),
		"X-Amz-Checksum-Sha256":    base64.StdEncoding.EncodeToString(sum[:]),
		"X-Amz-Meta-" + metaSHA256: hex.EncodeToString(sum[:]),
	}
	signed := http.Header{}
	for k, v := range header {
		signed.Set(k, v)
	}
	u, err := s.once.PresignHeader(ctx, http.MethodPut, s.config.Bucket, name, life, nil, signed)
	if err != nil {
		return "", nil, fmt.Errorf("s3: presign %q: %w", key, err)
	}
	return u.String(), header, nil
}
