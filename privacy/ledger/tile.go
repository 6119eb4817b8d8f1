package ledger

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

const (
	tileHeight = 8               // C2SP tlog-tiles
	bundleSize = 1 << tileHeight // entries of a full bundle
	maxBundle  = bundleSize * (2 + maxEntry)
)

// tileKey is the name of a tile, or of an entry bundle at level -1 (C2SP tlog-tiles).
func tileKey(t tlog.Tile) string {
	rest := strings.TrimPrefix(t.Path(), "tile/8/")
	if data, ok := strings.CutPrefix(rest, "data/"); ok {
		rest = "entries/" + data
	}
	return "tile/" + rest
}

func bundleKey(n int64) string {
	return tileKey(tlog.Tile{H: tileHeight, L: -1, N: n, W: bundleSize})
}

// appendBundle encodes entries, each behind its length in two big-endian bytes.
func appendBundle(b []byte, entries [][]byte) []byte {
	for _, e := range entries {
		b = binary.BigEndian.AppendUint16(b, uint16(len(e)))
		b = append(b, e...)
	}
	return b
}

// splitBundle returns the entries of a full bundle.
func splitBundle(data []byte) ([][]byte, error) {
	entries := make([][]byte, 0, bundleSize)
	for len(data) > 0 {
		if len(data) < 2 || len(entries) == bundleSize {
			return nil, fmt.Errorf("%w: bundle with bytes left over", ErrEntry)
		}
		n := int(binary.BigEndian.Uint16(data))
		if data = data[2:]; n > len(data) || n > maxEntry {
			return nil, fmt.Errorf("%w: bundle with a cut or long entry", ErrEntry)
		}
		entries, data = append(entries, data[:n:n]), data[n:]
	}
	if len(entries) != bundleSize {
		return nil, fmt.Errorf("%w: bundle of %d entries, want %d", ErrEntry, len(entries), bundleSize)
	}
	return entries, nil
}

// publish stores the full bundles and tiles that are not known to be in the
// store, the bundle last: where it is, its tiles are. Their content follows from
// the entries, so it does not matter who writes them, nor how often.
func (l *Ledger) publish(ctx context.Context) error {
	for ; (l.bundled+1)*bundleSize <= l.state.size(); l.bundled++ {
		n := l.bundled
		for _, t := range tlog.NewTiles(tileHeight, n*bundleSize, (n+1)*bundleSize) {
			data, err := tlog.ReadTileData(t, &l.state.tree)
			if err != nil {
				return err
			}
			if err := putSame(ctx, l.objects, tileKey(t), data); err != nil {
				return err
			}
		}
		if bundle, ok := l.pending[n]; ok {
			if err := putSame(ctx, l.objects, bundleKey(n), bundle); err != nil {
				return err
			}
		}
		delete(l.pending, n)
	}
	return nil
}

// putSame creates an object whose content is no choice.
func putSame(ctx context.Context, o Objects, key string, body []byte) error {
	switch outcome, err := o.PutOnce(ctx, key, body); {
	case err != nil:
		return err
	case outcome == Conflict:
		return fmt.Errorf("%w: %s holds other bytes than the entries give", ErrCorrupt, key)
	}
	return nil
}

// decoded is one full bundle.
type decoded struct {
	entries []raw
	leaves  []tlog.Hash
	data    [][]byte
	missing bool
	err     error
}

func loadBundle(ctx context.Context, o Objects, n int64) (d decoded) {
	data, err := o.Get(ctx, bundleKey(n), maxBundle)
	if errors.Is(err, fs.ErrNotExist) {
		return decoded{missing: true}
	}
	if err != nil {
		return decoded{err: err}
	}
	if d.data, err = splitBundle(data); err != nil {
		return decoded{err: fmt.Errorf("%w: %s: %w", ErrCorrupt, bundleKey(n), err)}
	}
	d.entries, d.leaves = make([]raw, bundleSize), make([]tlog.Hash, bundleSize)
	for i, e := range d.data {
		d.leaves[i] = leafHash(e)
		if n == 0 && i == 0 {
			continue // the opening entry has its own form, and is known
		}
		if d.entries[i], err = parseRaw(e); err != nil {
			return decoded{err: corrupt(n*bundleSize+int64(i), "%w", err)}
		}
	}
	return d
}

// readBundles reads full bundles, several at a time, up to the first that is
// missing, and checks the signatures at the end.
func (l *Ledger) readBundles(ctx context.Context) error {
	n := l.state.size() / bundleSize
	d := loadBundle(ctx, l.objects, n)
	if d.missing || d.err != nil {
		return d.err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ahead := prefetch(ctx, l.objects, n+1)
	for {
		if err := l.applyBundle(ctx, n, &d); err != nil {
			return err
		}
		n++
		one, ok := <-ahead
		if !ok {
			return ctx.Err()
		}
		d = <-one
		if d.err != nil {
			return d.err
		}
		if d.missing {
			return l.state.verifyLast()
		}
	}
}

// prefetch loads bundles in order until the context ends; a few more than are
// needed may be asked for.
func prefetch(ctx context.Context, o Objects, from int64) <-chan chan decoded {
	ahead := make(chan chan decoded, 8)
	go func() {
		defer close(ahead)
		for n := from; ; n++ {
			one := make(chan decoded, 1)
			select {
			case ahead <- one:
				go func() { one <- loadBundle(ctx, o, n) }()
			case <-ctx.Done():
				return
			}
		}
	}()
	return ahead
}

// applyBundle applies those of a bundle's entries that are new; the others must be the same.
func (l *Ledger) applyBundle(ctx context.Context, n int64, d *decoded) error {
	for i := range d.entries {
		at := n*bundleSize + int64(i)
		if at < l.state.size() {
			if d.leaves[i] != l.state.tree.leaf(at) {
				return fmt.Errorf("%w: %s differs from entry %d", ErrCorrupt, bundleKey(n), at)
			}
			continue
		}
		x, err := l.state.check(ctx, &l.rules, &d.entries[i], d.leaves[i], false)
		if err != nil {
			return err
		}
		if err := l.state.commit(x); err != nil {
			return err
		}
	}
	l.tail = nil
	if l.bundled == n {
		l.bundled++
	}
	return nil
}
