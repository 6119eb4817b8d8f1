package auditor

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/privacy/ledger"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// The objects of a ledger (LEDGER.md section 2).
const (
	bundleEntries  = 256
	maxEntry       = 4 << 10
	maxBundle      = bundleEntries * (2 + maxEntry)
	maxTile        = 256 * sha256.Size
	maxCheckpoint  = 64 << 10
	entryFolder    = "entry/"
	checkpointName = "checkpoint/"
	bundleFolder   = "tile/entries/"
	tileFolder     = "tile/"
)

// ledgerObjects is what the store shows of a ledger. The hashes are computed
// here again, apart from privacy/ledger, so that one checks the other.
type ledgerObjects struct {
	*auditor
	prefix  string
	single  map[int64][32]byte   // leaf hashes of single entries
	bundled map[int64][][32]byte // leaf hashes of bundles
	tiles   []string             // names
	signed  []int64              // sizes of checkpoints
	levels  [][][32]byte         // hashes of all complete subtrees, by height
}

func newLedgerObjects(a *auditor, id schema.ScopeID) *ledgerObjects {
	return &ledgerObjects{auditor: a, prefix: pipeline.LedgerPrefix(id), single: map[int64][32]byte{}, bundled: map[int64][][32]byte{}}
}

// list reads all entries and bundles, and compares those that are twice.
func (o *ledgerObjects) list() error {
	for info, err := range o.store.List(o.ctx, o.prefix, "") {
		if err != nil {
			return err
		}
		if err := o.object(info.Key[len(o.prefix):]); err != nil {
			return err
		}
	}
	for n, leaves := range o.bundled {
		for i, leaf := range leaves {
			at := n*bundleEntries + int64(i)
			if one, ok := o.single[at]; ok && one != leaf {
				return o.differ(at, one)
			}
		}
	}
	return nil
}

func (o *ledgerObjects) object(name string) error {
	key := o.prefix + name
	switch {
	case strings.HasPrefix(name, entryFolder):
		i, ok := number(name, ledger.EntryKey)
		if !ok {
			return flawf(key, "not the name of an entry") // it stops every reader
		}
		b, err := storage.ReadAll(o.ctx, o.store, key, maxEntry)
		if err != nil {
			return blame(key, "the entry", err)
		}
		o.single[i] = leafHash(b)
		o.count("ledger entry")
	case strings.HasPrefix(name, checkpointName):
		size, ok := number(name, ledger.CheckpointKey)
		if !ok {
			return flawf(key, "not the name of a checkpoint")
		}
		o.signed = append(o.signed, size)
	case strings.HasPrefix(name, bundleFolder):
		return o.bundle(name)
	case strings.HasPrefix(name, tileFolder):
		o.tiles = append(o.tiles, name)
	default:
		return o.unnamed(flawf(key, "not the name of an object of a ledger"))
	}
	return nil
}

// number reads the number at the end of a name that spell made.
func number(name string, spell func(int64) string) (int64, bool) {
	i, err := strconv.ParseInt(name[strings.LastIndexByte(name, '/')+1:], 10, 64)
	return i, err == nil && i >= 0 && spell(i) == name
}

// bundle reads a bundle of entries. Partial ones are not stored.
func (o *ledgerObjects) bundle(name string) error {
	n, ok := tileNumber(name[len(bundleFolder):])
	if !ok {
		return o.unnamed(flawf(o.prefix+name, "not the name of a bundle"))
	}
	entries, err := o.readBundle(n)
	if err != nil {
		return blame(o.prefix+name, "the bundle", err)
	}
	for _, e := range entries {
		o.bundled[n] = append(o.bundled[n], leafHash(e))
	}
	o.count("ledger bundle")
	return nil
}

func bundleName(n int64) string { return bundleFolder + tilePath(n) }

// readBundle returns the entries of a bundle, each behind its length in two bytes.
func (o *ledgerObjects) readBundle(n int64) (entries [][]byte, err error) {
	b, err := storage.ReadAll(o.ctx, o.store, o.prefix+bundleName(n), maxBundle)
	if err != nil {
		return nil, err
	}
	for len(b) >= 2 {
		size := int(binary.BigEndian.Uint16(b))
		if b = b[2:]; size > len(b) {
			break
		}
		entries, b = append(entries, b[:size:size]), b[size:]
	}
	if len(b) > 0 || len(entries) != bundleEntries {
		return nil, fmt.Errorf("%w: not a bundle of %d entries", pipeline.ErrUntrusted, bundleEntries)
	}
	return entries, nil
}

