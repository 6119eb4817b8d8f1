package s3

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/veilsum/veilsum/storage"
)

const (
	maxBody    = 5 << 30 // bytes, what S3 accepts in a single PUT
	maxBackoff = 5 * time.Second
)

// PutOnce implements [storage.Store]. Bodies above Config.PartsFrom go in parts,
// so that a lost connection costs one part; smaller ones in a single PUT. An error other
// than a conflict comes after MaxTries or when trying again cannot help.
func (s *Store) PutOnce(ctx context.Context, key string, content []byte) (storage.Outcome, error) {
	name, err := s.object(key)
	if err != nil {
		return 0, err
	}
	if err := s.checkSize(key, int64(len(content))); err != nil {
		return 0, err
	}
	w, err := s.newWrite(key, name, content)
	if err != nil {
		return 0, err
	}
	if s.inParts(int64(len(content))) {
		return w.runParts(ctx)
	}
	return w.run(ctx, w.put)
}

func (s *Store) newWrite(key, name string, content []byte) (*write, error) {
	w := &write{store: s, key: key, name: name, content: content, sum: sha256.Sum256(content)}
	if _, err := rand.Read(w.id[:]); err != nil {
		return nil, fmt.Errorf("s3: %w", err)
	}
	return w, nil
}

func (s *Store) inParts(size int64) bool { return s.config.PartsFrom >= 0 && size > s.config.PartsFrom }

func (s *Store) checkSize(key string, size int64) error {
	most := int64(maxBody)
	if s.inParts(size) {
		most = maxParts * s.config.PartSize
	}
	if size > most {
		return fmt.Errorf("%w: %q has %d bytes, %d are possible", storage.ErrTooLarge, key, size, most)
	}
	return nil
}

// write is one call of PutOnce, over all its tries.
type write struct {
	store     *Store
	key, name string
	content   []byte
	sum       [sha256.Size]byte
	id        [16]byte // fresh for each call: tells our own earlier try from another writer
	parts     *upload  // of a body that goes in parts, once it is begun
	plain     bool     // never locked: no object of the store's user
}

// run sends the request until the outcome is known.
func (w *write) run(ctx context.Context, send func(context.Context) error) (storage.Outcome, error) {
	var last error
	for try := range w.store.config.MaxTries {
		if err := w.wait(ctx, try); err != nil {
			return 0, errors.Join(err, last)
		}
		err := send(ctx)
		if err == nil {
			return storage.Created, nil
		}
		if last = w.store.fail("put", w.key, err); !doubtful(err) {
			return 0, last
		}
		outcome, err := w.look(ctx)
		if outcome != 0 || errors.Is(err, storage.ErrConflict) {
			return outcome, err
		}
		// Not there: nothing was written yet, or the look failed. In both cases
		// the same request may go out again; should an earlier one still be on
		// its way and win, its write id is ours.
		if err != nil && !errors.Is(err, storage.ErrNotExist) {
			last = errors.Join(last, err)
		}
	}
	return 0, fmt.Errorf("s3: put %q: outcome unknown after %d tries: %w", w.key, w.store.config.MaxTries, last)
}

// wait backs off before all tries but the first. The write id is the jitter.
func (w *write) wait(ctx context.Context, try int) error {
	if try == 0 {
		return ctx.Err()
	}
	pause := min(w.store.config.Backoff<<min(try-1, 16), maxBackoff)
	pause = pause/2 + pause/2*time.Duration(w.id[try%len(w.id)])/255
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// options are the metadata and retention of the object.
func (w *write) options() minio.PutObjectOptions {
	options := minio.PutObjectOptions{
		UserMetadata: map[string]string{
			metaWriteID: hex.EncodeToString(w.id[:]),
			metaSHA256:  hex.EncodeToString(w.sum[:]),
		},
		// Not a chunked signature: the hash of the whole body is signed.
		DisableContentSha256: true,
		DisableMultipart:     true, // Core.PutObject never splits; said here for the reader
	}
	if !w.plain {
		w.store.retain(w.key, &options)
	}
	return options
}

// put sends one conditional PUT.
func (w *write) put(ctx context.Context) error {
	options := w.options()
	options.SetMatchETagExcept("*")
	digest := ""
	if options.Mode != "" { // S3 wants it of objects that are locked
		sum := md5.Sum(w.content)
		digest = base64.StdEncoding.EncodeToString(sum[:])
	}
	source := &lease{r: bytes.NewReader(w.content)}
	defer source.end()
	_, err := w.store.once.PutObject(ctx, w.store.config.Bucket, w.name, source, int64(len(w.content)), digest, hex.EncodeToString(w.sum[:]), options)
	return err
}

// look decides by what the key holds now. An object that is not there is
// ErrNotExist.
func (w *write) look(ctx context.Context) (storage.Outcome, error) {
	found, err := w.store.once.StatObject(ctx, w.store.config.Bucket, w.name, minio.StatObjectOptions{})
	if err != nil {
		return 0, w.store.fail("look at", w.key, err)
	}
	if found.Size == int64(len(w.content)) && meta(found, metaWriteID) == hex.EncodeToString(w.id[:]) {
		return storage.Created, nil
	}
	// The metadata is the word of whoever wrote the object: enough to call it another one, not to call it the same.
	have, ok := storedHash(found)
	if !ok || have == w.sum {
		have, err = w.hashOf(ctx, found.Size)
		if err != nil && !errors.Is(err, storage.ErrDamaged) { // damaged: it is not what it says, so not these bytes
			return 0, err
		}
	}
	if found.Size == int64(len(w.content)) && have == w.sum {
		return storage.Identical, nil
	}
	return 0, &storage.ConflictError{Key: w.key, Have: have, Want: w.sum}
}

// hashOf reads the object, to know what it holds.
func (w *write) hashOf(ctx context.Context, size int64) (sum [sha256.Size]byte, err error) {
	if size != int64(len(w.content)) {
		return sum, nil // other bytes for sure; their hash stays unknown
	}
	r, _, err := w.store.Get(ctx, w.key)
	if err != nil {
		return sum, err
	}
	defer r.Close()
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return sum, fmt.Errorf("s3: look at %q: %w", w.key, err)
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}

// lease lends the caller's bytes to the HTTP client, which may go on reading
// them in the background after an early answer: until end, not longer. It is no
// Seeker, so that minio-go cannot send it twice.
type lease struct {
	mu    sync.Mutex
	r     *bytes.Reader
	ended bool
}

func (l *lease) Read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return 0, errors.New("s3: request is over")
	}
	return l.r.Read(p)
}

func (l *lease) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
}
