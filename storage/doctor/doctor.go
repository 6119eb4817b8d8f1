// Package doctor finds out whether a store keeps the promises of [storage.Store]:
// there are servers that answer "200 OK" to a create-only write and overwrite.
//
// [Trust] is the quick question to ask before the first write to a store, a handful of
// requests. [Examine] is the thorough one for people. Both
// write small objects below the folder [Folder] and remove them. A store that
// passes may still break its promises later, or under load, or lose data in a
// power cut: these are tests and not proofs.
package doctor

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/veilsum/veilsum/storage"
)

// Folder is where probes write, with a slash at its end. Nothing else lies there.
const Folder = "veilsum-probe/"

const (
	racers     = 8
	raceRounds = 4
	skewWarn   = 2 * time.Minute // S3 servers refuse requests from 15 minutes on
)

// Trust returns nil if the store refuses to overwrite an object. It asks the
// driver if it is a [storage.Prober], else it writes a key twice. The error wraps
// [storage.ErrLies] if the store is to blame.
func Trust(ctx context.Context, s storage.Store) error {
	if p, ok := s.(storage.Prober); ok {
		return p.Probe(ctx)
	}
	e := &examination{ctx: ctx, store: s, folder: Folder + rand.Text() + "/"}
	err := e.once()
	_ = e.tidy() // who may not delete leaves it to "store gc"
	return err
}

// Examine checks every promise that can be tested from one process and reports
// each finding. The error wraps [storage.ErrLies] if a promise is broken; other
// errors mean that the examination could not be finished.
func Examine(ctx context.Context, s storage.Store, report func(storage.Finding)) error {
	e := &examination{ctx: ctx, store: s, folder: Folder + rand.Text() + "/", report: report}
	err := e.all()
	// Tidy up also after a failure, and with a context that still lives.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	e.ctx = ctx
	left := e.tidy()
	if err == nil && left != nil {
		err = left
	}
	if err == nil && e.lies > 0 {
		err = fmt.Errorf("%w: %d checks failed", storage.ErrLies, e.lies)
	}
	return err
}

type examination struct {
	ctx    context.Context
	store  storage.Store
	folder string
	report func(storage.Finding)
	lies   int
}

func (e *examination) all() error {
	for _, c := range []struct {
		name, good string
		run        func() error
	}{
		{"create-only", "a second writer is refused and told what won", e.once},
		{"race", fmt.Sprintf("%d writers at once, %d times: always one winner, all others know it", racers, raceRounds), e.race},
		{"read-after-write", "what is written is there at once", e.readBack},
		{"list", "in byte order, from any name on", e.list},
		{"range", "parts of an object are what they should be", e.ranges},
		{"delete", "what is deleted is gone, and deleting it again is no error", e.remove},
	} {
		if err := e.check(c.name, c.good, c.run()); err != nil {
			return err
		}
	}
	if err := e.clock(); err != nil {
		return err
	}
	if err := e.cases(); err != nil {
		return err
	}
	if x, ok := e.store.(storage.Examiner); ok {
		return x.Examine(e.ctx, e.folder, e.found)
	}
	return nil
}

func (e *examination) found(f storage.Finding) {
	if f.Level == storage.Failure {
		e.lies++
	}
	e.report(f)
}

// lie is a broken promise; other errors end the examination.
type lie struct{ text string }

// Error implements error.
func (l *lie) Error() string { return storage.ErrLies.Error() + ": " + l.text }

// Is makes errors.Is(err, storage.ErrLies) true.
func (l *lie) Is(target error) bool { return target == storage.ErrLies }

func lief(format string, args ...any) error { return &lie{fmt.Sprintf(format, args...)} }

func (e *examination) check(name, good string, err error) error {
	var l *lie
	switch {
	case err == nil:
		e.found(storage.Finding{Check: name, Level: storage.OK, Detail: good})
	case errors.As(err, &l):
		e.found(storage.Finding{Check: name, Level: storage.Failure, Detail: l.text})
	default:
		return fmt.Errorf("doctor: %s: %w", name, err)
	}
	return nil
}

// put creates a probe that must be new.
func (e *examination) put(key string, body []byte) error {
	outcome, err := e.store.PutOnce(e.ctx, key, body)
	if err != nil {
		return err
	}
	if outcome != storage.Created {
		return lief("a new object is reported as %s", outcome)
	}
	return nil
}

// once writes one key three times.
func (e *examination) once() error {
	key, first, second := e.folder+"once", []byte("first"), []byte("second")
	if err := e.put(key, first); err != nil {
		return err
	}
	_, err := e.store.PutOnce(e.ctx, key, second)
	var conflict *storage.ConflictError
	switch {
	case err == nil:
		return lief("it overwrites: a second writer with other bytes is told that it created the object")
	case !errors.As(err, &conflict):
		return err
	case conflict.Have != sha256.Sum256(first):
		return lief("the loser is told of other bytes than the winner's")
	}
	if outcome, err := e.store.PutOnce(e.ctx, key, first); err != nil || outcome != storage.Identical {
		return lief("the same bytes again are reported as %s (%v)", outcome, err)
	}
	return e.holds(key, first)
}

// holds reads a key and compares.
func (e *examination) holds(key string, want []byte) error {
	have, err := storage.ReadAll(e.ctx, e.store, key, int64(len(want)))
	switch {
	case errors.Is(err, storage.ErrNotExist):
		return lief("an object that was just written is not there")
	case errors.Is(err, storage.ErrTooLarge) || err == nil && !bytes.Equal(have, want):
		return lief("an object holds other bytes than its writer was told")
	}
	return err
}