// entry returns the bytes of entry i, from a bundle if it is in none of its own.
func (o *ledgerObjects) entry(i int64) ([]byte, error) {
	if _, ok := o.single[i]; ok {
		return storage.ReadAll(o.ctx, o.store, o.prefix+ledger.EntryKey(i), maxEntry)
	}
	all, err := o.readBundle(i / bundleEntries)
	if err != nil {
		return nil, err
	}
	return all[i%bundleEntries], nil
}

// holder is the object in which entry i is read.
func (o *ledgerObjects) holder(i int64) string {
	_, single := o.single[i]
	if _, ok := o.bundled[i/bundleEntries]; ok && !single {
		return o.prefix + bundleName(i/bundleEntries)
	}
	return o.prefix + ledger.EntryKey(i)
}

// differ blames a single entry or the bundle that has it otherwise: the next
// entry says which of the two it followed.
func (o *ledgerObjects) differ(i int64, single [32]byte) error {
	next, err := o.entry(i + 1)
	if err == nil && bytes.Contains(next, []byte(hex.EncodeToString(single[:]))) {
		return flawf(o.prefix+bundleName(i/bundleEntries), "it differs from entry %d", i)
	}
	return flawf(o.prefix+ledger.EntryKey(i), "it differs from the bundle %s", bundleName(i/bundleEntries))
}

// evidence is the receipt that a void names.
func (o *ledgerObjects) evidence(i int64) (ledger.ID, error) {
	var x struct{ Body struct{ Evidence ledger.ID } }
	b, err := o.entry(i)
	if err == nil {
		err = json.Unmarshal(b, &x)
	}
	return x.Body.Evidence, err
}

// tree computes the hashes of the log again, and checks root and tiles.
func (l *scopeLedger) tree() error {
	leaves := [][32]byte{l.rootOf(pipeline.LedgerScope(l.scope).Genesis())} // of one leaf, the leaf
	for i := int64(1); i < l.out.Size; i++ {
		leaf, ok := l.single[i]
		if bundle := l.bundled[i/bundleEntries]; !ok && bundle != nil {
			leaf, ok = bundle[i%bundleEntries], true
		}
		if !ok { // it came after the list
			break
		}
		leaves = append(leaves, leaf)
	}
	if _, single := l.single[0]; !single && l.bundled[0] == nil && l.out.Size > 1 {
		l.note(l.entryKey(0), "missing; it follows from the scope and is not needed")
	}
	for l.levels = [][][32]byte{leaves}; len(leaves) > 1; l.levels = append(l.levels, leaves) {
		var up [][32]byte
		for i := 0; i+1 < len(leaves); i += 2 {
			up = append(up, nodeHash(leaves[i], leaves[i+1]))
		}
		leaves = up
	}
	n := int64(len(l.levels[0]))
	c, err := l.log.At(n)
	if err != nil || l.rootOf(c) != l.root(n) {
		return &Flaw{Object: l.prefix, What: "its entries give another root", Err: err}
	}
	for _, name := range l.tiles {
		if err := l.tile(name); err != nil {
			return err
		}
	}
	return nil
}

func (l *scopeLedger) rootOf(c ledger.Checkpoint) [32]byte { return c.Root }

// root is the hash of the first n leaves (RFC 6962 section 2.1).
func (o *ledgerObjects) root(n int64) (root [32]byte) {
	some := false
	for h := range o.levels {
		if n>>h&1 == 0 {
			continue
		}
		part := o.levels[h][n>>h-1]
		if some {
			part = nodeHash(part, root)
		}
		root, some = part, true
	}
	return root
}

