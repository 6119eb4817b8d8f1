package auditor

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/secagg"
	"github.com/veilsum/veilsum/storage"
)

// sums verifies every report of the certified list, adds them up again, and
// opens the sum as the Collector did.
func (r *roundAudit) sums() error {
	if !r.certified() {
		return nil
	}
	t := &tally{roundAudit: r, pieces: r.opt.Depth != DepthSigned, vehicles: make([]schema.VehicleID, len(r.manifest.Reports))}
	if err := t.run(); err != nil {
		return err
	}
	if err := r.sameVehicles(t.vehicles); err != nil {
		return err
	}
	if r.receipt.Status == schema.StatusVoid {
		return r.voided(t)
	}
	sum, err := r.compareSum(t)
	if err != nil {
		return err
	}
	x, err := r.open(sum)
	if err != nil {
		return err
	}
	return r.aggregate(x)
}

// voided looks at a void round whose receipt names enough answers: the Collector
// says that they do not open the sum. It may have lacked pieces that are there now.
func (r *roundAudit) voided(t *tally) error {
	if len(r.answers) < r.Task.Committee.Threshold || !t.withPieces() {
		return nil
	}
	if _, _, err := r.opened(t.sum); err == nil {
		r.note(pipeline.ReceiptKey(r.Name), "void: %q, but the answers that it names open the sum", r.receipt.Reason)
	}
	return nil
}

// sameVehicles compares who reported with who is charged.
func (r *roundAudit) sameVehicles(found []schema.VehicleID) error {
	pipeline.SortVehicles(found)
	if i := firstTwice(found); i >= 0 {
		return flawf(pipeline.ManifestKey(r.Name, r.receipt.Manifest), "two reports of vehicle %s", found[i])
	}
	if !slices.Equal(found, r.out.vehicles) {
		return flawf(pipeline.ReservationKey(r.Task.Scope.ID(), r.Name, r.receipt.Manifest), "it charges other vehicles than reported")
	}
	r.out.Vehicles = len(found)
	return nil
}

func firstTwice(sorted []schema.VehicleID) int {
	for i := 1; i < len(sorted); i++ {
		if sorted[i] == sorted[i-1] {
			return i
		}
	}
	return -1
}

// tally adds the reports of a list, on all processors.
type tally struct {
	*roundAudit
	pieces   bool
	vehicles []schema.VehicleID // in the order of the list

	mu     sync.Mutex
	at     int   // of the flaw with the smallest index
	flaw   error // so that the same flaw is found in every run
	absent string
	sum    *secagg.Sum
}

func (t *tally) run() error {
	t.sum = secagg.NewSum(t.Secagg)
	n := len(t.manifest.Reports)
	workers := make([]*worker, pipeline.Workers(n))
	for i := range workers {
		workers[i] = &worker{tally: t, sum: secagg.NewSum(t.Secagg)}
	}
	t.at = n
	err := pipeline.ForEach(t.ctx, n, func(ctx context.Context, w, i int) error {
		err := workers[w].add(ctx, i)
		if errors.Is(err, ErrFlaw) {
			t.found(i, err)
			return nil
		}
		return err
	})
	if err != nil || t.flaw != nil {
		return errors.Join(err, t.flaw)
	}
	for _, w := range workers {
		if err := t.sum.Merge(w.sum); err != nil {
			return err
		}
	}
	t.report.Objects["report"] += n
	if t.withPieces() {
		t.report.Objects["piece"] += n * t.pieceCount()
	}
	return nil
}

func (t *tally) pieceCount() int {
	return (t.Secagg.Blocks() + t.Task.PieceBlocks - 1) / t.Task.PieceBlocks
}

func (t *tally) found(i int, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i < t.at {
		t.at, t.flaw = i, err
	}
}

// beyond tells that a flaw with a smaller index is known.
func (t *tally) beyond(i int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return i > t.at
}

// withPieces tells whether all pieces so far were there.
func (t *tally) withPieces() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.pieces && t.absent == ""
}

func (t *tally) missing(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.absent == "" || key < t.absent {
		t.absent = key
	}
}

type worker struct {
	*tally
	sum *secagg.Sum
}

func (w *worker) add(ctx context.Context, i int) error {
	if w.beyond(i) {
		return nil
	}
	id := w.manifest.Reports[i]
	rep, err := w.ReadReport(ctx, w.store, id)
	if err != nil {
		return blame(pipeline.HeaderKey(w.Name, id), "the report", err)
	}
	w.vehicles[i] = rep.Header.Vehicle
	if err := w.sum.AddCorr(rep.Corr()); err != nil {
		return err
	}
	if !w.pieces {
		return nil
	}
	return w.addPieces(ctx, rep)
}