func (e *examination) race() error {
	for round := range raceRounds {
		key := fmt.Sprintf("%srace-%d", e.folder, round)
		var outcomes [racers]storage.Outcome
		var errs [racers]error
		body := func(i int) []byte { return fmt.Appendf(nil, "writer %d", i) }
		start := make(chan struct{})
		var group sync.WaitGroup
		for i := range racers {
			group.Go(func() {
				<-start
				outcomes[i], errs[i] = e.store.PutOnce(e.ctx, key, body(i))
			})
		}
		close(start)
		group.Wait()
		winner := -1
		for i := range racers {
			switch {
			case errs[i] != nil && !errors.Is(errs[i], storage.ErrConflict):
				return errs[i]
			case errs[i] == nil && winner >= 0:
				return lief("two of %d writers at once were told that they created one object", racers)
			case errs[i] == nil:
				winner = i
			}
		}
		if winner < 0 {
			return lief("none of %d writers at once was told that it won", racers)
		}
		if err := e.holds(key, body(winner)); err != nil {
			return err
		}
	}
	return nil
}

func (e *examination) readBack() error {
	key, body := e.folder+"back/x", []byte("seen at once")
	if err := e.put(key, body); err != nil {
		return err
	}
	if err := e.holds(key, body); err != nil {
		return err
	}
	info, err := e.store.Stat(e.ctx, key)
	if err != nil {
		return err
	}
	if info.Size != int64(len(body)) {
		return lief("an object of %d bytes is described as one of %d", len(body), info.Size)
	}
	keys, err := e.keys(e.folder+"back/", "")
	if err == nil && !slices.Equal(keys, []string{key}) {
		return lief("a list does not show an object that was just written")
	}
	return err
}

func (e *examination) keys(prefix, after string) (keys []string, err error) {
	for info, err := range e.store.List(e.ctx, prefix, after) {
		if err != nil {
			return nil, err
		}
		keys = append(keys, info.Key)
	}
	return keys, nil
}

// list uses names that are ordered by the bytes around the slash.
func (e *examination) list() error {
	folder := e.folder + "list/"
	names := []string{"a-b", "a-b/c", "a.b", "a/b", "a/c/d", "a0", "aA", "b"}
	names = slices.DeleteFunc(names, func(n string) bool { return n == "a-b" }) // a folder here
	var want []string
	for _, n := range names {
		if err := e.put(folder+n, []byte(n)); err != nil {
			return err
		}
		want = append(want, folder+n)
	}
	slices.Sort(want)
	for i := range want {
		after := ""
		if i > 0 {
			after = want[i-1]
		}
		have, err := e.keys(folder, after)
		if err != nil {
			return lief("%v", err) // drivers refuse a wrong order
		}
		if !slices.Equal(have, want[i:]) {
			return lief("from name %d of %d on it shows %d names, or in another order", i, len(want), len(have))
		}
	}
	return nil
}

func (e *examination) ranges() error {
	key, body := e.folder+"range", []byte("0123456789")
	if err := e.put(key, body); err != nil {
		return err
	}
	r, err := e.store.GetRange(e.ctx, key, 3, 4)
	if err != nil {
		return lief("%v", err)
	}
	defer r.Close()
	if have, err := io.ReadAll(r); err != nil || string(have) != "3456" {
		return lief("bytes 3 to 6 of %q are given as %q (%v)", body, have, err)
	}
	if _, err := e.store.GetRange(e.ctx, key, 8, 4); !errors.Is(err, storage.ErrRange) {
		return lief("a range beyond the end is not refused (%v)", err)
	}
	return nil
}

func (e *examination) remove() error {
	key := e.folder + "delete"
	if err := e.put(key, nil); err != nil {
		return err
	}
	for range 2 {
		if err := e.store.Delete(e.ctx, key); err != nil {
			return err
		}
	}
	if _, err := e.store.Stat(e.ctx, key); !errors.Is(err, storage.ErrNotExist) {
		return lief("an object that was deleted is still there (%v)", err)
	}
	return nil
}

// clock compares the clock of the store with ours.
func (e *examination) clock() error {
	before := time.Now()
	key := e.folder + "clock"
	if err := e.put(key, []byte("now")); err != nil {
		return err
	}
	info, err := e.store.Stat(e.ctx, key)
	if err != nil {
		return err
	}
	// Times of the store are whole seconds at worst.
	skew := max(before.Add(-time.Second).Sub(info.Modified), time.Until(info.Modified), 0)
	f := storage.Finding{Check: "clock", Level: storage.OK, Detail: "the store's clock and this one agree"}
	if skew > skewWarn {
		f.Level, f.Detail = storage.Warning, fmt.Sprintf("the store's clock and this one differ by %s: ages in gc are wrong by that, and S3 refuses requests from 15m on", skew.Round(time.Second))
	}
	e.found(f)
	return nil
}

// cases finds stores that take names which differ in case for one.
func (e *examination) cases() error {
	if err := e.put(e.folder+"case-A", []byte("A")); err != nil {
		return err
	}
	f := storage.Finding{Check: "case", Level: storage.OK, Detail: "names that differ in case are different"}
	_, err := e.store.Stat(e.ctx, e.folder+"case-a")
	switch {
	case err == nil:
		f.Level, f.Detail = storage.Warning, "names that differ in case are one; no two names of ours do, but names of others may"
	case !errors.Is(err, storage.ErrNotExist):
		return err
	}
	e.found(f)
	return nil
}

// tidy removes the probes.
func (e *examination) tidy() error {
	keys, err := e.keys(e.folder, "")
	for _, key := range keys {
		err = errors.Join(err, e.store.Delete(e.ctx, key))
	}
	if f, ok := e.store.(storage.Folders); ok && err == nil {
		err = f.RemoveEmptyFolders(e.ctx, Folder)
	}
	if err != nil {
		return fmt.Errorf("doctor: remove the probes: %w", err)
	}
	return nil
}