// tile checks one tile, named "tile/<level>/<number>" or "tile/<level>/<number>.p/<width>".
func (l *scopeLedger) tile(name string) error {
	key := l.prefix + name
	path, width, partial := strings.Cut(name[len(tileFolder):], ".p/")
	level, rest, _ := strings.Cut(path, "/")
	h, err := strconv.Atoi(level)
	n, ok := tileNumber(rest)
	w := int64(256)
	if partial {
		var bad error
		w, bad = strconv.ParseInt(width, 10, 64)
		ok = ok && bad == nil && w > 0 && w < 256 && strconv.FormatInt(w, 10) == width
	}
	if err != nil || !ok || h < 0 || strconv.Itoa(h) != level || n > 1<<32 {
		return l.unnamed(flawf(key, "not the name of a tile"))
	}
	if h*8 >= len(l.levels) || int64(len(l.levels[h*8])) < 256*n+w {
		return l.unnamed(flawf(key, "a tile of more entries than the ledger has"))
	}
	var want []byte
	for _, x := range l.levels[h*8][256*n : 256*n+w] {
		want = append(want, x[:]...)
	}
	got, err := storage.ReadAll(l.ctx, l.store, key, maxTile)
	if err != nil {
		return blame(key, "the tile", err)
	}
	if !bytes.Equal(got, want) {
		return flawf(key, "the entries give other hashes")
	}
	l.count("ledger tile")
	return nil
}

// tilePath is the number of a tile in groups of three digits (C2SP tlog-tiles).
func tilePath(n int64) string {
	s := fmt.Sprintf("%03d", n%1000)
	for n >= 1000 {
		n /= 1000
		s = fmt.Sprintf("x%03d/%s", n%1000, s)
	}
	return s
}

func tileNumber(s string) (int64, bool) {
	n, err := strconv.ParseInt(strings.NewReplacer("x", "", "/", "").Replace(s), 10, 64)
	return n, err == nil && n >= 0 && tilePath(n) == s
}

func leafHash(entry []byte) [32]byte { return sha256.Sum256(append([]byte{0}, entry...)) }

func nodeHash(left, right [32]byte) [32]byte {
	return sha256.Sum256(append(append([]byte{1}, left[:]...), right[:]...))
}

// checkpoints verifies every checkpoint in the store, not the newest only: each
// was signed, so each is a promise.
func (l *scopeLedger) checkpoints() error {
	seen, keys := map[schema.PublicKey]bool{}, []ed25519.PublicKey{}
	for _, p := range l.plans {
		if k := p.Task.Collector; p.Task.Scope == l.scope && !seen[k] {
			seen[k] = true
			keys = append(keys, k[:])
		}
	}
	for _, size := range l.signed {
		if err := l.checkpoint(size, keys); err != nil {
			return err
		}
		l.out.Signed = max(l.out.Signed, size)
	}
	if l.out.Signed < l.out.Size && l.out.Size > 1 {
		l.note(l.prefix+ledger.CheckpointKey(l.out.Size), "missing; no Collector signed the ledger behind its first %d entries: one is at work or died, or the store hides it", l.out.Signed)
	}
	return nil
}

func (l *scopeLedger) checkpoint(size int64, keys []ed25519.PublicKey) error {
	key := l.prefix + ledger.CheckpointKey(size)
	b, err := storage.ReadAll(l.ctx, l.store, key, maxCheckpoint)
	if err != nil {
		return blame(key, "the checkpoint", err)
	}
	c, err := ledger.OpenCheckpoint(b, pipeline.LedgerScope(l.scope).Origin(), keys...)
	switch {
	case err != nil:
		return &Flaw{Object: key, What: "the checkpoint", Err: err}
	case c.Size != size:
		return flawf(key, "it is of size %d", c.Size)
	case !canonicalNote(b):
		return flawf(key, "a signature is not in canonical form")
	case size > l.out.Size:
		return &Flaw{Object: l.entryKey(l.out.Size), What: fmt.Sprintf("missing: a Collector signed %d entries, %s", size, key), Err: pipeline.ErrFork}
	}
	if now, err := l.log.At(size); err != nil || now != c {
		return &Flaw{Object: key, What: "the entries give another root", Err: errors.Join(pipeline.ErrFork, err)}
	}
	l.count("ledger checkpoint")
	return nil
}

// canonicalNote tells whether all signatures of a note are spelled in the one
// way that a signer spells them: base64 leaves a reader some freedom.
func canonicalNote(b []byte) bool {
	_, signatures, _ := strings.Cut(string(b), "\n\n")
	for line := range strings.SplitSeq(strings.TrimSuffix(signatures, "\n"), "\n") {
		text := line[strings.LastIndexByte(line, ' ')+1:]
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil || base64.StdEncoding.EncodeToString(raw) != text {
			return false
		}
	}
	return true
}
