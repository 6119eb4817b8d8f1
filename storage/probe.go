package storage

import (
	"context"
	"encoding/json"
	"time"
)

// Level says what a [Finding] means for the store.
type Level int

const (
	// OK: the store keeps this promise, as far as a test can tell.
	OK Level = iota + 1
	// Warning: the store can be used, but something is weaker than it looks.
	Warning
	// Failure: the store breaks a promise of [Store]. Do not use it.
	Failure
)

// String returns "ok", "warn", "FAIL" or "unknown".
func (l Level) String() string {
	switch l {
	case OK:
		return "ok"
	case Warning:
		return "warn"
	case Failure:
		return "FAIL"
	}
	return "unknown"
}

// MarshalJSON writes the text of the level in lower case.
func (l Level) MarshalJSON() ([]byte, error) {
	if l == Failure {
		return json.Marshal("fail")
	}
	return json.Marshal(l.String())
}

// Finding is what one check of a store found.
type Finding struct {
	Check  string `json:"check"` // a stable name, such as "create-only"
	Level  Level  `json:"level"`
	Detail string `json:"detail"`
}

// Prober is a driver that can find out, with a handful of requests, whether its
// store keeps the promise of PutOnce. Whoever writes to a store for the first time
// asks it: see the package doctor.
type Prober interface {
	// Probe returns nil if the store refused to overwrite, on every path by which
	// the driver writes. It leaves nothing behind if it may delete.
	Probe(ctx context.Context) error
}

// Examiner is a driver that can check more of its store than the methods of
// [Store] show.
type Examiner interface {
	// Examine reports what it finds. It writes only below folder, which ends in a
	// slash, and leaves nothing behind. An error means that it could not go on.
	Examine(ctx context.Context, folder string, report func(Finding)) error
}

// Leftover is what an interrupted write left behind: invisible to readers, but it
// takes room.
type Leftover struct {
	Name     string    // for people and for RemoveLeftover; no key
	Key      string    // of the object that was being written; empty if unknown
	Size     int64     // bytes; -1 if unknown
	Modified time.Time // by the clock of the store
}

// Janitor is a driver whose interrupted writes can leave something behind that
// List does not show.
type Janitor interface {
	// Leftovers returns those that were last touched before a time. A write that is
	// under way must not be older: choose a time longer ago than any write takes.
	Leftovers(ctx context.Context, before time.Time) ([]Leftover, error)
	// RemoveLeftover removes one; that it is gone is not an error. A writer that
	// loses its leftover fails, or starts again: no object suffers.
	RemoveLeftover(ctx context.Context, l Leftover) error
}

// Folders is a driver that keeps folders when the last object in them is deleted.
type Folders interface {
	// RemoveEmptyFolders removes folders without objects below and including prefix, which
	// ends in a slash. Writers that run meanwhile make them again.
	RemoveEmptyFolders(ctx context.Context, prefix string) error
}
