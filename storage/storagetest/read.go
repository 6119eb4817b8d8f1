package storagetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing/iotest"
	"time"

	"github.com/veilsum/veilsum/storage"
)

// each calls check with every operation on one key.
func (f *fixture) each(ctx context.Context, key string, check func(name string, err error)) {
	f.Helper()
	_, _, err := f.store.Get(ctx, key)
	check("Get", err)
	_, err = f.store.GetRange(ctx, key, 0, 1)
	check("GetRange", err)
	_, err = f.store.GetRange(ctx, key, 0, 0)
	check("GetRange of nothing", err)
	_, err = f.store.Stat(ctx, key)
	check("Stat", err)
}

func missing(f *fixture) {
	f.put(f.key("here/a"), []byte("x"), storage.Created)
	// Nothing at all, a folder, the start of a key.
	f.mustMiss(f.key("none"), f.key("no/thing"), f.key("here"), f.key("her"))
	f.mustHold(f.key("here/a"), []byte("x"))
}

func missingBelow(f *fixture) {
	f.put(f.key("here/a"), []byte("x"), storage.Created)
	f.mustMiss(f.key("here/a/b"))
	f.mustHold(f.key("here/a"), []byte("x"))
}

func (f *fixture) mustMiss(keys ...string) {
	f.Helper()
	for _, key := range keys {
		f.each(f.Context(), key, func(name string, err error) {
			if !errors.Is(err, storage.ErrNotExist) {
				f.Errorf("%s of missing %q: %v", name, key, err)
			}
		})
		if err := f.store.Delete(f.Context(), key); err != nil {
			f.Errorf("Delete of missing %q: %v", key, err)
		}
	}
}

func deleteObject(f *fixture) {
	f.put(f.key("d/x"), []byte("one"), storage.Created)
	f.put(f.key("d/y"), []byte("two"), storage.Created)
	for range 2 {
		if err := f.store.Delete(f.Context(), f.key("d/x")); err != nil {
			f.Fatal(err)
		}
	}
	if _, err := f.store.Stat(f.Context(), f.key("d/x")); !errors.Is(err, storage.ErrNotExist) {
		f.Fatalf("Stat after Delete: %v", err)
	}
	f.mustList(f.key(""), "", []string{f.key("d/y")})
	f.put(f.key("d/x"), []byte("three"), storage.Created)
	f.mustHold(f.key("d/x"), []byte("three"))
	f.mustHold(f.key("d/y"), []byte("two"))
}

func badKeys(f *fixture) {
	bad := []string{
		"", "/", "/x", "x/", "x//y", ".", "..", "../x", "x/../y", "x/./y", ".tmp/x", "x/.y",
		"x y", "x\x00", "x\\y", "x\ny", "ü", "x?y", "x%41", strings.Repeat("x/", 512) + "x", strings.Repeat("x", 256),
	}
	for _, key := range bad {
		refuse := func(name string, err error) {
			if !errors.Is(err, storage.ErrKey) {
				f.Errorf("%s accepts key %q: %v", name, key, err)
			}
		}
		_, err := f.store.PutOnce(f.Context(), key, []byte("x"))
		refuse("PutOnce", err)
		refuse("Delete", f.store.Delete(f.Context(), key))
		f.each(f.Context(), key, refuse)
	}
}

func longSegment(f *fixture) {
	segment := f.key(strings.Repeat("s", 255))
	f.put(segment, []byte("segment"), storage.Created)
	f.mustHold(segment, []byte("segment"))
}

func longKeys(f *fixture) {
	// A store may put a prefix of up to 200 bytes before the key.
	deep := f.key(strings.Repeat("A-z_0.9/", (824-len(f.key("x")))/8) + "x")
	f.put(deep, []byte("deep"), storage.Created)
	f.mustHold(deep, []byte("deep"))
}

// folderClash: a key may refuse to be a folder too, but must not suffer.
func folderClash(f *fixture) {
	f.put(f.key("k"), []byte("object"), storage.Created)
	f.put(f.key("d/x"), []byte("below"), storage.Created)
	for _, key := range []string{f.key("k/x"), f.key("d")} {
		if _, err := f.store.PutOnce(f.Context(), key, []byte("clash")); err != nil && !errors.Is(err, storage.ErrKey) {
			f.Errorf("PutOnce %q: %v; want success or ErrKey", key, err)
		}
	}
	f.mustHold(f.key("k"), []byte("object"))
	f.mustHold(f.key("d/x"), []byte("below"))
}

