// Package storagetest holds the conformance suite that every driver of
// [storage.Store] runs, and helpers to run a real S3 server beside a test. Only
// _test files import it.
package storagetest

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/veilsum/veilsum/storage"
)

// Deviation is a test that a server is known not to pass, and why veilsum can
// live with it.
type Deviation struct{ Test, Why string }

// Run tests the promises of [storage.Store]. Every call of open within one Run
// returns another handle of the same store, which may hold other objects below
// other prefixes; t is that of the subtest. With -short Run does less.
func Run(t *testing.T, open func(t *testing.T) storage.Store, known ...Deviation) {
	tests := []struct {
		name string
		run  func(*fixture)
	}{
		{"CreateOnce", createOnce},
		{"Empty", emptyObject},
		{"Large", largeObject},
		{"BodyIsCopied", bodyIsCopied},
		{"RaceDifferent", raceDifferent},
		{"RaceEqual", raceEqual},
		{"OtherHandle", otherHandle},
		{"Missing", missing},
		{"MissingBelowObject", missingBelow},
		{"Delete", deleteObject},
		{"BadKeys", badKeys},
		{"LongSegment", longSegment},
		{"LongKeys", longKeys},
		{"FolderClash", folderClash},
		{"Ranges", ranges},
		{"ConcurrentReaders", concurrentReaders},
		{"Streams", streams},
		{"Canceled", canceled},
		{"CanceledMidway", canceledMidway},
		{"ListOrder", listOrder},
		{"ListMany", listMany},
		{"ListOdd", listOdd},
		{"ListStops", listStops},
		{"ListWhileWriting", listWhileWriting},
		{"String", stringIsStable},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if i := slices.IndexFunc(known, func(d Deviation) bool { return d.Test == test.name }); i >= 0 {
				t.Skip("known: " + known[i].Why)
			}
			test.run(&fixture{T: t, open: open, store: open(t), dir: "t-" + rand.Text()})
		})
	}
}

// fixture is one subtest with a folder of its own in the store.
type fixture struct {
	*testing.T
	open  func(t *testing.T) storage.Store
	store storage.Store
	dir   string
}

func (f *fixture) key(name string) string { return f.dir + "/" + name }

// scale returns many, or few with -short.
func scale(many, few int) int {
	if testing.Short() {
		return few
	}
	return many
}

func (f *fixture) put(key string, body []byte, want storage.Outcome) {
	f.Helper()
	have, err := f.store.PutOnce(f.Context(), key, body)
	if err != nil || have != want {
		f.Fatalf("PutOnce %q: %v, %v; want %v", key, have, err, want)
	}
}

func (f *fixture) mustHold(key string, want []byte) {
	f.Helper()
	have, err := storage.ReadAll(f.Context(), f.store, key, int64(len(want)))
	if err != nil || !bytes.Equal(have, want) {
		f.Fatalf("ReadAll %q: %d bytes, %v; want %d bytes", key, len(have), err, len(want))
	}
	info, err := f.store.Stat(f.Context(), key)
	if err != nil || info.Key != key || info.Size != int64(len(want)) || info.Modified.IsZero() {
		f.Fatalf("Stat %q: %+v, %v; want size %d", key, info, err, len(want))
	}
}

func (f *fixture) mustConflict(err error, key string, winner, loser []byte) {
	f.Helper()
	var conflict *storage.ConflictError
	if !errors.Is(err, storage.ErrConflict) || !errors.As(err, &conflict) {
		f.Fatalf("PutOnce %q: error %v; want a conflict", key, err)
	}
	want := storage.ConflictError{Key: key, Have: sha256.Sum256(winner), Want: sha256.Sum256(loser)}
	if *conflict != want {
		f.Fatalf("PutOnce %q: conflict %v; want %v", key, conflict, &want)
	}
}

func createOnce(f *fixture) {
	key, first, second := f.key("a/b.json"), []byte("first"), []byte("other")
	f.put(key, first, storage.Created)
	f.put(key, first, storage.Identical)
	for _, body := range [][]byte{second, nil, []byte("first, and more")} {
		outcome, err := f.store.PutOnce(f.Context(), key, body)
		if outcome != 0 {
			f.Fatalf("conflict with outcome %v", outcome)
		}
		f.mustConflict(err, key, first, body)
	}
	f.mustHold(key, first)
	f.put(key, first, storage.Identical)
}

