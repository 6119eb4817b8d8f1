package aggregator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// Options bound what [SumWith] does at one time. Memory is 4 bytes a value for each worker, and one packed report
// (about 2.5 bytes a value) for each worker and each reader, whatever the number of reports.
type Options struct {
	Workers  int      // goroutines that verify and add; 0: one for each processor
	Readers  int      // goroutines that read ahead of them; 0: two for each worker
	Progress Progress // may be nil
}

// limited fills in what is not said, for n reports.
func (o Options) limited(n int) Options {
	if o.Workers < 1 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Readers < 1 {
		o.Readers = 2 * o.Workers
	}
	o.Workers, o.Readers = max(1, min(n, o.Workers)), max(1, min(n, o.Readers))
	return o
}

// fetched is one report as it was read, with nothing verified.
type fetched struct {
	id     schema.ReportID
	header []byte // the header object
	pieces []byte // all pieces, one after the other
	err    error  // a refusal for what is missing: a header object that cannot be read goes before pieces
}

// run passes every report from a reader to a worker. As many buffers go round as there are
// goroutines: who reads ahead waits for one.
func (a *adder) run(ctx context.Context, ids []schema.ReportID, workers []*worker, readers int) error {
	g, ctx := errgroup.WithContext(ctx)
	free, full := make(chan *fetched, len(workers)+readers), make(chan *fetched)
	for range cap(free) {
		free <- &fetched{}
	}
	var next, reading atomic.Int64
	reading.Store(int64(readers))
	for range readers {
		g.Go(func() error {
			defer func() { // the last reader tells the workers that no more comes
				if reading.Add(-1) == 0 {
					close(full)
				}
			}()
			for i := next.Add(1) - 1; i < int64(len(ids)); i = next.Add(1) - 1 {
				f, err := receive(ctx, free)
				if err == nil {
					err = a.fetch(ctx, f, ids[i])
				}
				if err == nil {
					err = send(ctx, full, f)
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	for _, w := range workers {
		g.Go(func() error {
			for f := range full {
				if err := a.add(w, f); err != nil {
					return err
				}
				free <- f // never blocks: it has room for all
				if err := ctx.Err(); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

func receive(ctx context.Context, from <-chan *fetched) (*fetched, error) {
	select {
	case f := <-from:
		return f, ctx.Err()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func send(ctx context.Context, to chan<- *fetched, f *fetched) error {
	select {
	case to <- f:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// fetch reads a report into f. What is missing is noted there; an error is the store's.
func (a *adder) fetch(ctx context.Context, f *fetched, id schema.ReportID) error {
	if f.pieces == nil {
		f.pieces = make([]byte, a.round.Secagg.Blocks()*a.round.Secagg.BlockBytes())
	}
	f.id, f.err = id, nil
	var err error
	if f.header, err = a.round.ReadHeaderObject(ctx, a.store, id, f.header); err == nil {
		err = readPieces(ctx, a.store, a.round, id, f.pieces)
	}
	if refused := (*pipeline.Refused)(nil); errors.As(err, &refused) {
		f.err = err
		return nil
	}
	return err
}

// verify checks all of a report before a single value of it is added. Errors are [*pipeline.Refused].
func (f *fetched) verify(r *pipeline.Round) (*schema.Report, error) {
	if f.err != nil && len(f.header) == 0 {
		return nil, f.err
	}
	rep, err := r.DecodeReport(f.header, f.id)
	if err != nil {
		return nil, err
	}
	if f.err != nil {
		return nil, f.err
	}
	hashes, rest := make([]schema.Digest, rep.Header.Pieces()), f.pieces
	for i := range hashes {
		piece := rest[:rep.Header.PieceBytes(i)]
		rest = rest[len(piece):]
		hashes[i] = schema.HashPiece(i, piece)
	}
	if !schema.PieceRoot(hashes).Equal(rep.Header.Root) {
		return nil, &pipeline.Refused{Report: f.id, Reason: schema.ReasonPiece, Err: errors.New("pieces differ from their signed root")}
	}
	return rep, nil
}

// readPieces fills buf with all pieces, each of the size that the round gives it.
func readPieces(ctx context.Context, s storage.Store, r *pipeline.Round, id schema.ReportID, buf []byte) error {
	h := r.Header()
	for i := range h.Pieces() {
		piece := buf[:h.PieceBytes(i)]
		buf = buf[len(piece):]
		if err := readPiece(ctx, s, pipeline.PieceKey(r.Name, id, i), piece); err != nil {
			if errors.Is(err, storage.ErrNotExist) || errors.Is(err, storage.ErrRange) || errors.Is(err, storage.ErrDamaged) {
				return &pipeline.Refused{Report: id, Reason: schema.ReasonMissing, Err: fmt.Errorf("piece %d: %w", i, err)}
			}
			return err
		}
	}
	return nil
}

func readPiece(ctx context.Context, s storage.Store, key string, piece []byte) error {
	rc, info, err := s.Get(ctx, key)
	if err != nil {
		return err
	}
	defer rc.Close()
	if info.Size != int64(len(piece)) {
		return fmt.Errorf("%w: %s has %d bytes, want %d", storage.ErrRange, key, info.Size, len(piece))
	}
	if _, err := io.ReadFull(rc, piece); err != nil {
		return fmt.Errorf("aggregator: read %s: %w", key, err)
	}
	return nil
}