func ranges(f *fixture) {
	body := noise(3000)
	f.put(f.key("r"), body, storage.Created)
	good := [][2]int64{{0, 3000}, {0, 1}, {2999, 1}, {1000, 1000}, {0, 0}, {3000, 0}, {17, 2983}}
	for _, r := range good {
		reader, err := f.store.GetRange(f.Context(), f.key("r"), r[0], r[1])
		if err != nil {
			f.Fatalf("range %v: %v", r, err)
		}
		if err := iotest.TestReader(reader, body[r[0]:r[0]+r[1]]); err != nil {
			f.Errorf("range %v: %v", r, err)
		}
		reader.Close()
	}
	const huge = 1<<63 - 1
	bad := [][2]int64{{0, 3001}, {3000, 1}, {2999, 2}, {-1, 1}, {0, -1}, {3001, 0}, {1, huge}, {huge, 1}, {huge, huge}}
	for _, r := range bad {
		if _, err := f.store.GetRange(f.Context(), f.key("r"), r[0], r[1]); !errors.Is(err, storage.ErrRange) {
			f.Errorf("range %v: %v; want ErrRange", r, err)
		}
	}
}

func concurrentReaders(f *fixture) {
	body := noise(1 << 20)
	f.put(f.key("c"), body, storage.Created)
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			have, err := storage.ReadAll(f.Context(), f.store, f.key("c"), 1<<20)
			if err != nil || !bytes.Equal(have, body) {
				f.Errorf("reader %d: %d bytes, %v", i, len(have), err)
			}
		})
	}
	group.Wait()
	if _, err := storage.ReadAll(f.Context(), f.store, f.key("c"), 1<<20-1); !errors.Is(err, storage.ErrTooLarge) {
		f.Errorf("ReadAll over its bound: %v", err)
	}
}

func canceled(f *fixture) {
	f.put(f.key("here"), []byte("x"), storage.Created)
	ctx, cancel := context.WithCancel(f.Context())
	cancel()
	expect := func(name string, err error) {
		if !errors.Is(err, context.Canceled) {
			f.Errorf("%s with a canceled context: %v", name, err)
		}
	}
	_, err := f.store.PutOnce(ctx, f.key("new"), []byte("x"))
	expect("PutOnce", err)
	expect("Delete", f.store.Delete(ctx, f.key("here")))
	f.each(ctx, f.key("here"), expect)
	var last error
	for _, err := range f.store.List(ctx, f.dir, "") {
		last = err
	}
	expect("List", last)
	f.mustList(f.key(""), "", []string{f.key("here")})
}

// canceledMidway ends the context at some moment of a write: the object is whole
// or not there, and the same call later succeeds. It also ends it during a read.
func canceledMidway(f *fixture) {
	body := noise(8 << 20)
	for round := range scale(12, 4) {
		key := f.key(fmt.Sprintf("cut/%d", round))
		ctx, cancel := context.WithTimeout(f.Context(), time.Duration(round)*2*time.Millisecond)
		outcome, err := f.store.PutOnce(ctx, key, body)
		cancel()
		if err == nil && outcome != storage.Created || err != nil && !errors.Is(err, context.DeadlineExceeded) {
			f.Fatalf("round %d: %v, %v", round, outcome, err)
		}
		if _, statErr := f.store.Stat(f.Context(), key); statErr == nil || err == nil {
			f.mustHold(key, body)
		}
		if _, err := f.store.PutOnce(f.Context(), key, body); err != nil {
			f.Fatalf("round %d, again: %v", round, err)
		}
		f.mustHold(key, body)
	}
	ctx, cancel := context.WithCancel(f.Context())
	reader, _, err := f.store.Get(ctx, f.key("cut/0"))
	if err != nil {
		f.Fatal(err)
	}
	defer reader.Close()
	cancel()
	if _, err := io.Copy(io.Discard, reader); !errors.Is(err, context.Canceled) {
		f.Errorf("read with a canceled context: %v", err)
	}
}
