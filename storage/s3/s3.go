// Package s3 is a [storage.Store] in a bucket of any S3 server that honors
// If-None-Match: * on PUT. [Store.Probe] finds out; servers that ignore it and
// answer 200 exist (s3proxy 2.6.0), and on them nothing is safe.
//
// How PutOnce keeps its promise: minio-go drops the condition on multipart
// uploads, and a transparent retry of a conditional PUT whose response was lost
// tells the winner that it lost. So each object is one single PUT, or one upload in
// parts whose completion carries the condition, sent by a
// client that never retries, and marked with a random write id and the SHA-256
// of the body. In any doubt the object is looked at: our write id means we
// created it, our hash that somebody wrote the same, anything else a conflict,
// nothing that the request may be sent again.
//
// The body's SHA-256 is also the signed x-amz-content-sha256, so the server
// refuses a damaged upload; neither chunked signatures nor checksum trailers
// are used, which servers implement less well. Get recomputes the hash. With
// plain http the headers are signed but contents can be read on the way.
package s3

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"os"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/veilsum/veilsum/storage"
	"github.com/veilsum/veilsum/storage/internal/body"
)

const (
	readTries     = 6 // tries of reads, lists and deletes, which are safe to repeat
	bucketTimeout = 30 * time.Second

	metaWriteID = "veilsum-write-id"
	metaSHA256  = "veilsum-sha256"
)

// Store is a store in a bucket. It is safe for concurrent use. Make one with
// Open.
type Store struct {
	config Config
	creds  *credentials.Credentials
	once   *minio.Core // never retries
	read   *minio.Core // retries
	locked func(key string) bool
}

var _ storage.Store = (*Store)(nil)

// Option changes how Open opens a store.
type Option func(*Store)

// RetainOnly limits Config.Retain to keys that the function accepts; without it all
// objects are locked, so that nothing can be collected as garbage.
func RetainOnly(locked func(key string) bool) Option { return func(s *Store) { s.locked = locked } }

// Open prepares the store. It talks to the server only if CreateBucket is set.
func Open(config Config, options ...Option) (*Store, error) {
	config, err := config.check()
	if err != nil {
		return nil, err
	}
	s := &Store{config: config, creds: chain(config), locked: func(string) bool { return true }}
	for _, option := range options {
		option(s)
	}
	transport, err := minio.DefaultTransport(config.Secure)
	if err != nil {
		return nil, fmt.Errorf("s3: %w", err)
	}
	if config.Secure && config.RootCAs != nil {
		transport.TLSClientConfig.RootCAs = config.RootCAs
	}
	clients := minio.Options{Creds: s.creds, Secure: config.Secure, Region: config.Region, Transport: transport, MaxRetries: 1}
	if s.once, err = minio.NewCore(config.Endpoint, &clients); err != nil {
		return nil, fmt.Errorf("s3: %w", err)
	}
	clients.MaxRetries = readTries
	if s.read, err = minio.NewCore(config.Endpoint, &clients); err != nil {
		return nil, fmt.Errorf("s3: %w", err)
	}
	if config.CreateBucket {
		if err := s.createBucket(); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func chain(config Config) *credentials.Credentials {
	if c := config.Credentials; c != nil {
		return credentials.NewStaticV4(c.AccessKeyID, c.SecretAccessKey, c.SessionToken)
	}
	providers := []credentials.Provider{&credentials.EnvAWS{}, &credentials.EnvMinio{}, &credentials.FileAWSCredentials{}}
	// Elsewhere nothing answers at the address of the metadata service, slowly.
	if strings.HasSuffix(config.Endpoint, "amazonaws.com") || os.Getenv("AWS_WEB_IDENTITY_TOKEN_FILE") != "" ||
		os.Getenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") != "" || os.Getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI") != "" {
		providers = append(providers, &credentials.IAM{})
	}
	return credentials.NewChainCredentials(providers)
}

func (s *Store) createBucket() error {
	ctx, cancel := context.WithTimeout(context.Background(), bucketTimeout)
	defer cancel()
	exists, err := s.read.BucketExists(ctx, s.config.Bucket)
	if err != nil {
		return s.fail("look for bucket", s.config.Bucket, err)
	}
	if exists {
		return nil
	}
	err = s.read.MakeBucket(ctx, s.config.Bucket, minio.MakeBucketOptions{Region: s.config.Region})
	switch minio.ToErrorResponse(err).Code {
	case minio.BucketAlreadyOwnedByYou, minio.BucketAlreadyExists: // somebody was faster
		return nil
	}
	if err != nil {
		return s.fail("create bucket", s.config.Bucket, err)
	}
	return nil
}

// String returns the URL of the store, as ParseURL reads it, without ca and
// create.
func (s *Store) String() string { return s.config.url() }

// object returns the name of a key in the bucket.
func (s *Store) object(key string) (string, error) {
	if err := storage.CheckKey(key); err != nil {
		return "", err
	}
	name := s.base() + key
	if len(name) > 1024 {
		return "", fmt.Errorf("%w: with the prefix of the store it has more than 1024 bytes", storage.ErrKey)
	}
	return name, nil
}

// base is what every object name starts with.
func (s *Store) base() string {
	if s.config.Prefix == "" {
		return ""
	}
	return s.config.Prefix + "/"
}

// Get implements [storage.Store]. At the end of an object that PutOnce wrote its
// SHA-256 is compared with that of the bytes read.
func (s *Store) Get(ctx context.Context, key string) (io.ReadCloser, storage.Info, error) {
	r, found, err := s.open(ctx, key, minio.GetObjectOptions{})
	if err != nil {
		return nil, storage.Info{}, err
	}
	if found.Size < 0 {
		r.Close()
		return nil, storage.Info{}, fmt.Errorf("s3: get %q: the server announces no length", key)
	}
	return verified(ctx, key, r, found), info(key, found), nil
}

// verified hashes what is read if there is a hash to compare with.
func verified(ctx context.Context, key string, r io.ReadCloser, found minio.ObjectInfo) io.ReadCloser {
	want, ok := storedHash(found)
	if !ok {
		return body.New(ctx, r, found.Size, nil)
	}
	h := sha256.New()
	return body.New(ctx, hashing{r, h}, found.Size, func() error {
		if have := [sha256.Size]byte(h.Sum(nil)); have != want {
			return fmt.Errorf("%w: s3: get %q: sha256 %x, written as %x", storage.ErrDamaged, key, have, want)
		}
		return nil
	})
}

// hashing hashes what passes through.
type hashing struct {
	io.ReadCloser
	h hash.Hash
}

func (r hashing) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.h.Write(p[:n])
	return n, err
}

