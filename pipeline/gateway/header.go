package gateway

import (
	"context"
	"crypto/sha256"
	"errors"
	"sync"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/gateway/internal/wire"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// header commits a report: every check of the round, then that all pieces are durable and right,
// then the header object.
func (g *Gateway) header(x *exchange, id schema.ReportID) error {
	u, err := g.announced(x, id)
	if err != nil {
		return err
	}
	r, err := g.open(x, u.round)
	if err != nil {
		return err
	}
	if err := x.exactly(int64(r.Header().ObjectBytes())); err != nil {
		return err
	}
	sum, err := x.digest()
	if err != nil {
		return err
	}
	body, err := g.small(x, schema.MaxReportBytes)
	if err != nil {
		return err
	}
	if sha256.Sum256(body) != sum {
		return bodyError(storage.ErrDigest)
	}
	if err := check(r, id, body); err != nil {
		return err
	}
	outcome, err := g.commit(x.request.Context(), u, body)
	if err != nil {
		return bodyError(err)
	}
	g.uploads.drop(id)
	return x.outcome(outcome)
}

// check verifies the whole header object.
func check(r *pipeline.Round, id schema.ReportID, body []byte) error {
	rep, err := schema.DecodeReport(body)
	if err == nil {
		err = r.CheckReport(rep, id)
	}
	if err == nil {
		err = rep.VerifyBoxes()
	}
	if err != nil {
		return &refusal{code: wire.CodeDigest, message: "it is not the header object of the announced report", cause: err}
	}
	return nil
}

// committing keeps two reports of one vehicle from passing each other in this process.
type committing struct {
	mu   sync.Mutex
	busy map[schema.VehicleID]bool
}

func (c *committing) enter(v schema.VehicleID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy[v] {
		return false
	}
	if c.busy == nil {
		c.busy = map[schema.VehicleID]bool{}
	}
	c.busy[v] = true
	return true
}

func (c *committing) leave(v schema.VehicleID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.busy, v)
}

func (g *Gateway) commit(ctx context.Context, u *upload, body []byte) (storage.Outcome, error) {
	if !g.committing.enter(u.vehicle) {
		return 0, unavailable(nil, "another request commits a report of this vehicle")
	}
	defer g.committing.leave(u.vehicle)
	if err := g.arrived(ctx, u); err != nil {
		return 0, err
	}
	if missing := u.with(absent); len(missing) > 0 {
		return 0, refuse(wire.CodeIncomplete, "pieces %d to %d are missing; announce again", missing[0][0], missing[0][1])
	}
	if err := g.verify(ctx, u); err != nil {
		return 0, err
	}
	taken, err := g.rival(ctx, u)
	if err != nil {
		return 0, err
	}
	if taken {
		return 0, refuse(wire.CodeRefused, "another report of this vehicle is in the round")
	}
	outcome, err := g.config.Store.PutOnce(ctx, pipeline.HeaderKey(u.round, u.id), body)
	if errors.Is(err, storage.ErrConflict) {
		return 0, refuse(wire.CodeConflict, "another header object has this name")
	}
	return outcome, err
}
