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
	b, err := g.bearer(x)
	if err != nil {
		return err
	}
	r, err := g.open(x, b.round)
	if err != nil {
		return err
	}
	u, err := g.find(x, b, id)
	if err != nil && !g.committed(x.request.Context(), b, id, err) {
		return err
	}
	body, err := g.readHeader(x, r)
	if err != nil {
		return err
	}
	if err := check(r, b, id, body); err != nil {
		return err
	}
	outcome, err := g.commit(x.request.Context(), b, id, u, body)
	if err != nil {
		return bodyError(err)
	}
	g.uploads.drop(id)
	return x.outcome(outcome)
}

// committed tells whether a report that is not remembered is one that was committed: its vehicle did not
// hear of it and sends the header again.
func (g *Gateway) committed(ctx context.Context, b bearer, id schema.ReportID, why error) bool {
	var r *refusal
	if !errors.As(why, &r) || r.code != wire.CodeAnnounce {
		return false
	}
	_, err := g.config.Store.Stat(ctx, pipeline.HeaderKey(b.round, id))
	return err == nil
}

func (g *Gateway) readHeader(x *exchange, r *pipeline.Round) ([]byte, error) {
	if err := x.exactly(int64(r.Header().ObjectBytes())); err != nil {
		return nil, err
	}
	sum, err := x.digest()
	if err != nil {
		return nil, err
	}
	body, err := g.small(x, schema.MaxReportBytes)
	if err != nil {
		return nil, err
	}
	if sha256.Sum256(body) != sum {
		return nil, bodyError(storage.ErrDigest)
	}
	return body, nil
}

// check verifies the whole header object.
func check(r *pipeline.Round, b bearer, id schema.ReportID, body []byte) error {
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
	if rep.Header.Vehicle != b.vehicle {
		return refuse(wire.CodeRefused, "the report is another vehicle's")
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

// commit writes the header object. u is nil if it is in the store already, so that this can only compare.
func (g *Gateway) commit(ctx context.Context, b bearer, id schema.ReportID, u *upload, body []byte) (storage.Outcome, error) {
	if !g.committing.enter(b.vehicle) {
		return 0, unavailable(nil, "another request commits a report of this vehicle")
	}
	defer g.committing.leave(b.vehicle)
	if u != nil {
		if err := g.complete(ctx, u); err != nil {
			return 0, err
		}
	}
	outcome, err := g.config.Store.PutOnce(ctx, pipeline.HeaderKey(b.round, id), body)
	if errors.Is(err, storage.ErrConflict) {
		return 0, refuse(wire.CodeConflict, "another header object has this name")
	}
	return outcome, err
}

// complete wants all pieces in the store with the announced bytes, and no other report of the vehicle.
func (g *Gateway) complete(ctx context.Context, u *upload) error {
	if err := g.arrived(ctx, u); err != nil {
		return err
	}
	if missing := u.with(absent); len(missing) > 0 {
		return refuse(wire.CodeIncomplete, "pieces %d to %d are missing; announce again", missing[0][0], missing[0][1])
	}
	if err := g.verify(ctx, u); err != nil {
		return err
	}
	taken, err := g.rival(ctx, u)
	if err != nil {
		return err
	}
	if taken {
		return refuse(wire.CodeRefused, "another report of this vehicle is in the round")
	}
	return nil
}
