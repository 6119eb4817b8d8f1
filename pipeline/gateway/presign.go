package gateway

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/gateway/internal/wire"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// presign answers with a URL by which the vehicle can put one piece into the store itself. The URL fixes name,
// size and SHA-256. That these are the announced bytes is seen when the report commits.
func (g *Gateway) presign(x *exchange, id schema.ReportID, j int) error {
	u, size, err := g.announcedPiece(x, id, j)
	if err != nil {
		return err
	}
	if _, err := x.length(0); err != nil {
		return err
	}
	sum, err := x.digest()
	if err != nil {
		return err
	}
	store, ok := g.config.Store.(storage.Presigner)
	if !ok || g.stops.Load() {
		return unavailable(errors.New("gateway: stopping, or the store cannot presign"), "no URL can be had")
	}
	life := g.config.Limits.TokenLife + time.Duration(size/int64(g.config.Limits.MinRate))*time.Second
	url, header, err := store.PresignPut(x.request.Context(), pipeline.PieceKey(u.round, u.id, j), size, sum, life)
	if err != nil {
		return err
	}
	return x.reply(http.StatusOK, wire.Location{URL: url, Header: header})
}

// arrived looks for pieces that vehicles put into the store themselves.
func (g *Gateway) arrived(ctx context.Context, u *upload) error {
	if !g.config.Presign || len(u.with(absent)) == 0 {
		return nil
	}
	sizes, _, err := g.stored(ctx, u)
	if err == nil {
		u.seen(sizes)
	}
	return err
}
