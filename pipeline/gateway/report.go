package gateway

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/gateway/internal/wire"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// announce takes the signed head of a report and answers with the pieces that are missing.
func (g *Gateway) announce(x *exchange) error {
	b, err := g.bearer(x)
	if err != nil {
		return err
	}
	r, err := g.open(x, b.round)
	if err != nil {
		return err
	}
	u, err := g.readAnnouncement(x, b, r)
	if err != nil {
		return err
	}
	ctx := x.request.Context()
	if err := g.claim(ctx, u); err != nil {
		return err
	}
	sizes, committed, err := g.stored(ctx, u)
	if err != nil {
		return err
	}
	m := wire.Missing{Report: u.id, Committed: committed, Pieces: [][2]int{}, Presign: g.config.Presign}
	if !committed {
		u = g.uploads.add(u)
		u.seen(sizes)
		m.Pieces = u.with(absent)
	}
	return x.reply(http.StatusOK, m)
}

// readAnnouncement reads and checks one against the round and the token.
func (g *Gateway) readAnnouncement(x *exchange, b bearer, r *pipeline.Round) (*upload, error) {
	h := r.Header()
	head, _ := h.BoxOffset(0)
	if h.Pieces() > wire.MaxPieces {
		return nil, refuse(wire.CodeRefused, "a report of this task has %d pieces, this gateway takes %d", h.Pieces(), wire.MaxPieces)
	}
	if err := x.exactly(head + 32*int64(h.Pieces())); err != nil {
		return nil, err
	}
	body, err := g.small(x, wire.MaxAnnouncement)
	if err != nil {
		return nil, err
	}
	rep, pieces, err := wire.ParseAnnouncement(body)
	if err != nil {
		return nil, refuse(wire.CodeMalformed, "no announcement of a report of this round")
	}
	if err := r.CheckReport(rep, rep.ID); err != nil || rep.Header.Vehicle != b.vehicle {
		return nil, &refusal{code: wire.CodeRefused, message: "no report of this vehicle for this round", cause: err}
	}
	x.note(slog.String("report", rep.ID.Short()))
	hdr := rep.Header
	hdr.Commitments = nil // a head that refers to nothing of body
	return &upload{id: rep.ID, vehicle: b.vehicle, round: b.round, header: hdr, pieces: pieces, state: make([]pieceState, len(pieces))}, nil
}

// claim takes one of the vehicle's few places in the round for a report, for ever: the place is an
// object, so the limit holds over restarts and over several gateways on one store.
func (g *Gateway) claim(ctx context.Context, u *upload) error {
	body := []byte(u.id.String())
	for i := range g.config.Limits.Reports {
		_, err := g.config.Store.PutOnce(ctx, pipeline.ClaimKey(u.round, u.vehicle, i), body)
		if err == nil {
			return nil
		}
		if !errors.Is(err, storage.ErrConflict) {
			return err
		}
	}
	return refuse(wire.CodeRefused, "this vehicle has announced %d other reports in this round", g.config.Limits.Reports)
}

// rival returns whether another report of the vehicle is committed.
func (g *Gateway) rival(ctx context.Context, u *upload) (bool, error) {
	for i := range g.config.Limits.Reports {
		raw, err := storage.ReadAll(ctx, g.config.Store, pipeline.ClaimKey(u.round, u.vehicle, i), 64)
		if errors.Is(err, storage.ErrNotExist) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		var other schema.ReportID
		if err := other.UnmarshalText(raw); err != nil || other == u.id {
			continue
		}
		_, err = g.config.Store.Stat(ctx, pipeline.HeaderKey(u.round, other))
		if err == nil || !errors.Is(err, storage.ErrNotExist) {
			return err == nil, err
		}
	}
	return false, nil
}

// stored lists what the store has of a report.
func (g *Gateway) stored(ctx context.Context, u *upload) (sizes map[int]int64, committed bool, err error) {
	sizes = map[int]int64{}
	for info, err := range g.config.Store.List(ctx, pipeline.ReportPrefix(u.round, u.id), "") {
		if err != nil {
			return nil, false, err
		}
		switch o, ok := pipeline.ParseObject(info.Key); {
		case ok && o.Kind == pipeline.KindHeader:
			committed = true
		case ok && o.Kind == pipeline.KindPiece:
			sizes[o.Index] = info.Size
		}
	}
	return sizes, committed, nil
}

