package storagetest

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"testing/iotest"

	"github.com/veilsum/veilsum/storage"
)

// streams tests storage.PutOnceFrom, with the driver's own streaming if it has any: right bytes are
// created once, whatever is wrong with a stream creates nothing.
func streams(f *fixture) {
	body := bytes.Repeat([]byte("stream"), 20_000)
	sum, size := sha256.Sum256(body), int64(len(body))
	put := func(key string, r io.Reader) (storage.Outcome, error) {
		return storage.PutOnceFrom(f.Context(), f.store, key, size, sum, r)
	}
	errLink := errors.New("link is down")
	long, wrong := append(bytes.Clone(body), 'x'), bytes.Clone(body)
	wrong[size-1]++
	for name, bad := range map[string]struct {
		r   io.Reader
		err error
	}{
		"short":  {bytes.NewReader(body[:size-1]), io.ErrUnexpectedEOF},
		"empty":  {bytes.NewReader(nil), io.ErrUnexpectedEOF},
		"long":   {bytes.NewReader(long), storage.ErrTooLarge},
		"wrong":  {bytes.NewReader(wrong), storage.ErrDigest},
		"broken": {io.MultiReader(bytes.NewReader(body[:size/2]), iotest.ErrReader(errLink)), errLink},
		"late":   {io.MultiReader(bytes.NewReader(body), iotest.ErrReader(errLink)), errLink},
	} {
		if o, err := put(f.key("object"), bad.r); !errors.Is(err, bad.err) || o != 0 {
			f.Errorf("%s: %v, %v; want %v", name, o, err, bad.err)
		}
	}
	if _, err := f.store.Stat(f.Context(), f.key("object")); !errors.Is(err, storage.ErrNotExist) {
		f.Fatalf("a bad stream left something: %v", err)
	}
	if o, err := put(f.key("object"), iotest.HalfReader(bytes.NewReader(body))); o != storage.Created || err != nil {
		f.Fatal(o, err)
	}
	if o, err := put(f.key("object"), bytes.NewReader(body)); o != storage.Identical || err != nil {
		f.Error(o, err)
	}
	if have, err := storage.ReadAll(f.Context(), f.store, f.key("object"), size); err != nil || !bytes.Equal(have, body) {
		f.Errorf("%d bytes, %v", len(have), err)
	}
	other := bytes.ToUpper(body)
	_, err := storage.PutOnceFrom(f.Context(), f.store, f.key("object"), size, sha256.Sum256(other), bytes.NewReader(other))
	if !errors.Is(err, storage.ErrConflict) {
		f.Errorf("other bytes: %v", err)
	}
	if o, err := storage.PutOnceFrom(f.Context(), f.store, f.key("nothing"), 0, sha256.Sum256(nil), bytes.NewReader(nil)); o != storage.Created || err != nil {
		f.Error("empty object:", o, err)
	}
	if _, err := put("../up", bytes.NewReader(body)); !errors.Is(err, storage.ErrKey) {
		f.Errorf("bad key: %v", err)
	}
}