func emptyObject(f *fixture) {
	f.put(f.key("empty"), nil, storage.Created)
	f.put(f.key("empty"), []byte{}, storage.Identical)
	f.mustHold(f.key("empty"), nil)
	_, err := f.store.PutOnce(f.Context(), f.key("empty"), []byte{0})
	f.mustConflict(err, f.key("empty"), nil, []byte{0})
}

// largeObject is larger than the 16 MiB from which minio-go would use several
// parts and forget the condition.
func largeObject(f *fixture) {
	body := noise(20 << 20)
	f.put(f.key("large"), body, storage.Created)
	f.put(f.key("large"), body, storage.Identical)
	other := bytes.Clone(body)
	other[len(other)-1] ^= 1
	_, err := f.store.PutOnce(f.Context(), f.key("large"), other)
	f.mustConflict(err, f.key("large"), body, other)
	f.mustHold(f.key("large"), body)
}

func bodyIsCopied(f *fixture) {
	body := []byte("before")
	f.put(f.key("x"), body, storage.Created)
	copy(body, "after!")
	f.mustHold(f.key("x"), []byte("before"))
	if have, err := storage.ReadAll(f.Context(), f.store, f.key("x"), 100); err == nil {
		copy(have, "after!")
	}
	f.mustHold(f.key("x"), []byte("before"))
}

const racers = 16

// raceDifferent: of 16 writers with different bytes, each with a handle of its
// own, exactly one creates and all others learn what won.
func raceDifferent(f *fixture) {
	for round := range scale(20, 4) {
		key := f.key(fmt.Sprintf("race/%d", round))
		bodies := make([][]byte, racers)
		for i := range bodies {
			bodies[i] = fmt.Appendf(nil, "writer %d of round %d", i, round)
		}
		outcomes, errs := f.race(key, bodies)
		winner := slices.Index(outcomes, storage.Created)
		if winner < 0 {
			f.Fatalf("round %d: nobody created: %v %v", round, outcomes, errs)
		}
		for i := range bodies {
			if i != winner {
				f.mustConflict(errs[i], key, bodies[winner], bodies[i])
			}
		}
		f.mustHold(key, bodies[winner])
	}
}

// raceEqual: of writers of the same bytes all succeed and one creates.
func raceEqual(f *fixture) {
	for round := range scale(10, 3) {
		key, body := f.key(fmt.Sprintf("equal/%d", round)), fmt.Appendf(nil, "round %d", round)
		outcomes, errs := f.race(key, slices.Repeat([][]byte{body}, racers))
		slices.Sort(outcomes)
		want := append([]storage.Outcome{storage.Created}, slices.Repeat([]storage.Outcome{storage.Identical}, racers-1)...)
		if err := errors.Join(errs...); err != nil || !slices.Equal(outcomes, want) {
			f.Fatalf("round %d: %v, %v", round, outcomes, err)
		}
		f.mustHold(key, body)
	}
}

// race lets one writer per body start at once.
func (f *fixture) race(key string, bodies [][]byte) ([]storage.Outcome, []error) {
	outcomes, errs := make([]storage.Outcome, len(bodies)), make([]error, len(bodies))
	start := make(chan struct{})
	var group sync.WaitGroup
	for i := range bodies {
		store := f.open(f.T)
		group.Go(func() {
			<-start
			outcomes[i], errs[i] = store.PutOnce(f.Context(), key, bodies[i])
		})
	}
	close(start)
	group.Wait()
	return outcomes, errs
}

func otherHandle(f *fixture) {
	body := []byte("seen by all")
	f.put(f.key("d/shared"), body, storage.Created)
	other := &fixture{T: f.T, open: f.open, store: f.open(f.T), dir: f.dir}
	other.mustHold(f.key("d/shared"), body)
	other.mustList(f.key("d/"), "", []string{f.key("d/shared")})
	other.put(f.key("d/shared"), body, storage.Identical)
	_, err := other.store.PutOnce(f.Context(), f.key("d/shared"), nil)
	f.mustConflict(err, f.key("d/shared"), body, nil)
}

func stringIsStable(f *fixture) {
	if a, b := f.store.String(), f.open(f.T).String(); a == "" || a != b {
		f.Fatalf("String: %q and %q", a, b)
	}
}

// noise returns n bytes that nothing can compress.
func noise(n int) []byte {
	body := make([]byte, n)
	_, _ = rand.Read(body) // never fails
	return body
}