// announced returns the report that a piece or header is put for, if it is the bearer's.
func (g *Gateway) announced(x *exchange, id schema.ReportID) (*upload, error) {
	b, err := g.bearer(x)
	if err != nil {
		return nil, err
	}
	return g.find(x, b, id)
}

// announcedPiece also returns the size of its piece j in bytes.
func (g *Gateway) announcedPiece(x *exchange, id schema.ReportID, j int) (*upload, int64, error) {
	u, err := g.announced(x, id)
	if err != nil {
		return nil, 0, err
	}
	size := int64(u.header.PieceBytes(j))
	if size == 0 {
		return nil, 0, refuse(wire.CodeNotFound, "the report has %d pieces", len(u.pieces))
	}
	return u, size, nil
}

func (g *Gateway) find(x *exchange, b bearer, id schema.ReportID) (*upload, error) {
	u := g.uploads.get(id)
	if u == nil {
		return nil, refuse(wire.CodeAnnounce, "announce the report first; after a restart of the gateway again")
	}
	if u.vehicle != b.vehicle || u.round != b.round {
		return nil, refuse(wire.CodeRefused, "another vehicle or round announced this report")
	}
	x.note(slog.String("report", id.Short()))
	return u, nil
}

// piece streams one announced piece into the store.
func (g *Gateway) piece(x *exchange, id schema.ReportID, j int) error {
	u, size, err := g.announcedPiece(x, id, j)
	if err != nil {
		return err
	}
	if err := x.exactly(size); err != nil {
		return err
	}
	sum, err := x.digest()
	if err != nil {
		return err
	}
	release, err := g.place(x)
	if err != nil {
		return err
	}
	defer release()
	p := &pieceReader{r: g.guard(x), h: schema.NewPieceHash(j, size), want: u.pieces[j]}
	outcome, err := storage.PutOnceFrom(x.request.Context(), g.config.Store, pipeline.PieceKey(u.round, u.id, j), size, sum, p)
	if err != nil {
		return bodyError(err)
	}
	if outcome == storage.Created && p.good {
		u.set(j, verified)
	} else { // of what was there a store may know the hash only as its writer told it
		u.there(j)
	}
	return x.outcome(outcome)
}

func (x *exchange) outcome(o storage.Outcome) error {
	status := http.StatusCreated
	if o == storage.Identical {
		status = http.StatusOK
	}
	return x.reply(status, wire.Stored{Outcome: o.String()})
}

// verify reads back the pieces that this process did not write itself.
func (g *Gateway) verify(ctx context.Context, u *upload) error {
	for _, run := range u.with(listed) {
		for j := run[0]; j <= run[1]; j++ {
			if err := g.verifyPiece(ctx, u, j); err != nil {
				return err
			}
			u.set(j, verified)
		}
	}
	return nil
}

func (g *Gateway) verifyPiece(ctx context.Context, u *upload, j int) error {
	r, info, err := g.config.Store.Get(ctx, pipeline.PieceKey(u.round, u.id, j))
	if errors.Is(err, storage.ErrNotExist) {
		u.set(j, absent)
		return refuse(wire.CodeIncomplete, "piece %d is missing", j)
	}
	if err != nil && !errors.Is(err, storage.ErrDamaged) {
		return err
	}
	wrong := refuse(wire.CodeConflict, "piece %d in the store is not the announced one", j)
	if err != nil {
		return wrong
	}
	defer r.Close()
	if info.Size != int64(u.header.PieceBytes(j)) {
		return wrong
	}
	buf := copyBuffers.Get().(*[16 << 10]byte)
	defer copyBuffers.Put(buf)
	p := &pieceReader{r: r, h: schema.NewPieceHash(j, info.Size), want: u.pieces[j]}
	for err == nil {
		_, err = p.Read(buf[:])
	}
	switch {
	case p.good:
		return nil
	case errors.Is(err, storage.ErrDamaged) || err != io.EOF && isRefusal(err):
		return wrong
	}
	return err
}

func isRefusal(err error) bool {
	var r *refusal
	return errors.As(err, &r)
}
