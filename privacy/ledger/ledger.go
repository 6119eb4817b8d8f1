package ledger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
)

// Ledger is a verified view of one log. It is safe for concurrent use; its
// methods wait for each other. It never shows less than it has shown before.
type Ledger struct {
	objects Objects
	rules   Rules

	mu     sync.Mutex
	state  *state
	broken error // what was read cannot be trusted; a new Ledger may
	opened bool  // entry 0 is in the store

	tail    [][]byte         // entries behind the last full bundle
	bundled int64            // full bundles that are in the store
	pending map[int64][]byte // full bundles that may not be
}

// Open reads and verifies the whole log of a scope; it writes nothing. A store
// without the log has an empty one. The scope must come from whom the caller trusts (a
// Task signed by the privacy owner). Errors wrap [ErrCorrupt] where the store is to blame.
func Open(ctx context.Context, objects Objects, scope Scope, rules Rules) (*Ledger, error) {
	if err := scope.Validate(); err != nil {
		return nil, err
	}
	if objects == nil || rules.Writer == nil {
		return nil, fmt.Errorf("%w: objects and writers are required", ErrEntry)
	}
	l := &Ledger{objects: objects, rules: rules, state: newState(scope), pending: map[int64][]byte{}}
	// The opening entry is known without reading it.
	if err := l.state.tree.add(leafHash(scope.opening())); err != nil {
		return nil, err
	}
	l.keep(scope.opening())
	return l, l.Sync(ctx)
}

// Sync reads and verifies what others have appended.
func (l *Ledger) Sync(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sync(ctx)
}

func (l *Ledger) sync(ctx context.Context) error {
	if l.broken != nil {
		return l.broken
	}
	if err := l.readOpening(ctx); err != nil {
		return err
	}
	if err := l.readBundles(ctx); err != nil {
		return l.sticky(err)
	}
	return l.readEntries(ctx)
}

// sticky remembers that bulk reading failed half-way: signatures of what is
// applied were not all checked.
func (l *Ledger) sticky(err error) error {
	l.broken = err
	return err
}

func (l *Ledger) readOpening(ctx context.Context) error {
	if l.opened {
		return nil
	}
	data, err := l.objects.Get(ctx, EntryKey(0), maxEntry)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if string(data) != string(l.state.scope.opening()) {
		return corrupt(0, "it opens another scope or budget")
	}
	l.opened = true
	return nil
}

// readEntries reads single entries up to the first that is missing, and looks
// whether one shows behind it: that would be a store that hides something.
func (l *Ledger) readEntries(ctx context.Context) error {
	for {
		n := l.state.size()
		data, err := l.objects.Get(ctx, EntryKey(n), maxEntry)
		if errors.Is(err, fs.ErrNotExist) {
			next, err := first(ctx, l.objects, entryPrefix, EntryKey(n-1))
			if err != nil || next == "" {
				return err
			}
			if next != EntryKey(n) {
				return corrupt(n, "it is missing before %.100q", next)
			}
			continue // it came between the two looks
		}
		if err != nil {
			return err
		}
		if err := l.apply(ctx, data); err != nil {
			return err
		}
	}
}

// first returns the first key behind startAfter, "" if there is none.
func first(ctx context.Context, o Objects, prefix, startAfter string) (string, error) {
	for key, err := range o.List(ctx, prefix, startAfter) {
		return key, err
	}
	return "", nil
}

// apply checks one entry with its signature, and applies it.
func (l *Ledger) apply(ctx context.Context, data []byte) error {
	x, err := l.check(ctx, data)
	if err != nil {
		return err
	}
	return l.commit(x, data)
}

func (l *Ledger) check(ctx context.Context, data []byte) (effect, error) {
	r, err := parseRaw(data)
	if err != nil {
		return effect{}, corrupt(l.state.size(), "%w", err)
	}
	return l.state.check(ctx, &l.rules, &r, leafHash(data), true)
}

func (l *Ledger) commit(x effect, data []byte) error {
	if err := l.state.commit(x); err != nil {
		return l.sticky(err)
	}
	l.keep(data)
	return nil
}

// keep remembers the bytes of the last entries until they fill a bundle.
func (l *Ledger) keep(data []byte) {
	l.tail = append(l.tail, data)
	if len(l.tail) == bundleSize {
		l.pending[(l.state.size()-1)/bundleSize] = appendBundle(nil, l.tail)
		l.tail = nil
	}
}

// Scope returns the scope of the log.
func (l *Ledger) Scope() Scope { return l.state.scope }

// Head returns the checkpoint of everything this Ledger has read.
func (l *Ledger) Head() (Checkpoint, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.at(l.state.size())
}

// At returns the checkpoint of the first size entries. It wraps [ErrFork] if
// the log is shorter.
func (l *Ledger) At(size int64) (Checkpoint, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.at(size)
}

func (l *Ledger) at(size int64) (Checkpoint, error) {
	if l.broken != nil {
		return Checkpoint{}, l.broken
	}
	if size < 1 || size > l.state.size() {
		return Checkpoint{}, fmt.Errorf("%w: the log has %d entries, not %d", ErrFork, l.state.size(), size)
	}
	root, err := l.state.tree.root(size)
	return Checkpoint{Origin: l.state.scope.Origin(), Size: size, Root: root}, err
}

// Find returns the reservation of a task's round and manifest, or [ErrNotReserved].
func (l *Ledger) Find(task, round, manifest ID) (Reservation, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i, ok := l.state.find(task, round, manifest)
	if !ok {
		return Reservation{}, fmt.Errorf("%w: round %.8s manifest %.8s", ErrNotReserved, round, manifest)
	}
	return l.state.reservation(i), l.broken
}

// Charges returns what everything read so far costs. It asks [Rules].Voted about
// each voided reservation.
func (l *Ledger) Charges(ctx context.Context) (*Charges, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken != nil {
		return nil, l.broken
	}
	c, err := l.state.chargesAt(ctx, &l.rules, l.state.size())
	if err != nil {
		return nil, err
	}
	return c.detach(), nil
}

// Reservations returns all reservations read so far, in the order of the log.
func (l *Ledger) Reservations() []Reservation {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]Reservation, len(l.state.reservations))
	for i := range all {
		all[i] = l.state.reservation(int32(i))
	}
	return all
}
