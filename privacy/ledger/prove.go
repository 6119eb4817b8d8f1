package ledger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/mod/sumdb/tlog"
)

// Proof is a list of hashes that shows, for a checkpoint, that it holds an
// entry (RFC 9162 section 2.1.3) or continues an older checkpoint (section 2.1.4).
type Proof []ID

// CheckLine verifies that two checkpoints are on one line, whichever is the
// larger. The error wraps [ErrFork].
func CheckLine(a, b Checkpoint, proof Proof) error {
	if a.Size > b.Size {
		a, b = b, a
	}
	if a.Origin != b.Origin || a.Size < 1 {
		return fmt.Errorf("%w: checkpoints of %.100q size %d and %.100q", ErrFork, a.Origin, a.Size, b.Origin)
	}
	if a.Size == b.Size {
		if a != b {
			return fmt.Errorf("%w: two roots at size %d", ErrFork, a.Size)
		}
		return nil
	}
	if err := tlog.CheckTree(tlog.TreeProof(hashes(proof)), b.Size, tlog.Hash(b.Root), a.Size, tlog.Hash(a.Root)); err != nil {
		return fmt.Errorf("%w: sizes %d and %d: %w", ErrFork, a.Size, b.Size, err)
	}
	return nil
}

// CheckInclusion verifies that a checkpoint holds these bytes as entry index.
// The error wraps [ErrNotReserved].
func CheckInclusion(c Checkpoint, index int64, entry []byte, proof Proof) error {
	if index < 0 || index >= c.Size {
		return fmt.Errorf("%w: entry %d is not in a log of size %d", ErrNotReserved, index, c.Size)
	}
	if err := tlog.CheckRecord(tlog.RecordProof(hashes(proof)), c.Size, tlog.Hash(c.Root), index, leafHash(entry)); err != nil {
		return fmt.Errorf("%w: entry %d in size %d: %w", ErrNotReserved, index, c.Size, err)
	}
	return nil
}

// Witness is the vote's check (PROTOCOL.md section 7) for those who do not read the log:
// the proposed checkpoint is on one line with the one signed last (zero if none), in
// either direction, and the proposed one holds the reservation, so the later
// does. That no entry up to the later one voids it, and the budget, only the entries themselves can
// show: [Ledger.CheckVote]. It returns the checkpoint to remember.
func Witness(signed, proposed Checkpoint, line Proof, index int64, entry []byte, inclusion Proof) (Checkpoint, error) {
	if !signed.IsZero() {
		if err := CheckLine(signed, proposed, line); err != nil {
			return signed, err
		}
	}
	if err := CheckInclusion(proposed, index, entry, inclusion); err != nil {
		return signed, err
	}
	return Later(proposed, signed), nil
}

func hashes(p Proof) []tlog.Hash {
	out := make([]tlog.Hash, len(p))
	for i := range p {
		out[i] = tlog.Hash(p[i])
	}
	return out
}

func proofOf[T ~[]tlog.Hash](h T, err error) (Proof, error) {
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	out := make(Proof, len(h))
	for i := range h {
		out[i] = ID(h[i])
	}
	return out, nil
}

// Prover makes proofs about one checkpoint from the tiles and entries in a
// store, without reading the whole log. Every hash is checked against the checkpoint
// before it is used. It is safe for concurrent use.
type Prover struct {
	objects Objects
	head    Checkpoint
}

// NewProver returns a prover for a checkpoint that the caller trusts, for
// instance one that it signed or verified with [OpenCheckpoint].
func NewProver(objects Objects, head Checkpoint) *Prover { return &Prover{objects, head} }

func (p *Prover) reader(ctx context.Context) tlog.HashReader {
	return tlog.TileHashReader(tlog.Tree{N: p.head.Size, Hash: tlog.Hash(p.head.Root)}, &tiles{ctx, p.objects})
}