// addPieces adds the pieces of a report.
func (w *worker) addPieces(ctx context.Context, rep *schema.Report) error {
	pieces, err := w.allPieces(ctx, rep)
	if errors.Is(err, storage.ErrNotExist) && w.opt.Depth == DepthAuto {
		var f *Flaw
		errors.As(err, &f)
		w.tally.missing(f.Object)
		return nil
	}
	if err != nil {
		return err
	}
	for j, b := range pieces {
		if err := w.sum.AddBlocks(j*w.Task.PieceBlocks, b); err != nil {
			return err
		}
	}
	return nil
}

// piecesIn reads the pieces of a report in a store and compares their root with the signed header.
func (w *worker) piecesIn(ctx context.Context, s storage.Store, rep *schema.Report) ([][]byte, error) {
	var pieces [][]byte
	var hashes []schema.Digest
	for j := range rep.Header.Pieces() {
		key := pipeline.PieceKey(w.Name, rep.ID, j)
		b, err := storage.ReadAll(ctx, s, key, int64(rep.Header.PieceBytes(j)))
		if err != nil {
			return nil, blame(key, "the piece"+w.unread(), err)
		}
		if len(b) != rep.Header.PieceBytes(j) {
			return nil, flawf(key, "%d bytes, %d are signed", len(b), rep.Header.PieceBytes(j))
		}
		pieces, hashes = append(pieces, b), append(hashes, schema.HashPiece(j, b))
	}
	if !schema.PieceRoot(hashes).Equal(rep.Header.Root) {
		return nil, flawf(pipeline.PieceKey(w.Name, rep.ID, 0), "the report's %d pieces differ from their signed root", len(pieces))
	}
	return pieces, nil
}

// compareSum compares the sum added here with the partial sum that the receipt
// names: byte for byte with the pieces, else only the sum of corr.
func (r *roundAudit) compareSum(t *tally) (*secagg.Sum, error) {
	key := pipeline.PartialKey(r.Name, r.receipt.Sum)
	raw, err := storage.ReadAll(r.ctx, r.store, key, r.Secagg.SumBytes()+64+32*schema.MaxReports)
	if err != nil {
		return nil, blame(key, "the sum that was opened", err)
	}
	if schema.Digest(sha256.Sum256(raw)) != r.receipt.Sum {
		return nil, flawf(key, "its content differs from its name, which the receipt states")
	}
	p, err := schema.DecodePartial(raw)
	if err != nil {
		return nil, blame(key, "the sum that was opened", err)
	}
	if p.RoundID != r.ID || p.N != r.Secagg.N() || p.Q != r.Secagg.Q() || p.Values != r.Secagg.Values() || !slices.Equal(p.Reports, r.manifest.Reports) {
		return nil, flawf(key, "a sum of another round or list")
	}
	r.count("sum")
	if t.withPieces() {
		return t.sum, r.sameBytes(key, t.sum, p.Sum)
	}
	return r.sameCorr(key, t, p.Sum)
}

func (r *roundAudit) sameBytes(key string, sum *secagg.Sum, want []byte) error {
	var buf bytes.Buffer
	if _, err := sum.WriteTo(&buf); err != nil {
		return err
	}
	if !bytes.Equal(buf.Bytes(), want) {
		return flawf(key, "the reports of the list do not add up to it")
	}
	r.out.Depth = SumRecomputed
	return nil
}

func (r *roundAudit) sameCorr(key string, t *tally, signed []byte) (*secagg.Sum, error) {
	sum, err := secagg.ReadSum(r.Secagg, bytes.NewReader(signed))
	if err != nil {
		return nil, &Flaw{Object: key, What: "the sum that was opened", Err: err}
	}
	mine, theirs := make([]uint32, r.Secagg.N()), make([]uint32, r.Secagg.N())
	if err := errors.Join(t.sum.Corr(mine), sum.Corr(theirs)); err != nil {
		return nil, err
	}
	if !slices.Equal(mine, theirs) {
		return nil, flawf(key, "the reports' corr do not add up to it")
	}
	r.out.Depth = SumSigned
	why := "as asked"
	if t.absent != "" {
		why = fmt.Sprintf("because pieces are not in the store (first %s)", t.absent) + r.unread()
	}
	r.note(key, "the sum of c is taken as the Collector signed it, %s; the sum of corr was added again", why)
	return sum, nil
}

// near compares reals up to the rounding of another processor's fused operations.
func near(a, b float64) bool {
	return a == b || math.Abs(a-b) <= 1e-12*math.Max(math.Abs(a), math.Abs(b))
}