// GetRange implements [storage.Store]. Part of an object cannot be compared with
// the hash of the whole.
func (s *Store) GetRange(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	if off < 0 || n < 0 || off > math.MaxInt64-n {
		return nil, fmt.Errorf("%w: %d bytes at %d", storage.ErrRange, n, off)
	}
	if n == 0 { // HTTP cannot ask for nothing
		return s.emptyRange(ctx, key, off)
	}
	var options minio.GetObjectOptions
	if err := options.SetRange(off, off+n-1); err != nil {
		return nil, fmt.Errorf("s3: %w", err)
	}
	r, found, err := s.open(ctx, key, options)
	if err != nil {
		return nil, err
	}
	if err := checkRange(found, off, n); err != nil {
		r.Close()
		return nil, fmt.Errorf("s3: get %q: %w", key, err)
	}
	return body.New(ctx, r, n, nil), nil
}

func (s *Store) emptyRange(ctx context.Context, key string, off int64) (io.ReadCloser, error) {
	have, err := s.Stat(ctx, key)
	if err != nil {
		return nil, err
	}
	if off > have.Size {
		return nil, fmt.Errorf("%w: 0 bytes at %d of %d", storage.ErrRange, off, have.Size)
	}
	return body.New(ctx, io.NopCloser(strings.NewReader("")), 0, nil), nil
}

// checkRange reads the server's "Content-Range: bytes FIRST-LAST/SIZE".
func checkRange(found minio.ObjectInfo, off, n int64) error {
	var first, last, size int64
	header := found.Headers.Get("Content-Range")
	if _, err := fmt.Sscanf(header, "bytes %d-%d/%d", &first, &last, &size); err != nil || first != off {
		return errors.New("the server did not honor the range")
	}
	if n > size-off {
		return fmt.Errorf("%w: %d bytes at %d of %d", storage.ErrRange, n, off, size)
	}
	if found.Size != n || last != off+n-1 {
		return errors.New("the server did not honor the range")
	}
	return nil
}

func (s *Store) open(ctx context.Context, key string, options minio.GetObjectOptions) (io.ReadCloser, minio.ObjectInfo, error) {
	name, err := s.object(key)
	if err != nil {
		return nil, minio.ObjectInfo{}, err
	}
	if err := ctx.Err(); err != nil {
		return nil, minio.ObjectInfo{}, err
	}
	r, found, header, err := s.read.GetObject(ctx, s.config.Bucket, name, options)
	if err != nil {
		return nil, minio.ObjectInfo{}, s.fail("get", key, err)
	}
	found.Headers = header
	return r, found, nil
}

// Stat implements [storage.Store].
func (s *Store) Stat(ctx context.Context, key string) (storage.Info, error) {
	name, err := s.object(key)
	if err != nil {
		return storage.Info{}, err
	}
	if err := ctx.Err(); err != nil {
		return storage.Info{}, err
	}
	found, err := s.read.StatObject(ctx, s.config.Bucket, name, minio.StatObjectOptions{})
	if err != nil {
		return storage.Info{}, s.fail("stat", key, err)
	}
	if found.Size < 0 {
		return storage.Info{}, fmt.Errorf("s3: stat %q: the server announces no length", key)
	}
	return info(key, found), nil
}

// Delete implements [storage.Store]. In a bucket with versions the bytes stay.
func (s *Store) Delete(ctx context.Context, key string) error {
	name, err := s.object(key)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	err = s.read.RemoveObject(ctx, s.config.Bucket, name, minio.RemoveObjectOptions{})
	if err == nil {
		return nil
	}
	if err := s.fail("delete", key, err); !errors.Is(err, storage.ErrNotExist) {
		return err
	}
	return nil
}

func info(key string, found minio.ObjectInfo) storage.Info {
	return storage.Info{Key: key, Size: found.Size, Modified: found.LastModified}
}

// storedHash returns the SHA-256 that the writer left in the metadata.
func storedHash(found minio.ObjectInfo) (sum [sha256.Size]byte, ok bool) {
	raw, err := hex.DecodeString(meta(found, metaSHA256))
	if err != nil || len(raw) != sha256.Size {
		return sum, false
	}
	return [sha256.Size]byte(raw), true
}

// meta returns user metadata; servers differ in the case of names.
func meta(found minio.ObjectInfo, name string) string {
	for have, value := range found.UserMetadata {
		if strings.EqualFold(have, name) {
			return value
		}
	}
	return ""
}
