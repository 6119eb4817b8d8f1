// Package storage is the shared memory of a round: objects that are created
// once, never changed, and listed in order.
//
// The whole protocol stands on one promise, [Store.PutOnce]: of any number of
// writers to one key exactly one wins, and each of them learns who did. Votes,
// answers and receipts need nothing more, so no driver offers overwriting,
// appending or compare-and-swap (which many S3 servers get wrong).
//
// Drivers live below: dir (a local directory), s3 (any S3 server that honors
// If-None-Match) and mem (tests). The package storagetest runs one conformance
// suite over all of them. A store is not trusted for secrecy nor for the
// meaning of what it holds: objects are sealed and signed before they get here.
package storage

import (
	"context"
	"io"
	"iter"
	"time"
)

// Outcome says how a successful [Store.PutOnce] ended. The zero value is not an
// outcome: it accompanies errors.
type Outcome int

const (
	// Created: this call created the object.
	Created Outcome = iota + 1
	// Identical: the key already held exactly these bytes. It is a success and
	// what a writer that starts again after a crash sees.
	Identical
)

// String returns "created", "identical" or "unknown".
func (o Outcome) String() string {
	switch o {
	case Created:
		return "created"
	case Identical:
		return "identical"
	}
	return "unknown"
}

// Info describes a stored object.
type Info struct {
	Key      string
	Size     int64     // bytes
	Modified time.Time // by the clock of the store, at least to the second; for gc and people, never for the protocol
}

// Store is a flat namespace of write-once objects. The key words MUST, MUST NOT
// and MAY are those of RFC 2119.
//
// Atomic: a reader MUST see an object complete or not at all. A PutOnce that
// failed, was canceled or whose process died MUST leave nothing or the
// whole object.
//
// Once: after any PutOnce of a key succeeded, until Delete, every later PutOnce
// of other bytes MUST fail with a [ConflictError] and leave the object as it
// is; of racing writers with different bytes exactly one MUST succeed, also
// when they are in different processes or on different machines.
//
// Honest: PutOnce MUST NOT report Created or Identical unless the key holds
// exactly body, nor a ConflictError unless it holds other bytes. Any other
// error means "unknown, ask again": the caller MAY call again with the same
// body, as often as it likes, and of several writers of equal bytes one or (after
// lost responses, across calls) none is told Created and the rest Identical.
//
// Durable: when PutOnce returns an outcome or a ConflictError, what the key
// holds MUST survive a crash of the writer and, as far as the medium promises,
// of the store. A reader MAY see an object before that moment.
//
// Consistent: an object MUST be visible to Get, Stat and List of every handle
// of the same store as soon as its PutOnce returned. A List that runs
// meanwhile MAY or MAY NOT show it.
//
// Complete: a reader from Get or GetRange MUST deliver exactly the promised
// number of bytes or fail with an error other than io.EOF.
//
// Keys: every method that takes a key MUST refuse one that [CheckKey] refuses,
// with an error that matches [ErrKey]. Callers MUST NOT use both a key k and a
// key that starts with k + "/"; a driver MAY refuse the second with ErrKey and
// MUST NOT damage the first. Callers MUST NOT use keys that differ only in case.
//
// Errors: a missing key is [ErrNotExist]; a canceled context ends a call soon
// with an error that matches ctx.Err(). Errors MUST NOT contain credentials.
//
// All methods MUST be safe for concurrent use.
type Store interface {
	// PutOnce creates key with exactly body, atomically and durably, or says
	// what is already there. It never overwrites and keeps no reference to body.
	PutOnce(ctx context.Context, key string, body []byte) (Outcome, error)

	// Get opens the whole object. The context also ends reading. The caller
	// closes the reader.
	Get(ctx context.Context, key string) (io.ReadCloser, Info, error)

	// GetRange opens the n bytes that start at off. A range that is not wholly
	// inside the object is refused with ErrRange; n may be 0.
	GetRange(ctx context.Context, key string, off, n int64) (io.ReadCloser, error)

	// Stat describes the object.
	Stat(ctx context.Context, key string) (Info, error)

	// List yields the objects whose key starts with prefix and is greater than
	// startAfter, sorted by key in byte order, in bounded memory or that of one
	// directory. Both are plain strings, may be empty and need not be keys. An
	// error is yielded last, with a zero Info.
	List(ctx context.Context, prefix, startAfter string) iter.Seq2[Info, error]

	// Delete removes the object; that it is absent is not an error. Only garbage
	// collection calls it: the promises above hold for keys nobody deletes.
	Delete(ctx context.Context, key string) error

	// String returns the URL of the store, without secrets.
	String() string
}