// At returns the checkpoint of a smaller size.
func (p *Prover) At(ctx context.Context, size int64) (Checkpoint, error) {
	if size < 1 || size > p.head.Size {
		return Checkpoint{}, fmt.Errorf("%w: size %d of a log of %d", ErrFork, size, p.head.Size)
	}
	root, err := tlog.TreeHash(size, p.reader(ctx))
	if err != nil {
		return Checkpoint{}, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return Checkpoint{Origin: p.head.Origin, Size: size, Root: ID(root)}, nil
}

// Line proves that the prover's checkpoint continues the one of a smaller size.
func (p *Prover) Line(ctx context.Context, size int64) (Proof, error) {
	if size < 1 || size > p.head.Size {
		return nil, fmt.Errorf("%w: size %d of a log of %d", ErrFork, size, p.head.Size)
	}
	return proofOf(tlog.ProveTree(p.head.Size, size, p.reader(ctx)))
}

// Inclusion returns entry index and the proof that the prover's checkpoint holds it.
func (p *Prover) Inclusion(ctx context.Context, index int64) (entry []byte, proof Proof, err error) {
	if index < 0 || index >= p.head.Size {
		return nil, nil, fmt.Errorf("%w: entry %d of a log of %d", ErrNotReserved, index, p.head.Size)
	}
	proof, err = proofOf(tlog.ProveRecord(p.head.Size, index, p.reader(ctx)))
	if err != nil {
		return nil, nil, err
	}
	if entry, err = readEntry(ctx, p.objects, index); err != nil {
		return nil, nil, err
	}
	if err := CheckInclusion(p.head, index, entry, proof); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return entry, proof, nil
}

// tiles reads tiles for tlog.TileHashReader, which verifies them. What is not stored (the
// right edge at level 0, or anything after a crash) is computed from below.
type tiles struct {
	ctx     context.Context
	objects Objects
}

// Height implements tlog.TileReader.
func (t *tiles) Height() int { return tileHeight }

// SaveTiles implements tlog.TileReader.
func (t *tiles) SaveTiles([]tlog.Tile, [][]byte) {}

// ReadTiles implements tlog.TileReader.
func (t *tiles) ReadTiles(want []tlog.Tile) ([][]byte, error) {
	out := make([][]byte, len(want))
	for i, tile := range want {
		var err error
		if out[i], err = t.read(tile); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (t *tiles) read(tile tlog.Tile) ([]byte, error) {
	if tile.L > 0 || tile.W == bundleSize {
		data, err := t.objects.Get(t.ctx, tileKey(tile), bundleSize*tlog.HashSize)
		if err == nil && len(data) != tile.W*tlog.HashSize {
			return nil, fmt.Errorf("%w: %s has %d bytes", ErrCorrupt, tileKey(tile), len(data))
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return data, err
		}
	}
	data := make([]byte, 0, tile.W*tlog.HashSize)
	for i := range int64(tile.W) {
		h, err := t.node(tile.L, tile.N<<tileHeight+i)
		if err != nil {
			return nil, err
		}
		data = append(data, h[:]...)
	}
	return data, nil
}

// node computes the n'th hash at tile level l from the level below.
func (t *tiles) node(l int, n int64) (tlog.Hash, error) {
	if l == 0 {
		entry, err := readEntry(t.ctx, t.objects, n)
		return leafHash(entry), err
	}
	below := tlog.Tile{H: tileHeight, L: l - 1, N: n, W: bundleSize}
	data, err := t.read(below)
	if err != nil {
		return tlog.Hash{}, err
	}
	// A tile holds levels up to one below its root.
	left, err := tlog.HashFromTile(below, data, tlog.StoredHashIndex(l*tileHeight-1, 2*n))
	if err != nil {
		return left, err
	}
	right, err := tlog.HashFromTile(below, data, tlog.StoredHashIndex(l*tileHeight-1, 2*n+1))
	return tlog.NodeHash(left, right), err
}

// readEntry reads an entry, from its bundle if a mirror holds only that.
func readEntry(ctx context.Context, o Objects, index int64) ([]byte, error) {
	data, err := o.Get(ctx, EntryKey(index), maxEntry)
	if !errors.Is(err, fs.ErrNotExist) {
		return data, err
	}
	bundle, err := o.Get(ctx, bundleKey(index/bundleSize), maxBundle)
	if err != nil {
		return nil, err
	}
	entries, err := splitBundle(bundle)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrCorrupt, bundleKey(index/bundleSize), err)
	}
	return entries[index%bundleSize], nil
}
